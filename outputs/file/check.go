package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

var (
	_ outputs.Checker   = (*output)(nil)
	_ outputs.Explainer = (*output)(nil)
)

// Explain implements outputs.Explainer: the file that an event goes to.
func (o *output) Explain(e record.Event) []outputs.Rendered {
	key := string(o.keyer.AppendKey(nil, e))
	if rel, err := o.path.rel(key); err == nil {
		key = filepath.Join(o.dir.base, rel)
	}
	return []outputs.Rendered{{Option: "path", Value: key}}
}

// Check implements outputs.Checker: whether files can be made in the directory in front of the first variable, or that
// directory itself where there is one already. It leaves nothing behind.
func (o *output) Check(ctx context.Context) []outputs.Finding {
	found := outputs.Finding{Target: o.dir.base}
	type answer struct {
		note string
		err  error
	}
	done := make(chan answer, 1)
	go func() { // a disk that hangs may hold it for ever
		note, err := tryDir(o.dir.base)
		done <- answer{note, err}
	}()
	select {
	case a := <-done:
		found.Note = a.note
		if a.err != nil {
			found.Err = explain(o.dir.base, a.err)
		}
	case <-ctx.Done():
		found.Err = &outputs.Error{Err: fmt.Errorf("write %q: %w", o.dir.base, ctx.Err()), Hint: "the disk is too slow, or hangs"}
	}
	return []outputs.Finding{found}
}

// tryDir makes something in dir, or in the nearest directory above it that is there, and removes it again.
func tryDir(dir string) (string, error) {
	at := dir
	for {
		info, err := os.Stat(at)
		if err == nil && !info.IsDir() {
			return "", &fs.PathError{Op: "stat", Path: at, Err: syscall.ENOTDIR}
		}
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || filepath.Dir(at) == at {
			return "", err
		}
		at = filepath.Dir(at)
	}
	if at != dir {
		made, err := os.MkdirTemp(at, ".firebreak-check-")
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("will be made in %q", at), os.Remove(made)
	}
	f, err := os.CreateTemp(dir, ".firebreak-check-")
	if err != nil {
		return "", err
	}
	_, err = f.WriteString("x") // a full disk shows with the first byte
	return "writable", errors.Join(err, f.Close(), os.Remove(f.Name()))
}
