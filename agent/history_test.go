package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"runtime"
	"testing"
	"time"
)

type seen struct {
	Step         int                              `json:"step_seconds"`
	End          time.Time                        `json:"end"`
	Inputs       map[string]map[string][]*float64 `json:"inputs"`
	Routes       map[string]map[string][]*float64 `json:"routes"`
	Destinations map[string]map[string][]*float64 `json:"destinations"`
}

func look(t *testing.T, h *history) (s seen) {
	t.Helper()
	var b bytes.Buffer
	if err := h.write(&b); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b.Bytes(), &s); err != nil {
		t.Fatalf("%v in %s", err, b.String())
	}
	return s
}

// points writes a series down, with – for a missing point.
func points(list []*float64) (out string) {
	for _, v := range list {
		if v == nil {
			out += "– "
		} else {
			out += fmt.Sprint(*v, " ")
		}
	}
	return out
}

// dests is a status with one destination for each name, whose counters stand at n.
func dests(n uint64, names ...string) (s Status) {
	for _, name := range names {
		s.Destinations = append(s.Destinations, DestinationStatus{Name: name, Offered: n, Delivered: n / 2, Buffered: 7, Breaker: "open"})
	}
	return s
}

func expect(t *testing.T, what string, list []*float64, want string) {
	t.Helper()
	if got := points(list); got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(steps float64) time.Time { return epoch.Add(time.Duration(steps * float64(historyStep))) }

func TestHistory(t *testing.T) {
	h := newHistory()
	if s := look(t, h); s.Step != 10 || s.Inputs == nil || s.Destinations == nil {
		t.Errorf("empty: %+v", s)
	}
	oldest := at(0).Add(-30 * time.Second)
	for i := range uint64(3) {
		d := DestinationStatus{Name: "d", Offered: 1<<40 + 100*i, Delivered: 50 * i, Shed: map[string]uint64{"full": 10 * i, "max_age": 10 * i}, Buffered: 42, Bytes: 1 << 20, Breaker: "half-open", Oldest: &oldest, Sent: 1000 * i}
		h.record(at(float64(i)), Status{Inputs: []InputStatus{{Name: `a "b"`, Received: 20 * i}}, Routes: []RouteStatus{{Name: "r", Events: 30 * i, Bytes: 3000 * i}}, Destinations: []DestinationStatus{d}})
	}
	s := look(t, h)
	if !s.End.Equal(at(2)) {
		t.Errorf("ends at %v", s.End)
	}
	expect(t, "received", s.Inputs[`a "b"`]["received"], "– 2 2 ")
	expect(t, "events", s.Routes["r"]["events"], "– 3 3 ")
	expect(t, "bytes", s.Routes["r"]["bytes"], "– 300 300 ")
	d := s.Destinations["d"]
	for field, want := range map[string]string{"offered": "– 10 10 ", "delivered": "– 5 5 ", "sent_bytes": "– 100 100 ", "shed": "– 2 2 ", "dead_lettered": "– 0 0 ", "moved": "– 0 0 ",
		"buffered": "42 42 42 ", "buffered_bytes": "1.0486e+06 1.0486e+06 1.0486e+06 ", "breaker": "1 1 1 ", "oldest_seconds": "30 40 50 "} {
		expect(t, field, d[field], want)
	}
}

// What is missing stays missing: a late tick, a name that goes and comes back, a counter that begins anew.
func TestHistoryGaps(t *testing.T) {
	h := newHistory()
	h.record(at(0), dests(0, "a", "b"))
	h.record(at(0.3), dests(5, "a")) // too early: not a point
	h.record(at(1.04), dests(104, "a"))
	h.record(at(4), dests(400, "a")) // two ticks are missing
	h.record(at(5), dests(500, "a", "b"))
	h.record(at(6), dests(10, "a", "b"))
	h.record(at(7), dests(110, "a", "b"))
	s := look(t, h)
	expect(t, "a", s.Destinations["a"]["offered"], "– 10 – – – 10 – 10 ")
	expect(t, "buffered of b", s.Destinations["b"]["buffered"], "7 – – – – 7 7 7 ")
	h.record(at(-100), dests(120, "a")) // the clock was set back
	if s := look(t, h); len(s.Destinations["a"]["offered"]) != 9 || s.Destinations["a"]["offered"][8] != nil {
		t.Errorf("after the clock was set back: %s", points(s.Destinations["a"]["offered"]))
	}
}

func TestHistoryIsOneHour(t *testing.T) {
	h := newHistory()
	for i := range 1000 {
		s := dests(uint64(i*i), "a")
		if i < 10 {
			s = dests(uint64(i*i), "a", "gone")
		}
		h.record(at(float64(i)), s)
	}
	s := look(t, h)
	a := s.Destinations["a"]["offered"]
	if len(a) != historyPoints || *a[359] != float64(999*999-998*998)/10 || *a[0] != float64(640*640-639*639)/10 {
		t.Errorf("%d points, from %v to %v", len(a), *a[0], *a[359])
	}
	if s.Destinations["gone"] != nil {
		t.Error("a name without a point is still there")
	}
	h.record(at(10000), dests(0, "a")) // asleep for a day
	if s := look(t, h); len(s.Destinations["a"]["buffered"]) != historyPoints || s.Destinations["a"]["buffered"][358] != nil {
		t.Error("the night isn't missing")
	}
}

// However many names there are, and however they change, the memory has a bound; what is there now comes before what was.
func TestHistoryIsBounded(t *testing.T) {
	h := newHistory()
	for i := range 50 {
		var names []string
		for n := range 100 {
			names = append(names, fmt.Sprintf("%d-%d", i/10, n))
		}
		h.record(at(float64(i)), dests(1, names...))
		if h.places > historySeries || len(h.kinds[2]) != h.places {
			t.Fatalf("%d series (%d)", h.places, len(h.kinds[2]))
		}
	}
	now := 0
	for name := range look(t, h).Destinations {
		if name[0] == '4' {
			now++
		}
	}
	if now != historySeries {
		t.Errorf("%d of %d series are of now", now, historySeries)
	}
	if n := historySeries * len(historyKinds[2].fields) * historyPoints * 4; n > 1<<20 {
		t.Errorf("at most %d bytes, more than a MiB", n)
	}
}

func TestHistoryWhileWritten(t *testing.T) {
	h := newHistory()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 500 {
			h.record(at(float64(i)), dests(uint64(i), "a", "b"))
		}
	}()
	for {
		select {
		case <-done:
			return
		default:
			if err := h.write(io.Discard); err != nil {
				t.Error(err)
			}
			runtime.Gosched()
		}
	}
}

