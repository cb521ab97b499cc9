package buffer

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/firebreak/firebreak/record"
)

// readOnly fails the test when anything but reading is done.
func readOnly(t testing.TB, s *simFS) {
	s.setHook(func(op, name string, n int) (int, error) {
		if op != "read" && op != "open" && op != "readdir" {
			t.Errorf("%s of %s", op, name)
		}
		return n, nil
	})
}

func walked(t testing.TB, s FS, filter Filter) (logs []string) {
	t.Helper()
	err := Walk("/d", s, filter, func(c Stored) error {
		for i, log := range logsOf(t, c.Chunk) {
			var n uint64
			if _, err := fmt.Sscanf(log, "a-%d", &n); err == nil && n != c.First+uint64(i) {
				t.Errorf("number %d is %s", c.First+uint64(i), log)
			}
			logs = append(logs, log)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return logs
}

func inspected(t testing.TB, s FS) (Summary, Report) {
	t.Helper()
	sum, err := Inspect("/d", s)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Verify("/d", s)
	if err != nil {
		t.Fatal(err)
	}
	return sum, r
}

func (s *Summary) account() uint64 {
	n := s.Ledger.Delivered + s.Ledger.Buffered + s.Ledger.Unknown
	for _, m := range []map[string]uint64{s.Ledger.DeadLettered, s.Ledger.Shed, s.Ledger.Moved} {
		for _, k := range m {
			n += k
		}
	}
	return n
}

func TestInspectAStoppedBuffer(t *testing.T) {
	s := newSimFS()
	b := openSim(t, s, DiskOptions{MaxBytes: 1 << 20})
	for i := range 300 {
		put(t, b, chunkOf("a", i*50, 50))
	}
	nextLease(t, b).Deliver()
	nextLease(t, b).End(Settled{To: 5, Fate: Moved, Reason: "other"}, Settled{From: 7, To: 9, Fate: DeadLettered, Reason: "x"})
	b.Account(3, Shed, "too_large")
	st := b.Stats()
	closeNow(t, b)
	readOnly(t, s)
	sum, r := inspected(t, s)
	l := sum.Ledger
	if l.Offered != st.Offered || l.Delivered != 50 || l.Moved["other"] != 5 || l.DeadLettered["x"] != 2 || l.Shed["too_large"] != 3 ||
		l.Buffered != st.Buffered || sum.Buffered != st.Buffered || l.Unknown != 0 || sum.account() != l.Offered {
		t.Errorf("%+v\nis %+v", st, sum)
	}
	if sum.Low != 55 || !slices.Equal(sum.Ranges, []Range{{57, 59}}) || sum.Oldest.IsZero() || sum.Newest.Before(sum.Oldest) || sum.TornTail != 0 || len(sum.Problems) > 0 {
		t.Errorf("%+v", sum)
	}
	if sum.Bytes != s.size(segSuffix) || len(sum.Segments) != len(s.segments()) || sum.Segments[0].Events == 0 || sum.Segments[0].Frames*50 != sum.Segments[0].Events {
		t.Errorf("%+v", sum)
	}
	if !r.OK || r.Frames != 300 || r.Events != 15000 || r.Bytes != sum.Bytes || r.Dead || r.Missing != 0 {
		t.Errorf("%+v", r)
	}
	logs := walked(t, s, Filter{})
	want := []string{"a-55", "a-56"}
	for i := 59; i < 15000; i++ {
		want = append(want, fmt.Sprintf("a-%d", i))
	}
	if !slices.Equal(logs, want) {
		t.Errorf("walked %d, want %d", len(logs), len(want))
	}
	wantRun(t, walked(t, s, Filter{All: true}), "a", 0, 15000)
	wantRun(t, walked(t, s, Filter{From: 120, To: 280}), "a", 120, 280)
	wantRun(t, walked(t, s, Filter{All: true, From: 54, To: 61}), "a", 54, 61)
	if got := walked(t, s, Filter{Until: sum.Oldest}); len(got) > 0 {
		t.Errorf("%d are older than the oldest", len(got))
	}
	if got := walked(t, s, Filter{Since: sum.Newest.Add(1)}); len(got) > 0 {
		t.Errorf("%d are newer than the newest", len(got))
	}
	n := 0
	stop := errors.New("enough")
	if err := Walk("/d", s, Filter{}, func(Stored) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("%v after %d", err, n)
	}
	text, err := json.Marshal(sum)
	if err != nil || !strings.Contains(string(text), `"torn_tail_bytes":0`) || !strings.Contains(string(text), `"dead_lettered":{"x":2}`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestInspectSaysWhatIsNotThere(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []func(string) error{
		func(d string) error { _, err := Inspect(d, nil); return err },
		func(d string) error { _, err := Verify(d, nil); return err },
		func(d string) error { return Walk(d, nil, Filter{}, func(Stored) error { return nil }) },
	} {
		if err := f(dir + "/none"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("of no directory: %v", err)
		}
		if err := f(dir); err != nil {
			t.Errorf("of an empty directory: %v", err)
		}
	}
	if s, err := InspectDead(dir+"/none", nil); err != nil || s.Events != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestInspectFindsDamage(t *testing.T) {
	kinds := map[string]func(frame []byte){
		"body":     func(f []byte) { f[len(f)-1] ^= 1 },
		"meta":     func(f []byte) { f[headSize] ^= 1 },
		"head":     func(f []byte) { f[10] ^= 1 },
		"magic":    func(f []byte) { f[0] ^= 1 },
		"length":   func(f []byte) { binary.LittleEndian.PutUint32(f[20:], 1<<30) },
		"zeros":    func(f []byte) { clear(f) },
		"repeated": func(f []byte) { copy(f, slices.Repeat([]byte("FBF1"), len(f))) },
		"older":    nil,
	}
	for name, damage := range kinds {
		for _, at := range []int{3, -1} { // from the front of the first segment; its last
			t.Run(fmt.Sprint(name, at), func(t *testing.T) {
				s := filled(t)
				seg := s.segments()[0]
				file := s.files[seg].data
				var offs []int
				for off := segHeadSize; off < len(file); {
					offs = append(offs, off)
					h := headOf(file[off:])
					off += h.size()
				}
				at := (at + len(offs)) % len(offs)
				h := headOf(file[offs[at]:])
				frame := file[offs[at] : offs[at]+h.size()]
				if damage == nil {
					copy(frame, file[offs[at-1]:offs[at]])
				} else {
					damage(frame)
				}
				readOnly(t, s)
				sum, r := inspected(t, s)
				if r.OK || r.Missing != 50 || len(r.Gaps) != 1 || r.Gaps[0] != (Range{uint64(at * 50), uint64(at*50 + 50)}) || len(r.Bad) == 0 || r.BadBytes < 1 {
					t.Fatalf("%+v", r)
				}
				for _, d := range r.Bad {
					if "/d/"+d.Segment != seg || d.Offset < int64(offs[at]) || d.Offset+d.Length > int64(offs[at]+h.size()) || d.What == "" {
						t.Errorf("%+v, but the frame is at %d, %d bytes", d, offs[at], h.size())
					}
				}
				if sum.Buffered != 15000-55-50 || sum.Ledger.Buffered != 15000-55 || sum.Segments[0].Damaged != r.BadBytes || sum.account() != sum.Ledger.Offered {
					t.Errorf("%+v", sum)
				}
				if got := walked(t, s, Filter{}); len(got) != 15000-55-50 {
					t.Errorf("walked %d", len(got))
				}
			})
		}
	}
}

func TestInspectFindsWhatIsMissing(t *testing.T) {
	t.Run("segment", func(t *testing.T) {
		s := filled(t)
		names := s.segments()
		_, first, _ := parseSegName(names[1][3:])
		_, next, _ := parseSegName(names[2][3:])
		delete(s.files, names[1])
		if _, r := inspected(t, s); r.OK || r.Missing != next-first || len(r.Gaps) != 1 || r.Gaps[0] != (Range{first, next}) || len(r.Bad) > 0 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("position", func(t *testing.T) {
		s := filled(t)
		clear(s.files["/d/position"].data)
		sum, r := inspected(t, s)
		if !r.OK || sum.Buffered != 15000 || len(walked(t, s, Filter{})) != 15000 || sum.account() != sum.Ledger.Offered || sum.ID == "0000000000000000" {
			t.Errorf("%+v\n%+v", r, sum)
		}
		s.files["/d/position"].data[100] = 1
		if sum, r = inspected(t, s); r.OK || len(r.Bad) != 1 || r.Bad[0].Segment != "position" || len(sum.Problems) != 1 {
			t.Errorf("%+v\n%+v", r, sum)
		}
	})
	t.Run("one slot", func(t *testing.T) {
		s := filled(t)
		p, _ := newestSlot(s.files["/d/position"].data)
		s.files["/d/position"].data[(1-int(p.seq%2))*posSlot+30] ^= 1
		if sum, r := inspected(t, s); !r.OK || len(r.Problems) != 1 || sum.Ledger.Delivered != 55 {
			t.Errorf("%+v\n%+v", r, sum)
		}
	})
	t.Run("foreign", func(t *testing.T) {
		s, other := filled(t), filled(t)
		s.files["/d/"+segName(99999, 77)] = other.files[other.segments()[1]]
		s.files["/d/"+segName(4, 1)+badSuffix] = other.files[other.segments()[1]]
		sum, r := inspected(t, s)
		if !r.OK || sum.Buffered != 15000-55 || len(sum.Problems) != 1 || !sum.Segments[len(sum.Segments)-1].SetAside {
			t.Errorf("%+v\n%+v", r, sum)
		}
	})
	t.Run("power", func(t *testing.T) { // the position is ahead
		s := filled(t)
		names := s.segments()
		last := names[len(names)-1]
		n := walked(t, s, Filter{})
		p, _ := newestSlot(s.files["/d/position"].data)
		p.acked = spans{{14900, 14950}}
		p.seq++
		copy(s.files["/d/position"].data[(p.seq%2)*posSlot:], p.append(nil))
		delete(s.files, last)
		_, first, _ := parseSegName(last[3:])
		if _, r := inspected(t, s); r.OK || r.Missing != 14900-first || len(n) != 15000-55 {
			t.Errorf("%+v", r)
		}
	})
}

func TestInspectTellsATornTail(t *testing.T) {
	s := filled(t)
	names := s.segments()
	last := s.files[names[len(names)-1]]
	var ends []int
	for off := segHeadSize; off < len(last.data); {
		h := headOf(last.data[off:])
		off += h.size()
		ends = append(ends, off)
	}
	for cut := ends[len(ends)-2] + 1; cut < len(last.data); cut += 7 {
		s2 := s.kill()
		s2.files[names[len(names)-1]].data = s2.files[names[len(names)-1]].data[:cut]
		sum, r := inspected(t, s2)
		if want := int64(cut - ends[len(ends)-2]); !r.OK || r.TornTail != want || sum.TornTail != want || sum.Buffered != 15000-55-50 || len(r.Bad) > 0 {
			t.Fatalf("cut at %d: %+v", cut, r)
		}
	}
	for cut := range segHeadSize + 1 { // a new segment of which only a part of the header is there
		s2 := s.kill()
		s2.files["/d/"+segName(9000, 15000)] = &simNode{data: make([]byte, cut)}
		if _, r := inspected(t, s2); !r.OK || r.TornTail != int64(cut) {
			t.Fatalf("header cut at %d: %+v", cut, r)
		}
	}
}

func TestVerifyGoesOnBehindABadSector(t *testing.T) {
	s := filled(t)
	first := s.segments()[0]
	const bad = 20000
	s.setHook(func(op, name string, off int) (int, error) {
		if op == "read" && strings.HasSuffix(first, name) && off <= bad {
			return bad - off, unix.EIO
		}
		return off, nil
	})
	sum, r := inspected(t, s)
	if r.OK || r.Missing == 0 || r.Missing > 1000 || sum.Buffered != 15000-55-r.Missing {
		t.Errorf("%+v\n%+v", r, sum)
	}
	found := false
	for _, d := range r.Bad {
		found = found || strings.Contains(d.What, "can't be read")
	}
	if !found {
		t.Errorf("%+v", r.Bad)
	}
}

// Whenever a process is killed, what it leaves is whole.
func TestVerifyAfterKills(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 3))
			s := newSimFS()
			for range 3 {
				var left atomic.Int64
				left.Store(int64(r.IntN(200)))
				s.setHook(func(op, _ string, n int) (int, error) {
					if op == "write" {
						if left.Add(-1) < 0 {
							return n / 2, errKilled
						}
					}
					return n, nil
				})
				b := openSim(t, s, DiskOptions{MaxBytes: 1 << 20})
				for i := 0; i < 150 && left.Load() >= 0; i++ {
					_ = b.Append(context.Background(), []record.Chunk{chunkOf("x", i, 1+r.IntN(150))})
					if l := b.TryNext(); l != nil && r.IntN(3) > 0 {
						l.End(Settled{To: 1 + r.IntN(l.Chunk.Events), Fate: Delivered})
					}
				}
				s2 := s.kill()
				closeCut(b)
				s = s2
				readOnly(t, s)
				sum, rep := inspected(t, s)
				if !rep.OK || len(sum.Problems) > 0 || sum.account() != sum.Ledger.Offered || len(walked(t, s, Filter{})) != int(sum.Buffered) || sum.Buffered != sum.Ledger.Buffered {
					t.Fatalf("seed %d: %+v\n%+v", seed, rep, sum)
				}
				s.setHook(nil)
				b = openSim(t, s, DiskOptions{MaxBytes: 1 << 20})
				put(t, b, chunkOf("x", 0, 1))
				if st := b.Stats(); st.Offered != sum.Ledger.Offered+1 || st.Buffered != sum.Buffered+1 || st.Delivered != sum.Ledger.Delivered {
					t.Fatalf("seed %d: inspected %+v\nopened %+v", seed, sum, st)
				}
				closeNow(t, b)
			}
		})
	}
}

func TestInspectALiveWriter(t *testing.T) {
	for _, policy := range []OnFull{ShedOldest, Block} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			dir := t.TempDir()
			b, err := OpenDisk(DiskOptions{Dir: dir, Name: "d", MaxBytes: 1 << 20, OnFull: policy})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			var wg sync.WaitGroup
			wg.Go(func() {
				for n := 0; ctx.Err() == nil; n += 100 {
					_ = b.Append(ctx, []record.Chunk{chunkOf("a", n, 100)})
				}
			})
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					l, err := b.Next(ctx)
					if err != nil {
						return
					}
					if i%5 == 0 {
						l.End(Settled{From: 3, To: l.Chunk.Events, Fate: Delivered})
					} else {
						l.Deliver()
					}
					if policy == ShedOldest && i%50 == 0 {
						time.Sleep(5 * time.Millisecond)
					}
				}
			})
			looks := 0
			for end := time.Now().Add(time.Second); time.Now().Before(end); looks++ {
				sum, err := Inspect(dir, nil)
				if err != nil || len(sum.Problems) > 0 || sum.account() != sum.Ledger.Offered {
					t.Fatalf("%v: %+v", err, sum)
				}
				r, err := Verify(dir, nil)
				if err != nil || !r.OK {
					t.Fatalf("%v: %+v", err, r)
				}
				last := uint64(0)
				err = Walk(dir, nil, Filter{}, func(c Stored) error {
					if got := logsOf(t, c.Chunk)[0]; got != fmt.Sprintf("a-%d", c.First) || c.First < last {
						t.Fatalf("number %d is %s", c.First, got)
					}
					last = c.First
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			cancel()
			wg.Wait()
			st := b.Stats()
			balanced(t, st)
			closeNow(t, b)
			sum, err := Inspect(dir, nil)
			if err != nil || looks < 3 || sum.Ledger.Delivered != st.Delivered || sum.Ledger.Offered != st.Offered {
				t.Errorf("%d looks, %v: %+v\n%+v", looks, err, sum, st)
			}
		})
	}
}
