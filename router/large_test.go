package router

import (
	"fmt"
	"strings"
	"testing"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/record"
)

// checkSizes holds the events of a sink against their number, their order and the bound of a chunk.
func checkSizes(t *testing.T, m *memory, events int) {
	t.Helper()
	if len(m.events) != events {
		t.Fatalf("%d events, want %d", len(m.events), events)
	}
	for i, e := range m.events {
		c := record.Chunk{Data: []byte(e.raw), Events: 1}
		it := record.Iterate(&c)
		it.Next()
		if text, _ := record.Text(record.ParsePath("log").Lookup(it.Event().Record)); string(text) != fmt.Sprint(i) {
			t.Fatalf("event %d is %s", i, text)
		}
	}
	if m.largest > maxChunk {
		t.Errorf("a chunk of %d events has %d bytes", m.largestEvents, m.largest)
	}
	if m.largestAppend > maxChunk {
		t.Errorf("one append has %d bytes", m.largestAppend)
	}
}

// TestProcessorsMakeNoLargeChunks: what doesn't fit into a buffer or a message would be lost with everything in it.
func TestProcessorsMakeNoLargeChunks(t *testing.T) {
	const events = 20_000
	big := config.Processor{Name: "add", Add: addTo("labels", strings.Repeat("x", 500))}
	var records []rec
	for i := range events {
		records = append(records, line(fmt.Sprint(i)))
	}
	for name, c := range map[string]struct {
		processors []config.Processor
		routes     []config.Route
	}{
		"before the routes":   {[]config.Processor{big}, []config.Route{{Name: "all", To: []string{"a", "b"}}}},
		"and decided by line": {[]config.Processor{big}, []config.Route{{Name: "one", Match: lineIs("no"), Discard: true}, {Name: "all", To: []string{"a", "b"}}}},
		"of a route":          {nil, []config.Route{{Name: "all", To: []string{"a", "b"}, Processors: []config.Processor{big}}}},
	} {
		t.Run(name, func(t *testing.T) {
			r, sinks := newRouter(t, c.processors, c.routes, "a", "b")
			accept(t, r, chunkOf("x", records...))
			checkSizes(t, sinks["a"], events)
			checkSizes(t, sinks["b"], events)
			if s := r.Intake("in").Stats(); s.Routed != events {
				t.Errorf("routed = %d", s.Routed)
			}
		})
	}
}

func TestOneLargeEventStaysWhole(t *testing.T) {
	r, sinks := newRouter(t, nil, []config.Route{{Name: "all", To: []string{"a"}}}, "a")
	large := strings.Repeat("x", maxChunk)
	accept(t, r, chunkOf("x", line("small"), line(large), line("small"), line("small")))
	checkLogs(t, "a", sinks["a"], "all:small", "all:"+large, "all:small", "all:small")
	if n := sinks["a"].chunks; n != 3 {
		t.Errorf("%d chunks, want 3", n)
	}
}

func TestALargeChunkThatIsMalformedEnds(t *testing.T) {
	r, sinks := newRouter(t, nil, []config.Route{{Name: "all", To: []string{"a"}}}, "a")
	c := record.Chunk{Tag: "x", Data: make([]byte, 2*maxChunk), Events: 3}
	if err := r.Intake("in").Accept(t.Context(), []record.Chunk{c}); err == nil {
		t.Errorf("the sink took %d chunks", sinks["a"].chunks)
	}
}