func TestHistoryNumbersAreJSON(t *testing.T) {
	h := newHistory()
	for i, n := range []uint64{0, math.MaxUint64 / 2, math.MaxUint64} {
		s := dests(n, "a")
		s.Destinations[0].Bytes = -1
		h.record(at(float64(i)), s)
	}
	look(t, h)
}

func benchStatus(n uint64) (s Status) {
	s = dests(n, "access", "error", "audit", "archive")
	for _, name := range []string{"access", "error", "audit", "rest", "healthz"} {
		s.Routes = append(s.Routes, RouteStatus{Name: name, Events: n, Bytes: n})
	}
	s.Inputs = []InputStatus{{Name: "docker", Received: n}}
	return s
}

func BenchmarkHistoryRecord(b *testing.B) {
	h, s := newHistory(), benchStatus(1)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		h.record(at(float64(i)), s)
	}
}

func BenchmarkHistoryWrite(b *testing.B) {
	h := newHistory()
	for i := range historyPoints {
		h.record(at(float64(i)), benchStatus(uint64(i*12345)))
	}
	var size bytes.Buffer
	_ = h.write(&size)
	b.ReportAllocs()
	for b.Loop() {
		_ = h.write(io.Discard)
	}
	b.ReportMetric(float64(size.Len()), "bytes")
}
