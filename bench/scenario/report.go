package scenario

import (
	"fmt"
	"math"
	"time"

	"github.com/firebreak/firebreak/bench/hist"
	"github.com/firebreak/firebreak/bench/line"
	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/sink"
)

// A Report is what a scenario found.
type Report struct {
	Scenario string   `json:"scenario"`
	Seconds  float64  `json:"seconds"`
	Rows     []Row    `json:"rows"`
	Problems []string `json:"problems"` // promises that were broken; empty: all held
}

// A Row is one number.
type Row struct {
	Case    string  `json:"case"`
	Measure string  `json:"measure"`
	Value   float64 `json:"value"`
	Unit    string  `json:"unit"`
}

type number interface {
	~int | ~int64 | ~uint64 | ~float64
}

func add[N number](r *Report, name, measure string, v N, unit string) {
	r.Rows = append(r.Rows, Row{name, measure, math.Round(float64(v)*1000) / 1000, unit})
}

func (r *Report) time(name, measure string, d time.Duration) {
	add(r, name, measure, float64(d.Microseconds())/1000, "ms")
}

func (r *Report) latency(name string, h hist.Hist) {
	r.time(name, "latency p50", h.Quantile(0.5))
	r.time(name, "latency p99", h.Quantile(0.99))
	r.time(name, "latency max", h.Max())
}

func (r *Report) mebi(name, measure string, bytes int64) {
	add(r, name, measure, float64(bytes)/(1<<20), "MiB")
}

// must notes a broken promise.
func (r *Report) must(ok bool, format string, args ...any) {
	if !ok {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

// arrivals adds what s got of the streams that want counts: lost of what was sent (or acked), duplicates, disorder.
func (r *Report) arrivals(name string, s *sink.Sink, streams []load.Stream, wanted func(load.Stream) []line.Range) (lost []Lost) {
	var n uint64
	for _, st := range streams {
		for _, w := range wanted(st) {
			for _, m := range s.Missing(st.Number, w) {
				lost = append(lost, Lost{st.Number, m})
				n += m.Len()
			}
		}
	}
	c := s.Counts()
	add(r, name, "lost", n, "events")
	add(r, name, "duplicates", c.Duplicates, "events")
	add(r, name, "out of order", c.Disorder, "events")
	r.must(c.Disorder == 0, "%s: %d first arrivals out of order: %s", name, c.Disorder, c.FirstDisorder)
	r.must(c.Invalid == 0, "%s: %d invalid messages: %s", name, c.Invalid, c.FirstInvalid)
	r.must(c.Foreign == 0, "%s: %d events without a token", name, c.Foreign)
	return lost
}

// Lost is sequence numbers of a stream that did not arrive.
type Lost struct {
	Stream int
	line.Range
}

func allSent(st load.Stream) []line.Range  { return []line.Range{{To: st.Sent}} }
func allAcked(st load.Stream) []line.Range { return st.Acked }

// only keeps the streams of one kind.
func only(streams []load.Stream, k load.Kind) (out []load.Stream) {
	for _, s := range streams {
		if s.Kind == k {
			out = append(out, s)
		}
	}
	return out
}
