package forward

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firebreak/firebreak/record"
)

func joinedEvent(log string) string {
	if len(log) > 60 {
		log = fmt.Sprintf("%s…%d", log[:8], len(log))
	}
	return fmt.Sprintf("app|1700000000.1|container_id=cccccccc…64 container_name=/web source=stdout log=%s", log)
}

func none(id string, n int, log string, last bool) []byte {
	return dockerPiece("app", id, log, n, last, []byte{0x80})
}

func TestPiecesAreJoined(t *testing.T) {
	long := strings.Repeat("p", 16384)
	other := func(b []byte) []byte { return []byte(strings.Replace(string(b), "\xa6stdout", "\xa6stderr", 1)) }
	line := docker("app", "short", []byte{0x80})
	short := strings.Replace(joinedEvent("short"), "0.1|", "0.5|", 1)
	for _, c := range []struct {
		name   string
		in     []byte
		want   []string
		broken map[string]uint64
		joined uint64
	}{
		{name: "three pieces", in: cat(none("i", 1, long, false), none("i", 2, long, false), none("i", 3, "end", true)), want: []string{joinedEvent(long + long + "end")}, joined: 1},
		{name: "an empty last piece", in: cat(none("i", 1, long, false), none("i", 2, "", true)), want: []string{joinedEvent(long)}, joined: 1},
		{name: "one last piece", in: none("i", 1, "all", true), want: []string{joinedEvent("all")}, joined: 1},
		{name: "other events aren't held", in: cat(none("i", 1, "a", false), line, none("i", 2, "b", true)), want: []string{short, joinedEvent("ab")}, joined: 1},
		{name: "a line without an end", in: cat(none("i", 1, "tail", false), line), want: []string{short, joinedEvent("tail")}, broken: map[string]uint64{"closed": 1}},
		{name: "two lines interleaved", in: cat(none("i", 1, "a", false), none("k", 1, "1", false), none("i", 2, "b", true), none("k", 2, "2", true)),
			want: []string{joinedEvent("ab"), joinedEvent("12")}, joined: 2},
		{name: "stdout and stderr interleaved", in: cat(none("i", 1, "a", false), other(none("i", 1, "1", false)), other(none("i", 2, "2", true)), none("i", 2, "b", true)),
			want: []string{strings.Replace(joinedEvent("12"), "stdout", "stderr", 1), joinedEvent("ab")}, joined: 2},
		{name: "a piece sent twice", in: cat(none("i", 1, "a", false), none("i", 1, "a", false), none("i", 2, "b", true)), want: []string{joinedEvent("ab")}, joined: 1},
		{name: "a piece is missing", in: cat(none("i", 1, "a", false), none("i", 3, "c", true)),
			want: []string{joinedEvent("a"), strings.Replace(joinedEvent("c"), "0.1|", "0.3|", 1)}, broken: map[string]uint64{"gap": 1}, joined: 1},
		{name: "a line that is too long", in: cat(none("i", 1, long, false), none("i", 2, long, false), none("i", 3, "c", true)),
			want: []string{joinedEvent(long), strings.Replace(joinedEvent(long+"c"), "0.1|", "0.2|", 1)}, broken: map[string]uint64{"too_long": 1}, joined: 1},
		{name: "pieces without an id pass", in: msg(0x93, "app", now0(), kv("log", "x", "partial_message", "true")), want: []string{"app|1700000000.5|log=x partial_message=true"}},
		{name: "partial_message is not true", in: msg(0x93, "app", now0(), kv("log", "x", "partial_message", "false", "partial_id", "i", "partial_ordinal", "1")),
			want: []string{"app|1700000000.5|log=x partial_message=false partial_id=i partial_ordinal=1"}},
		{name: "a piece with nested values", in: msg(0x93, "app", now0(), kv("m", kv("x", "y"), "log", "x", "partial_message", "true", "partial_id", "i", "partial_ordinal", "1", "partial_last", "true")),
			want: []string{"app|1700000000.5|m=81a178a179 log=x"}, joined: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts := testOptions()
			if c.broken["too_long"] > 0 {
				opts.JoinMaxBytes = 20 << 10
			}
			events, _, in, err := codec(t, opts, c.in)
			if diff := cmp.Diff(c.want, events); diff != "" {
				t.Errorf("events (-want +got), %v:\n%s", err, diff)
			}
			s := in.Stats()
			if c.broken == nil {
				c.broken = map[string]uint64{}
			}
			if diff := cmp.Diff(c.broken, s.Broken); diff != "" || s.Joined != c.joined {
				t.Errorf("joined %d, broken %v", s.Joined, s.Broken)
			}
			if s.HeldLines != 0 || s.HeldBytes != 0 || s.Received != uint64(len(c.want)) {
				t.Errorf("held %d lines, %d bytes; received %d", s.HeldLines, s.HeldBytes, s.Received)
			}
		})
	}
}

