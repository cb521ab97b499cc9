package buffer

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"
)

func TestInspectDeadLetters(t *testing.T) {
	s := newSimFS()
	d := NewDead("/d", 1<<20, s, nil)
	for i := range 200 {
		keep(t, d, i*20, 20, []string{"rejected", "encode"}[i%2])
	}
	if err := errors.Join(d.Settle(0, 30, Replayed), d.Settle(50, 10, Removed), d.Settle(2000, 2000-20, Replayed)); err != nil {
		t.Fatal(err)
	}
	st := d.Stats()
	want := deadLogs(t, d)
	_ = d.Close()
	s = s.kill()
	readOnly(t, s)
	check := func(n int) {
		t.Helper()
		sum, err := InspectDead("/d", s)
		if err != nil || sum.Events != uint64(n) || sum.Replayed != st.Replayed || sum.Removed != 10 || sum.Low != 30 || len(sum.Problems) > 0 {
			t.Errorf("%v: %+v", err, sum)
		}
		if n == len(want) && (!maps.Equal(sum.Reasons, st.Reasons) || !sum.Oldest.Equal(st.Oldest) || sum.Bytes != st.Bytes) {
			t.Errorf("%+v\nis %+v", st, sum)
		}
		got := map[uint64]string{}
		err = WalkDead("/d", s, func(l DeadLetter) error {
			for i, log := range logsOf(t, l.Chunk) {
				got[l.First+uint64(i)] = log
			}
			if l.Detail != "detail" {
				t.Errorf("detail %q", l.Detail)
			}
			return nil
		})
		if err != nil || len(got) != n {
			t.Errorf("%v: walked %d, want %d", err, len(got), n)
		}
		for k, log := range got {
			if want[k] != log {
				t.Errorf("number %d is %s", k, log)
			}
		}
	}
	check(len(want))
	r, err := Verify("/d", s)
	if err != nil || !r.OK || !r.Dead || r.Events == 0 {
		t.Errorf("%v: %+v", err, r)
	}
	file := s.files[s.segments()[0]].data
	off := segHeadSize
	for range 5 {
		h := headOf(file[off:])
		off += h.size()
	}
	file[off+headSize+20] ^= 1
	check(len(want) - 20)
	if r, err = Verify("/d", s); err != nil || r.OK || r.Missing != 20 || len(r.Bad) != 1 || r.Bad[0].Offset != int64(off) {
		t.Errorf("%v: %+v", err, r)
	}
	file[3] ^= 1 // nothing of it can be read now
	if r, err = Verify("/d", s); err != nil || r.OK || !r.Dead || r.BadBytes != int64(len(file)) {
		t.Errorf("%v: %+v", err, r)
	}
}

func TestInspectALiveDeadLetterStore(t *testing.T) {
	dir := t.TempDir()
	d := NewDead(dir, 64<<10, nil, nil)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			keep(t, d, i*20, 20, "x")
			if i%3 == 0 {
				_ = d.Settle(uint64(i*20), 20, Replayed)
			}
		}
	})
	for end := time.Now().Add(700 * time.Millisecond); time.Now().Before(end); {
		if sum, err := InspectDead(dir, nil); err != nil || len(sum.Problems) > 0 {
			t.Errorf("%v: %+v", err, sum)
		}
		if r, err := Verify(dir, nil); err != nil || !r.OK {
			t.Errorf("%v: %+v", err, r)
		}
		if err := WalkDead(dir, nil, func(l DeadLetter) error {
			if got := logsOf(t, l.Chunk)[0]; got != fmt.Sprintf("a-%d", l.First) {
				t.Errorf("number %d is %s", l.First, got)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
	_ = d.Close()
}
