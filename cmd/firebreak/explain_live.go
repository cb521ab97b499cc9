package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"

	"github.com/firebreak/firebreak/agent"
)

// liveRate is how many events per second the router is asked for, so that they aren't all of one instant.
const liveRate = 20

// liveSamples takes events from the running router, as its inputs give them.
func (o *explainOptions) liveSamples(ctx context.Context, stderr io.Writer) iter.Seq2[sample, error] {
	return func(yield func(sample, error) bool) {
		router, err := (&routerFlags{dataDir: o.dataDir, config: o.config}).router()
		if err != nil {
			yield(sample{}, err)
			return
		}
		ctx, stop := untilInterrupted(ctx)
		defer stop()
		in, err := router.open(ctx, http.MethodGet, fmt.Sprintf("/tap?input=*&raw=1&rate=%d", liveRate), answerTime)
		if err != nil {
			yield(sample{}, err)
			return
		}
		defer in.Close()
		ctx, cancel := context.WithTimeout(ctx, o.timeout)
		defer cancel()
		defer context.AfterFunc(ctx, func() { _ = in.Close() })()
		r := bufio.NewReaderSize(in, 64<<10)
		n := 0
		for n < o.live {
			s, err := nextLive(r, n+1)
			if _, bad := errors.AsType[*badSample](err); err != nil && !bad {
				break // the time is up, or the router has stopped: what came is explained
			}
			n++
			if !yield(s, err) {
				return
			}
		}
		if n < o.live {
			fmt.Fprintf(stderr, "firebreak: %s of %d came %s\n", plural(n, "event"), o.live, o.ending(ctx))
		}
	}
}

func (o *explainOptions) ending(ctx context.Context) string {
	switch err := ctx.Err(); {
	case err == nil:
		return "before the router ended the connection"
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("within %v; --timeout waits longer", o.timeout)
	}
	return "before it was interrupted"
}

func nextLive(r *bufio.Reader, n int) (sample, error) {
	line, err := readLine(r)
	if err != nil {
		return sample{}, err
	}
	var l agent.EventLine
	s := sample{number: n, kind: "event", record: true}
	if err = json.Unmarshal(bytes.TrimSpace(line), &l); err == nil {
		s.chunk, err = chunkOf(&l)
	}
	if err != nil {
		return s, &badSample{n, err}
	}
	return s, nil
}
