package agent

import (
	"encoding/json"
	"io"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	historyStep   = 10 * time.Second
	historyPoints = 360 // an hour
	historySeries = 64  // inputs, routes and destinations in all

	historyPrecision = 5 // digits of a point: nobody sees more of them in a chart
)

// The kinds of series, and what a point of each has. Counters are kept as what they grew by per second during the step,
// because a float32 can't tell large counters apart; gauges (from gauges on) are kept as they are.
var historyKinds = [...]historyKind{
	{name: "inputs", fields: []string{"received"}, gauges: 1},
	{name: "routes", fields: []string{"events", "bytes"}, gauges: 2},
	{name: "destinations", gauges: 6, fields: []string{"offered", "delivered", "sent_bytes", "shed", "dead_lettered", "moved",
		"buffered", "buffered_bytes", "breaker", "oldest_seconds"}},
}

type historyKind struct {
	name   string
	fields []string
	gauges int // index of the first field that is no counter
}

// breakerLevel is the number of a breaker's state in the history.
var breakerLevel = map[string]uint64{"closed": 0, "half-open": 1, "open": 2}

// A history keeps the last hour of every input, route and destination in rings of a fixed size. Series come and go with
// the names in the status. Its methods may be called concurrently.
type history struct {
	mu     sync.Mutex
	end    time.Time // of the newest point; zero: none yet
	next   int       // where the next point goes in every ring
	kinds  [len(historyKinds)]map[string]*historyLine
	places int    // series in all
	points uint64 // recorded in all, missing ones included
}

// A historyLine is one series: rings[i] belongs to the field i of its kind. A missing point is NaN.
type historyLine struct {
	rings [][]float32
	last  []uint64 // counters at the last point
	seen  uint64   // number of the last point that it was part of
}

func newHistory() *history {
	h := &history{}
	for i := range h.kinds {
		h.kinds[i] = map[string]*historyLine{}
	}
	return h
}

// record adds a point. It expects a call every 10 s: steps without one are missing points, and a call that comes within
// half a step of the last one is ignored.
func (h *history) record(now time.Time, s Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	elapsed := now.Sub(h.end)
	if !h.end.IsZero() {
		if elapsed >= 0 && elapsed < historyStep/2 {
			return
		}
		steps := int(min(max(elapsed+historyStep/2, historyStep)/historyStep, historyPoints))
		for range steps - 1 {
			h.step()
		}
	}
	h.end = now
	h.step()
	for i := range s.Inputs {
		h.add(0, s.Inputs[i].Name, elapsed, s.Inputs[i].Received)
	}
	for i := range s.Routes {
		r := &s.Routes[i]
		h.add(1, r.Name, elapsed, r.Events, r.Bytes)
	}
	for i := range s.Destinations {
		d := &s.Destinations[i]
		age := 0.0
		if d.Oldest != nil {
			age = max(0, now.Sub(*d.Oldest).Seconds())
		}
		h.add(2, d.Name, elapsed, d.Offered, d.Delivered, d.Sent, sum(d.Shed), sum(d.DeadLettered), sum(d.Moved),
			d.Buffered, uint64(max(0, d.Bytes)), breakerLevel[d.Breaker], uint64(age))
	}
	h.forget()
}

// step moves on by one point, which is missing in every series until add says otherwise.
func (h *history) step() {
	h.points++
	for _, lines := range h.kinds {
		for _, l := range lines {
			for _, ring := range l.rings {
				ring[h.next] = float32(math.NaN())
			}
		}
	}
	h.next = (h.next + 1) % historyPoints
}

// add sets the newest point of a series.
func (h *history) add(kind int, name string, elapsed time.Duration, row ...uint64) {
	k := &historyKinds[kind]
	l := h.kinds[kind][name]
	known := l != nil
	if !known {
		if l = h.place(len(k.fields)); l == nil {
			return
		}
		h.kinds[kind][name] = l
	}
	at := (h.next + historyPoints - 1) % historyPoints
	fresh := known && l.seen == h.points-1 && elapsed < 2*historyStep && elapsed > 0
	for i, v := range row {
		switch {
		case i >= k.gauges:
			l.rings[i][at] = float32(v)
		case fresh && v >= l.last[i]:
			l.rings[i][at] = float32(float64(v-l.last[i]) / elapsed.Seconds())
		}
		l.last[i] = v
	}
	l.seen = h.points
}

// place returns a new series, in the place of the one that was gone for the longest time if there is no other; nil when
// all are in use.
func (h *history) place(fields int) *historyLine {
	if h.places >= historySeries && !h.evict() {
		return nil
	}
	h.places++
	l := &historyLine{rings: make([][]float32, fields), last: make([]uint64, fields)}
	for i := range l.rings {
		l.rings[i] = slices.Repeat([]float32{float32(math.NaN())}, historyPoints)
	}
	return l
}

// evict removes the series that has been gone for the longest time, if one is gone.
func (h *history) evict() bool {
	kind, name, seen := -1, "", h.points-1 // those of the last point may still come in this one
	for i, lines := range h.kinds {
		for n, l := range lines {
			if l.seen < seen {
				kind, name, seen = i, n, l.seen
			}
		}
	}
	if kind < 0 {
		return false
	}
	delete(h.kinds[kind], name)
	h.places--
	return true
}

// forget removes the series that have no point left.
func (h *history) forget() {
	for _, lines := range h.kinds {
		for name, l := range lines {
			if h.points-l.seen >= historyPoints {
				delete(lines, name)
				h.places--
			}
		}
	}
}

// write writes everything as JSON, the oldest point first: {"step_seconds":10,"end":"…","inputs":{"NAME":{"received":
// [12.5,null,…]}},"routes":{…},"destinations":{…}}. Counters are per second.
func (h *history) write(w io.Writer) error {
	b, err := h.MarshalJSON()
	if err == nil {
		_, err = w.Write(b)
	}
	return err
}

// MarshalJSON implements [json.Marshaler].
func (h *history) MarshalJSON() ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	used := int(min(h.points, historyPoints))
	b := make([]byte, 0, 256+h.places*used*30)
	b = append(b, `{"step_seconds":`...)
	b = strconv.AppendInt(b, int64(historyStep/time.Second), 10)
	b = append(b, `,"end":"`...)
	b = h.end.UTC().AppendFormat(b, time.RFC3339)
	b = append(b, '"')
	for i, k := range historyKinds {
		b = append(append(append(b, `,"`...), k.name...), `":{`...)
		for j, name := range sortedKeys(h.kinds[i]) {
			if j > 0 {
				b = append(b, ',')
			}
			quoted, err := json.Marshal(name)
			if err != nil {
				return nil, err
			}
			b = append(append(b, quoted...), ":{"...)
			for f, field := range k.fields {
				if f > 0 {
					b = append(b, ',')
				}
				b = append(append(append(b, '"'), field...), `":[`...)
				b = appendRing(b, h.kinds[i][name].rings[f], h.next, used)
				b = append(b, ']')
			}
			b = append(b, '}')
		}
		b = append(b, '}')
	}
	return append(b, '}'), nil
}

// appendRing appends the newest n points of a ring, the oldest of them first.
func appendRing(b []byte, ring []float32, next, n int) []byte {
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		v := float64(ring[(next+historyPoints-n+i)%historyPoints])
		if math.IsNaN(v) {
			b = append(b, "null"...)
			continue
		}
		b = strconv.AppendFloat(b, v, 'g', historyPrecision, 32)
	}
	return b
}

func sortedKeys(m map[string]*historyLine) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
