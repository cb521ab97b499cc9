package buffer

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// deadLogs returns the logs of all that is not settled, with the number of each.
func deadLogs(t testing.TB, d *Dead) map[uint64]string {
	t.Helper()
	out := map[uint64]string{}
	err := d.Read(func(l DeadLetter) error {
		for i, log := range logsOf(t, l.Chunk) {
			out[l.First+uint64(i)] = log
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// awaitDead waits until what an earlier process left is counted.
func awaitDead(t testing.TB, d *Dead, ok func(DeadStats) bool) DeadStats {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		s := d.Stats()
		if ok(s) {
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("never came: %+v", s)
		}
	}
}

func keep(t testing.TB, d *Dead, from, n int, reason string) {
	t.Helper()
	c := chunkOf("a", from, n)
	c.Arrived = time.Unix(1700000000+int64(from), 0)
	if err := d.Append(c, reason, "detail"); err != nil {
		t.Fatal(err)
	}
}

func TestSettledDeadLettersAreGone(t *testing.T) {
	s := newSimFS()
	d := NewDead("/d", 1<<20, s, nil)
	for i := range 10 {
		keep(t, d, i*10, 10, []string{"rejected", "encode"}[i%2])
	}
	settle := func(first uint64, n int, fate DeadFate) {
		t.Helper()
		if err := d.Settle(first, n, fate); err != nil {
			t.Fatal(err)
		}
	}
	settle(0, 10, Replayed)
	settle(15, 10, Removed) // the end of one, the beginning of another
	settle(0, 20, Replayed) // 10 to 14 are new
	settle(7, 0, Removed)
	want := map[string]uint64{"rejected": 35, "encode": 40}
	check := func(when string) {
		t.Helper()
		st := awaitDead(t, d, func(s DeadStats) bool { return !s.Oldest.IsZero() && len(s.Reasons) == 2 && s.Events == 75 })
		if st.Replayed != 15 || st.Removed != 10 || !maps.Equal(st.Reasons, want) || !st.Oldest.Equal(time.Unix(1700000020, 0)) {
			t.Errorf("%s: %+v", when, st)
		}
		got := deadLogs(t, d)
		if len(got) != 75 {
			t.Errorf("%s: read %d", when, len(got))
		}
		for n, log := range got {
			if n < 25 || log != fmt.Sprintf("a-%d", n) {
				t.Errorf("%s: number %d is %s", when, n, log)
			}
		}
	}
	check("at once")
	_ = d.Close()
	d = NewDead("/d", 1<<20, s.kill(), nil)
	if got := deadLogs(t, d); len(got) != 75 {
		t.Fatalf("read %d", len(got))
	}
	check("after a restart")
	var parts []string
	_ = d.Read(func(l DeadLetter) error {
		parts = append(parts, fmt.Sprint(l.First, " ", l.Chunk.Events, " ", l.Reason, " ", l.Detail))
		return nil
	})
	if parts[0] != "25 5 rejected detail" || parts[1] != "30 10 encode detail" {
		t.Errorf("read %v", parts)
	}
	if d.Settle(100, 1, Replayed) == nil || d.Settle(99, 2, Replayed) == nil || d.Settle(5, 1, 0) == nil || d.Settle(5, -1, Removed) == nil || d.Settle(1<<63, 1, Removed) == nil {
		t.Error("settled what isn't there")
	}
	_ = d.Close()
}

// Numbers are never used twice, though all segments are gone.
func TestEverythingSettledLeavesNoSegment(t *testing.T) {
	s := newSimFS()
	d := NewDead("/d", 256<<10, s, nil)
	for i := range 200 {
		keep(t, d, i*20, 20, "x")
	}
	n := d.Stats().Events
	kept := deadLogs(t, d)
	first := uint64(4000) - n
	for i := first; i < 4000; i += 10 {
		if err := d.Settle(i, 10, Replayed); err != nil {
			t.Fatal(err)
		}
		if got := s.size(segSuffix); got > int64(4000-i)*80+40<<10 {
			t.Fatalf("%d bytes are left with %d events", got, 4000-i)
		}
	}
	if st := d.Stats(); st.Events != 0 || st.Replayed != n || st.Bytes != 0 || len(s.segments()) > 0 || len(kept) != int(n) || st.Reasons["x"] != 0 || !st.Oldest.IsZero() {
		t.Errorf("%+v, %v", st, s.segments())
	}
	_ = d.Close()
	d = NewDead("/d", 256<<10, s, nil)
	keep(t, d, 4000, 5, "x")
	if got := deadLogs(t, d); len(got) != 5 || got[4000] != "a-4000" {
		t.Errorf("read %v", got)
	}
	if err := d.Settle(4000, 5, Removed); err != nil {
		t.Error(err)
	}
	if st := d.Stats(); st.Removed != 5 || st.Replayed != n {
		t.Errorf("%+v", st)
	}
}

func TestSettlingHereAndThereIsBounded(t *testing.T) {
	d := NewDead("/d", 8<<20, newSimFS(), nil)
	keep(t, d, 0, 5000, "x")
	var err error
	n := 0
	for ; n < 2000 && err == nil; n++ {
		err = d.Settle(uint64(1+2*n), 1, Replayed)
	}
	if err == nil || !strings.Contains(err.Error(), "in order") || n-1 != maxAcked {
		t.Fatalf("after %d: %v", n, err)
	}
	if st := d.Stats(); st.Replayed != maxAcked || st.Events != 5000-maxAcked {
		t.Errorf("%+v", st)
	}
	if err := d.Settle(0, 2*n, Replayed); err != nil { // in order
		t.Error(err)
	}
	if st := d.Stats(); st.Replayed != uint64(2*n) {
		t.Errorf("%+v", st)
	}
}

func TestDiscardedDeadLettersCountOnce(t *testing.T) {
	d := NewDead("/d", 256<<10, newSimFS(), nil)
	for i := range 50 {
		keep(t, d, i*20, 20, "x")
	}
	if err := d.Settle(10, 500, Removed); err != nil {
		t.Fatal(err)
	}
	for i := 50; i < 1000; i++ {
		keep(t, d, i*20, 20, "x")
	}
	st := d.Stats()
	if st.Events+st.Discarded+st.Removed != 20000 || st.Removed != 500 || len(deadLogs(t, d)) != int(st.Events) || st.Reasons["x"] != st.Events {
		t.Errorf("%+v", st)
	}
	if err := d.Settle(0, 100, Replayed); err != nil || d.Stats().Replayed != 0 {
		t.Errorf("settled what is gone: %v, %+v", err, d.Stats())
	}
}

// A damaged dead letter is neither counted nor read, and its segment stays for those who can make sense of it.
func TestDamagedDeadLetters(t *testing.T) {
	s := newSimFS()
	d := NewDead("/d", 1<<20, s, nil)
	for i := range 10 {
		keep(t, d, i*10, 10, "x")
	}
	_ = d.Close()
	file := s.files[s.segments()[0]].data
	off := segHeadSize
	for range 4 {
		h := headOf(file[off:])
		off += h.size()
	}
	file[off+headSize+30] ^= 1
	d = NewDead("/d", 1<<20, s, nil)
	keep(t, d, 100, 10, "x")
	awaitDead(t, d, func(s DeadStats) bool { return s.Events == 100 })
	if got := deadLogs(t, d); len(got) != 100 || got[40] != "" || got[50] != "a-50" {
		t.Errorf("read %d", len(got))
	}
	err := d.Read(func(l DeadLetter) error { return d.Settle(l.First, l.Chunk.Events, Replayed) })
	if st := d.Stats(); err != nil || st.Events != 0 || st.Replayed != 100 || len(s.segments()) != 1 {
		t.Errorf("%v: %+v, %v", err, st, s.segments())
	}
}

func TestSettleOnADiskThatFailsOrHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimFS()
		d := NewDead("/d", 1<<20, s, nil)
		keep(t, d, 0, 10, "x")
		for _, op := range []string{"write", "sync", "syncdir"} {
			s.setHook(func(o, name string, n int) (int, error) {
				if o == op {
					return n / 2, unix.EIO
				}
				return n, nil
			})
			if err := d.Settle(0, 5, Replayed); !errors.Is(err, unix.EIO) {
				t.Errorf("%s: %v", op, err)
			}
			s.setHook(nil)
			if st := d.Stats(); st.Replayed != 0 || st.Events != 10 || len(deadLogs(t, d)) != 10 {
				t.Errorf("%s: %+v", op, st)
			}
		}
		gate := make(chan struct{})
		s.setHook(func(op, _ string, n int) (int, error) {
			if op == "sync" {
				<-gate
			}
			return n, nil
		})
		start := time.Now()
		for range 10 {
			if d.Settle(0, 5, Replayed) == nil {
				t.Fatal("settled on a disk that hangs")
			}
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("took %v", took)
		}
		close(gate)
		synctest.Wait()
		s.setHook(nil)
		if err := d.Settle(0, 10, Replayed); err != nil || d.Stats().Replayed != 10 {
			t.Errorf("%v, %+v", err, d.Stats())
		}
		_ = d.Close()
	})
}

