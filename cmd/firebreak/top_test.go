package main

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/internal/table"
)

// busy is the status of a router that started at 0, after so many seconds: 1,000 events per second come in, and half
// go to a destination that is down.
func busy(seconds float64) agent.Status {
	n := uint64(1000 * seconds)
	return agent.Status{
		Version: "1.2.3", Phase: "running", Started: at(0), Now: at(seconds), Host: "web-1",
		Inputs: []agent.InputStatus{{Name: "docker", Connections: 3, Received: n, Routed: n - n/10, Discarded: map[string]uint64{"healthz": n / 10}, Bytes: n * 300}},
		Routes: []agent.RouteStatus{{Name: "healthz", Discard: true, Events: n / 10}, {Name: "all", To: []string{"down", "fine"}, Events: n - n/10, Bytes: n * 270}},
		Destinations: []agent.DestinationStatus{
			{Name: "down", Breaker: "open", Since: at(1), NextTry: atp(seconds + 4), Error: "connection refused", Offered: n / 2, Buffered: n / 2, Bytes: int64(n) * 150,
				MaxBytes: 1 << 20, Oldest: atp(0)},
			{Name: "fine", Breaker: "closed", Offered: n, Delivered: n - 5, Buffered: 5, Bytes: 1500, MaxBytes: 1 << 30, Sent: n * 300, Oldest: atp(seconds)},
		},
	}
}

func TestRates(t *testing.T) {
	var m topMeter
	m.add(busy(1))
	if m.known() || !math.IsNaN(m.input("docker").received) || !math.IsNaN(m.destination("fine").in) {
		t.Error("there are rates after one look")
	}
	m.add(busy(3))
	in, out := m.input("docker"), m.destination("fine")
	if in.received != 1000 || in.routed != 900 || in.discarded != 100 || in.bytes != 300_000 || in.dropped != 0 || in.invalid != 0 {
		t.Errorf("%+v", in)
	}
	if out.in != 1000 || out.out != 1000 || out.bytes != 300_000 || out.dead != 0 || out.shed != 0 {
		t.Errorf("%+v", out)
	}
	if events, bytes := m.route("all"); events != 900 || bytes != 270_000 {
		t.Errorf("%v events, %v bytes", events, bytes)
	}
	if events, _ := m.route("none"); !math.IsNaN(events) || !math.IsNaN(m.input("none").received) || !math.IsNaN(m.destination("none").out) {
		t.Error("what isn't there has a rate")
	}
	s := busy(4) // a counter that begins anew, as of a destination that was removed and added
	s.Destinations[1].Offered, s.Destinations[1].Delivered = 10, 5
	m.add(s)
	if r := m.destination("fine"); !math.IsNaN(r.in) || !math.IsNaN(r.out) || r.bytes != 300_000 {
		t.Errorf("%+v", r)
	}
	restarted := busy(5)
	restarted.Started = at(4.5)
	m.add(restarted)
	if m.known() {
		t.Error("rates go on over a restart")
	}
	m.add(restarted) // the same look twice gives no rate
	if m.known() {
		t.Error("rates without time")
	}
}

