package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/table"
)

// explainSum counts what becomes of many events. Its size is bounded by the configuration's.
type explainSum struct {
	events    int
	routes    []string
	kinds     map[string]string // type of each output
	outputs   []string
	fates     map[fate]*fateCount
	delivered map[string]int
	dead      map[string]int
}

// A fate is what events have in common in the summary.
type fate struct{ route, text string }

type fateCount struct {
	fate
	events int
	first  string // line 7
}

func newExplainSum(cfg *config.Config) *explainSum {
	s := &explainSum{kinds: map[string]string{}, fates: map[fate]*fateCount{}, delivered: map[string]int{}, dead: map[string]int{}}
	for _, r := range cfg.Routes {
		s.routes = append(s.routes, r.Name)
	}
	for _, o := range cfg.Outputs {
		s.outputs = append(s.outputs, o.Name)
		s.kinds[o.Name] = o.Type
	}
	return s
}

func (t *explainSum) add(s sample, e agent.Explained) {
	t.events++
	f := fate{e.Type, e.Fate}
	c := t.fates[f]
	if c == nil {
		c = &fateCount{fate: f, first: fmt.Sprintf("%s %d", s.kind, s.number)}
		t.fates[f] = c
	}
	c.events++
	for _, d := range e.Deliveries {
		t.delivered[d.Destination]++
		if d.DeadLetter != "" {
			t.dead[d.Destination]++
		}
	}
}

// text returns the summary; only: nothing else was shown.
func (t *explainSum) text(st table.Style, only bool) string {
	var b strings.Builder
	fmt.Fprintln(&b, st.Paint(table.Bold, plural(t.events, "event")))
	list := t.sorted()
	width := 0
	for _, c := range list {
		width = max(width, table.Width(table.Clean(c.name())))
	}
	for _, o := range t.outputs {
		width = max(width, table.Width(o))
	}
	row := func(title, name string, n int, colour, note string) {
		fmt.Fprintf(&b, "  %-10s  %s%*s  %8d  %s\n", title, table.Clean(name), width-table.Width(table.Clean(name)), "", n,
			st.Paint(colour, fmt.Sprintf("%5.1f %%  %s", 100*float64(n)/float64(t.events), table.Clean(note))))
	}
	title := "types"
	for _, c := range list {
		note, colour := "first: "+c.first, ""
		if c.text != "routed" {
			note, colour = note+", "+c.text, table.Yellow
		}
		row(title, c.name(), c.events, colour, note)
		title = ""
	}
	title = "go to"
	for _, o := range t.outputs {
		note, colour := t.kinds[o], ""
		if n := t.dead[o]; n > 0 {
			note, colour = fmt.Sprintf("%s, %d of them dead letters at once", note, n), table.Red
		}
		row(title, o, t.delivered[o], colour, note)
		title = ""
	}
	if only {
		fmt.Fprintf(&b, "Of more than %d events only this summary is shown; --all shows each.\n", maxEach)
	}
	return b.String()
}

func (c *fateCount) name() string { return cmp.Or(c.route, "(none)") }

// sorted returns the fates in the order of the routes.
func (t *explainSum) sorted() []*fateCount {
	var list []*fateCount
	for _, c := range t.fates {
		list = append(list, c)
	}
	place := func(c *fateCount) int {
		if i := slices.Index(t.routes, c.route); i >= 0 {
			return i
		}
		return len(t.routes)
	}
	slices.SortFunc(list, func(a, b *fateCount) int {
		return cmp.Or(place(a)-place(b), b.events-a.events, cmp.Compare(a.text, b.text))
	})
	return list
}
