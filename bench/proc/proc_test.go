package proc

import (
	"os"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReadSeesThisProcess(t *testing.T) {
	before, err := Read(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	w := StartWatch(os.Getpid(), time.Millisecond)
	hog := make([]byte, 64<<20)
	for i := range hog {
		hog[i] = byte(i)
	}
	for begin := time.Now(); time.Since(begin) < 100*time.Millisecond; {
		hog[0]++
	}
	peak := w.Stop()
	after, err := Read(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(hog)
	if after.CPU()-before.CPU() < 50*time.Millisecond {
		t.Errorf("100 ms of work took %v", after.CPU()-before.CPU())
	}
	for _, rss := range []int64{after.RSSAnon - before.RSSAnon, peak.RSSAnon - before.RSSAnon, after.RSSPeak - before.RSSAnon} {
		if rss < 60<<20 {
			t.Errorf("64 MiB of memory show as %d", rss)
		}
	}
	if after.Threads < 1 || after.Files < 3 || after.RSS < after.RSSAnon {
		t.Errorf("%+v", after)
	}
}

func TestReadOfNoProcessIsAnError(t *testing.T) {
	if _, err := Read(-1); err == nil {
		t.Error("no error")
	}
}

func TestNameWithParentheses(t *testing.T) {
	var u Usage
	if err := u.parseStat([]byte("7 (a) (b 1 2) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 5 0")); err != nil || u.User != 1500*time.Millisecond || u.System != 500*time.Millisecond {
		t.Errorf("%+v, %v", u, err)
	}
	if u.parseStat([]byte("7 (a")) == nil {
		t.Error("no error")
	}
}

func TestTheMachineIsAsBusyAsThisProcess(t *testing.T) {
	before, err := ReadMachine()
	if err != nil {
		t.Fatal(err)
	}
	own, _ := Read(os.Getpid())
	for n, begin := 0, time.Now(); time.Since(begin) < 200*time.Millisecond; {
		n++
	}
	after, err := ReadMachine()
	if err != nil {
		t.Fatal(err)
	}
	now, _ := Read(os.Getpid())
	if busy, used := after.Busy-before.Busy, now.CPU()-own.CPU(); busy < used/2 || after.Wait < before.Wait {
		t.Errorf("the machine was busy for %v, this process for %v; waits %v and %v", busy, used, before.Wait, after.Wait)
	}
}