func TestTrends(t *testing.T) {
	look := func(at_ float64, offered, buffered uint64, bytes int64, change ...func(*agent.DestinationStatus)) agent.Status {
		d := agent.DestinationStatus{Name: "d", Breaker: "open", Offered: offered, Buffered: buffered, Bytes: bytes, MaxBytes: 10_000_000}
		for _, f := range change {
			f(&d)
		}
		return agent.Status{Started: at(-100), Now: at(at_), Destinations: []agent.DestinationStatus{d}}
	}
	closed := func(d *agent.DestinationStatus) { d.Breaker = "closed" }
	full := func(d *agent.DestinationStatus) { d.Full = true }
	for want, looks := range map[string][]agent.Status{
		"full in 1m30s":   {look(0, 0, 0, 0), look(10, 1000, 1000, 1_000_000)},
		"empty in 44s":    {look(0, 1000, 10000, 9_000_000, closed), look(10, 2000, 8181, 1, closed)},
		"empty in 1s":     {look(0, 1000, 10000, 9_000_000), look(10, 1000, 1, 1)},
		"steady":          {look(0, 1000, 5000, 1), look(10, 2000, 5010, 1)},
		"growing":         {look(0, 0, 0, 1), look(10, 100, 100, 1)},
		"full":            {look(0, 1000, 1000, 1, full), look(10, 2000, 2000, 2, full)},
		"":                {look(0, 1000, 5, 1, closed), look(10, 20000, 50, 1, closed)},
		"empty in 18m13s": {look(0, 1000, 2010, 1), look(1, 1000, 2008, 1), look(10, 1000, 1990, 1), look(11, 1000, 2000-10, 1), look(12, 1000, 1988, 1)},
	} {
		var m topMeter
		for _, s := range looks {
			m.add(s)
		}
		if got := m.trend("d").Text; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	var m topMeter
	for s := range 100 {
		m.add(look(float64(s), 0, 10, 1))
	}
	if len(m.looks) > 12 {
		t.Errorf("%d looks are kept", len(m.looks))
	}
}

func TestTopPage(t *testing.T) {
	st := topState{rates: &topMeter{}, sort: sortConfig}
	st.take(busy(1))
	st.take(busy(3))
	p := topPage{}
	text := strings.Join(p.lines(st), "\n") + "\n"
	first, rest, _ := strings.Cut(text, "\n")
	if !strings.HasPrefix(first, "firebreak 1.2.3 on web-1, running for 3.0s, at ") {
		t.Error(first)
	}
	golden(t, "top.txt", rest)
	for order, want := range map[string]string{sortConfig: "down fine", sortRate: "fine down", sortBacklog: "down fine", sortName: "down fine"} {
		st.sort = order
		p := topPage{}
		var names []string
		for _, line := range p.lines(st) {
			if word, _, _ := strings.Cut(line, " "); word == "down" || word == "fine" {
				names = append(names, word)
			}
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("by %s: %s", order, got)
		}
	}
	for width := 20; width < 130; width++ {
		p := topPage{width: width}
		for _, line := range p.lines(st) {
			if table.Width(line) > width {
				t.Errorf("%d wide: %s", width, line)
			}
		}
	}
}

// recorder is a view that remembers.
type recorder struct {
	states []topState
	closed bool
}

func (r *recorder) show(st topState) error {
	copied := *st.rates
	st.rates = &copied
	r.states = append(r.states, st)
	return nil
}

func (r *recorder) close() error { r.closed = true; return nil }

// A router that goes away is waited for; when it is back, the rates begin anew. What is counted are blocks with rates.
func TestTopWaitsForTheRouter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("no router runs")
		began := time.Now()
		view := &recorder{}
		loop := topLoop{o: topOptions{interval: time.Second, count: 4}, view: view, ask: func(context.Context) (agent.Status, error) {
			switch n := time.Since(began).Seconds(); {
			case n < 2.5:
				return busy(n), nil
			case n < 5.5:
				return agent.Status{}, gone
			default:
				s := busy(n)
				s.Started = at(5)
				return s, nil
			}
		}}
		if err := loop.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		var story []string
		for _, st := range view.states {
			switch {
			case st.waiting != nil:
				story = append(story, "waiting")
			case st.rates.known():
				story = append(story, "rates")
			default:
				story = append(story, "first")
			}
		}
		if got := strings.Join(story, " "); got != "first rates rates waiting waiting waiting first rates rates" || !view.closed {
			t.Error(got, view.closed)
		}
		loop.ask = func(context.Context) (agent.Status, error) { return agent.Status{}, gone }
		if err := loop.run(t.Context()); !errors.Is(err, gone) {
			t.Errorf("a router that isn't there at first: %v", err)
		}
	})
}

// Keys and resizes redraw at once; the end of the context ends it in order, also while the router hangs.
func TestTopListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		view, keys, resized := &recorder{}, make(chan byte), make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		loop := topLoop{o: topOptions{interval: time.Hour, sort: sortConfig}, view: view, keys: keys, resized: resized, ask: func(ctx context.Context) (agent.Status, error) {
			if time.Since(began) > time.Minute {
				<-ctx.Done()
				return agent.Status{}, ctx.Err()
			}
			return busy(1), nil
		}}
		done := make(chan error)
		go func() { done <- loop.run(ctx) }()
		keys <- 's'
		keys <- 'x'
		keys <- 's'
		resized <- struct{}{}
		time.Sleep(2 * time.Hour)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		var sorts []string
		for _, st := range view.states {
			sorts = append(sorts, st.sort)
		}
		if got := strings.Join(sorts, " "); got != "config rate backlog backlog" || !view.closed {
			t.Error(got, view.closed)
		}
	})
}

