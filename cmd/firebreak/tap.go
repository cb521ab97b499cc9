package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/internal/table"
)

const (
	maxTapRate = 1000    // events per second that a router shows
	maxTapLine = 8 << 20 // bytes of one shown event
)

// tapOptions say what to look at and how.
type tapOptions struct {
	input, route, destination string
	rate                      float64
	count                     uint64
	patience                  time.Duration
	output                    string
	wide                      bool
}

func newTap() *cobra.Command {
	var o tapOptions
	cmd := &cobra.Command{
		Use:   "tap",
		Short: "Show a sample of the events that flow by",
		Long: `Shows a sample of the events that flow by, at most --rate a second, until
Ctrl-C, --count or --for ends it. It slows nothing: what isn't taken in time
isn't shown. Without --input, --route or --destination it shows what goes to all
destinations.

An input's events are shown as they come, before processors and routes; those of
a route or a destination as they are stored. Each line has the event's time, its
tag, its type (the route) and destination, and the text (log or message, else
the whole record), cut to the width of the terminal; control characters are
shown as \x1b, \n and so on.

  table  for people
  json   one JSON object a line, with the record
  raw    the same with the encoded event in base64 instead, byte by byte what
         the router has, as firebreak explain --format event reads it

` + routerHelp,
		Example: `  firebreak tap
  firebreak tap --route error --for 1m
  firebreak tap --destination audit --rate 100 --output json | jq .record
  firebreak tap --input docker --wide
  firebreak tap --input '*' --count 20 --output json`,
		Args: noArgs,
	}
	flags := addRouterFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.route, "route", "", "show events of this route (type)")
	f.StringVar(&o.destination, "destination", "", "show events for this destination; * for all")
	f.StringVar(&o.input, "input", "", "show events as this input receives them; * for all")
	f.Float64Var(&o.rate, "rate", 10, "events per second at most, up to 1000")
	f.Uint64Var(&o.count, "count", 0, "end after so many events (0: never)")
	f.DurationVar(&o.patience, "for", 0, "end after this time, such as 10s (0: never)")
	f.StringVarP(&o.output, "output", "o", "table", "form of the lines: table, json or raw")
	f.BoolVar(&o.wide, "wide", false, "don't cut lines to the terminal's width")
	completeWords(cmd, "output", "table", "json", "raw")
	completeNames(cmd, flags, "route", routeNames)
	completeNames(cmd, flags, "destination", destinationNames)
	completeNames(cmd, flags, "input", inputNames)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := o.check(); err != nil {
			return err
		}
		router, err := flags.router()
		if err != nil {
			return err
		}
		ctx, end := untilInterrupted(cmd.Context())
		defer end()
		return tapRouter(ctx, router, o, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

func (o *tapOptions) check() error {
	given := 0
	for _, s := range []string{o.input, o.route, o.destination} {
		if s != "" {
			given++
		}
	}
	switch {
	case given > 1:
		return usageError{errors.New("--input, --route and --destination exclude each other")}
	case !(o.rate > 0 && o.rate <= maxTapRate):
		return usageError{fmt.Errorf("--rate %v: above 0, and up to %d events per second", o.rate, maxTapRate)}
	case o.patience < 0:
		return usageError{fmt.Errorf("--for %v: a time such as 10s", o.patience)}
	}
	return formOf(o.output, "table", "json", "raw")
}

// path is what the router is asked.
func (o *tapOptions) path() string {
	q := url.Values{"rate": {strconv.FormatFloat(o.rate, 'g', -1, 64)}}
	switch {
	case o.input != "":
		q.Set("input", o.input)
	case o.route != "":
		q.Set("route", o.route)
	default:
		q.Set("destination", cmp.Or(o.destination, "*"))
	}
	if o.output == "raw" {
		q.Set("raw", "1")
	}
	return "/tap?" + q.Encode()
}

// errEnough ends a tap in order.
var errEnough = errors.New("seen enough")

func tapRouter(ctx context.Context, router *routerClient, o tapOptions, out, errs io.Writer) error {
	in, err := router.open(ctx, "GET", o.path(), answerTime)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer in.Close()
	ended := ctx
	if o.patience > 0 {
		timed, cancel := context.WithTimeout(ctx, o.patience)
		defer cancel()
		ended = timed
	}
	defer context.AfterFunc(ended, func() { _ = in.Close() })()
	t := &tapping{router: router, o: o, view: newTapView(out, o)}
	err = t.read(in)
	if !errors.Is(err, errEnough) && ended.Err() != nil {
		err = nil // reading ended because the time is up
	}
	fmt.Fprintln(errs, t.footer())
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// tapping is one look.
type tapping struct {
	router        *routerClient
	o             tapOptions
	view          tapView
	shown, passed uint64
}

// read shows events until there are no more. It returns errEnough when those asked for have been shown.
func (t *tapping) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxTapLine)
	for lines.Scan() {
		var e agent.EventLine
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return t.router.unexpected("tap", lines.Bytes(), err)
		}
		if e.Tag == "" && e.Time.IsZero() && e.Passed == 0 {
			return t.router.unexpected("tap", lines.Bytes(), errors.New("it is no event"))
		}
		if err := t.show(e, lines.Bytes()); err != nil {
			return err
		}
		t.shown++
		t.passed = max(t.passed, e.Passed)
		if t.shown == t.o.count {
			return errEnough
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("the router on %s shows an event of more than %d MiB", t.router.dir, maxTapLine>>20)
	}
	return fmt.Errorf("the router on %s has ended the connection: it has stopped, or is about to", t.router.dir)
}

func (t *tapping) show(e agent.EventLine, line []byte) error {
	if t.o.output == "table" {
		return t.view.show(e, time.Now())
	}
	_, err := t.view.out.Write(append(table.CleanJSON(line), '\n'))
	return err
}

func (t *tapping) footer() string {
	if t.shown == 0 {
		return "no event passed"
	}
	return fmt.Sprintf("showed %s of %s that passed", table.Number(t.shown), events(max(t.passed, t.shown)))
}

func events(n uint64) string {
	if n == 1 {
		return "1 event"
	}
	return table.Number(n) + " events"
}

// newTapView chooses by what out is.
func newTapView(out io.Writer, o tapOptions) tapView {
	width, _ := table.TerminalSize(out)
	if o.wide {
		width = 0
	}
	size := func() int { return width }
	if width > 0 {
		size = func() int { w, _ := table.TerminalSize(out); return w }
	}
	return tapView{out: out, style: table.StyleFor(out, os.Getenv), size: size, zone: time.Local}
}