// settleCut appends and settles until the nth access to the file system, ends the process there, before it, in the middle
// of it or after it, by kill -9 or by a power cut, and looks at what is left.
func settleCut(t *testing.T, nth, how int, power *rand.Rand) bool {
	s := newSimFS()
	var count atomic.Int64
	var image atomic.Pointer[simFS]
	end := func() {
		if power != nil {
			image.CompareAndSwap(nil, s.cut(power))
		} else {
			image.CompareAndSwap(nil, s.kill())
		}
	}
	s.setHook(func(op, _ string, n int) (int, error) {
		if op == "read" || op == "open" || op == "readdir" {
			return n, nil
		}
		k := int(count.Add(1))
		switch {
		case k > nth || k == nth && how < 2 && op != "write":
			end()
			return 0, errKilled
		case k == nth && op == "write":
			return n / 2 * how, errKilled
		}
		return n, nil
	})
	d := NewDead("/d", 64<<10, s, nil) // segments of 8 KiB
	kept, asked, settled := 0, [2]uint64{}, map[uint64]DeadFate{}
	replayed, removed := uint64(0), uint64(0)
	for i := 0; i < 25 && image.Load() == nil; i++ {
		if d.Append(chunkOf("a", kept, 30), "x", "") != nil {
			break
		}
		kept += 30
		if i%3 != 2 {
			continue
		}
		first, fate := uint64(i/3*40), Replayed
		if i%2 == 0 {
			first, fate = first+uint64(i%5)*7, Removed
		}
		asked = [2]uint64{first, first + 40}
		if d.Settle(first, 40, fate) != nil {
			break
		}
		asked = [2]uint64{}
		for n := first; n < first+40; n++ {
			if settled[n] == 0 {
				settled[n] = fate
				if fate == Replayed {
					replayed++
				} else {
					removed++
				}
			}
		}
	}
	reached := int(count.Load()) >= nth
	s2 := image.Load()
	if s2 == nil {
		end()
		s2 = image.Load()
	}
	_ = d.Close()
	d = NewDead("/d", 64<<10, s2, nil)
	got := deadLogs(t, d)
	for n := range uint64(kept) {
		log, here := got[n]
		maybe := n >= asked[0] && n < asked[1]
		if here && log != fmt.Sprintf("a-%d", n) {
			t.Fatalf("access %d.%d: number %d is %s", nth, how, n, log)
		}
		if here && settled[n] != 0 {
			t.Fatalf("access %d.%d: %s is settled, and here again", nth, how, log)
		}
		if !here && settled[n] == 0 && !maybe {
			t.Fatalf("access %d.%d: number %d of %d is lost", nth, how, n, kept)
		}
	}
	st := awaitDead(t, d, func(s DeadStats) bool { return s.Reasons["x"] == uint64(len(got)) && s.Events == uint64(len(got)) })
	more := asked[1] - asked[0]
	if sum := st.Replayed + st.Removed; st.Replayed < replayed || st.Removed < removed || sum > replayed+removed+more || st.Events != uint64(len(got)) {
		t.Fatalf("access %d.%d: replayed %d, removed %d, maybe %d more: %+v", nth, how, replayed, removed, more, st)
	}
	// It goes on, with numbers of its own.
	if err := d.Append(chunkOf("new", 0, 3), "y", ""); err != nil {
		t.Fatal(err)
	}
	again := deadLogs(t, d)
	if len(again) != len(got)+3 {
		t.Fatalf("access %d.%d: %d, and then %d", nth, how, len(got), len(again))
	}
	if err := d.Read(func(l DeadLetter) error { return d.Settle(l.First, l.Chunk.Events, Removed) }); err != nil || len(deadLogs(t, d)) > 0 || d.Stats().Events != 0 {
		t.Fatalf("access %d.%d: %v: %+v", nth, how, err, d.Stats())
	}
	_ = d.Close()
	return reached
}

func TestSettleKilledAtEachAccess(t *testing.T) {
	for how := range 3 {
		n := 1
		for settleCut(t, n, how, nil) {
			n++
		}
		if n < 50 {
			t.Errorf("only %d accesses", n)
		}
	}
}

func TestSettleAndPowerCut(t *testing.T) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 1))
		for n := 1 + int(seed%3); settleCut(t, n, int(seed%3), r); n += 3 {
		}
	}
}

func TestDeadLettersOfAnOlderVersion(t *testing.T) {
	s := newSimFS()
	d := NewDead("/d", 1<<20, s, nil)
	keep(t, d, 0, 10, "x")
	_ = d.Close()
	if s.files["/d/position"] != nil {
		t.Fatal("a position without anything settled")
	}
	s.files["/d/position"] = &simNode{data: make([]byte, 100)} // or an empty one
	d = NewDead("/d", 1<<20, s, nil)
	if got := deadLogs(t, d); len(got) != 10 {
		t.Errorf("read %v", got)
	}
	if err := d.Settle(0, 4, Replayed); err != nil {
		t.Error(err)
	}
	if got := deadLogs(t, d); len(got) != 6 {
		t.Errorf("read %v", got)
	}
	_ = d.Close()
}
