package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// maxWaitingLines bounds the log lines that wait for whoever reads them.
const maxWaitingLines = 1024

// A logSink takes log lines without ever waiting for their reader: a pipe that nobody empties must not stop the
// router, least of all when its own log comes back to it through a log driver. Lines that don't fit are counted, and
// a line says so when there is room again.
type logSink struct {
	out    io.Writer
	lines  chan []byte
	missed atomic.Uint64
	busy   atomic.Int64 // lines that are not written yet
}

// newLogSink writes to out for as long as the process lives.
func newLogSink(out io.Writer) *logSink {
	s := &logSink{out: out, lines: make(chan []byte, maxWaitingLines)}
	go func() {
		for line := range s.lines {
			if n := s.missed.Swap(0); n > 0 {
				fmt.Fprintf(out, "{\"level\":\"warn\",\"time\":%q,\"msg\":\"log lines were left out: nobody reads them fast enough\",\"lines\":%d}\n",
					time.Now().UTC().Format(time.RFC3339Nano), n)
			}
			_, _ = out.Write(line) // nobody could be told
			s.busy.Add(-1)
		}
	}()
	return s
}

// Write takes one line. It may be called concurrently.
func (s *logSink) Write(line []byte) (int, error) {
	s.busy.Add(1)
	select {
	case s.lines <- append([]byte(nil), line...):
	default:
		s.busy.Add(-1)
		s.missed.Add(1)
	}
	return len(line), nil
}

// flush waits until everything is written, at most for the given time.
func (s *logSink) flush(patience time.Duration) {
	for end := time.Now().Add(patience); s.busy.Load() > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}
