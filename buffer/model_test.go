package buffer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/firebreak/firebreak/record"
)

// A model is what a user of a buffer knows: what went in and what came out.
type model struct {
	t       *rapid.T
	fs      *simFS
	o       DiskOptions
	q       *queue
	fails   atomic.Bool
	next    int            // of the events
	offered uint64         // events of appends that returned
	first   int            // the newest event that was ever leased
	seen    map[string]int // how often an event was delivered
	held    []*Lease
	unsure  bool // events were lost with a process that had them in memory only
	least   int64
	mixed   bool // the disk came back late: memory was read before it
}

func (m *model) open() {
	m.fs.setHook(func(op, name string, n int) (int, error) {
		if m.fails.Load() && (op == "write" || op == "sync" || op == "create") {
			return n / 3, unix.EIO
		}
		return n, nil
	})
	m.q = openSim(m.t, m.fs, m.o)
	m.held = nil
	m.mixed = m.mixed || m.fails.Load()
	synctest.Wait()
}

func (m *model) check() {
	s := m.q.Stats()
	balanced(m.t, s)
	if m.unsure {
		m.offered, m.unsure = s.Offered, false
	}
	if s.Offered != m.offered && (s.Problem == "" || m.q.disk.opened) {
		m.t.Fatalf("offered %d, the ledger says %+v", m.offered, s)
	}
	if s.Buffered > m.offered || s.Leased > s.Buffered {
		m.t.Fatalf("offered %d, %+v", m.offered, s)
	}
	if s.MemoryBytes > m.o.Memory+2*largeBlock {
		m.t.Fatalf("held too much: %+v", s)
	}
	if n := m.fs.size(segSuffix) + m.fs.size(badSuffix); n > m.o.MaxBytes {
		m.t.Fatalf("%d bytes on disk: %+v", n, s)
	}
	m.q.mu.Lock()
	defer m.q.mu.Unlock()
	leased := uint64(0)
	for l := m.q.first; l != nil; l = l.next {
		leased += uint64(l.Chunk.Events)
	}
	if leased != s.Leased {
		m.t.Fatalf("leased %d: %+v", leased, s)
	}
	if m.q.disk.opened {
		orphans := uint64(0)
		for l := m.q.first; l != nil; l = l.next {
			if l.orphan {
				orphans += uint64(l.Chunk.Events)
			}
		}
		if open := m.q.next - m.q.pos.low - m.q.pos.acked.sum(); open+orphans != m.q.outstanding {
			m.t.Fatalf("%d events are open by their numbers, and %d in orphans: %+v", open, orphans, s)
		}
	}
}

func (m *model) lose(s Stats) {
	if s.Volatile || s.Problem != "" || m.fails.Load() { // the disk may not have been asked since it fails
		m.unsure = true
	}
}