// A connection that breaks in the middle of a message was not the container's end: the rest comes over another one.
func TestPiecesGoOnOverAnotherConnection(t *testing.T) {
	s := newSink()
	srv := start(t, testOptions(), Env{}, s)
	a := srv.dial(t)
	write(t, a, cat(none("i", 1, "a", false), none("i", 2, "b", false)[:50]))
	wait(t, "the piece", func() bool { return srv.Stats().HeldLines == 1 })
	a.Close()
	wait(t, "the end", func() bool { return srv.Stats().Errors["cut"] == 1 })
	write(t, srv.dial(t), cat(none("i", 2, "b", false), none("i", 3, "c", true)))
	if diff := cmp.Diff([]string{joinedEvent("abc")}, s.waitFor(t, 1)); diff != "" {
		t.Error(diff)
	}
}

func TestSweepPassesOnSilentLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := testOptions()
		var count counters
		j := newJoiner(&opts, &pieceFiles{}, &count)
		got := make(chan string, 10)
		fail := true
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan bool)
		go func() {
			defer close(ended)
			j.sweep(ctx, func(lines []*line) error {
				if fail {
					fail = false
					j.restore(lines)
					return context.Canceled
				}
				for _, l := range lines {
					got <- string(l.log)
				}
				return nil
			})
		}()
		began := time.Now()
		add := func(id, log string, n int) {
			raw := none(id, n, log, false)
			rec := raw[15 : len(raw)-1]
			p, ok := readPiece("app", rec)
			if !ok {
				t.Fatalf("no piece: %s", show(rec))
			}
			j.add(nil, stamp{sec: t0}, p, rec, "")
		}
		add("i", "a", 1)
		time.Sleep(3 * time.Second)
		add("k", "1", 1)
		add("i", "b", 2) // touched again
		if log := <-got; log != "1" || time.Since(began) != 9*time.Second {
			t.Errorf("%q after %s", log, time.Since(began)) // 3 s + the timeout, and 1 s for the failure
		}
		if log := <-got; log != "ab" || time.Since(began) != 9*time.Second {
			t.Errorf("%q after %s", log, time.Since(began))
		}
		if n, bytes := j.held(); n != 0 || bytes != 0 {
			t.Errorf("%d lines, %d bytes are left", n, bytes)
		}
		cancel()
		<-ended
	})
}

func TestHeldLinesAreBounded(t *testing.T) {
	opts := testOptions()
	var in []byte
	for i := range maxHeldLines + 10 {
		in = append(in, none(fmt.Sprint("id", i), 1, "x", false)...)
	}
	events, _, input, _ := codec(t, opts, in)
	if s := input.Stats(); len(events) != maxHeldLines+10 || s.Broken["full"] != 10 || s.Broken["closed"] != maxHeldLines {
		t.Errorf("%d events, broken %v", len(events), s.Broken)
	}
	in = nil
	large := strings.Repeat("x", 900<<10)
	for i := range 20 {
		in = append(in, none(fmt.Sprint("id", i), 1, large, false)...)
	}
	events, _, input, _ = codec(t, opts, in)
	if s := input.Stats(); len(events) != 20 || s.Broken["full"] < 2 {
		t.Errorf("%d events, broken %v", len(events), s.Broken)
	}
}

func asked(id string, n int, log string, last bool) []byte {
	return dockerPiece("app", id, log, n, last, chunkOpt(fmt.Sprint(id, n)))
}

func pieceNames(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// An acked piece outlives the process.
func TestAckedPiecesOutliveARestart(t *testing.T) {
	for _, sync := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "pieces")
		opts := testOptions()
		s := newSink()
		// The first run is never ended in good order: its lines stay where a kill would leave them.
		first, err := New(&opts, Env{Dir: dir, Sync: sync})
		if err != nil {
			t.Fatal(err)
		}
		first.accept, first.work = s.accept, t.Context()
		first.restore()
		p := &pipe{feed: [][]byte{cat(asked("i", 1, "a", false), asked("k", 1, "1", false), asked("i", 2, "b", false), asked("l", 1, "x", false), asked("l", 2, "y", true))}}
		c := newConn(first, first.set.Load(), p)
		c.win.buf = make([]byte, baseWindow)
		c.serve()
		if want := string(cat(ackOf("i1"), ackOf("k1"), ackOf("i2"), ackOf("l1"), ackOf("l2"))); string(p.written) != want {
			t.Fatalf("acks %q", p.written)
		}
		if n := len(pieceNames(t, dir)); n != 3 { // those of l are gone with its joined event
			t.Fatalf("%d files", n)
		}
		if err := os.WriteFile(filepath.Join(dir, "torn-00000001.piece"), []byte{9, 0, 0, 0, 1, 2}, 0o600); err != nil {
			t.Fatal(err)
		}

		srv := start(t, opts, Env{Dir: dir}, s)
		wait(t, "the pieces", func() bool { return srv.Stats().HeldLines == 2 })
		d := srv.dial(t)
		write(t, d, cat(asked("i", 2, "b", false), asked("i", 3, "c", true))) // piece 2 again: its ack was lost
		expect(t, d, cat(ackOf("i2"), ackOf("i3")))
		srv.end(t)
		want := []string{joinedEvent("xy"), joinedEvent("abc"), joinedEvent("1")}
		if diff := cmp.Diff(want, s.list()); diff != "" {
			t.Error(diff)
		}
		if names := pieceNames(t, dir); len(names) != 1 || !strings.HasSuffix(names[0], ".bad") {
			t.Errorf("files: %v", names)
		}
		if st := srv.Stats(); st.Errors["pieces"] != 1 || st.Broken["shutdown"] != 1 {
			t.Errorf("errors %v, broken %v", st.Errors, st.Broken)
		}
	}
}

