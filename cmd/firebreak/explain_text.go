package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/internal/table"
	"github.com/firebreak/firebreak/outputs"
)

const (
	maxEach      = 20 // events that are shown one by one without --all
	maxHead      = 100
	maxNameWidth = 24
)

// explainText prints explanations for people.
type explainText struct {
	out   io.Writer
	style table.Style
	all   bool
	held  []string // until it is known whether there are too many
	sum   *explainSum
}

func (t *explainText) event(s sample, e agent.Explained) error {
	t.sum.add(s, e)
	switch {
	case t.all:
		text := t.text(s, e)
		if t.sum.events > 1 {
			text = "\n" + text
		}
		_, err := io.WriteString(t.out, text)
		return err
	case t.sum.events <= maxEach:
		t.held = append(t.held, t.text(s, e))
	default:
		t.held = nil
	}
	return nil
}

func (t *explainText) end() error {
	only := !t.all && t.sum.events > maxEach
	text := strings.Join(t.held, "\n")
	if t.sum.events > 1 {
		if !only {
			text += "\n"
		}
		text += t.sum.text(t.style, only)
	}
	_, err := io.WriteString(t.out, text)
	return err
}

// A block is lines with a title before the first one, and names in a column of their own.
type block struct {
	style  table.Style
	title  string
	width  int  // of the names
	record bool // the head shows no line
	b      strings.Builder
}

func (k *block) row(name, colour, text string) {
	name = table.Clean(name)
	pad := max(k.width-table.Width(name), 0)
	fmt.Fprintf(&k.b, "  %-10s  %s%*s  %s\n", k.title, name, pad, "", k.style.Paint(colour, table.Clean(text)))
	k.title = ""
}

// line is a row without a name.
func (k *block) line(colour, text string) {
	fmt.Fprintf(&k.b, "  %-10s  %s\n", k.title, k.style.Paint(colour, table.Clean(text)))
	k.title = ""
}

// text returns the explanation of one event.
func (t *explainText) text(s sample, e agent.Explained) string {
	var b strings.Builder
	head := quoted(s.text)
	if s.record {
		head = string(e.Record)
		if text := textOf(agent.EventLine{Record: e.Record}); len(head) > maxHead && text != head {
			head = quoted(text) // what tells events apart comes late in a record of Docker's
		}
	}
	fmt.Fprintf(&b, "%s  %s  %s\n", t.style.Paint(table.Bold, fmt.Sprintf("%s %d", s.kind, s.number)), table.Clip(table.Clean(head), maxHead), t.style.Paint(table.Dim, "tag "+table.Clip(table.Clean(e.Tag), maxHead)))
	k := block{style: t.style, width: nameWidth(e), record: s.record}
	k.title = "processors"
	before := e.Record
	for _, p := range e.Processors {
		k.effect(p, before, "")
		if p.After != nil {
			before = p.After
		}
	}
	k.title = "routes"
	var skipped []string
	for _, r := range e.Routes {
		if r.Skipped {
			skipped = append(skipped, r.Name)
			continue
		}
		k.verdict(r)
		at := before
		for _, p := range r.Processors {
			k.effect(p, at, "  ")
			if p.After != nil {
				at = p.After
			}
		}
	}
	if len(skipped) > 0 {
		k.line(table.Dim, "not reached: "+strings.Join(skipped, ", "))
	}
	k.title = "goes to"
	for _, d := range e.Deliveries {
		k.delivery(d)
	}
	if len(e.Deliveries) == 0 {
		k.nowhere(e.Fate)
	}
	b.WriteString(k.b.String())
	return b.String()
}

// quoted puts a line in quotes, those that need no escapes inside.
func quoted(text string) string {
	if strings.Contains(text, `"`) && !strings.Contains(text, "'") {
		return "'" + text + "'"
	}
	return `"` + text + `"`
}

func nameWidth(e agent.Explained) int {
	width := 0
	wider := func(name string) { width = max(width, min(table.Width(table.Clean(name)), maxNameWidth)) }
	for _, p := range e.Processors {
		wider(p.Name)
	}
	for _, r := range e.Routes {
		wider(r.Name)
		for _, p := range r.Processors {
			wider("  " + p.Name)
		}
	}
	for _, d := range e.Deliveries {
		wider(d.Destination)
	}
	return width
}

// effect says what a processor does.
func (k *block) effect(p agent.Effect, before []byte, indent string) {
	colour, text := "", ""
	switch {
	case !p.Matched:
		colour, text = table.Dim, "no: "+k.brief(p.Why)
	case p.Effect.Effect == "dropped" && p.Note != "":
		colour, text = table.Yellow, "DROPS the event: "
	case p.Effect.Effect == "dropped":
		colour, text = table.Yellow, "DROPS the event"
	case p.Effect.Effect == "too_large":
		colour, text = table.Yellow, "too large: it becomes a dead letter of each destination"
	case p.After != nil:
		text = changes(before, p.After)
	case p.Note != "":
	default:
		text = "changes nothing"
	}
	text += p.Note
	if p.Because != "" {
		text += " (" + p.Because + ")"
	}
	k.row(indent+p.Name, colour, text)
}

// verdict says whether a route takes an event.
func (k *block) verdict(r agent.Verdict) {
	if !r.Matched {
		k.row(r.Name, table.Dim, "no: "+k.brief(r.Why))
		return
	}
	text := "MATCHES"
	if r.Because != "" {
		text += ": " + r.Because
	}
	text += " -> " + routeTarget(r.Discard, r.To)
	if len(r.Served) > 0 {
		text += " (" + strings.Join(r.Served, ", ") + ": already served)"
	}
	if r.Continue {
		text += ", and goes on"
	}
	k.row(r.Name, table.Green, text)
}

func routeTarget(discard bool, to []string) string {
	if discard || len(to) == 0 {
		return "discarded"
	}
	return strings.Join(to, ", ")
}

func (k *block) delivery(d agent.Delivery) {
	if d.DeadLetter != "" {
		k.row(d.Destination, table.Red, fmt.Sprintf("(%s) as type %s: a dead letter at once, reason %s", d.Type, d.Route, d.DeadLetter))
		return
	}
	k.row(d.Destination, "", fmt.Sprintf("(%s) as type %s", d.Type, d.Route))
	for _, r := range d.Rendered {
		k.row("", "", rendered(r))
	}
}

func rendered(r outputs.Rendered) string { return "  " + r.Option + " = " + r.Value }

// nowhere says why no destination gets an event.
func (k *block) nowhere(fate string) {
	colour := table.Yellow
	if strings.HasPrefix(fate, "discarded by route") {
		colour = ""
	}
	k.line(colour, "nowhere: "+fate)
}

var lineReason = regexp.MustCompile(`^line (?:".*"|'.*') (does not match /.*)$`)

// brief leaves out the line where it stands at the head anyway.
func (k *block) brief(why string) string {
	if k.record {
		return why
	}
	return lineReason.ReplaceAllString(why, "line $1")
}
