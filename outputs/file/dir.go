package file

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/internal/zip"
)

// A dir opens, mends and rotates the files below base. Every name is resolved inside base (see [os.Root]): no symbolic
// link leads out of it.
type dir struct {
	base          string
	mode, dirMode fs.FileMode
	format        zip.Format
	keep          int // at least 1
	sync          bool
	budget        *budget
	log           *zap.Logger
}

// maxTorn bounds how far back the end of the last whole line is looked for.
const maxTorn = 64 << 20

var (
	errNotRegular = errors.New("it is a symbolic link or no regular file")
	errLocked     = errors.New("another process or destination writes it")
	errTooMany    = errors.New("max_new_files are made in this hour already")
	errForeign    = errors.New("its end was not written by this output")
)

// open opens the file for appending, mends its end, and returns its size. What can't be appended to is rotated away.
func (d *dir) open(rel string) (*os.File, int64, error) {
	f, err := d.openFile(rel)
	if err != nil {
		return nil, 0, err
	}
	size, err := d.mend(f)
	if err == nil {
		return f, size, nil
	}
	_ = f.Close() // nothing was written
	if !errors.Is(err, errForeign) {
		return nil, 0, err
	}
	d.log.Warn("rotating a file away whose end is torn or another writer's", zap.String("path", filepath.Join(d.base, rel)))
	if err := d.rotate(rel); err != nil {
		return nil, 0, fmt.Errorf("rotate: %w", err)
	}
	f, err = d.openFile(rel)
	return f, 0, err
}

func (d *dir) openFile(rel string) (*os.File, error) {
	if err := os.MkdirAll(d.base, d.dirMode); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(d.base)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	// Without O_NONBLOCK, opening a named pipe that somebody put there would wait for its reader.
	const flags = os.O_RDWR | os.O_APPEND | syscall.O_NONBLOCK
	var f *os.File
	info, err := root.Lstat(rel)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f, err = d.create(root, rel, flags|os.O_CREATE|os.O_EXCL)
	case err == nil && !info.Mode().IsRegular():
		err = errNotRegular
	case err == nil:
		f, err = root.OpenFile(rel, flags, 0)
	}
	if err == nil {
		err = usable(root, rel, f)
	}
	if err != nil && f != nil {
		_ = f.Close() // nothing was written
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d *dir) create(root *os.Root, rel string, flags int) (*os.File, error) {
	if !d.budget.take() {
		return nil, errTooMany
	}
	err := root.MkdirAll(filepath.Dir(rel), d.dirMode)
	if err != nil {
		d.budget.giveBack()
		return nil, err
	}
	f, err := root.OpenFile(rel, flags, d.mode)
	if err != nil {
		d.budget.giveBack()
		return nil, err
	}
	if d.sync {
		err = syncDir(root, filepath.Dir(rel))
	}
	return f, err
}

// usable reports whether f is a regular file, under its name itself and not under a link, that nobody else writes.
func usable(root *os.Root, rel string, f *os.File) error {
	named, err := root.Lstat(rel)
	if err != nil {
		return err
	}
	opened, err := f.Stat()
	if err != nil {
		return err
	}
	if !named.Mode().IsRegular() || !os.SameFile(named, opened) {
		return errNotRegular
	}
	// Some file systems know no locks: those can't tell.
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return errLocked
	}
	return nil
}

func syncDir(root *os.Root, name string) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// mend cuts a torn line off the end of f and returns the size. errForeign says that the end is nothing to append to.
func (d *dir) mend(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return 0, err
	}
	size := info.Size()
	if mark := endMark(d.format); mark != nil {
		end := make([]byte, len(mark))
		if _, err := f.ReadAt(end, max(size-int64(len(mark)), 0)); err != nil || !bytes.Equal(end, mark) {
			return 0, errForeign
		}
		return size, nil
	}
	whole, err := lastNewline(f, size)
	if err != nil || whole == size {
		return whole, err
	}
	if err := f.Truncate(whole); err != nil {
		return 0, fmt.Errorf("cut torn line: %w", err)
	}
	d.log.Warn("cut a torn line off the end of a file", zap.String("path", f.Name()), zap.Int64("bytes", size-whole))
	return whole, nil
}

// lastNewline returns the offset behind the last newline of f, 0 when there is none.
func lastNewline(f *os.File, size int64) (int64, error) {
	block := make([]byte, 1)
	for end := size; end > 0; block = make([]byte, 64<<10) {
		if size-end > maxTorn {
			return 0, errForeign
		}
		block = block[:min(int64(len(block)), end)]
		if _, err := f.ReadAt(block, end-int64(len(block))); err != nil {
			return 0, fmt.Errorf("read end: %w", err)
		}
		if i := bytes.LastIndexByte(block, '\n'); i >= 0 {
			return end - int64(len(block)) + int64(i) + 1, nil
		}
		end -= int64(len(block))
	}
	return 0, nil
}

// rotate renames the file to .1, .1 to .2 and so on; what would be more than keep is removed. A rotation that failed
// half way goes on at the next one: nothing is ever renamed over another file.
func (d *dir) rotate(rel string) error {
	d.budget.giveBack() // for the one that follows
	root, err := os.OpenRoot(d.base)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	name := func(n int) string {
		if n == 0 {
			return rel
		}
		return fmt.Sprintf("%s.%d", rel, n)
	}
	// Only the names up to the first gap have to move.
	last := 0
	for last < d.keep {
		if _, err := root.Lstat(name(last)); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return err
		}
		last++
	}
	if last == d.keep {
		if err := root.Remove(name(last)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for n := last; n > 0; n-- {
		if err := root.Rename(name(n-1), name(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// endMark returns what stands behind each compressed batch: an empty gzip member with a subfield FB, or a zstd
// skippable frame (RFC 1952 section 2.3.1.1, RFC 8878 section 3.1.2). Readers skip both.
func endMark(f zip.Format) []byte {
	switch f {
	case zip.Gzip:
		return []byte{
			0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, // flags: FEXTRA
			4, 0, 'F', 'B', 0, 0, // one subfield without data
			3, 0, // an empty block
			0, 0, 0, 0, 0, 0, 0, 0, // checksum and size of nothing
		}
	case zip.Zstd:
		return []byte{0x50, 0x2a, 0x4d, 0x18, 8, 0, 0, 0, 'f', 'b', ' ', 'e', 'n', 'd', '\r', '\n'}
	}
	return nil
}
