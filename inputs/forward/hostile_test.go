package forward

import (
	"fmt"
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
		c := newConn(in, p)
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
