// Package proc reads what Linux says about a process.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// userHZ is the unit of times in /proc/PID/stat; it is 100 on every Linux architecture that Go supports (proc(5)).
const userHZ = 100

// Usage is the use of resources of one process, all threads together. Sizes are in bytes.
type Usage struct {
	User    time.Duration // in steps of 10 ms
	System  time.Duration
	RSSAnon int64 // memory of its own, without the page cache
	RSS     int64
	RSSPeak int64 // largest RSS since the start
	Threads int
	Written int64 // bytes that had to go to a disk
	Files   int   // open file descriptors
}

// CPU returns the user and the system time together.
func (u Usage) CPU() time.Duration { return u.User + u.System }

// Read reads the usage of a process that the caller may look into.
func Read(pid int) (Usage, error) {
	var u Usage
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return u, fmt.Errorf("read usage: %w", err)
	}
	if err := u.parseStat(stat); err != nil {
		return u, err
	}
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return u, fmt.Errorf("read usage: %w", err)
	}
	u.parseStatus(string(status))
	if io, err := os.ReadFile(dir + "/io"); err == nil { // not readable for other users
		u.Written = field(string(io), "write_bytes:")
	}
	if fds, err := os.ReadDir(dir + "/fd"); err == nil {
		u.Files = len(fds)
	}
	return u, nil
}

// parseStat reads utime and stime, the 14th and 15th field. The second is the name in parentheses, and may hold anything.
func (u *Usage) parseStat(b []byte) error {
	end := bytes.LastIndexByte(b, ')')
	f := strings.Fields(string(b[end+1:]))
	if end < 0 || len(f) < 13 {
		return errors.New("read usage: stat has another form")
	}
	ticks := func(s string) time.Duration {
		n, _ := strconv.ParseInt(s, 10, 64)
		return time.Duration(n) * (time.Second / userHZ)
	}
	u.User, u.System = ticks(f[11]), ticks(f[12])
	return nil
}

func (u *Usage) parseStatus(s string) {
	const kib = 1024
	u.RSSAnon = field(s, "RssAnon:") * kib
	u.RSS = field(s, "VmRSS:") * kib
	u.RSSPeak = field(s, "VmHWM:") * kib
	u.Threads = int(field(s, "Threads:"))
}

// field returns the number behind a name at the start of a line, 0 when there is none.
func field(s, name string) int64 {
	for l := range strings.Lines(s) {
		if rest, ok := strings.CutPrefix(l, name); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				n, _ := strconv.ParseInt(f[0], 10, 64)
				return n
			}
		}
	}
	return 0
}

// A Watch looks at a process again and again and keeps the peaks.
type Watch struct {
	stop, done chan struct{}
	peak       Usage
	samples    int
}

// StartWatch looks at pid every so often until Stop.
func StartWatch(pid int, every time.Duration) *Watch {
	w := &Watch{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			if u, err := Read(pid); err == nil {
				w.samples++
				w.peak.RSSAnon = max(w.peak.RSSAnon, u.RSSAnon)
				w.peak.RSS = max(w.peak.RSS, u.RSS)
				w.peak.Threads = max(w.peak.Threads, u.Threads)
				w.peak.Files = max(w.peak.Files, u.Files)
			}
			select {
			case <-w.stop:
				return
			case <-t.C:
			}
		}
	}()
	return w
}

// Stop returns the largest RSSAnon, RSS, Threads and Files that were seen. It may be called once.
func (w *Watch) Stop() Usage {
	close(w.stop)
	<-w.done
	return w.peak
}
