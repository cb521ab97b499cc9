package demo

import "fmt"

// A Summary is what came out of the story, counted by what the aggregators received and by the router's ledger.
type Summary struct {
	Held     bool     `json:"promise_held"`
	Problems []string `json:"problems"` // what broke the promise

	Killed      string  `json:"killed"`            // the aggregator that died
	KilledAt    float64 `json:"killed_at_seconds"` // since the start
	BackAt      float64 `json:"back_at_seconds"`
	CaughtUpAt  float64 `json:"caught_up_at_seconds"` // 0: never
	DirectError string  `json:"direct_connection_error"`
	Hiccup      float64 `json:"machine_hiccup_seconds"` // how late this machine was at worst, without the router
	Limit       float64 `json:"limit_seconds"`          // longest pause, send or connect that keeps the promise

	Router      Router       `json:"router"`
	Aggregators []Aggregator `json:"aggregators"`
	Containers  []Container  `json:"containers"`
	Directory   string       `json:"directory,omitempty"` // when it is kept
}

// Router is the ledger of the router's input.
type Router struct {
	Received  uint64 `json:"received"`
	Discarded uint64 `json:"discarded"`
	Invalid   uint64 `json:"invalid"`
}

// An Aggregator is what one received, and the ledger of its destination.
type Aggregator struct {
	Kind       string `json:"kind"`
	Sent       uint64 `json:"sent"` // by the containers
	Received   uint64 `json:"received"`
	Lost       uint64 `json:"lost"`
	Duplicates uint64 `json:"duplicates"`
	OutOfOrder uint64 `json:"out_of_order"`
	Strange    uint64 `json:"strange"` // lines of another kind
	Late       uint64 `json:"late"`    // received, after the outage, of what was sent before its end
	LateLost   uint64 `json:"late_lost"`

	RateBefore  float64 `json:"received_per_second_before_outage"`
	RateOutage  float64 `json:"received_per_second_in_outage"`
	SentOutage  float64 `json:"sent_per_second_in_outage"`
	Behind      uint64  `json:"behind_after_outage"` // sent before its end, not received yet
	PauseBefore float64 `json:"longest_pause_before_outage_seconds"`
	PauseOutage float64 `json:"longest_pause_in_outage_seconds"`
	PauseAfter  float64 `json:"longest_pause_after_outage_seconds"`

	Offered      uint64 `json:"offered"`
	Delivered    uint64 `json:"delivered"`
	DeadLettered uint64 `json:"dead_lettered"`
	Shed         uint64 `json:"shed"`
	Moved        uint64 `json:"moved"`
	Buffered     uint64 `json:"buffered"`
}

// A Container is how logging was for one.
type Container struct {
	Name        string  `json:"name"`
	Sent        uint64  `json:"sent"`
	Failed      uint64  `json:"failed_sends"`
	Error       string  `json:"error,omitempty"`
	LongestSend float64 `json:"longest_send_seconds"`
	Connect     float64 `json:"connect_seconds"`
	InOutage    bool    `json:"started_in_outage"`
}

// judge finds out whether the promise held: one aggregator dies, and nothing else notices; its lines come late.
func (s *Summary) judge() {
	wrong := func(format string, args ...any) { s.Problems = append(s.Problems, fmt.Sprintf(format, args...)) }
	routed := uint64(0)
	for _, a := range s.Aggregators {
		a.judge(s.Killed, s.Limit, wrong)
		routed += a.Offered
	}
	for _, c := range s.Containers {
		if c.Failed > 0 {
			wrong("container %s: a send failed: %s", c.Name, c.Error)
		}
		if c.LongestSend > s.Limit {
			wrong("container %s: a send took %.1f s, at most %.1f s are fine", c.Name, c.LongestSend, s.Limit)
		}
		if c.Connect > s.Limit {
			wrong("container %s: connecting took %.1f s, at most %.1f s are fine", c.Name, c.Connect, s.Limit)
		}
	}
	if r := s.Router; r.Received != routed+r.Discarded+r.Invalid {
		wrong("router: received %d, but routed %d, discarded %d, invalid %d", r.Received, routed, r.Discarded, r.Invalid)
	}
	if s.CaughtUpAt == 0 {
		wrong("%s: never caught up", s.Killed)
	}
	s.Held = len(s.Problems) == 0
}

func (a *Aggregator) judge(killed string, limit float64, wrong func(string, ...any)) {
	if a.Lost > 0 {
		wrong("%s: lost %d of %s", a.Kind, a.Lost, lines(a.Sent))
	}
	if a.OutOfOrder > 0 {
		wrong("%s: %s out of order", a.Kind, lines(a.OutOfOrder))
	}
	if a.Strange > 0 {
		wrong("%s: %s of another kind", a.Kind, lines(a.Strange))
	}
	if n := a.Delivered + a.DeadLettered + a.Shed + a.Moved + a.Buffered; a.Offered != n {
		wrong("%s: the ledger does not balance: offered %d, accounted for %d", a.Kind, a.Offered, n)
	}
	if a.Offered != a.Sent || a.Delivered != a.Sent {
		wrong("%s: the ledger says offered %d, delivered %d, of %s sent", a.Kind, a.Offered, a.Delivered, lines(a.Sent))
	}
	if a.Kind == killed {
		if a.Late == 0 {
			wrong("%s: no line had to wait: the outage was none", a.Kind)
		}
		return
	}
	if a.Duplicates > 0 {
		wrong("%s: %s came twice", a.Kind, lines(a.Duplicates))
	}
	if pause := a.longestPause(); pause > limit {
		wrong("%s: nothing came for %.1f s, at most %.1f s are fine", a.Kind, pause, limit)
	}
	if float64(a.Behind) > limit*a.SentOutage {
		wrong("%s: %s behind when %s came back", a.Kind, lines(a.Behind), killed)
	}
}

func (a *Aggregator) longestPause() float64 { return max(a.PauseBefore, a.PauseOutage, a.PauseAfter) }

func lines(n uint64) string {
	if n == 1 {
		return "1 line"
	}
	return fmt.Sprintf("%d lines", n)
}
