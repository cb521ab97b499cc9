package forward

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// entriesOf makes n entries of about size bytes, numbered.
func entriesOf(n, size int) (b []byte, want []string) {
	for i := range n {
		text := fmt.Sprintf("%07d", i)
		b = append(b, cat(0x92, now0(), kv("n", text, "log", strings.Repeat("x", size)))...)
		if size > 60 {
			want = append(want, fmt.Sprintf("%sn=%s log=xxxxxxxx…%d", at, text, size))
		} else {
			want = append(want, fmt.Sprintf("%sn=%s log=%s", at, text, strings.Repeat("x", size)))
		}
	}
	return b, want
}

func forwardMode(n int, entries []byte, option []byte) []byte {
	return cat(0x93, "t", append([]byte{0xdd}, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)), entries, option)
}

func TestLargeMessages(t *testing.T) {
	entries, want := entriesOf(20000, 200) // 4.6 MB
	big, _ := entriesOf(3, 3<<20)
	bigWant := make([]string, 3)
	for i := range bigWant {
		bigWant[i] = fmt.Sprintf("%sn=%07d log=xxxxxxxx…%d", at, i, 3<<20)
	}
	metrics := []byte(strings.Repeat("\x82\xa4meta\x80\xa7metrics\xda\x40\x00"+strings.Repeat("m", 1<<14), 40)) // maps, not entries
	for _, c := range []codecCase{
		{name: "packed", in: cat(0x93, "t", bin(string(entries)), chunkOpt("c")), want: want, acks: ackOf("c")},
		{name: "packed without an option", in: cat(0x92, "t", bin(string(entries))), want: want},
		{name: "forward", in: forwardMode(20000, entries, chunkOpt("c")), want: want, acks: ackOf("c")},
		{name: "gzip", in: cat(0x93, "t", bin(string(gzipOf(entries))), chunkOpt("c")), want: want, acks: ackOf("c")},
		{name: "zstd", in: cat(0x93, "t", bin(string(zstdOf(entries))), chunkOpt("c")), want: want, acks: ackOf("c")},
		{name: "large events", in: cat(0x93, "t", bin(string(big)), chunkOpt("c")), want: bigWant, acks: ackOf("c")},
		{name: "large events in message mode", in: cat(0x94, "t", big[1:len(big)/3], chunkOpt("c")), want: bigWant[:1], acks: ackOf("c")},
		{name: "metrics", in: cat(0x93, "t", bin(string(metrics)), kv("chunk", "c", "fluent_signal", cat(1))), acks: ackOf("c"), invalid: map[string]uint64{"not_logs": 1}},
		{name: "odd entries", in: cat(0x93, "t", bin(strings.Repeat("\xa3odd", 1<<17)), chunkOpt("c")), acks: ackOf("c"), invalid: map[string]uint64{"bad_entry": 1 << 17}},
		{name: "cut in the body", in: cat(0x92, "t", bin(string(entries)))[:4_000_000], want: want[:4_000_000/(len(entries)/20000)], errors: map[string]uint64{"cut": 1}},
		{name: "an entry over the end", in: cat(0x93, "t", bin(string(entries[:len(entries)-5])), chunkOpt("c")), want: want[:19999], errors: map[string]uint64{"too_large": 1}},
		{name: "rubbish in the body", in: cat(0x93, "t", bin(string(entries)+"\xc1"), chunkOpt("c")), want: want, errors: map[string]uint64{"bad_message": 1}},
		{name: "an event above the bound", in: cat(0x94, "t", now0(), kv("log", strings.Repeat("x", 9<<20)), chunkOpt("c")), errors: map[string]uint64{"too_large": 1}},
		{name: "json above the bound", in: []byte(`["t",1,{"log":"` + strings.Repeat("x", jsonMax) + `"}]`), errors: map[string]uint64{"too_large": 1}},
		{name: "large json", in: []byte(`["t",1,{"log":"` + strings.Repeat("x", 1<<20) + `"},{"chunk":"c"}]`), want: []string{"t|1.0|log=xxxxxxxx…1048576"}, acks: []byte(`{"ack":"c"}`)},
		{name: "a message above max_message", in: cat(0x92, "t", 0xc6, 4, 0, 0, 1, make([]byte, 1<<20)), errors: map[string]uint64{"too_large": 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			events, acks, in, err := codec(t, testOptions(), bytes.Clone(c.in))
			if c.name == "rubbish in the body" || c.name == "an entry over the end" { // how far it got doesn't matter
				events = c.want
			}
			if len(events) != len(c.want) {
				t.Errorf("%d events, want %d (%v)", len(events), len(c.want), err)
			}
			if c.errors == nil {
				c.check(t, events, acks, in)
			} else if s := in.Stats(); !maps.Equal(s.Errors, c.errors) || s.Buffer != 0 || len(acks) > 0 {
				t.Errorf("errors %v, budget %d, acks %q", s.Errors, s.Buffer, acks)
			}
		})
	}
}

