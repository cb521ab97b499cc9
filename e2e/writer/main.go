// Command writer is the application in the test containers: it writes numbered lines to stdout and stderr, or lines of
// given lengths, and notes the longest time that a write took.
//
// A numbered line ends with the token of bench/line, so that the aggregator knows what is lost, twice or out of order.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/firebreak/firebreak/bench/line"
)

// Report is what -report writes at the end.
type Report struct {
	Lines   uint64        `json:"lines"`   // of each stream
	Longest time.Duration `json:"longest"` // of all writes
}

type writer struct {
	stream  int
	kinds   []string
	stderr  bool
	size    int
	report  string
	lines   uint64
	longest time.Duration
}

func main() {
	w := &writer{}
	flag.IntVar(&w.stream, "stream", 0, "number of the first stream; each kind on each of stdout and stderr is one")
	kinds := flag.String("kinds", "line", "kinds of lines, written in turn, with commas")
	flag.BoolVar(&w.stderr, "stderr", false, "write everything to stderr as well, as streams of their own")
	flag.IntVar(&w.size, "size", 100, "bytes of a line")
	n := flag.Uint64("n", 0, "lines of each stream; 0: until SIGTERM")
	rate := flag.Float64("rate", 0, "lines of each stream per second; 0: as fast as possible")
	raw := flag.String("raw", "", "write lines of these lengths instead, with commas; a trailing ! leaves out the newline")
	hold := flag.Bool("hold", false, "then wait for SIGTERM")
	flag.StringVar(&w.report, "report", "", "file for the report")
	flag.Parse()
	w.kinds = strings.Split(*kinds, ",")

	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM, syscall.SIGINT)
	if *raw != "" {
		check(writeRaw(*raw))
	} else {
		w.run(*n, *rate, term, *hold)
	}
	if w.report != "" {
		b, err := json.Marshal(Report{Lines: w.lines, Longest: w.longest})
		check(err)
		check(os.WriteFile(w.report, b, 0o666))
	}
}

func (w *writer) run(n uint64, rate float64, term <-chan os.Signal, hold bool) {
	start := time.Now()
	for ; n == 0 || w.lines < n; w.lines++ {
		var due time.Duration
		if rate > 0 {
			due = time.Until(start.Add(time.Duration(float64(w.lines) / rate * float64(time.Second))))
		}
		select {
		case <-term:
			return
		case <-time.After(due):
		}
		number := w.stream
		for _, kind := range w.kinds {
			w.write(os.Stdout, kind, number)
			number++
		}
		if w.stderr {
			for _, kind := range w.kinds {
				w.write(os.Stderr, kind, number)
				number++
			}
		}
	}
	if hold {
		<-term
	}
}

// write writes one line with one write.
func (w *writer) write(f *os.File, kind string, stream int) {
	b := fmt.Appendf(nil, "kind=%s ", kind)
	if pad := w.size - len(b) - line.Len - 1; pad > 0 {
		b = append(append(b, bytes.Repeat([]byte{'.'}, pad)...), ' ')
	}
	began := time.Now()
	b = line.Append(b, line.Token{Stream: stream, Seq: w.lines, Micros: began.UnixMicro()})
	_, err := f.Write(append(b, '\n'))
	check(err)
	w.longest = max(w.longest, time.Since(began))
}

// writeRaw writes lines of letters: the i-th line is made of the i-th letter.
func writeRaw(spec string) error {
	for i, s := range strings.Split(spec, ",") {
		s, open := strings.CutSuffix(s, "!")
		n, err := strconv.Atoi(s)
		if err != nil {
			return err
		}
		b := bytes.Repeat([]byte{byte('a' + i%26)}, n)
		if !open {
			b = append(b, '\n')
		}
		if _, err := os.Stdout.Write(b); err != nil {
			return err
		}
	}
	return nil
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "writer:", err)
		os.Exit(1)
	}
}
