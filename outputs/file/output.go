package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/firebreak/firebreak/internal/zip"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

// Reasons for dead letters.
const (
	reasonPath    = "bad_path"
	reasonTooMany = "too_many_files"
)

type output struct {
	path    path
	zone    *time.Location
	keyer   *record.Keyer
	format  record.LineFormat
	zip     *zip.Pool
	dir     dir
	maxFile int64 // rotated before it would be larger
	files   *files
	bufs    sync.Pool // *[]byte

	work func(context.Context, func()) error
}

func (o *output) Shape() outputs.Shape {
	s := outputs.Shape{
		Key: o.keyer, MaxBytes: maxBytes, Linger: linger,
		Encode: func(dst []byte, e record.Event) ([]byte, error) { return o.format.Append(dst, e), nil },
	}
	if o.zip.Format() != zip.None {
		s.Linger = zippedLinger
	}
	return s
}

// Send appends the batch to the file of its key with one write. When the disk hangs, it returns at its deadline; the
// write goes on by itself, and the next Send for the file waits for it.
func (o *output) Send(ctx context.Context, b outputs.Batch) outputs.Result {
	rel, err := o.path.rel(b.Key)
	if err != nil {
		return dead(b, reasonPath, err)
	}
	buf, err := o.body(ctx, b)
	if err != nil {
		return outputs.Result{Err: err}
	}
	f := o.files.take(rel)
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		o.files.release(f)
		o.bufs.Put(buf)
		return o.slow(ctx, rel)
	}
	done := make(chan error, 1)
	go func() {
		err := o.write(f, *buf)
		<-f.turn
		o.files.release(f)
		o.bufs.Put(buf)
		done <- err
	}()
	select {
	case err := <-done:
		return o.result(b, rel, err)
	case <-ctx.Done():
		return o.slow(ctx, rel)
	}
}

// body returns what is written: a copy, since a write that hangs outlives Send.
func (o *output) body(ctx context.Context, b outputs.Batch) (*[]byte, error) {
	buf, ok := o.bufs.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
	}
	if o.zip.Format() == zip.None {
		*buf = append((*buf)[:0], b.Body...)
		return buf, nil
	}
	err := o.work(ctx, func() { *buf = append(o.zip.Append((*buf)[:0], b.Body), endMark(o.zip.Format())...) })
	if err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return buf, nil
}

// write appends body to f, whose turn it is, all or nothing.
func (o *output) write(f *file, body []byte) error {
	size, err := o.prepare(f, int64(len(body)))
	if err != nil {
		return err
	}
	n, err := f.f.Write(body)
	if err == nil && o.dir.sync {
		err = f.f.Sync()
	}
	if err == nil {
		f.size = size + int64(n)
		return nil
	}
	if info, serr := f.f.Stat(); n > 0 && serr == nil && info.Size() == size+int64(n) {
		if terr := f.f.Truncate(size); terr != nil {
			err = errors.Join(err, fmt.Errorf("cut what was written: %w", terr))
		}
	}
	f.close() // opening it again looks at its end
	return err
}

// prepare makes sure that f is open, still under its name and as it was left, and has room for n bytes. It returns the
// file's size.
func (o *output) prepare(f *file, n int64) (size int64, err error) {
	if f.f != nil {
		opened, err := f.f.Stat()
		named, nerr := os.Lstat(filepath.Join(o.dir.base, f.rel))
		if err == nil && nerr == nil && os.SameFile(opened, named) && opened.Size() == f.size {
			size = f.size
		} else {
			f.close() // renamed, removed, cut or appended to by somebody else: opening it looks at its end
		}
	}
	if f.f == nil {
		if f.f, size, err = o.dir.open(f.rel); err != nil {
			return 0, err
		}
	}
	if size == 0 || size+n <= o.maxFile {
		return size, nil
	}
	f.close()
	if err := o.dir.rotate(f.rel); err != nil {
		return 0, fmt.Errorf("rotate: %w", err)
	}
	f.f, size, err = o.dir.open(f.rel)
	return size, err
}

func (o *output) slow(ctx context.Context, rel string) outputs.Result {
	return outputs.Result{Err: &outputs.Error{
		Err:  fmt.Errorf("write %q: %w", filepath.Join(o.dir.base, rel), ctx.Err()),
		Hint: "the disk is too slow, or hangs",
	}}
}

// result says what an error of a write means for the batch.
func (o *output) result(b outputs.Batch, rel string, err error) outputs.Result {
	if err == nil {
		return outputs.Result{}
	}
	e := explain(filepath.Join(o.dir.base, rel), err)
	switch {
	case errors.Is(err, errTooMany):
		return dead(b, reasonTooMany, e)
	case errors.Is(err, syscall.ENAMETOOLONG):
		return dead(b, reasonPath, e)
	}
	return outputs.Result{Err: e}
}

// explain gives an error of writing to path its class and a hint.
func explain(path string, err error) *outputs.Error {
	if pe, ok := err.(*fs.PathError); ok && pe.Path == path {
		err = pe.Err // the path is said once
	}
	e := &outputs.Error{Err: fmt.Errorf("write %q: %w", path, err)}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Hint = "free space on the volume, or lower rotate.max_bytes or rotate.keep"
	case errors.Is(err, errLocked):
		e.Hint = "give each destination files of its own"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		e.Class, e.Hint = outputs.Held, "the router needs to write files and make directories there"
	case errors.Is(err, errNotRegular):
		e.Class, e.Hint = outputs.Held, "remove it, or write another path"
	case errors.Is(err, syscall.ENOTDIR):
		e.Class, e.Hint = outputs.Held, "a file stands where a directory should"
	}
	return e
}

func dead(b outputs.Batch, reason string, err error) outputs.Result {
	return outputs.Result{Dead: []outputs.Dead{{Range: outputs.Range{To: b.Events}, Reason: reason, Detail: err.Error()}}}
}

// Close closes the files. One with a write that hangs is left to it.
func (o *output) Close(context.Context) error {
	o.files.close()
	return nil
}