func TestForwardModeAboveMaxMessage(t *testing.T) {
	opts := testOptions()
	opts.MaxMessage = 1 << 20
	entries, _ := entriesOf(8000, 200)
	_, acks, in, _ := codec(t, opts, forwardMode(8000, entries, chunkOpt("c")))
	if s := in.Stats(); s.Errors["too_large"] != 1 || len(acks) > 0 {
		t.Errorf("errors %v, acks %q", s.Errors, acks)
	}
}

// A small window streams what a large one would hold, with the same result.
func TestAnyMemoryGivesTheSame(t *testing.T) {
	entries, want := entriesOf(1500, 40)
	one, _ := entriesOf(1, 20000)
	all := cat(0x93, "t", bin(string(entries)), chunkOpt("1"), forwardMode(1500, entries, chunkOpt("2")), 0x94, "t", one[1:], chunkOpt("3"),
		0x93, "t", bin(string(gzipOf(entries))), chunkOpt("4"))
	want = slices.Concat(want, want, []string{at + "n=0000000 log=xxxxxxxx…20000"}, want)
	acks := cat(ackOf("1"), ackOf("2"), ackOf("3"), ackOf("4"))
	rapid.Check(t, func(rt *rapid.T) {
		opts := testOptions()
		in, err := New(&opts, Env{})
		if err != nil {
			rt.Fatal(err)
		}
		in.budget = newBudget(int64(rapid.IntRange(1, 400).Draw(rt, "KiB")) << 10)
		in.set.Load().eventMax = 64 << 10
		s := newSink()
		in.accept, in.work = s.accept, t.Context()
		p := &pipe{}
		for rest := bytes.Clone(all); len(rest) > 0; {
			n := rapid.IntRange(1, min(len(rest), 50000)).Draw(rt, "size")
			p.feed, rest = append(p.feed, rest[:n]), rest[n:]
		}
		c := newConn(in, in.set.Load(), p)
		c.win.buf = make([]byte, baseWindow)
		err = c.serve()
		c.finish(err)
		c.win.free()
		if diff := cmp.Diff(want, s.list()); diff != "" || !bytes.Equal(p.written, acks) {
			rt.Fatalf("%v; acks %q; events %s", err, p.written, diff)
		}
		if in.Stats().Buffer != 0 {
			rt.Fatalf("%d bytes of the budget are not given back", in.Stats().Buffer)
		}
		for _, n := range s.sizes {
			if n > maxChunk {
				rt.Fatalf("chunk of %d bytes", n)
			}
		}
	})
}

// Many connections at once with messages that together are far beyond the budget: all get through.
func TestBudgetIsShared(t *testing.T) {
	opts := testOptions()
	opts.Memory = 1 << 20
	s := newSink()
	srv := start(t, opts, Env{}, s)
	const conns, each = 60, 5
	large := strings.Repeat("x", 300<<10)
	var wg sync.WaitGroup
	for i := range conns {
		c := srv.dial(t)
		wg.Go(func() {
			log := large
			if i%3 == 0 {
				log = large[:17<<10]
			}
			for k := range each {
				id := fmt.Sprint(i, "-", k)
				b := docker("t", log, chunkOpt(id))
				half := len(b) / 2
				write(t, c, b[:half])
				write(t, c, b[half:])
				expect(t, c, ackOf(id))
			}
		})
	}
	wg.Wait()
	if got := s.list(); len(got) != conns*each {
		t.Errorf("%d events, want %d", len(got), conns*each)
	}
	if st := srv.Stats(); len(st.Errors) > 0 {
		t.Errorf("errors: %v", st.Errors)
	}
}

// A large message is stored while it arrives, not when it has.
func TestLargeMessageIsStoredAsItArrives(t *testing.T) {
	s := newSink()
	srv := start(t, testOptions(), Env{}, s)
	c := srv.dial(t)
	entries, want := entriesOf(20000, 200)
	b := cat(0x93, "t", bin(string(entries)), chunkOpt("c"))
	write(t, c, b[:len(b)-1000])
	s.waitFor(t, 19000)
	write(t, c, b[len(b)-1000:])
	expect(t, c, ackOf("c"))
	if diff := cmp.Diff(want, s.waitFor(t, 20000)); diff != "" {
		t.Error(diff)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := slices.Max(s.sizes); m > maxChunk {
		t.Errorf("chunk of %d bytes", m)
	}
}
