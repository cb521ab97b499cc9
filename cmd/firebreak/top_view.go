package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/internal/table"
)

// A topPage makes the lines that are shown.
type topPage struct {
	style table.Style
	width int // of the page; 0: any
	out   []string
}

func (p *topPage) lines(st topState) []string {
	if st.waiting != nil {
		p.add(table.Yellow, "waiting for the router… "+st.waiting.Error())
		return p.out
	}
	p.head(st)
	p.destinations(st)
	for _, pr := range problemsOf(st.now) {
		p.problem(pr)
	}
	p.inputs(st)
	p.routes(st)
	return p.out
}

// problem takes at most two lines: what is wrong often stands at the end of an error.
func (p *topPage) problem(pr problem) {
	text := pr.name + ": " + pr.text
	if p.width > 0 {
		lines := table.Wrap(text, max(p.width-4, 20))
		p.add(pr.colour, "  "+lines[0])
		text = "  " + strings.Join(lines[1:], " ")
	}
	if text != "  " {
		p.add(pr.colour, "  "+text)
	}
}

func (p *topPage) add(colour, text string) {
	text = table.Clean(text)
	if p.width > 0 {
		text = table.Clip(text, p.width)
	}
	p.out = append(p.out, p.style.Paint(colour, text))
}

func (p *topPage) head(st topState) {
	s := st.now
	var buffered uint64
	var size int64
	in, out := 0.0, 0.0
	for _, d := range s.Destinations {
		buffered += d.Buffered
		size += d.Bytes
		out += known(st.rates.destination(d.Name).out)
	}
	for _, i := range s.Inputs {
		in += known(st.rates.input(i.Name).received)
	}
	p.add(table.Plain, fmt.Sprintf("firebreak %s on %s, %s for %s, at %s", s.Version, s.Host, s.Phase, table.Short(s.Now.Sub(s.Started)), s.Now.Local().Format(time.TimeOnly)))
	if !st.rates.known() {
		in, out = math.NaN(), math.NaN()
	}
	p.add(table.Plain, fmt.Sprintf("in %s/s, delivered %s/s, buffered %s (%s)", rate(in).Text, rate(out).Text, events(buffered), table.Size(size)))
}

func (p *topPage) destinations(st topState) {
	t := table.Table{Columns: []table.Column{{Title: "DESTINATION", Left: true}, {Title: "state", Left: true}, {Title: "in/s"}, {Title: "out/s"}, {Title: "buffered"},
		{Title: "trend", Left: true}, {Title: "dead/s"}, {Title: "shed/s"}, {Title: "filled"}, {Title: "oldest"}, {Title: "bytes/s"}}}
	list := ordered(st, st.now.Destinations, func(d agent.DestinationStatus) (string, float64, uint64) {
		return d.Name, st.rates.destination(d.Name).in, d.Buffered
	})
	for _, d := range list {
		r := st.rates.destination(d.Name)
		t.Add(plain(d.Name), stateCell(d, st.now.Now), rate(r.in), rate(r.out), plain(table.Count(d.Buffered)), st.rates.trend(d.Name), alarming(r.dead), alarming(r.shed),
			plain(percent(d.Bytes, d.MaxBytes)), plain(oldest(d, st.now.Now)), bytesRate(r.bytes))
	}
	p.table(&t)
}

func (p *topPage) inputs(st topState) {
	t := table.Table{Columns: []table.Column{{Title: "INPUT", Left: true}, {Title: "conns"}, {Title: "in/s"}, {Title: "bytes/s"}, {Title: "routed/s"}, {Title: "dropped/s"},
		{Title: "discarded/s"}, {Title: "invalid/s"}}}
	list := ordered(st, st.now.Inputs, func(in agent.InputStatus) (string, float64, uint64) {
		return in.Name, st.rates.input(in.Name).received, 0
	})
	for _, in := range list {
		r := st.rates.input(in.Name)
		t.Add(plain(in.Name), plain(table.Count(uint64(max(in.Connections, 0)))), rate(r.received), bytesRate(r.bytes), rate(r.routed), rate(r.dropped),
			rate(r.discarded), alarming(r.invalid))
	}
	p.table(&t)
}

func (p *topPage) routes(st topState) {
	t := table.Table{Columns: []table.Column{{Title: "ROUTE", Left: true}, {Title: "events/s"}, {Title: "bytes/s"}, {Title: "to", Left: true}}}
	list := ordered(st, st.now.Routes, func(r agent.RouteStatus) (string, float64, uint64) {
		events, _ := st.rates.route(r.Name)
		return r.Name, events, 0
	})
	for _, r := range list {
		events, bytes := st.rates.route(r.Name)
		t.Add(plain(r.Name), rate(events), bytesRate(bytes), plain(where(r)))
	}
	p.table(&t)
}

func (p *topPage) table(t *table.Table) {
	if len(t.Rows) > 0 {
		p.out = append(append(p.out, ""), t.Lines(p.style, p.width)...)
	}
}

// ordered returns the rows in the order that was asked for; equal ones stay in the order of the configuration.
func ordered[T any](st topState, rows []T, of func(T) (name string, rate float64, backlog uint64)) []T {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b T) int {
		an, ar, ab := of(a)
		bn, br, bb := of(b)
		switch st.sort {
		case sortName:
			return strings.Compare(an, bn)
		case sortBacklog:
			return cmp.Or(cmp.Compare(bb, ab), cmp.Compare(known(br), known(ar)))
		case sortRate:
			return cmp.Compare(known(br), known(ar))
		}
		return 0
	})
	return rows
}

func known(rate float64) float64 {
	if math.IsNaN(rate) {
		return 0
	}
	return rate
}

func rate(perSecond float64) table.Cell {
	if math.IsNaN(perSecond) {
		return plain("-")
	}
	return plain(table.Rate(perSecond))
}

// alarming is a rate of what should not be.
func alarming(perSecond float64) table.Cell {
	c := rate(perSecond)
	if perSecond > 0 {
		c.Colour = table.Red
	}
	return c
}

func bytesRate(perSecond float64) table.Cell {
	if math.IsNaN(perSecond) {
		return plain("-")
	}
	return plain(table.Size(int64(min(perSecond, math.MaxInt64/2))))
}

func percent(part, whole int64) string {
	switch {
	case whole <= 0:
		return "-"
	case part <= 0:
		return "0%"
	case float64(part) < 0.01*float64(whole):
		return "<1%"
	}
	return fmt.Sprintf("%d%%", int64(100*float64(part)/float64(whole)))
}

// A topPrinter prints a block at each look, for pipes and files.
type topPrinter struct {
	out     io.Writer
	waiting bool
}

func (p *topPrinter) show(st topState) error {
	if st.waiting == nil && !st.rates.known() || st.waiting != nil && p.waiting {
		return nil // nothing new to say
	}
	p.waiting = st.waiting != nil
	page := topPage{}
	_, err := fmt.Fprintf(p.out, "%s\n\n", strings.Join(page.lines(st), "\n"))
	return err
}

func (p *topPrinter) close() error { return nil }
