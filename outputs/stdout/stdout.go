// Package stdout is the output that writes events to standard output, as lines.
package stdout

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

const (
	maxBytes = 256 << 10
	linger   = 20 * time.Millisecond // short: somebody is watching
)

// Kind declares the output.
func Kind() outputs.Kind {
	return outputs.Kind{
		Name:    "stdout",
		Summary: "Writes events as lines to standard output.",
		Options: func() outputs.Options { return &Options{} },
	}
}

// Options of the output.
type Options struct {
	Format  string `key:"format" default:"json_lines" enum:"json_lines,raw" doc:"json_lines: one JSON object a line. raw: the text of the log (or message) field as it is; an event without it becomes a JSON line."`
	LineKey string `key:"line_key" doc:"Record key whose text is the line with format raw, tried before log and message."`
	TimeKey string `key:"time_key" default:"time" doc:"Key of the event's time in JSON lines, unless the record has that key itself; empty for none."`
	TagKey  string `key:"tag_key" default:"tag" doc:"Key of the tag in JSON lines, unless the record has that key itself; empty for none."`
	TypeKey string `key:"type_key" doc:"Key of the event's type (the route) in JSON lines; empty for none."`
}

// Open returns the output on a duplicate of the standard output: a write to the first two descriptors without a
// reader would end the process (package os/signal, "SIGPIPE").
func (o *Options) Open(outputs.Env) (outputs.Output, error) {
	fd, err := unix.FcntlInt(os.Stdout.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("duplicate standard output: %w", err)
	}
	return o.to(os.NewFile(uintptr(fd), "stdout")), nil
}

// to returns the output on any writer, which Close closes.
func (o *Options) to(w io.WriteCloser) outputs.Output {
	format := record.LineFormat{JSON: record.JSONOptions{TimeKey: o.TimeKey, TagKey: o.TagKey, TypeKey: o.TypeKey}}
	if o.Format == "raw" {
		format.Raw = record.RawKeys(o.LineKey)
	}
	return &output{format: format, w: w, turn: make(chan struct{}, 1)}
}

type output struct {
	format record.LineFormat
	w      io.WriteCloser
	turn   chan struct{} // full while somebody writes; the fields below are the holder's
	buf    []byte        // what is written, apart from the batch: a blocked write outlives Send
	torn   []byte        // the rest of a line of which a failed write left the beginning
}

func (o *output) Shape() outputs.Shape {
	return outputs.Shape{
		MaxBytes: maxBytes, Linger: linger,
		Encode: func(dst []byte, e record.Event) ([]byte, error) { return o.format.Append(dst, e), nil },
	}
}

// Send makes one write of whole lines. When nobody reads, it returns at its deadline; the write goes on by itself, and
// the next Send waits for it.
func (o *output) Send(ctx context.Context, b outputs.Batch) outputs.Result {
	select {
	case o.turn <- struct{}{}:
	case <-ctx.Done():
		return blocked(ctx)
	}
	o.buf = append(append(o.buf[:0], o.torn...), b.Body...)
	done := make(chan error, 1)
	go func() {
		n, err := o.w.Write(o.buf)
		o.torn = append(o.torn[:0], restOfLine(o.buf, n)...)
		if cap(o.buf) > 4*maxBytes {
			o.buf = nil // of one huge event
		}
		<-o.turn
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return outputs.Result{Err: &outputs.Error{
				Err: fmt.Errorf("write to standard output: %w", err), Hint: "is anything reading it?",
			}}
		}
		return outputs.Result{}
	case <-ctx.Done():
		return blocked(ctx)
	}
}

func blocked(ctx context.Context) outputs.Result {
	return outputs.Result{Err: &outputs.Error{
		Err: fmt.Errorf("write to standard output: %w", ctx.Err()), Hint: "what reads it is blocked",
	}}
}

// restOfLine returns what is missing of the line that b[:n] ends in.
func restOfLine(b []byte, n int) []byte {
	if n <= 0 || n >= len(b) || b[n-1] == '\n' {
		return nil
	}
	for i := n; i < len(b); i++ {
		if b[i] == '\n' {
			return b[n : i+1]
		}
	}
	return b[n:]
}

var _ outputs.Checker = (*output)(nil)

// Check implements outputs.Checker.
func (o *output) Check(context.Context) []outputs.Finding {
	return []outputs.Finding{{Target: "stdout", Note: "nothing to check"}}
}

// Close waits for a write that is under way, until ctx ends.
func (o *output) Close(ctx context.Context) error {
	select {
	case o.turn <- struct{}{}:
		return o.w.Close()
	case <-ctx.Done():
		return fmt.Errorf("close standard output: %w", ctx.Err())
	}
}