func (m *model) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"": func(t *rapid.T) { m.t = t; m.check() },
		"append": func(t *rapid.T) {
			var list []record.Chunk
			for range rapid.IntRange(1, 4).Draw(t, "chunks") {
				n := rapid.SampledFrom([]int{1, 10, 300, 3000}).Draw(t, "events")
				list = append(list, chunkOf("a", m.next, n))
				m.next += n
				m.offered += uint64(n)
			}
			if err := m.q.Append(context.Background(), list); err != nil {
				t.Fatal(err)
			}
		},
		"lease": func(t *rapid.T) {
			for range rapid.IntRange(1, 6).Draw(t, "leases") {
				l := m.q.TryNext()
				if l == nil {
					return
				}
				m.held = append(m.held, l)
				for _, s := range logsOf(t, l.Chunk) {
					var n int
					fmt.Sscanf(s, "a-%d", &n)
					if _, old := m.seen[s]; !old {
						if n < m.first && !m.mixed {
							t.Fatalf("event %d comes first after %d", n, m.first)
						}
						m.seen[s] = 0
					}
					m.first = max(m.first, n)
				}
			}
		},
		"end": func(t *rapid.T) {
			for range min(len(m.held), rapid.IntRange(1, 4).Draw(t, "ends")) {
				i := rapid.IntRange(0, len(m.held)-1).Draw(t, "which")
				l := m.held[i]
				m.held = append(m.held[:i], m.held[i+1:]...)
				logs := logsOf(t, l.Chunk)
				var done []Settled
				at := 0
				for at < len(logs) {
					to := at + rapid.IntRange(1, len(logs)-at).Draw(t, "to")
					if fate := rapid.SampledFrom([]Fate{0, Delivered, Moved, Delivered}).Draw(t, "fate"); fate != 0 {
						done = append(done, Settled{From: at, To: to, Fate: fate, Reason: "other"})
						for _, s := range logs[at:to] {
							m.seen[s]++
						}
					}
					at = to
				}
				l.End(done...)
			}
		},
		"return all": func(*rapid.T) {
			for _, l := range m.held {
				l.Return()
			}
			m.held = nil
		},
		"close": func(t *rapid.T) {
			for _, l := range m.held {
				l.Return()
			}
			s := m.q.Stats()
			m.lose(s)
			closeCut(m.q)
			m.fs = m.fs.kill()
			m.open()
		},
		"kill": func(t *rapid.T) {
			synctest.Wait() // the position is written
			s := m.q.Stats()
			m.lose(s)
			old := m.q
			m.fs = m.fs.kill()
			closeCut(old)
			m.open()
			if now := m.q.Stats(); !s.Volatile && !now.Volatile && (now.Offered != s.Offered || now.Delivered != s.Delivered) {
				t.Fatalf("before kill -9: %+v\nafter: %+v", s, now)
			}
		},
		"configure": func(t *rapid.T) {
			parts := int64(1)
			if m.least == 1<<20 { // else nothing may be shed
				parts = rapid.Int64Range(1, 4).Draw(t, "memory")
			}
			p := Policy{MaxBytes: m.least * rapid.Int64Range(1, 3).Draw(t, "bound"), Memory: m.o.Memory / parts,
				OnFull: rapid.SampledFrom([]OnFull{ShedOldest, ShedNewest}).Draw(t, "policy"), Sync: Sync(rapid.IntRange(0, 2).Draw(t, "sync")),
				Spills: rapid.Bool().Draw(t, "spills")}
			m.o.MaxBytes = max(m.o.MaxBytes, p.MaxBytes) // of the directory, until something is shed
			m.q.Configure(p)
		},
		"fail":  func(*rapid.T) { m.fails.Store(true) },
		"heal":  func(*rapid.T) { m.fails.Store(false); time.Sleep(11 * time.Second); synctest.Wait() },
		"sleep": func(*rapid.T) { time.Sleep(time.Second); synctest.Wait() },
	}
}

func TestModel(t *testing.T) {
	for _, bound := range []int64{1 << 20, 256 << 20} {
		t.Run(fmt.Sprint(bound), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rapid.Check(struct{ testing.TB }{t}, func(t *rapid.T) { // without a deadline: the clock is not the real one
					m := &model{t: t, fs: newSimFS(), seen: map[string]int{}, first: -1, least: bound,
						o: DiskOptions{MaxBytes: bound, Memory: min(bound, 2<<20), Sync: Sync(rapid.IntRange(0, 2).Draw(t, "sync"))}}
					m.open()
					defer func() { closeCut(m.q) }()
					t.Repeat(m.actions())
					m.fails.Store(false)
					time.Sleep(11 * time.Second)
					synctest.Wait()
					for _, l := range m.held {
						l.Return()
					}
					for {
						l := m.q.TryNext()
						if l == nil {
							break
						}
						for _, s := range logsOf(t, l.Chunk) {
							m.seen[s]++
						}
						l.Deliver()
					}
					m.t = t
					m.check()
					s := m.q.Stats()
					if s.Buffered != 0 {
						t.Fatalf("left: %+v", s)
					}
					missing, shed := 0, uint64(0)
					for _, n := range m.seen {
						if n == 0 {
							missing++
						}
					}
					for _, n := range s.Shed {
						shed += n
					}
					missing += m.next - len(m.seen)
					if !m.lossy() && uint64(missing) > shed {
						t.Fatalf("%d events are missing, %d were shed: %+v", missing, shed, s)
					}
					if bound > 1<<20 && !m.lossy() && shed > 0 {
						t.Fatalf("shed without need: %+v", s)
					}
				})
			})
		})
	}
}