func TestPrintedBlocks(t *testing.T) {
	var out bytes.Buffer
	p := &topPrinter{out: &out}
	st := topState{rates: &topMeter{}}
	show := func() string {
		out.Reset()
		if err := p.show(st); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	st.take(busy(1))
	if got := show(); got != "" {
		t.Errorf("a block without rates: %s", got)
	}
	st.waiting = errors.New("no router\x1b[2J")
	if got := show(); got != "waiting for the router… no router\\x1b[2J\n\n" {
		t.Errorf("%q", got)
	}
	if got := show(); got != "" {
		t.Errorf("said again: %q", got)
	}
	st.take(busy(2))
	if got := show(); strings.Count(got, "\nDESTINATION ") != 1 || strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
}

// A screen writes no line that is too wide and none that is too low, whatever its size.
func TestScreenFits(t *testing.T) {
	st := topState{rates: &topMeter{}, every: time.Second, sort: sortConfig}
	st.take(busy(1))
	st.take(busy(2))
	for _, size := range [][2]int{{80, 24}, {40, 10}, {20, 3}, {10, 1}, {200, 60}} {
		var out bytes.Buffer
		s := &topScreen{out: &out, size: func() (int, int) { return size[0], size[1] }}
		if err := s.show(st); err != nil {
			t.Fatal(err)
		}
		frame, ok := strings.CutPrefix(out.String(), enterScreen+goHome)
		lines := strings.Split(strings.NewReplacer(clearLine, "", clearBelow, "").Replace(frame), "\r\n")
		if !ok || len(lines) > max(size[1], 3) || strings.Contains(strings.Join(lines, ""), "\x1b") {
			t.Errorf("%v: %d lines: %q", size, len(lines), out.String())
		}
		for _, line := range lines {
			if table.Width(line) > max(size[0], len("DESTINATION")) {
				t.Errorf("%v: %q", size, line)
			}
		}
		out.Reset()
		if err := s.close(); err != nil || !strings.HasPrefix(out.String(), leaveScreen+"firebreak") {
			t.Errorf("%v %q", err, out.String())
		}
		out.Reset()
		if err := s.close(); err != nil || out.Len() > 0 {
			t.Errorf("closing twice: %v %q", err, out.String())
		}
	}
}

func TestTopOfARouter(t *testing.T) {
	noLeaks(t)
	r := startRouter(t, t.TempDir(), twoRoutes)
	code, stdout, stderr := call("top", "--data-dir", r.dir, "--interval", "100ms", "--count", "2", "--sort", "rate")
	if code != 0 || stderr != "" || strings.Count(stdout, "\nDESTINATION ") != 2 || !strings.Contains(stdout, "\ngone ") {
		t.Errorf("%d %q\n%s", code, stderr, stdout)
	}
	for args, want := range map[string]string{"--interval=1ms": "--interval 1ms: at least 100ms", "--sort=x": `--sort "x"`, "--interval=x": `--interval "x": a time such as 10s`} {
		if code, _, stderr := call("top", "--data-dir", r.dir, args); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: %d %s", args, code, stderr)
		}
	}
}

// At 80 columns a problem still says why: errors end with their reason.
func TestTopProblemsEndWithTheReason(t *testing.T) {
	p := topPage{width: 80}
	p.problem(problem{name: "error", text: `open for 1.9s, next try in 21s; send to "127.0.0.1:34999": dial tcp 127.0.0.1:34999: connect: connection refused`})
	p.problem(problem{name: "short", text: "full"})
	p.problem(problem{name: "long", text: strings.Repeat("word ", 100)})
	if len(p.out) != 5 || !strings.HasSuffix(p.out[1], "connection refused") || p.out[2] != "  short: full" || !strings.HasSuffix(p.out[4], "…") {
		t.Errorf("%q", p.out)
	}
	for _, line := range p.out {
		if table.Width(line) > 80 {
			t.Errorf("%d wide: %q", table.Width(line), line)
		}
	}
}
