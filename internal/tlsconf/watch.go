package tlsconf

import (
	"crypto/tls"
	"fmt"
	"os"
	"slices"
	"sync"
)

// watched keeps the newest configuration that could be loaded from a set of files.
type watched struct {
	files  []string
	load   func() (*tls.Config, error)
	report func(error)

	mu      sync.Mutex
	current *tls.Config
	seen    []os.FileInfo // of the last load, good or bad; nil where a file was missing
	stale   bool          // the last load failed
}

func newWatched(report func(error), load func() (*tls.Config, error), files ...string) *watched {
	files = slices.DeleteFunc(files, func(f string) bool { return f == "" })
	return &watched{files: files, load: load, report: report}
}

// get loads again if a file changed, or if the last load failed: that may have been for want of a descriptor, and not
// for what is in the files. A certificate and its key are two files: between the two writes they don't pair up, and the
// old configuration stays.
func (w *watched) get() (*tls.Config, error) {
	w.mu.Lock()
	conf, problem, err := w.refresh()
	w.mu.Unlock()
	if problem != nil && w.report != nil {
		w.report(problem)
	}
	return conf, err
}

func (w *watched) refresh() (conf *tls.Config, problem, err error) {
	now := make([]os.FileInfo, len(w.files)) // before the read: a later write shows as another change
	for i, f := range w.files {
		now[i], _ = os.Stat(f)
	}
	unchanged := slices.EqualFunc(now, w.seen, same)
	if w.current != nil && unchanged && !w.stale {
		return w.current, nil, nil
	}
	next, err := w.load()
	w.seen, w.stale = now, err != nil
	switch {
	case err == nil:
		w.current = next
	case w.current == nil:
		return nil, nil, err
	case !unchanged: // reported once
		problem = fmt.Errorf("keep the old TLS files: %w", err)
	}
	return w.current, problem, nil
}

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && os.SameFile(a, b)
}