// lossy reports whether a process ended with events that were only in memory, at any time.
func (m *model) lossy() bool { return m.offered != uint64(m.next) }

func TestPowerCut(t *testing.T) {
	for seed := range uint64(30) {
		for _, mode := range []Sync{SyncInterval, SyncAlways, SyncNever} {
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, uint64(mode)))
				s := newSimFS()
				o := DiskOptions{MaxBytes: 1 << 20, Sync: mode, OnFull: ShedNewest}
				next, delivered := 0, map[string]bool{}
				safe := 0      // all below must survive
				var acks []int // next, at the times of the last seconds
				for range 3 {
					b := openSim(t, s, o)
					for range r.IntN(40) {
						n := 1 + r.IntN(200)
						put(t, b, chunkOf("a", next, n))
						next += n
						for range r.IntN(3) {
							if l := b.TryNext(); l != nil {
								if r.IntN(5) == 0 {
									l.Return()
									continue
								}
								for _, e := range logsOf(t, l.Chunk) {
									delivered[e] = true
								}
								l.Deliver()
							}
						}
						if r.IntN(6) == 0 {
							acks = append(acks, next)
							time.Sleep(1100 * time.Millisecond)
							synctest.Wait()
						}
					}
					switch mode {
					case SyncAlways:
						safe = next
					case SyncInterval: // the interval, and a sync under way
						if len(acks) > 0 {
							safe = acks[len(acks)-1]
						}
					}
					st := b.Stats()
					if st.Shed[ReasonFull] > 0 {
						t.Fatal("the test needs a larger bound")
					}
					s2 := s.cut(r)
					closeCut(b)
					s = s2
					b = openSim(t, s, o)
					put(t, b, chunkOf("x", 0, 1))
					balanced(t, b.Stats())
					seen := map[string]bool{}
					last := -1
					for {
						l := b.TryNext()
						if l == nil {
							break
						}
						for _, e := range logsOf(t, l.Chunk) {
							seen[e] = true
							var n int
							if _, err := fmt.Sscanf(e, "a-%d", &n); err == nil && n <= last {
								t.Fatalf("%d after %d", n, last)
							} else if err == nil {
								last = n
							}
						}
						l.Deliver()
					}
					for i := range safe {
						if e := fmt.Sprintf("a-%d", i); !seen[e] && !delivered[e] {
							t.Fatalf("mode %d, seed %d: event %d of %d is lost; %+v", mode, seed, i, safe, b.Stats())
						}
					}
					for e := range seen {
						delivered[e] = true
					}
					for i := range next { // what is lost by now is lost
						delivered[fmt.Sprintf("a-%d", i)] = true
					}
					st = b.Stats()
					balanced(t, st)
					if st.Buffered != 0 || st.Volatile {
						t.Fatalf("mode %d, seed %d: %+v", mode, seed, st)
					}
					if !seen["x-0"] {
						t.Fatal("the new event is lost")
					}
					acks = nil
					s2 = s.kill()
					closeCut(b)
					s = s2
				}
			})
		}
	}
}

