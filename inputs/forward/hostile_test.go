package forward

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What a piece makes the input keep is bounded, whatever its keys and however small it is.
func TestHeldPiecesAreBounded(t *testing.T) {
	t.Run("long ids", func(t *testing.T) {
		var feed []byte
		for i := range 50 {
			feed = append(feed, none(fmt.Sprintf("%0100000d", i), 1, "x", false)...)
		}
		events, _, in, err := codec(t, testOptions(), feed[:len(feed)-1])
		if s := in.Stats(); s.HeldBytes != 0 || len(s.Broken) != 0 || len(events) != 49 {
			t.Errorf("%d events, broken %v, %v", len(events), s.Broken, err)
		}
	})
	t.Run("tiny pieces", func(t *testing.T) {
		opts := testOptions()
		opts.JoinMaxBytes = 16 << 10
		in, err := New(&opts, Env{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		s := newSink()
		in.accept, in.work = s.accept, t.Context()
		p := &pipe{}
		for i := range 200 {
			p.feed = append(p.feed, asked("i", i+1, "", false))
		}
		c := newConn(in, in.set.Load(), p)
		c.win.buf = make([]byte, baseWindow)
		_ = c.serve()
		if n := len(pieceNames(t, in.join.files.dir)); n > 20 {
			t.Errorf("%d files for an empty line", n)
		}
		if st := in.Stats(); st.Broken["too_long"] == 0 || st.HeldBytes > 100<<10 {
			t.Errorf("broken %v, %d bytes held", st.Broken, st.HeldBytes)
		}
		if n := strings.Count(string(p.written), "ack"); n != 200 {
			t.Errorf("%d acks", n)
		}
	})
	t.Run("many files", func(t *testing.T) {
		opts := testOptions()
		var count counters
		j := newJoiner(&opts, &pieceFiles{}, &count)
		for i := range 3 * maxHeldLines {
			j.add(nil, stamp{}, piece{key: lineKey{id: fmt.Sprint(i)}, ordinal: 1}, []byte{0x80}, "file")
		}
		if n, size := j.held(); n == 0 || n > maxHeldBytes/fileOverhead || size > maxHeldBytes {
			t.Errorf("%d lines of %d bytes held", n, size)
		}
	})
}

// While many share the memory, each connection holds little: its batches are small, and its window shrinks even when
// it is never quite empty.
func TestScarceMemoryMakesEverythingSmall(t *testing.T) {
	entries, want := entriesOf(20000, 200) // 4.6 MB
	opts := testOptions()
	for name, msg := range map[string][]byte{"plain": cat(0x92, "t", bin(string(entries))), "gzip": cat(0x92, "t", bin(string(gzipOf(entries))))} {
		in, err := New(&opts, Env{})
		if err != nil {
			t.Fatal(err)
		}
		s := newSink()
		in.accept, in.work = s.accept, t.Context()
		c := newConn(in, in.set.Load(), &pipe{feed: [][]byte{msg}})
		c.win.buf = make([]byte, fullWindow)
		c.win.charged = fullWindow - baseWindow
		in.budget.take(10<<20 + c.win.charged)
		_ = c.serve()
		if n := len(s.list()); n != len(want) {
			t.Errorf("%s: %d events, want %d", name, n, len(want))
		}
		if m := slices.Max(s.sizes); m > scarceBatch+1024 {
			t.Errorf("%s: %d bytes in one call", name, m)
		}
		if c.win.charged > baseWindow {
			t.Errorf("%s: %d bytes more than the least in the window", name, c.win.charged)
		}
	}
}

func TestMemoryStaysScarceForAWhile(t *testing.T) {
	b := newBudget(1000)
	for _, step := range []struct {
		take   int64
		scarce bool
	}{{400, false}, {200, true}, {-200, true}, {-100, true}, {-51, false}, {250, false}, {1, false}, {1, true}} {
		if b.take(step.take); b.scarce.Load() != step.scarce {
			t.Errorf("%d of 1000 left: scarce %v", b.free, b.scarce.Load())
		}
	}
}
