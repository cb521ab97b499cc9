package buffer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// edited returns a copy of a file system with bytes changed and the tail of a file cut, as a fuzzer says.
func edited(s *simFS, edits []byte, cut uint16) *simFS {
	c := newSimFS()
	for name, f := range s.files {
		c.files[name] = &simNode{data: slices.Clone(f.data)}
	}
	s = c
	names := s.segments()
	if s.files["/d/position"] != nil {
		names = append(names, "/d/position")
	}
	if len(names) == 0 {
		return s
	}
	for ; len(edits) >= 4; edits = edits[4:] {
		f := s.files[names[int(edits[0])%len(names)]]
		if n := len(f.data); n > 0 {
			f.data[(int(edits[1])<<8|int(edits[2]))*7%n] ^= edits[3]
		}
	}
	f := s.files[names[int(cut)%len(names)]]
	f.data = f.data[:max(0, len(f.data)-int(cut))]
	return s
}

func FuzzInspect(f *testing.F) {
	whole := newSimFS()
	b := openSim(f, whole, DiskOptions{MaxBytes: 64 << 10})
	for i := range 80 {
		put(f, b, chunkOf("a", i*5, 5))
	}
	nextLease(f, b).Deliver()
	nextLease(f, b).End(Settled{To: 2, Fate: Delivered}, Settled{From: 3, To: 4, Fate: Moved, Reason: "other"})
	closeNow(f, b)
	f.Add([]byte{}, uint16(0))
	f.Add([]byte{0, 0, 100, 0xff}, uint16(0))
	f.Add([]byte{1, 0, 1, 0xff, 3, 0, 4, 9, 3, 0xff, 0xff, 9}, uint16(500))
	f.Add([]byte{2, 0, 0, 1, 2, 0, 5, 1}, uint16(3))
	f.Fuzz(func(t *testing.T, edits []byte, cut uint16) {
		s := edited(whole, edits, cut)
		readOnly(t, s)
		sum, r := inspected(t, s)
		got := walked(t, s, Filter{})
		if uint64(len(got)) != sum.Buffered {
			t.Fatalf("walked %d: %+v", len(got), sum)
		}
		if len(sum.Problems) == 0 && sum.account() != sum.Ledger.Offered {
			t.Fatalf("doesn't balance: %+v", sum)
		}
		if r.OK && r.TornTail == 0 && cut == 0 && len(r.Problems) == 0 && len(got) != 400-8 && len(got) != 400 {
			t.Fatalf("whole with %d: %+v", len(got), r)
		}
		seen := map[string]bool{}
		for _, log := range walked(t, s, Filter{All: true}) {
			if seen[log] {
				t.Fatalf("%s twice", log)
			}
			seen[log] = true
		}
		// The same as dead letters, which they are not.
		if _, err := InspectDead("/d", s); err != nil {
			t.Fatal(err)
		}
		if err := WalkDead("/d", s, func(DeadLetter) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzDeadFiles(f *testing.F) {
	whole := newSimFS()
	d := NewDead("/d", 64<<10, whole, nil)
	for i := range 80 {
		keep(f, d, i*5, 5, fmt.Sprint("reason ", i%20))
		if i == 40 {
			_ = d.Close()
			d = NewDead("/d", 64<<10, whole, nil)
		}
	}
	for i := range 20 {
		if err := d.Settle(uint64(i*15+3), 7, Replayed); err != nil {
			f.Fatal(err)
		}
	}
	_ = d.Close()
	f.Add([]byte{}, uint16(0))
	f.Add([]byte{0, 0, 100, 0xff, 1, 0, 1, 2}, uint16(0))
	f.Add([]byte{2, 0, 4, 9, 2, 0xff, 0xff, 9}, uint16(500))
	f.Fuzz(func(t *testing.T, edits []byte, cut uint16) {
		s := edited(whole, edits, cut)
		walked := map[uint64]string{}
		if err := WalkDead("/d", s, func(l DeadLetter) error {
			for i, log := range logsOf(t, l.Chunk) {
				walked[l.First+uint64(i)] = log
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		sum, err := InspectDead("/d", s)
		if err != nil || sum.Events != uint64(len(walked)) {
			t.Fatalf("%v: walked %d: %+v", err, len(walked), sum)
		}
		if _, err := Verify("/d", s); err != nil {
			t.Fatal(err)
		}
		d := NewDead("/d", 64<<10, s, nil)
		if err := d.Append(chunkOf("new", 0, 5), "new", ""); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, log := range deadLogs(t, d) {
			if !strings.HasPrefix(log, "new-") && !strings.HasPrefix(log, "a-") {
				t.Fatalf("read %q", log)
			}
			n++
		}
		if n < len(walked)+5 {
			t.Fatalf("walked %d, read %d", len(walked), n)
		}
		awaitDead(t, d, func(s DeadStats) bool { return s.Events == uint64(n) })
		if err := d.Read(func(l DeadLetter) error { return d.Settle(l.First, l.Chunk.Events, Removed) }); err != nil {
			t.Fatal(err)
		}
		if st := d.Stats(); st.Events != 0 || len(deadLogs(t, d)) > 0 {
			t.Fatalf("left: %+v", st)
		}
		_ = d.Close()
	})
}
