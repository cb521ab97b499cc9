package buffer

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

var errKilled = errors.New("the process is dead")

// A simFS is a file system in memory that remembers what was synced, and fails as it is told.
type simFS struct {
	mu     sync.Mutex
	files  map[string]*simNode
	safe   map[string]*simNode // the directory as it was synced
	dirOps []dirOp             // since then
	locked map[string]bool
	left   int64 // room on the volume; ErrNoSpace beyond
	total  int64
	killed bool

	// hook, if set, is called before each operation, without the lock. It may hang. Size is that of a write, or the
	// offset of a read. When it returns an error, only the first cut bytes are written, or read.
	hook func(op, name string, size int) (cut int, err error)
}

type dirOp struct {
	name string
	node *simNode // nil: removed
}

type simNode struct {
	data    []byte
	synced  []byte
	pending []simWrite
}

type simWrite struct {
	off int64
	b   []byte
}

func newSimFS() *simFS {
	return &simFS{files: map[string]*simNode{}, safe: map[string]*simNode{}, locked: map[string]bool{}, left: 1 << 40, total: 1 << 40}
}

func (s *simFS) before(op, name string, size int) (int, error) {
	s.mu.Lock()
	hook, killed := s.hook, s.killed
	s.mu.Unlock()
	if killed {
		return 0, errKilled
	}
	if hook != nil {
		return hook(op, filepath.Base(name), size)
	}
	return size, nil
}

func (s *simFS) setHook(h func(op, name string, size int) (int, error)) {
	s.mu.Lock()
	s.hook = h
	s.mu.Unlock()
}

// kill is kill -9: a copy of everything that was written; the old process can do no more.
func (s *simFS) kill() *simFS {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.killed = true
	n := newSimFS()
	n.left, n.total = s.left, s.total
	nodes := map[*simNode]*simNode{}
	copyOf := func(f *simNode) *simNode {
		if nodes[f] == nil {
			nodes[f] = &simNode{data: slices.Clone(f.data), synced: f.synced, pending: slices.Clone(f.pending)}
		}
		return nodes[f]
	}
	for k, f := range s.files {
		n.files[k] = copyOf(f)
	}
	for k, f := range s.safe {
		n.safe[k] = copyOf(f)
	}
	for _, op := range s.dirOps {
		if op.node != nil {
			op.node = copyOf(op.node)
		}
		n.dirOps = append(n.dirOps, op)
	}
	return n
}

// cut is a power cut: any part of what was not synced is forgotten.
func (s *simFS) cut(r *rand.Rand) *simFS {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.killed = true
	n := newSimFS()
	dir := maps.Clone(s.safe)
	for _, op := range s.dirOps {
		if r.IntN(2) == 0 {
			continue
		}
		if op.node == nil {
			delete(dir, op.name)
		} else {
			dir[op.name] = op.node
		}
	}
	for name, f := range dir {
		data := slices.Clone(f.synced)
		for _, w := range f.pending {
			const sector = 512
			mode := r.IntN(3) // none, all, some sectors
			for i := 0; i < len(w.b); {
				to := min(len(w.b), i+sector-int((w.off+int64(i))%sector))
				if mode == 1 || mode == 2 && r.IntN(2) == 0 {
					if need := int(w.off) + to; need > len(data) {
						data = append(data, make([]byte, need-len(data))...)
					}
					copy(data[int(w.off)+i:], w.b[i:to])
				}
				i = to
			}
		}
		n.files[name] = &simNode{data: data, synced: slices.Clone(data)}
	}
	n.safe = maps.Clone(n.files)
	return n
}

func (s *simFS) size(suffix string) (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, f := range s.files {
		if strings.HasSuffix(name, suffix) {
			n += int64(len(f.data))
		}
	}
	return n
}

