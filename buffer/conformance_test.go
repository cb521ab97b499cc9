package buffer

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/firebreak/firebreak/internal/mp"
	"github.com/firebreak/firebreak/record"
)

// chunkOf makes a chunk of n events whose logs are tag-i, counted from first.
func chunkOf(tag string, first, n int) record.Chunk {
	c := record.Chunk{Tag: tag, Route: "r", Attrs: record.NewAttrs(record.Attr{Key: "host", Value: "h1"}),
		Arrived: time.Now(), Oldest: time.Unix(1700000000, 5), Newest: time.Unix(1700000009, 6), Events: n}
	for i := range n {
		rec := mp.AppendStr(mp.AppendStr(mp.AppendMap(nil, 1), "log"), fmt.Sprintf("%s-%d", tag, first+i))
		c.Data = record.AppendEntry(c.Data, time.Unix(1700000000, 0), rec)
	}
	return c
}

func logsOf(t tester, c record.Chunk) []string {
	t.Helper()
	var out []string
	it := record.Iterate(&c)
	for it.Next() {
		v, _ := record.Text(record.ParsePath("log").Lookup(it.Event().Record))
		out = append(out, string(v))
	}
	if it.Err() != nil || len(out) != c.Events {
		t.Fatalf("chunk of %d events holds %d: %v", c.Events, len(out), it.Err())
	}
	return out
}

func balanced(t tester, s Stats) {
	t.Helper()
	sum := s.Delivered + s.Buffered
	for _, m := range []map[string]uint64{s.DeadLettered, s.Shed, s.Moved} {
		for _, n := range m {
			sum += n
		}
	}
	if sum != s.Offered {
		t.Fatalf("ledger doesn't balance: offered %d, accounted for %d: %+v", s.Offered, sum, s)
	}
}

func closeNow(t testing.TB, b Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

func nextLease(t testing.TB, b Buffer) *Lease {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	l, err := b.Next(ctx)
	if err != nil {
		t.Fatalf("no lease: %v; %+v", err, b.Stats())
	}
	return l
}

func put(t testing.TB, b Buffer, chunks ...record.Chunk) {
	t.Helper()
	if err := b.Append(context.Background(), chunks); err != nil {
		t.Fatal(err)
	}
}

// each runs a test over every implementation of the contract.
func each(t *testing.T, f func(t *testing.T, open func(maxBytes int64, p OnFull) Buffer)) {
	t.Run("disk", func(t *testing.T) {
		f(t, func(maxBytes int64, p OnFull) Buffer {
			b, err := OpenDisk(DiskOptions{Dir: t.TempDir(), Name: "d", MaxBytes: maxBytes, OnFull: p})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { closeNow(t, b) })
			return b
		})
	})
	t.Run("memory", func(t *testing.T) {
		f(t, func(maxBytes int64, p OnFull) Buffer {
			b := OpenMemory(MemoryOptions{Name: "m", MaxBytes: maxBytes, OnFull: p})
			t.Cleanup(func() { closeNow(t, b) })
			return b
		})
	})
}

func TestLeasesComeInOrderWithEverything(t *testing.T) {
	each(t, func(t *testing.T, open func(int64, OnFull) Buffer) {
		b := open(64<<20, ShedOldest)
		for i := range 100 {
			put(t, b, chunkOf("a", i*10, 10), chunkOf("b", i*10, 3))
		}
		for i := range 100 {
			l := nextLease(t, b)
			if got := logsOf(t, l.Chunk); got[0] != fmt.Sprintf("a-%d", i*10) || len(got) != 10 {
				t.Fatalf("lease %d holds %v", i, got)
			}
			want := chunkOf("a", 0, 10)
			if l.Chunk.Tag != "a" || l.Chunk.Route != "r" || !l.Chunk.Attrs.Equal(want.Attrs) || !l.Chunk.Oldest.Equal(want.Oldest) || !l.Chunk.Newest.Equal(want.Newest) {
				t.Fatalf("chunk lost something: %+v", l.Chunk)
			}
			l.Deliver()
			l = nextLease(t, b)
			if l.Chunk.Tag != "b" {
				t.Fatalf("tag %q out of order", l.Chunk.Tag)
			}
			l.Deliver()
			balanced(t, b.Stats())
		}
		if s := b.Stats(); s.Buffered != 0 || s.Delivered != 1300 || s.Leased != 0 {
			t.Errorf("at the end: %+v", s)
		}
		if b.TryNext() != nil {
			t.Error("a lease out of nothing")
		}
	})
}

