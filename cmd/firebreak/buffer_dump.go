package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/internal/table"
	"github.com/firebreak/firebreak/record"
)

// dumpOptions say what is to be printed.
type dumpOptions struct {
	dead, all bool
	reasons   []string
	routes    []string
	limit     int
	output    string
	since     time.Duration
}

var errLimit = errors.New("limit reached")

func newBufferDump() *cobra.Command {
	var o dumpOptions
	cmd := &cobra.Command{
		Use:   "dump NAME",
		Short: "Print the events of a buffer, or dead letters",
		Long: `Prints the events that wait in an output's buffer, or with --dead its dead
letters, the oldest first, one JSON object a line: its id, time, tag, route (the
type), attributes, record, and for a dead letter the reason and what the other
side said. Changes nothing.

To repair dead letters, write them to a file, change their records, tags or
routes (not their ids), and replay the file. JSON can't hold bytes that are no
UTF-8: --output raw gives each event exactly, in base64, and replay takes that.`,
		Example: `  firebreak buffer dump access --limit 10
  firebreak buffer dump access --dead --reason rejected > letters.jsonl
  firebreak buffer replay access --file letters.jsonl`,
		Args: oneName,
	}
	flags := addRouterFlags(cmd)
	cmd.ValidArgsFunction = completeBuffers(flags)
	cmd.Flags().BoolVar(&o.dead, "dead", false, "the dead letters instead of the buffer")
	cmd.Flags().BoolVar(&o.all, "all", false, "what was delivered already, too, as far as it is still on disk")
	cmd.Flags().StringSliceVar(&o.reasons, "reason", nil, "only dead letters with this reason (may be repeated)")
	cmd.Flags().StringSliceVar(&o.routes, "route", nil, "only events of this type (may be repeated)")
	cmd.Flags().DurationVar(&o.since, "since", 0, "only what arrived in the last while, such as 10m")
	cmd.Flags().IntVarP(&o.limit, "limit", "n", 0, "at most so many events; 0: all")
	cmd.Flags().StringVarP(&o.output, "output", "o", "json", "form of an event: json, raw (exact, in base64) or text")
	completeWords(cmd, "output", "json", "raw", "text")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case o.limit < 0:
			return usageError{fmt.Errorf("--limit %d is below 0", o.limit)}
		case len(o.reasons) > 0 && !o.dead:
			return usageError{errors.New("--reason is for dead letters: add --dead")}
		case o.all && o.dead:
			return usageError{errors.New("--all is for buffers: what is settled of dead letters isn't shown")}
		}
		if err := formOf(o.output, "json", "raw", "text"); err != nil {
			return err
		}
		s, _, err := flags.chosen(cmd.Context(), args)
		if err != nil {
			return err
		}
		return dumpEvents(cmd, s, args[0], &o)
	}
	return cmd
}

func oneName(_ *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return usageError{errors.New("the name of an output is missing: `firebreak buffer ls` lists them")}
	case len(args) > 1:
		return usageError{fmt.Errorf("unexpected argument %q", args[1])}
	}
	return nil
}

func dumpEvents(cmd *cobra.Command, s *shelf, name string, o *dumpOptions) error {
	out := bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10)
	d := &dumper{o: o, out: out, enc: json.NewEncoder(out)}
	d.enc.SetEscapeHTML(false)
	if o.since > 0 {
		d.from = time.Now().Add(-o.since)
	}
	var err error
	if o.dead {
		err = s.walkDead(name, d)
	} else {
		err = buffer.Walk(s.buffer(name), nil, buffer.Filter{All: o.all, Since: d.from}, func(st buffer.Stored) error {
			return d.chunk(st.First, st.Chunk, func(l *agent.EventLine) { l.Settled = st.Settled })
		})
	}
	if errors.Is(err, errLimit) {
		err = nil
	}
	if e := out.Flush(); err == nil {
		err = e
	}
	if err == nil && d.n == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), s.nothing(name, o))
	}
	return err
}

func (s *shelf) walkDead(name string, d *dumper) error {
	return buffer.WalkDead(s.dead(name), nil, func(l buffer.DeadLetter) error {
		if len(d.o.reasons) > 0 && !slices.Contains(d.o.reasons, l.Reason) || l.Chunk.Arrived.Before(d.from) {
			return nil
		}
		return d.chunk(l.First, l.Chunk, func(line *agent.EventLine) { line.Reason, line.Detail = l.Reason, l.Detail })
	})
}

// nothing says why a dump is empty, and where there is something.
func (s *shelf) nothing(name string, o *dumpOptions) string {
	if len(o.reasons)+len(o.routes) > 0 || o.since > 0 {
		return "nothing there fits: leave out --reason, --route and --since to see all"
	}
	if o.dead {
		return fmt.Sprintf("%s has no dead letters", name)
	}
	if sum, err := buffer.InspectDead(s.dead(name), nil); err == nil && sum.Events > 0 {
		return fmt.Sprintf("nothing waits in the buffer of %s; it has %s dead letters: add --dead", name, table.Number(sum.Events))
	}
	return fmt.Sprintf("nothing waits in the buffer of %s", name)
}

// A dumper prints events.
type dumper struct {
	o    *dumpOptions
	out  io.Writer
	enc  *json.Encoder
	from time.Time
	n    int
}

func (d *dumper) chunk(first uint64, c record.Chunk, more func(*agent.EventLine)) error {
	if len(d.o.routes) > 0 && !slices.Contains(d.o.routes, c.Route) {
		return nil
	}
	it := record.Iterate(&c)
	for id := first; it.Next(); id++ {
		if d.o.limit > 0 && d.n >= d.o.limit {
			return errLimit
		}
		d.n++
		l := agent.LineOf(it.Event(), d.o.output == "raw")
		l.ID = &id
		more(&l)
		if err := d.print(&l); err != nil {
			return err
		}
	}
	return nil
}

func (d *dumper) print(l *agent.EventLine) error {
	if d.o.output != "text" {
		return d.enc.Encode(l)
	}
	text := fmt.Sprintf("%d  %s  %s  %s  %s", *l.ID, l.Time.Format(time.RFC3339Nano), l.Tag, l.Route, l.Record)
	if l.Reason != "" {
		text += "  " + l.Reason + ": " + l.Detail
	}
	_, err := fmt.Fprintln(d.out, table.Clean(text))
	return err
}
