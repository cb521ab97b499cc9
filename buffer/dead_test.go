package buffer

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func readDead(t *testing.T, d *Dead) (out []string) {
	t.Helper()
	err := d.Read(func(l DeadLetter) error {
		out = append(out, fmt.Sprint(l.Reason, "|", l.Detail, "|", l.Chunk.Tag, "|", logsOf(t, l.Chunk)[0]))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDeadLettersAreKeptWithTheirReason(t *testing.T) {
	dir := t.TempDir() + "/later"
	d := NewDead(dir, 1<<20, nil, nil)
	if got := readDead(t, d); len(got) > 0 {
		t.Errorf("found %v", got)
	}
	for i := range 10 {
		if err := d.Append(chunkOf("a", i, 3), "rejected", fmt.Sprint("status ", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = NewDead(dir, 1<<20, nil, nil)
	if err := d.Append(chunkOf("b", 7, 1), "encode", ""); err != nil {
		t.Fatal(err)
	}
	got := readDead(t, d)
	if len(got) != 11 || got[3] != "rejected|status 3|a|a-3" || got[10] != "encode||b|b-7" {
		t.Errorf("got %v", got)
	}
	if s := d.Stats(); s.Events != 31 || s.Discarded != 0 {
		t.Errorf("%+v", s)
	}
	_ = d.Close()
	d = NewDead(dir, 1<<20, nil, nil)
	for end := time.Now().Add(10 * time.Second); d.Stats().Events != 31; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after a restart: %+v", d.Stats())
		}
	}
}

func TestDeadLettersKeepTheirBound(t *testing.T) {
	s := newSimFS()
	d := NewDead("/d", 256<<10, s, nil)
	for i := range 2000 {
		if err := d.Append(chunkOf("a", i, 20), "x", ""); err != nil {
			t.Fatal(err)
		}
		if n := s.size(segSuffix); n > 256<<10 {
			t.Fatalf("%d bytes", n)
		}
	}
	st := d.Stats()
	got := readDead(t, d)
	if st.Discarded == 0 || st.Events+st.Discarded != 40000 || uint64(len(got)*20) != st.Events || got[len(got)-1] != "x||a|a-1999" {
		t.Errorf("%+v, read %d", st, len(got))
	}
	if err := d.Append(chunkOf("a", 0, 20000), "x", ""); err == nil {
		t.Error("took more than the bound")
	}
}

func TestDeadLettersDontHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimFS()
		d := NewDead("/d", 1<<20, s, nil)
		gate := make(chan struct{})
		s.setHook(func(op, name string, n int) (int, error) {
			if op == "sync" {
				<-gate
			}
			return n, nil
		})
		start := time.Now()
		for range 20 {
			if err := d.Append(chunkOf("a", 0, 1), "x", ""); err == nil {
				t.Fatal("kept on a disk that hangs")
			}
		}
		d.Stats()
		_ = d.Close()
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("took %v", took)
		}
		close(gate)
		synctest.Wait()
		if err := d.Append(chunkOf("a", 1, 1), "x", ""); err != nil {
			t.Error(err)
		}
		if got := readDead(t, d); len(got) != 2 {
			t.Errorf("got %v", got)
		}
	})
}