func TestReturnedEventsComeFirstAndInOrder(t *testing.T) {
	each(t, func(t *testing.T, open func(int64, OnFull) Buffer) {
		b := open(64<<20, ShedOldest)
		for i := range 4 {
			put(t, b, chunkOf("a", i*10, 10))
		}
		l0, l1, l2 := nextLease(t, b), nextLease(t, b), nextLease(t, b)
		id := l0.ID
		l2.Return()
		l1.End(Settled{From: 2, To: 4, Fate: Delivered}, Settled{From: 4, To: 5, Fate: DeadLettered, Reason: "x"})
		l0.Return()
		var got []string
		for range 5 {
			l := nextLease(t, b)
			if len(got) == 0 && (l.ID != id || l.Attempts != 1) {
				t.Errorf("id %v, attempts %d; want %v, 1", l.ID, l.Attempts, id)
			}
			got = append(got, logsOf(t, l.Chunk)...)
			l.Deliver()
			balanced(t, b.Stats())
		}
		var want []string
		for i := range 40 {
			if i < 12 || i > 14 {
				want = append(want, fmt.Sprintf("a-%d", i))
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
		if s := b.Stats(); s.Delivered != 39 || s.DeadLettered["x"] != 1 || s.Buffered != 0 {
			t.Errorf("at the end: %+v", s)
		}
	})
}

func TestShedOldestKeepsTheBoundAndTheNewest(t *testing.T) {
	each(t, func(t *testing.T, open func(int64, OnFull) Buffer) {
		b := open(1<<20, ShedOldest)
		const n = 4000
		first := nextLeaseAfter(t, b, chunkOf("a", 0, 100))
		for i := 1; i < n; i++ {
			put(t, b, chunkOf("a", i*100, 100))
			if s := b.Stats(); s.DiskBytes > 1<<20 || s.MemoryBytes > 9<<20 {
				t.Fatalf("over the bound: %+v", s)
			}
		}
		balanced(t, b.Stats())
		if got := logsOf(t, first.Chunk); got[99] != "a-99" {
			t.Errorf("lease in a shed segment reads %v", got[99])
		}
		first.Deliver()
		last := -1
		for {
			l := b.TryNext()
			if l == nil {
				break
			}
			for _, s := range logsOf(t, l.Chunk) {
				var k int
				fmt.Sscanf(s, "a-%d", &k)
				if k <= last {
					t.Fatalf("%d after %d", k, last)
				}
				last = k
			}
			l.Deliver()
		}
		s := b.Stats()
		balanced(t, s)
		if last != n*100-1 || s.Buffered != 0 || s.Shed[ReasonFull] == 0 || s.Delivered < 100 {
			t.Errorf("last is %d; %+v", last, s)
		}
	})
}

func nextLeaseAfter(t testing.TB, b Buffer, c record.Chunk) *Lease {
	put(t, b, c)
	return nextLease(t, b)
}

func TestShedNewestRefuses(t *testing.T) {
	each(t, func(t *testing.T, open func(int64, OnFull) Buffer) {
		b := open(1<<20, ShedNewest)
		for i := range 2000 {
			put(t, b, chunkOf("a", i*100, 100))
		}
		s := b.Stats()
		balanced(t, s)
		if s.Offered != 200000 || s.Shed[ReasonFull] == 0 || !s.Full {
			t.Fatalf("%+v", s)
		}
		l := nextLease(t, b)
		if got := logsOf(t, l.Chunk); got[0] != "a-0" {
			t.Errorf("oldest is %s", got[0])
		}
		l.Deliver()
	})
}

func TestBlockWaitsForRoom(t *testing.T) {
	each(t, func(t *testing.T, open func(int64, OnFull) Buffer) {
		b := open(1<<20, Block)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range 2000 {
				put(t, b, chunkOf("a", i*100, 100))
			}
		}()
		for i := range 2000 {
			l := nextLease(t, b)
			if got := logsOf(t, l.Chunk); got[0] != fmt.Sprintf("a-%d", i*100) {
				t.Fatalf("lease %d starts with %s", i, got[0])
			}
			l.Deliver()
		}
		<-done
		s := b.Stats()
		balanced(t, s)
		if s.Delivered != 200000 {
			t.Errorf("%+v", s)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		for range 2000 {
			if err := b.Append(ctx, []record.Chunk{chunkOf("a", 0, 100)}); err != nil {
				return
			}
		}
		t.Error("a full buffer took everything")
	})
}

func TestRestartKeepsEventsAndLedger(t *testing.T) {
	dir := t.TempDir()
	open := func() Buffer {
		b, err := OpenDisk(DiskOptions{Dir: dir, Name: "d", MaxBytes: 64 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := open()
	for i := range 30 {
		put(t, b, chunkOf("a", i*10, 10))
	}
	for range 10 {
		nextLease(t, b).Deliver()
	}
	l := nextLease(t, b)
	l.End(Settled{From: 0, To: 4, Fate: Delivered})
	skipped := nextLease(t, b)
	_ = skipped
	nextLease(t, b) // 104-109 again is skipped; this is 110-119
	closeNow(t, b)

	b = open()
	defer closeNow(t, b)
	put(t, b, chunkOf("a", 300, 10))
	s := b.Stats()
	balanced(t, s)
	if s.Delivered != 104 || s.Offered != 310 || s.Buffered != 206 {
		t.Fatalf("after the restart: %+v", s)
	}
	next := 104
	for next < 310 {
		l := nextLease(t, b)
		for _, g := range logsOf(t, l.Chunk) {
			if g != fmt.Sprintf("a-%d", next) {
				t.Fatalf("got %s, want a-%d", g, next)
			}
			next++
		}
		l.Deliver()
	}
	s = b.Stats()
	balanced(t, s)
	if s.Buffered != 0 || s.Delivered != 310 {
		t.Errorf("%+v", s)
	}
}

// A tester is a testing.TB or a rapid.T.
type tester interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}
