package agent

import (
	"cmp"
	"slices"
	"time"

	"github.com/firebreak/firebreak/inputs"
	"github.com/firebreak/firebreak/router"
)

// Status is a snapshot of everything, as the admin port shows it under /status.
type Status struct {
	Version      string              `json:"version"`
	Phase        string              `json:"phase"` // starting, running, stopping
	Started      time.Time           `json:"started"`
	Now          time.Time           `json:"now"`
	Host         string              `json:"host"`
	Config       string              `json:"config"`             // file, or "embedded default"
	Degraded     string              `json:"degraded,omitempty"` // why another configuration runs than the one given
	Reload       *Reloaded           `json:"reload,omitempty"`   // the last one; nil: none yet
	Warnings     []string            `json:"warnings,omitempty"`
	Inputs       []InputStatus       `json:"inputs"`
	Routes       []RouteStatus       `json:"routes"`
	Destinations []DestinationStatus `json:"destinations"`
	Orphans      []Orphan            `json:"orphans,omitempty"`
}

// RouteStatus is one route, in the order of the configuration.
type RouteStatus struct {
	Name     string   `json:"name"` // the type of its events
	To       []string `json:"to"`
	Discard  bool     `json:"discard,omitempty"`
	Continue bool     `json:"continue,omitempty"`
	Events   uint64   `json:"events"` // of its type, and those that it discarded
	Bytes    uint64   `json:"bytes"`  // of these events, as they are routed
}

// Orphan is what a destination has left behind that is not configured any more.
type Orphan struct {
	Name      string `json:"name"`
	Bytes     int64  `json:"bytes"`              // of its buffer
	DeadBytes int64  `json:"dead_letters_bytes"` // of its dead letters
	Command   string `json:"command"`            // delivers them to another destination
}

// Reloaded is what became of an attempt to load the configuration anew.
type Reloaded struct {
	At       time.Time `json:"at"`
	OK       bool      `json:"ok"`
	Error    string    `json:"error,omitempty"` // why nothing has changed
	Changes  []string  `json:"changes"`         // what has
	Warnings []string  `json:"warnings,omitempty"`
	Count    uint64    `json:"count"`  // attempts since the start, this one included
	Failed   uint64    `json:"failed"` // of them
}

// InputStatus is one input and its ledger: received = routed + dropped + discarded + invalid.
type InputStatus struct {
	Name        string            `json:"name"`
	Type        string            `json:"type"`
	Listen      []string          `json:"listen"`
	Received    uint64            `json:"received"`
	Routed      uint64            `json:"routed"`
	Dropped     map[string]uint64 `json:"dropped"`   // by processor
	Discarded   map[string]uint64 `json:"discarded"` // by route
	Invalid     map[string]uint64 `json:"invalid"`   // by reason
	Errors      map[string]uint64 `json:"errors"`    // connections and messages, by reason
	Connections int               `json:"connections"`
	Refused     uint64            `json:"refused_connections"`
	Acks        uint64            `json:"acks"`
	HeldLines   int               `json:"held_lines"`
	BrokenLines map[string]uint64 `json:"broken_lines"` // passed on before their last piece, by reason
	Rejected    map[string]uint64 `json:"rejected"`     // routed, straight to dead letters, by processor
	Truncated   map[string]uint64 `json:"truncated"`    // by processor
	Redacted    map[string]uint64 `json:"redacted"`     // by processor
	Routes      map[string]uint64 `json:"routes"`       // by route: its types, and what it discarded
	Bytes       uint64            `json:"received_bytes"`
}

// DestinationStatus is one destination and its ledger:
// offered = delivered + dead_lettered + shed + moved + buffered.
type DestinationStatus struct {
	Name         string            `json:"name"`
	Type         string            `json:"type"`
	Breaker      string            `json:"breaker"`
	Since        time.Time         `json:"breaker_since"` // closed since then, or not
	NextTry      *time.Time        `json:"next_try,omitempty"`
	Error        string            `json:"error,omitempty"`
	Hint         string            `json:"hint,omitempty"`
	Held         bool              `json:"held,omitempty"` // somebody has to change something before it can deliver
	Volatile     bool              `json:"volatile"`
	Problem      string            `json:"problem,omitempty"`
	Full         bool              `json:"full"`
	Offered      uint64            `json:"offered"`
	Delivered    uint64            `json:"delivered"`
	DeadLettered map[string]uint64 `json:"dead_lettered"`
	Shed         map[string]uint64 `json:"shed"`
	Moved        map[string]uint64 `json:"moved"`
	Buffered     uint64            `json:"buffered"`
	Leased       uint64            `json:"leased"`
	Bytes        int64             `json:"buffered_bytes"`
	DiskBytes    int64             `json:"disk_bytes"`
	MaxBytes     int64             `json:"max_bytes"`
	MemoryBytes  int64             `json:"memory_bytes"`
	Oldest       *time.Time        `json:"oldest,omitempty"`
	Requests     uint64            `json:"requests"`
	Failed       uint64            `json:"failed_requests"`
	Retried      uint64            `json:"retried_events"`
	InFlight     int               `json:"requests_in_flight"`
	Sent         uint64            `json:"sent_bytes"`         // of delivered batches, before compression
	MaxRate      int64             `json:"max_rate,omitempty"` // bytes per second
	Limited      bool              `json:"limited,omitempty"`  // max_rate holds it back now
	Fallback     string            `json:"fallback,omitempty"` // where events move
	Moving       string            `json:"moving,omitempty"`   // why they do so now: bound, breaker
	Replayed     uint64            `json:"replayed"`           // offered again since the start, part of offered

	DeadKept      uint64            `json:"dead_letters_kept"` // on disk
	DeadBytes     int64             `json:"dead_letters_bytes"`
	DeadDiscarded uint64            `json:"dead_letters_discarded"` // since the start, to keep the bound
	DeadReasons   map[string]uint64 `json:"dead_letters_reasons"`   // kept, by reason

	Output any `json:"output,omitempty"` // the output's own, such as its servers
}