// segments returns the names of the segment files, in order.
func (s *simFS) segments() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.files {
		if strings.HasSuffix(name, segSuffix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (s *simFS) MkdirAll(dir string) error { _, err := s.before("mkdir", dir, 0); return err }

func (s *simFS) Open(name string, flag int) (File, error) {
	op := "open"
	s.mu.Lock()
	if s.files[name] == nil && flag&os.O_CREATE != 0 {
		op = "create"
	}
	s.mu.Unlock()
	if _, err := s.before(op, name, 0); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[name]
	switch {
	case f == nil && flag&os.O_CREATE == 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case f == nil || flag&os.O_TRUNC != 0:
		f = &simNode{}
		s.files[name] = f
		s.dirOps = append(s.dirOps, dirOp{name, f})
	}
	return &simFile{s: s, f: f, name: name}, nil
}

func (s *simFS) ReadDir(string) ([]string, error) {
	if _, err := s.before("readdir", "", 0); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.files {
		names = append(names, filepath.Base(name))
	}
	slices.Sort(names)
	return names, nil
}

func (s *simFS) Rename(from, to string) error {
	if _, err := s.before("rename", from, 0); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[from]
	if f == nil {
		return fs.ErrNotExist
	}
	delete(s.files, from)
	s.files[to] = f
	s.dirOps = append(s.dirOps, dirOp{to, f}, dirOp{from, nil})
	return nil
}

func (s *simFS) Remove(name string) error {
	if _, err := s.before("remove", name, 0); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[name]
	if f == nil {
		return fs.ErrNotExist
	}
	s.left += int64(len(f.data))
	delete(s.files, name)
	s.dirOps = append(s.dirOps, dirOp{name, nil})
	return nil
}

func (s *simFS) SyncDir(dir string) error {
	if _, err := s.before("syncdir", dir, 0); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.safe, s.dirOps = maps.Clone(s.files), nil
	return nil
}

func (s *simFS) Lock(name string) (io.Closer, error) {
	if _, err := s.before("lock", name, 0); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locked[name] {
		return nil, ErrLocked
	}
	s.locked[name] = true
	return closeFunc(func() { s.mu.Lock(); s.locked[name] = false; s.mu.Unlock() }), nil
}

type closeFunc func()

func (f closeFunc) Close() error { f(); return nil }

func (s *simFS) Free(string) (free, total int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left, s.total, nil
}

type simFile struct {
	s    *simFS
	f    *simNode
	name string
}

func (f *simFile) ReadAt(b []byte, off int64) (int, error) {
	cut, failed := f.s.before("read", f.name, int(off))
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if failed != nil && cut < len(b) { // so much can be read
		return copy(b[:max(0, cut)], f.f.data[min(int(off), len(f.f.data)):]), failed
	}
	if off >= int64(len(f.f.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.f.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *simFile) WriteAt(b []byte, off int64) (int, error) {
	cut, err := f.s.before("write", f.name, len(b))
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	n := len(b)
	if err != nil {
		n = min(n, cut)
	}
	if f.s.killed {
		return 0, errKilled
	}
	if grow := off + int64(n) - int64(len(f.f.data)); grow > f.s.left {
		n, err = max(0, n-int(grow-f.s.left)), unix.ENOSPC
	}
	if n > 0 {
		if grow := off + int64(n) - int64(len(f.f.data)); grow > 0 {
			f.s.left -= grow
			f.f.data = append(f.f.data, make([]byte, grow)...)
		}
		copy(f.f.data[off:], b[:n])
		f.f.pending = append(f.f.pending, simWrite{off, slices.Clone(b[:n])})
	}
	return n, err
}

func (f *simFile) Sync() error {
	if _, err := f.s.before("sync", f.name, 0); err != nil {
		return err
	}
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.f.synced, f.f.pending = slices.Clone(f.f.data), nil
	return nil
}

func (f *simFile) Size() (int64, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	return int64(len(f.f.data)), nil
}

func (f *simFile) Close() error { return nil }