// killAt runs a buffer under load and ends it at the nth access to the file system: before it, in the middle of it or
// after it. It returns false when there were fewer.
func killAt(t *testing.T, nth int, how int, mode Sync) bool {
	s := newSimFS()
	o := DiskOptions{MaxBytes: 1 << 20, Sync: mode}
	var count atomic.Int64
	var image atomic.Pointer[simFS]
	acked, leased := 0, map[string]bool{}
	gone := map[string]bool{} // ended, and the position was written since
	s.setHook(func(op, name string, n int) (int, error) {
		if op == "read" || int(count.Add(1)) != nth {
			return n, nil
		}
		return n / 2 * how, errKilled // how 2: all of it
	})
	if how == 2 {
		inner := s.hook
		s.hook = func(op, name string, n int) (int, error) {
			if int(count.Load()) >= nth && op != "read" {
				image.CompareAndSwap(nil, s.kill())
				return 0, errKilled
			}
			if cut, err := inner(op, name, n); err != nil && op != "write" {
				return n, nil
			} else if err != nil {
				return cut, nil
			}
			return n, nil
		}
	} else {
		inner := s.hook
		s.hook = func(op, name string, n int) (int, error) {
			cut, err := inner(op, name, n)
			if err != nil && op != "write" {
				image.CompareAndSwap(nil, s.kill())
			}
			if int(count.Load()) > nth && image.Load() == nil && op != "read" {
				image.CompareAndSwap(nil, s.kill())
				return 0, errKilled
			}
			return cut, err
		}
	}
	b := openSim(t, s, o)
	var held []*Lease
	delivered := map[string]bool{}
	for i := 0; i < 60 && image.Load() == nil; i++ {
		n := 40
		_ = b.Append(context.Background(), []record.Chunk{chunkOf("a", i*n, n)})
		synctest.Wait()
		if int(count.Load()) >= nth {
			break // this append may have been cut
		}
		acked = (i + 1) * n
		for e := range delivered {
			gone[e] = true
		}
		if l := b.TryNext(); l != nil {
			held = append(held, l)
			for _, e := range logsOf(t, l.Chunk) {
				leased[e] = true
			}
		}
		if len(held) > 3 {
			for _, e := range logsOf(t, held[1].Chunk) {
				delivered[e] = true
				delete(leased, e)
			}
			held[1].Deliver()
			held = append(held[:1], held[2:]...)
			synctest.Wait()
			if int(count.Load()) < nth {
				for e := range delivered {
					gone[e] = true
				}
			}
		}
	}
	reached := int(count.Load()) >= nth
	s2 := image.Load()
	if s2 == nil {
		s2 = s.kill()
	}
	closeCut(b)
	b = openSim(t, s2, o)
	put(t, b, chunkOf("x", 0, 1))
	seen := map[string]bool{}
	for {
		l := b.TryNext()
		if l == nil {
			break
		}
		for _, e := range logsOf(t, l.Chunk) {
			if seen[e] {
				t.Fatalf("%s twice in one run", e)
			}
			if gone[e] {
				t.Fatalf("access %d.%d: %s was ended, and is here again", nth, how, e)
			}
			seen[e] = true
		}
		l.Deliver()
	}
	for i := range acked {
		if e := fmt.Sprintf("a-%d", i); !seen[e] && !delivered[e] {
			t.Fatalf("access %d.%d, mode %d: %s is lost; %+v", nth, how, mode, e, b.Stats())
		}
	}
	st := b.Stats()
	balanced(t, st)
	if st.Buffered != 0 || len(st.Shed) > 0 || st.Offered < uint64(acked) {
		t.Fatalf("access %d.%d: acked %d, %+v", nth, how, acked, st)
	}
	closeCut(b)
	return reached
}

func TestKilledAtEachAccess(t *testing.T) {
	for _, mode := range []Sync{SyncInterval, SyncAlways} {
		for how := range 3 {
			t.Run(fmt.Sprint(mode, strings.Repeat("+", how)), func(t *testing.T) {
				n, step := 1+how, 3
				if os.Getenv("FIREBREAK_SOAK") != "" {
					n, step = 1, 1
				}
				for more := true; more; n += step {
					synctest.Test(t, func(t *testing.T) { more = killAt(t, n, how, mode) })
				}
				if n < 50 {
					t.Errorf("only %d accesses", n)
				}
			})
		}
	}
}
