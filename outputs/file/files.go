package file

import (
	"os"
	"sync"
	"time"
)

// idleTime is how long a file without events stays open: a file that somebody removed keeps its space until then.
const idleTime = time.Minute

// files are the open files of an output, bounded in number.
type files struct {
	mu     sync.Mutex
	byName map[string]*file
	max    int
	swept  time.Time // when idle files were last closed
	closed bool
}

// A file is one name and, while it is open, its descriptor.
type file struct {
	rel  string
	turn chan struct{} // full while somebody writes; f is the holder's
	f    *os.File      // nil: not open
	size int64         // after the last write, while it is open

	users int       // under files.mu: who has it or waits for it
	used  time.Time // under files.mu
}

func newFiles(maxOpen int) *files {
	return &files{byName: map[string]*file{}, max: max(maxOpen, 1)}
}

// take returns the file of that name for use, until release.
func (fs *files) take(rel string) *file {
	now := time.Now()
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := fs.byName[rel]
	if f == nil {
		f = &file{rel: rel, turn: make(chan struct{}, 1)}
		fs.byName[rel] = f
	}
	f.users++
	f.used = now
	fs.trim(now)
	return f
}

func (fs *files) release(f *file) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f.users--
	if fs.closed {
		fs.drop(f)
	}
}

// trim closes the files that are idle for long, and the one used longest ago while there are too many.
func (fs *files) trim(now time.Time) {
	if now.Sub(fs.swept) > idleTime/4 {
		fs.swept = now
		for _, f := range fs.byName {
			if now.Sub(f.used) > idleTime {
				fs.drop(f)
			}
		}
	}
	for len(fs.byName) > fs.max {
		var oldest *file
		for _, f := range fs.byName {
			if f.users == 0 && (oldest == nil || f.used.Before(oldest.used)) {
				oldest = f
			}
		}
		if oldest == nil {
			break
		}
		fs.drop(oldest)
	}
}

// drop forgets and closes a file that nobody uses. The name is free again only after that: the next descriptor of it
// wants the lock.
func (fs *files) drop(f *file) {
	if f.users == 0 {
		delete(fs.byName, f.rel)
		f.close()
	}
}

// close closes all files, those in use when their use ends.
func (fs *files) close() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.closed = true
	for _, f := range fs.byName {
		fs.drop(f)
	}
}

// close closes the descriptor. Its error says nothing new: every write has been checked.
func (f *file) close() {
	if f.f != nil {
		_ = f.f.Close()
		f.f = nil
	}
}

// A budget bounds the number of new files per hour.
type budget struct {
	mu    sync.Mutex
	max   int
	used  int // in the hour since
	since time.Time
}

// take counts one new file, unless the hour has had its share.
func (b *budget) take() bool {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.since) >= time.Hour {
		b.since, b.used = now, 0
	}
	if b.used >= b.max {
		return false
	}
	b.used++
	return true
}

// giveBack takes back what was counted for a file that could not be made.
func (b *budget) giveBack() {
	b.mu.Lock()
	b.used = max(b.used-1, 0)
	b.mu.Unlock()
}