// A piece that can't be kept is not held: its ack promises that it is stored.
func TestPieceThatCanNotBeKept(t *testing.T) {
	opts := testOptions()
	s := newSink()
	in, err := New(&opts, Env{Dir: filepath.Join(t.TempDir(), "gone", "away")})
	if err != nil {
		t.Fatal(err)
	}
	in.accept, in.work = s.accept, t.Context()
	p := &pipe{feed: [][]byte{cat(asked("i", 1, "a", false), asked("i", 2, "b", true))}}
	c := newConn(in, in.set.Load(), p)
	c.win.buf = make([]byte, baseWindow)
	c.finish(c.serve())
	if diff := cmp.Diff([]string{joinedEvent("a"), strings.Replace(joinedEvent("b"), "0.1|", "0.2|", 1)}, s.list()); diff != "" {
		t.Error(diff)
	}
	if st := in.Stats(); st.Broken["disk"] != 1 || string(p.written) != string(cat(ackOf("i1"), ackOf("i2"))) {
		t.Errorf("broken %v, acks %q", st.Broken, p.written)
	}
}

// A joined line that is not accepted comes back, with its files.
func TestJoinedLineThatIsNotAccepted(t *testing.T) {
	dir := t.TempDir()
	opts := testOptions()
	s := newSink()
	in, err := New(&opts, Env{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	in.accept, in.work = s.accept, t.Context()
	run := func(b []byte) []byte {
		p := &pipe{feed: [][]byte{b}}
		c := newConn(in, in.set.Load(), p)
		c.win.buf = make([]byte, baseWindow)
		err := c.serve()
		c.finish(err)
		c.win.free()
		return p.written
	}
	s.err = context.Canceled
	if acks := run(cat(asked("i", 1, "a", false), asked("i", 2, "b", true))); len(acks) > 0 {
		t.Errorf("acks %q", acks)
	}
	if n, _ := in.join.held(); n != 1 || len(pieceNames(t, dir)) != 1 {
		t.Errorf("%d lines held, files %v", n, pieceNames(t, dir))
	}
	s.err = nil
	if acks := run(cat(asked("i", 1, "a", false), asked("i", 2, "b", true))); string(acks) != string(cat(ackOf("i1"), ackOf("i2"))) {
		t.Errorf("acks %q", acks)
	}
	if diff := cmp.Diff([]string{joinedEvent("ab")}, s.list()); diff != "" || len(pieceNames(t, dir)) != 0 {
		t.Errorf("files %v, events %s", pieceNames(t, dir), diff)
	}
}

func FuzzPieceFile(f *testing.F) {
	raw := none("i", 1, "log", false)
	good := appendFrame(nil, "app", stamp{sec: 7, whole: true}, raw[15:len(raw)-1])
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(flip(append([]byte(nil), good...), -3))
	f.Fuzz(func(t *testing.T, b []byte) {
		tag, at, rec, ok := readFrame(b)
		if !ok {
			return
		}
		again, at2, rec2, ok := readFrame(appendFrame(nil, tag, at, rec))
		if !ok || again != tag || at2 != at || string(rec2) != string(rec) {
			t.Fatalf("%q %v %x came back as %q %v %x, %v", tag, at, rec, again, at2, rec2, ok)
		}
		readPiece(tag, rec)
	})
}

// What an earlier run left behind, and can't be stored now, keeps no client waiting.
func TestRestoredLinesDoNotBlock(t *testing.T) {
	files := &pieceFiles{dir: t.TempDir()}
	for i := range 3 {
		raw := none("i", i+1, strings.Repeat("x", 12<<10), false)
		at, _, n, err := readTime(raw[5:])
		if err != nil {
			t.Fatal(err)
		}
		record := raw[5+n : len(raw)-1]
		p, ok := readPiece("app", record)
		if !ok {
			t.Fatal("no piece")
		}
		if _, err := files.write(at, p, record); err != nil {
			t.Fatal(err)
		}
	}
	opts := testOptions()
	opts.JoinMaxBytes = 16 << 10 // less than before: two lines are broken off
	in, err := New(&opts, Env{Dir: files.dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Listen(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		done <- in.Run(t.Context(), func(ctx context.Context, chunks []record.Chunk) error {
			if chunks[0].Tag == "app" { // its destination is full, and declares on_full: block
				<-ctx.Done()
			}
			return ctx.Err()
		})
	}()
	c, err := net.Dial("tcp", in.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	write(t, c, docker("other", "one", chunkOpt("x")))
	expect(t, c, ackOf("x"))
	in.Stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := len(pieceNames(t, files.dir)); n != 3 {
		t.Errorf("%d files are left of what was not stored", n)
	}
}
