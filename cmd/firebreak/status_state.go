package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/internal/table"
)

// stateOf returns the word for how a destination is, its colour, and how bad it is: 0 needs nobody's attention.
func stateOf(d agent.DestinationStatus) (word, colour string, badness int) {
	switch {
	case d.Held:
		return "held", table.Red, 6
	case d.Full:
		return "full", table.Red, 5
	case d.Breaker == "open":
		return "open", table.Red, 4
	case d.Breaker == "half-open":
		return "half-open", table.Yellow, 3
	case d.Volatile && d.Problem != "":
		return "volatile", table.Red, 5
	case d.Moving != "":
		return "moving", table.Yellow, 3
	case d.Error != "":
		return "failing", table.Yellow, 2
	case d.Volatile:
		return "volatile", table.Yellow, 0 // by configuration
	case d.Limited:
		return "limited", table.Yellow, 0
	case d.Problem != "" || len(serversDown(d)) > 0:
		return "ok", table.Yellow, 1
	case d.Breaker != "closed":
		return d.Breaker, table.Yellow, 1 // of a later version
	}
	return "ok", table.Green, 0
}

const theRouter = "the router"

// A problem is something that somebody should know, and perhaps do something about.
type problem struct {
	name    string // of a destination, or "the router"
	text    string
	hint    string // what to do
	colour  string
	badness int
}

// problemsOf lists what is wrong, the worst first.
func problemsOf(s agent.Status) []problem {
	var out []problem
	if s.Degraded != "" {
		out = append(out, problem{name: theRouter, colour: table.Red, badness: 8, text: "degraded: it runs the last configuration that worked; the one it was given is bad: " + s.Degraded,
			hint: "firebreak check -c FILE says what is wrong with the one that was given; firebreak reload puts it in place"})
	}
	if r := s.Reload; r != nil && !r.OK {
		first, _, _ := strings.Cut(r.Error, "\n")
		out = append(out, problem{name: theRouter, colour: table.Red, badness: 7, hint: "firebreak reload prints all of it",
			text: fmt.Sprintf("the last reload, %s ago, has changed nothing: %s", table.Short(s.Now.Sub(r.At)), first)})
	}
	for _, d := range s.Destinations {
		if p, ok := problemOf(d, s.Now); ok {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b problem) int { return cmp.Compare(b.badness, a.badness) })
	return out
}

func problemOf(d agent.DestinationStatus, now time.Time) (problem, bool) {
	word, colour, badness := stateOf(d)
	if badness == 0 {
		return problem{}, false
	}
	state := word
	if d.Breaker != "closed" {
		if d.Breaker != word {
			state += ", breaker " + d.Breaker
		}
		if !d.Since.IsZero() {
			state += " for " + table.Short(max(0, now.Sub(d.Since)))
		}
		if next := nextTry(d, now); next != "" {
			state += ", next try in " + next
		}
	}
	parts := []string{state}
	if d.Full {
		parts = append(parts, fmt.Sprintf("the buffer is at its bound of %s", table.Size(d.MaxBytes)))
	}
	if d.Moving != "" {
		parts = append(parts, fmt.Sprintf("events move to %s", d.Fallback))
	}
	if d.Problem != "" {
		parts = append(parts, d.Problem)
	}
	if d.Error != "" {
		parts = append(parts, d.Error)
	} else {
		parts = append(parts, serversDown(d)...)
	}
	return problem{d.Name, strings.Join(parts, "; "), d.Hint, colour, badness}, true
}

// serversDown says which of an output's servers are down, as far as the output tells: the others do their work.
func serversDown(d agent.DestinationStatus) []string {
	var out []string
	list, _ := d.Output.([]any)
	for _, s := range list {
		server, _ := s.(map[string]any)
		if up, ok := server["up"].(bool); ok && !up {
			out = append(out, fmt.Sprintf("server %v is down: %v", server["address"], server["error"]))
		}
	}
	return out
}

// nextTry returns how long it takes until the breaker lets something through, or "".
func nextTry(d agent.DestinationStatus, now time.Time) string {
	if d.NextTry == nil || d.Breaker != "open" {
		return ""
	}
	return table.Short(max(0, d.NextTry.Sub(now)).Round(100 * time.Millisecond))
}

// lossesOf says, input by input and destination by destination, what was not delivered, and why.
func lossesOf(s agent.Status) [][2]string {
	var out [][2]string
	for _, in := range s.Inputs {
		parts := reasons(nil, "dropped", in.Dropped)
		parts = reasons(parts, "discarded", in.Discarded)
		parts = reasons(parts, "invalid", in.Invalid)
		parts = reasons(parts, "errors", in.Errors)
		if in.Refused > 0 {
			parts = append(parts, "refused connections "+table.Count(in.Refused))
		}
		if len(parts) > 0 {
			out = append(out, [2]string{in.Name, strings.Join(parts, "; ")})
		}
	}
	for _, d := range s.Destinations {
		parts := reasons(nil, "shed", d.Shed)
		parts = reasons(parts, "dead letters", d.DeadLettered)
		if d.DeadKept > 0 {
			parts = append(parts, fmt.Sprintf("dead letters kept %s (%s): firebreak buffer dump %s --dead", table.Count(d.DeadKept), table.Size(d.DeadBytes), d.Name))
		}
		if d.DeadDiscarded > 0 {
			parts = append(parts, "oldest dead letters discarded "+table.Count(d.DeadDiscarded))
		}
		parts = reasons(parts, "moved", d.Moved)
		if len(parts) > 0 {
			out = append(out, [2]string{d.Name, strings.Join(parts, "; ")})
		}
	}
	return out
}

// reasons adds how many events there were, and of which reason.
func reasons(parts []string, what string, by map[string]uint64) []string {
	var names, list []string
	for _, k := range slices.Sorted(maps.Keys(by)) {
		if by[k] > 0 {
			names, list = append(names, k), append(list, k+": "+table.Count(by[k]))
		}
	}
	switch len(list) {
	case 0:
		return parts
	case 1:
		list = names
	}
	return append(parts, fmt.Sprintf("%s %s (%s)", what, table.Count(total(by)), strings.Join(list, ", ")))
}

// imbalances says which ledgers don't balance; none should.
func imbalances(s agent.Status) []string {
	var out []string
	for _, in := range s.Inputs {
		if rest := in.Routed + total(in.Dropped) + total(in.Discarded) + total(in.Invalid); rest != in.Received {
			out = append(out, fmt.Sprintf("input %s received %s events, but routed + dropped + discarded + invalid are %s", in.Name, table.Number(in.Received), table.Number(rest)))
		}
	}
	for _, d := range s.Destinations {
		if rest := d.Delivered + total(d.DeadLettered) + total(d.Shed) + total(d.Moved) + d.Buffered; rest != d.Offered {
			out = append(out, fmt.Sprintf("destination %s was offered %s events, but delivered + dead letters + shed + moved + buffered are %s", d.Name, table.Number(d.Offered), table.Number(rest)))
		}
	}
	return out
}

func total(by map[string]uint64) uint64 {
	sum := uint64(0)
	for _, n := range by {
		sum += n
	}
	return sum
}
