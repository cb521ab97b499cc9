package router

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/mp"
	"github.com/firebreak/firebreak/record"
)

// got is one event as a sink received it.
type got struct {
	tag, typ, reason string
	raw              string
}

// memory is a sink that keeps copies.
type memory struct {
	events  []got
	chunks  int
	appends int

	largest, largestEvents int // bytes of a chunk with several events
	largestAppend          int // bytes

	blocks bool
	err    error
	before func()
}

func (m *memory) Append(_ context.Context, chunks []record.Chunk) error {
	m.appends++
	size := 0
	for i := range chunks {
		size += len(chunks[i].Data)
	}
	m.largestAppend = max(m.largestAppend, size)
	return m.keep(chunks, "")
}

func (m *memory) Reject(_ context.Context, chunks []record.Chunk, reason string) error {
	return m.keep(chunks, reason)
}

func (m *memory) Blocks() bool { return m.blocks }

func (m *memory) keep(chunks []record.Chunk, reason string) error {
	if m.before != nil {
		m.before()
	}
	if m.err != nil {
		return m.err
	}
	for i := range chunks {
		c := &chunks[i]
		m.chunks++
		if len(c.Data) > m.largest && c.Events > 1 {
			m.largest, m.largestEvents = len(c.Data), c.Events
		}
		n := 0
		it := record.Iterate(c)
		for it.Next() {
			m.events = append(m.events, got{c.Tag, c.Route, reason, string(it.Event().Raw)})
			n++
		}
		if it.Err() != nil || n != c.Events || n == 0 {
			return fmt.Errorf("chunk of %d events holds %d: %v", c.Events, n, it.Err())
		}
	}
	return nil
}

// pair and rec build records; values: string, []byte (bin), int, float64, bool, nil, rec.
type pair struct {
	key   string
	value any
}
type rec []pair

func (r rec) append(dst []byte) []byte {
	dst = mp.AppendMap(dst, len(r))
	for _, p := range r {
		dst = mp.AppendStr(dst, p.key)
		switch v := p.value.(type) {
		case string:
			dst = mp.AppendStr(dst, v)
		case []byte:
			dst = mp.AppendBin(dst, v)
		case int:
			dst = mp.AppendInt(dst, int64(v))
		case float64:
			dst = mp.AppendFloat(dst, v)
		case bool:
			dst = mp.AppendBool(dst, v)
		case rec:
			dst = v.append(dst)
		default:
			dst = mp.AppendNil(dst)
		}
	}
	return dst
}

func chunkOf(tag string, records ...rec) record.Chunk {
	c := record.Chunk{Tag: tag}
	for i, r := range records {
		c.Data = record.AppendEntry(c.Data, time.Unix(1700000000, int64(i)), r.append(nil))
		c.Events++
	}
	return c
}

func line(s string) rec { return rec{{"log", s}} }

func glob(s string) config.Pattern { return config.Pattern{Kind: config.Glob, Text: s} }
func re(s string) config.Pattern {
	return config.Pattern{Kind: config.Regex, Text: s, Regexp: regexp.MustCompile(s)}
}
func compare(op string, n float64) config.Pattern {
	return config.Pattern{Kind: config.Compare, Op: op, Number: n}
}

func when(field, path string, patterns ...config.Pattern) *config.Match {
	return &config.Match{Tests: []config.Test{{Field: field, Path: path, Patterns: patterns}}}
}

func lineIs(s string) *config.Match { return when("line", "", re(s)) }

func newRouter(t testing.TB, processors []config.Processor, routes []config.Route, sinks ...string) (*Router, map[string]*memory) {
	t.Helper()
	kept, given := map[string]*memory{}, map[string]Sink{}
	for _, name := range sinks {
		kept[name] = &memory{}
		given[name] = kept[name]
	}
	r, err := New(processors, routes, given)
	if err != nil {
		t.Fatal(err)
	}
	return r, kept
}

func accept(t testing.TB, r *Router, chunks ...record.Chunk) {
	t.Helper()
	before := make([][]byte, len(chunks))
	for i := range chunks {
		before[i] = bytes.Clone(chunks[i].Data)
	}
	if err := r.Intake("in").Accept(t.Context(), chunks); err != nil {
		t.Fatal(err)
	}
	for i := range chunks {
		if !bytes.Equal(before[i], chunks[i].Data) {
			t.Error("the data of a chunk was changed")
		}
	}
}

// logs returns "type:log" of what a sink has, in order.
func (m *memory) logs() []string {
	var out []string
	for _, e := range m.events {
		c := record.Chunk{Data: []byte(e.raw), Events: 1}
		it := record.Iterate(&c)
		it.Next()
		text, _ := record.Text(record.ParsePath("log").Lookup(it.Event().Record))
		s := e.typ + ":" + string(text)
		if e.reason != "" {
			s += "!" + e.reason
		}
		out = append(out, s)
	}
	return out
}
