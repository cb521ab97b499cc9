package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/internal/table"
)

// maxTextWidth is how wide texts become on a wide terminal, in columns.
const maxTextWidth = 100

// A statusView writes a status for people. Tables are never cut; a terminal that is too narrow wraps them.
type statusView struct {
	style table.Style
	width int // of texts; 0: they aren't wrapped
	out   []string
}

func (v *statusView) lines(s agent.Status) []string {
	v.head(s)
	v.problems(s)
	v.inputs(s)
	v.routes(s)
	v.destinations(s)
	v.losses(s)
	v.ledgers(s)
	return v.out
}

func (v *statusView) head(s agent.Status) {
	phase := s.Phase
	if phase == "running" {
		phase = "running for " + table.Short(s.Now.Sub(s.Started))
	}
	v.say("", fmt.Sprintf("firebreak %s on %s, %s, configuration: %s", s.Version, s.Host, phase, s.Config), table.Plain)
	if r := s.Reload; r != nil && r.OK {
		v.say("", fmt.Sprintf("last reload %s ago: %s", table.Short(s.Now.Sub(r.At)), strings.Join(r.Changes, "; ")), table.Plain)
	}
	for _, in := range s.Inputs {
		if len(in.Listen) > 0 {
			v.say("", fmt.Sprintf("%s (%s) listens on %s", in.Name, in.Type, strings.Join(in.Listen, ", ")), table.Plain)
		}
	}
}

// say writes a text with something in front of its first line.
func (v *statusView) say(front, text, colour string) {
	indent := table.Width(front)
	width := v.width
	if width > 0 {
		width = max(width-indent, 20)
	}
	for i, line := range table.Wrap(text, width) {
		if i > 0 {
			front = strings.Repeat(" ", indent)
		}
		v.out = append(v.out, front+v.style.Paint(colour, line))
	}
}

func (v *statusView) title(text string) {
	v.out = append(v.out, "", v.style.Paint(table.Bold, text))
}

func (v *statusView) problems(s agent.Status) {
	if list := problemsOf(s); len(list) > 0 {
		v.title("PROBLEMS")
		for _, p := range list {
			v.say("  ", p.name+": "+p.text, p.colour)
			if p.hint != "" {
				v.say("    ", "hint: "+p.hint, table.Plain)
			}
		}
	}
	if len(s.Warnings) > 0 {
		v.title("WARNINGS")
		for _, w := range s.Warnings {
			v.say("  ", w, table.Yellow)
		}
	}
	if len(s.Orphans) > 0 {
		v.title("LEFT BEHIND by outputs that are not configured any more")
		for _, o := range s.Orphans {
			v.say("  ", fmt.Sprintf("%s: %s in its buffer, %s of dead letters; deliver them with: %s", o.Name, table.Size(o.Bytes), table.Size(o.DeadBytes), o.Command), table.Yellow)
		}
	}
}

func (v *statusView) inputs(s agent.Status) {
	t := table.Table{Columns: []table.Column{{Title: "INPUT", Left: true}, {Title: "conns"}, {Title: "received"}, {Title: "routed"}, {Title: "dropped"}, {Title: "discarded"}, {Title: "invalid"}}}
	for _, in := range s.Inputs {
		t.Add(plain(in.Name), plain(table.Count(uint64(max(in.Connections, 0)))), plain(table.Count(in.Received)), plain(table.Count(in.Routed)),
			plain(table.Count(total(in.Dropped))), plain(table.Count(total(in.Discarded))), lost(total(in.Invalid)))
	}
	v.table(&t)
}

func (v *statusView) routes(s agent.Status) {
	t := table.Table{Columns: []table.Column{{Title: "ROUTE", Left: true}, {Title: "events"}, {Title: "bytes"}, {Title: "to", Left: true}}}
	for _, r := range s.Routes {
		t.Add(plain(r.Name), plain(table.Count(r.Events)), plain(table.Size(int64(r.Bytes))), plain(where(r)))
	}
	v.table(&t)
}

func where(r agent.RouteStatus) string {
	to := strings.Join(r.To, ", ")
	if r.Discard {
		to = "discarded"
	}
	if r.Continue {
		to += ", and on"
	}
	return to
}

func (v *statusView) destinations(s agent.Status) {
	t := table.Table{Columns: []table.Column{{Title: "DESTINATION", Left: true}, {Title: "state", Left: true}, {Title: "delivered"}, {Title: "buffered"}, {Title: "size/bound"},
		{Title: "oldest"}, {Title: "dead"}, {Title: "shed"}}}
	moves := slices.ContainsFunc(s.Destinations, func(d agent.DestinationStatus) bool { return d.Fallback != "" || total(d.Moved) > 0 })
	if moves {
		t.Columns = append(t.Columns, table.Column{Title: "moved"})
	}
	for _, d := range s.Destinations {
		cells := []table.Cell{plain(d.Name), stateCell(d, s.Now), plain(table.Count(d.Delivered)), plain(table.Count(d.Buffered)), plain(fill(d)),
			plain(oldest(d, s.Now)), lost(total(d.DeadLettered)), lost(total(d.Shed))}
		if moves {
			cells = append(cells, plain(table.Count(total(d.Moved))))
		}
		t.Add(cells...)
	}
	v.table(&t)
}

func (v *statusView) table(t *table.Table) {
	if len(t.Rows) > 0 {
		v.out = append(append(v.out, ""), t.Lines(v.style, 0)...)
	}
}

func plain(text string) table.Cell { return table.Cell{Text: text} }

// lost is a number that should be 0.
func lost(n uint64) table.Cell {
	if n > 0 {
		return table.Cell{Text: table.Count(n), Colour: table.Red}
	}
	return plain("0")
}

func stateCell(d agent.DestinationStatus, now time.Time) table.Cell {
	word, colour, _ := stateOf(d)
	if next := nextTry(d, now); next != "" {
		word += ", " + next
	}
	return table.Cell{Text: word, Colour: colour}
}

// fill is how much of its bound a buffer takes.
func fill(d agent.DestinationStatus) string {
	return tight(d.Bytes) + "/" + tight(d.MaxBytes)
}

func tight(n int64) string {
	return strings.TrimSuffix(strings.ReplaceAll(table.Size(n), " ", ""), "iB")
}

func oldest(d agent.DestinationStatus, now time.Time) string {
	if d.Oldest == nil || d.Buffered == 0 {
		return "-"
	}
	return table.Short(max(0, now.Sub(*d.Oldest)))
}

func (v *statusView) losses(s agent.Status) {
	list := lossesOf(s)
	if len(list) == 0 {
		return
	}
	v.title("NOT DELIVERED, by reason")
	for _, l := range list {
		v.say("  ", l[0]+": "+l[1], table.Plain)
	}
}

func (v *statusView) ledgers(s agent.Status) {
	v.out = append(v.out, "")
	bad := imbalances(s)
	if len(bad) == 0 {
		v.say("", "Every event is accounted for: the ledgers of all inputs and destinations balance.", table.Green)
	}
	for _, b := range bad {
		v.say("", "A ledger does not balance: "+b, table.Red)
	}
}