// Status returns a snapshot. The parts are read one after the other; the ledger in each balances.
func (a *Agent) Status() Status {
	set := a.now.Load()
	s := Status{
		Version: a.opts.Version, Phase: a.phase.String(), Started: a.started, Now: time.Now(), Host: a.parts.host,
		Config: cmp.Or(set.cfg.Path, "embedded default"), Degraded: a.reloads.why(), Reload: a.reloads.latest(),
		Inputs: []InputStatus{}, Routes: []RouteStatus{}, Destinations: []DestinationStatus{},
	}
	a.mu.Lock()
	s.Warnings, s.Orphans = slices.Clone(a.warnings), slices.Clone(a.orphans)
	a.mu.Unlock()
	for _, in := range set.ins {
		st, rt := a.inputStats(in)
		s.Inputs = append(s.Inputs, inputStatus(in, st, rt))
	}
	routed := a.routed()
	for i := range set.cfg.Routes {
		r := &set.cfg.Routes[i]
		s.Routes = append(s.Routes, RouteStatus{
			Name: r.Name, To: append([]string{}, r.To...), Discard: r.Discard, Continue: r.Continue, Events: routed.Routes[r.Name], Bytes: routed.Bytes[r.Name],
		})
	}
	for _, d := range set.dests {
		s.Destinations = append(s.Destinations, destinationStatus(d))
	}
	return s
}

func inputStatus(in *input, st inputs.Stats, rt router.IntakeStats) InputStatus {
	return InputStatus{
		Name: in.name, Type: in.kind, Listen: in.addresses(), Received: st.Received, Routed: rt.Routed, Dropped: rt.Dropped, Discarded: rt.Discarded,
		Invalid: st.Invalid, Errors: st.Errors, Connections: st.Connections, Refused: st.Refused, Acks: st.Acks, HeldLines: st.Held, BrokenLines: st.Broken,
		Rejected: rt.Rejected, Truncated: rt.Truncated, Redacted: rt.Redacted, Routes: rt.Routes, Bytes: st.Bytes,
	}
}

func destinationStatus(d *target) DestinationStatus {
	st, dead := d.Stats(), d.dead.Stats()
	b := st.Buffer
	out := DestinationStatus{
		Name: st.Name, Type: d.cfg.Type, Breaker: st.Breaker, Since: st.Since, Error: st.Error, Hint: st.Hint, Held: st.Held,
		Volatile: b.Volatile, Problem: cmp.Or(b.Problem, st.Trouble), Full: b.Full,
		Offered: b.Offered, Delivered: b.Delivered, DeadLettered: b.DeadLettered, Shed: b.Shed, Moved: b.Moved, Buffered: b.Buffered, Leased: b.Leased,
		Bytes: b.Bytes, DiskBytes: b.DiskBytes, MaxBytes: b.MaxBytes, MemoryBytes: b.MemoryBytes,
		Requests: st.Requests, Failed: st.Failed, Retried: st.Retried, InFlight: st.InFlight, Sent: st.Sent, Output: st.Output,
		MaxRate: int64(d.cfg.MaxRate), Limited: st.Limited, Fallback: d.cfg.Buffer.Fallback, Replayed: d.replayed.Load(),
		DeadKept: dead.Events, DeadBytes: dead.Bytes, DeadDiscarded: dead.Discarded, DeadReasons: dead.Reasons,
	}
	if out.DeadReasons == nil {
		out.DeadReasons = map[string]uint64{}
	}
	if st.Moving {
		out.Moving = st.MovingWhy
	}
	if !st.NextTry.IsZero() {
		out.NextTry = &st.NextTry
	}
	if !b.Oldest.IsZero() {
		out.Oldest = &b.Oldest
	}
	return out
}
