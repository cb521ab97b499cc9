package buffer

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// filled returns a file system with a buffer of several segments, whose first 55 events are delivered.
func filled(t testing.TB) *simFS {
	s := newSimFS()
	b := openSim(t, s, DiskOptions{MaxBytes: 1 << 20})
	for i := range 300 {
		put(t, b, chunkOf("a", i*50, 50))
	}
	nextLease(t, b).Deliver()
	nextLease(t, b).End(Settled{To: 5, Fate: Delivered})
	closeNow(t, b)
	return s.kill()
}

// take opens what is left and takes everything.
func takeAll(t testing.TB, s *simFS) ([]string, Stats) {
	b := openSim(t, s, DiskOptions{MaxBytes: 1 << 20})
	put(t, b, chunkOf("new", 0, 1))
	got := drain(t, b)
	st := b.Stats()
	balanced(t, st)
	if st.Buffered != 0 || st.Volatile {
		t.Fatalf("%+v", st)
	}
	closeNow(t, b)
	return got, st
}

func TestDamageIsCountedExactly(t *testing.T) {
	kinds := map[string]func(frame []byte){
		"body":        func(f []byte) { f[len(f)-1] ^= 1 },
		"meta":        func(f []byte) { f[headSize] ^= 1 },
		"head":        func(f []byte) { f[10] ^= 1 },
		"magic":       func(f []byte) { f[0] ^= 1 },
		"length":      func(f []byte) { binary.LittleEndian.PutUint32(f[20:], 1<<30) },
		"zeros":       func(f []byte) { clear(f) },
		"repeated":    func(f []byte) { copy(f, slices.Repeat([]byte("FBF1"), len(f))) },
		"older frame": nil,
	}
	for name, damage := range kinds {
		for _, at := range []int{3, 4, 5} { // frames of the first segment
			t.Run(fmt.Sprint(name, at), func(t *testing.T) {
				s := filled(t)
				first := s.files[s.segments()[0]]
				off := segHeadSize
				var last []byte
				for range at {
					h := headOf(first.data[off:])
					last = first.data[off : off+h.size()]
					off += h.size()
				}
				h := headOf(first.data[off:])
				frame := first.data[off : off+h.size()]
				if damage == nil {
					copy(frame, last)
				} else {
					damage(frame)
				}
				got, st := takeAll(t, s)
				if len(got) != 300*50-55-50+1 || st.Shed[ReasonCorrupt] != 50 || st.Delivered != 55+uint64(len(got)) {
					t.Errorf("%d events, %+v", len(got), st)
				}
				for _, e := range got {
					var n int
					fmt.Sscanf(e, "a-%d", &n)
					if n >= at*50 && n < at*50+50 {
						t.Fatalf("%s comes from a damaged frame", e)
					}
				}
				if s.size(badSuffix) == 0 {
					t.Error("the damaged segment was not set aside")
				}
			})
		}
	}
}

func TestAMissingSegmentIsCounted(t *testing.T) {
	s := filled(t)
	names := s.segments()
	_, first, _ := parseSegName(names[1][3:])
	_, next, _ := parseSegName(names[2][3:])
	delete(s.files, names[1])
	got, st := takeAll(t, s)
	n := next - first
	if st.Shed[ReasonCorrupt]+st.Shed[ReasonLost] != n || uint64(len(got)) != 300*50-55-n+1 {
		t.Errorf("%d events, %d missing: %+v", len(got), n, st)
	}
}

func TestWithoutAPositionEverythingComesAgain(t *testing.T) {
	s := filled(t)
	clear(s.files["/d/position"].data)
	got, st := takeAll(t, s)
	if len(got) != 300*50+1 || len(st.Shed) > 0 || st.Offered != 300*50+1 {
		t.Errorf("%d events, %+v", len(got), st)
	}
}

func TestAForeignSegmentIsSetAside(t *testing.T) {
	s, other := filled(t), filled(t)
	s.files["/d/"+segName(99999, 77)] = other.files[other.segments()[1]]
	s.files["/d/"+segName(99998, 1<<63)] = &simNode{}
	got, st := takeAll(t, s)
	wantRun(t, got[:len(got)-1], "a", 55, 300*50)
	if len(st.Shed) > 0 {
		t.Errorf("%+v", st)
	}
}

func TestABadSectorCostsWhatIsInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := filled(t)
		first := s.segments()[0]
		const bad = 20000
		s.setHook(func(op, name string, off int) (int, error) {
			if op == "read" && strings.HasSuffix(first, name) && off <= bad {
				return bad - off, unix.EIO
			}
			return off, nil
		})
		b := openSim(t, s, DiskOptions{MaxBytes: 1 << 20})
		put(t, b, chunkOf("new", 0, 1))
		got := drain(t, b)
		for range 100 {
			time.Sleep(time.Second)
			got = append(got, drain(t, b)...)
		}
		st := b.Stats()
		balanced(t, st)
		if st.Buffered != 0 || st.Shed[ReasonCorrupt] == 0 || st.Shed[ReasonCorrupt] > 1000 {
			t.Errorf("%d events, %+v", len(got), st)
		}
		closeNow(t, b)
	})
}

func TestAReadThatFailsForAWhileLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := filled(t)
		opened := false
		s.setHook(func(op, name string, off int) (int, error) {
			if op == "read" && opened {
				return 0, unix.EIO
			}
			return off, nil
		})
		b := openSim(t, s, DiskOptions{MaxBytes: 1 << 20})
		put(t, b, chunkOf("a", 15000, 1))
		synctest.Wait()
		opened = true
		if l := b.TryNext(); l != nil {
			t.Errorf("leased %v", l.ID)
		}
		go func() { time.Sleep(5 * time.Second); s.setHook(nil) }()
		l := nextLease(t, b)
		got := logsOf(t, l.Chunk)
		l.Deliver()
		got = append(got, drain(t, b)...)
		wantRun(t, got, "a", 55, 15001)
		closeNow(t, b)
	})
}

func FuzzDamage(f *testing.F) {
	f.Add([]byte{0, 0, 100, 0xff}, uint16(0))
	f.Add([]byte{1, 2, 0, 0, 2, 0, 70, 3, 9, 0, 0, 1}, uint16(500))
	f.Add([]byte("FBF1FBF1FBF1"), uint16(4000))
	f.Fuzz(func(t *testing.T, edits []byte, cut uint16) {
		s := filled(t)
		names := append(s.segments(), "/d/position")
		undamaged := map[string]bool{}
		for i := 55; i < 300*50; i++ {
			undamaged[fmt.Sprintf("a-%d", i)] = true
		}
		position := false
		damaged := uint64(0)
		hit := map[uint64]bool{}
		harm := func(name string, at int) {
			file := s.files[name].data
			if name == "/d/position" {
				position = true
				return
			}
			off := segHeadSize
			for off < len(file) {
				h := headOf(file[off:])
				if at < off+h.size() && at >= off && !hit[h.first] {
					hit[h.first] = true
					for e := h.first; e < h.next(); e++ {
						if e >= 55 {
							damaged++
							delete(undamaged, fmt.Sprintf("a-%d", e))
						}
					}
				}
				off += h.size()
			}
		}
		type edit struct {
			name string
			at   int
			x    byte
		}
		var list []edit
		for len(edits) >= 4 {
			name := names[int(edits[0])%len(names)]
			if n := len(s.files[name].data); n > 0 {
				if x := edits[3]; x != 0 {
					list = append(list, edit{name, (int(edits[1])<<8 | int(edits[2])) * 7 % n, x})
				}
			}
			edits = edits[4:]
		}
		for _, e := range list {
			harm(e.name, e.at)
		}
		newest := names[len(names)-2]
		kept := max(segHeadSize, len(s.files[newest].data)-int(cut))
		if cut > 0 {
			for at := kept; at < len(s.files[newest].data); at++ {
				harm(newest, at)
			}
		}
		was := map[string][]byte{}
		for _, e := range list {
			if was[e.name] == nil {
				was[e.name] = slices.Clone(s.files[e.name].data)
			}
			s.files[e.name].data[e.at] ^= e.x
		}
		if cut > 0 { // the newest segment has lost its tail: those frames are gone, but the position doesn't know
			s.files[newest].data = s.files[newest].data[:kept]
		}
		b := openSim(t, s, DiskOptions{MaxBytes: 1 << 20})
		put(t, b, chunkOf("new", 0, 1))
		got := drain(t, b)
		st := b.Stats()
		balanced(t, st)
		closeNow(t, b)
		seen := map[string]bool{}
		for _, e := range got {
			if seen[e] {
				t.Fatalf("%s twice", e)
			}
			seen[e] = true
		}
		for e := range undamaged {
			if !seen[e] {
				t.Fatalf("%s is lost, though it is whole: %+v", e, st)
			}
		}
		if st.Buffered != 0 {
			t.Fatalf("left: %+v", st)
		}
		lost := st.Shed[ReasonCorrupt] + st.Shed[ReasonLost]
		if len(list) > 0 && cut == 0 && !position && lost > damaged {
			t.Fatalf("%d events were damaged, %d counted: %+v", damaged, lost, st)
		}
	})
}

func FuzzPosition(f *testing.F) {
	p := position{seq: 3, low: 7, acked: spans{{9, 12}, {20, 21}}}
	p.ledger.count(Shed, "full", 3)
	p.ledger.count(Moved, "other", 1)
	f.Add(p.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePosition(b)
		if err != nil {
			return
		}
		again, err := parsePosition(p.append(nil))
		if err != nil || again.low != p.low || again.ledger.settled() != p.ledger.settled() || !slices.Equal(again.acked, p.acked) {
			t.Fatalf("%+v became %+v: %v", p, again, err)
		}
	})
}
