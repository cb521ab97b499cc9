package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/agent"
)

const (
	minTopInterval = 100 * time.Millisecond
	topAnswerTime  = 2 * time.Second
)

// Orders of the rows.
const (
	sortConfig  = "config"
	sortRate    = "rate"
	sortBacklog = "backlog"
	sortName    = "name"
)

func sortOrders() []string { return []string{sortConfig, sortRate, sortBacklog, sortName} }

// topOptions say what to show and how long.
type topOptions struct {
	interval time.Duration
	count    uint64 // 0: until told to end
	sort     string
}

func newTop() *cobra.Command {
	var o topOptions
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Show live rates and backlogs of the running router",
		Long: `Shows each second what flows through the running router: events per second of
every input, route and destination, what waits, whether that grows or drains and
how long until it is full or empty, and what is wrong. States are explained in
firebreak status --help; a trend is only shown for what is more than a moment
behind.

On a terminal it redraws in place: q or Ctrl-C ends it, s changes the order of
the rows. Elsewhere it prints one block per interval. When the router restarts,
it waits for it.

` + routerHelp,
		Example: `  firebreak top
  firebreak top --interval 5s --sort backlog
  firebreak top --count 1               # one block: rates of the next second
  docker exec -it firebreak firebreak top`,
		Args: noArgs,
	}
	flags := addRouterFlags(cmd)
	f := cmd.Flags()
	f.DurationVar(&o.interval, "interval", time.Second, "time between two looks")
	f.Uint64Var(&o.count, "count", 0, "end after so many blocks (0: never)")
	f.StringVar(&o.sort, "sort", sortConfig, "order of the rows: config, rate, backlog or name")
	completeWords(cmd, "sort", sortOrders()...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.interval < minTopInterval {
			return usageError{fmt.Errorf("--interval %v: at least %v", o.interval, minTopInterval)}
		}
		if err := oneOf("sort", o.sort, sortOrders()...); err != nil {
			return usageError{err}
		}
		router, err := flags.router()
		if err != nil {
			return err
		}
		ctx, end := untilInterrupted(cmd.Context())
		defer end()
		return runTop(ctx, end, router, o, cmd.OutOrStdout())
	}
	return cmd
}

func runTop(ctx context.Context, end func(), router *routerClient, o topOptions, out io.Writer) error {
	t := &topLoop{o: o, ask: func(ctx context.Context) (agent.Status, error) {
		s, _, err := router.status(ctx, topAnswerTime)
		return s, err
	}}
	if screen := newTopScreen(out, os.Getenv); screen != nil {
		keys, restore := readKeys(os.Stdin, end)
		defer restore()
		resized, stop := resizes()
		defer stop()
		t.view, t.keys, t.resized = screen, keys, resized
	} else {
		t.view = &topPrinter{out: out}
	}
	return t.run(ctx)
}

// A topView shows what is known now. It is used by one goroutine.
type topView interface {
	show(topState) error
	close() error
}

// topState is what is shown.
type topState struct {
	now     agent.Status
	rates   *topMeter
	sort    string
	every   time.Duration
	waiting error // why the router doesn't answer; nil: it does
}

// topLoop looks again and again.
type topLoop struct {
	o       topOptions
	ask     func(context.Context) (agent.Status, error)
	view    topView
	keys    <-chan byte     // nil: none
	resized <-chan struct{} // nil: never
}

func (t *topLoop) run(ctx context.Context) error {
	st := topState{rates: &topMeter{}, sort: t.o.sort, every: t.o.interval}
	s, err := t.ask(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err // a router that doesn't run yet isn't waited for: the name may be wrong
	}
	st.take(s)
	err = t.follow(ctx, st)
	return errors.Join(err, t.view.close())
}

func (t *topLoop) follow(ctx context.Context, st topState) error {
	if err := t.view.show(st); err != nil {
		return err
	}
	tick := time.NewTicker(t.o.interval)
	defer tick.Stop()
	for shown := uint64(0); t.o.count == 0 || shown < t.o.count; {
		select {
		case <-ctx.Done():
			return nil
		case key := <-t.keys:
			if key != 's' {
				continue
			}
			st.sort = after(sortOrders(), st.sort)
		case <-t.resized:
		case <-tick.C:
			s, err := t.ask(ctx)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				st.waiting = err
			default:
				st.take(s)
				if st.rates.known() {
					shown++
				}
			}
		}
		if err := t.view.show(st); err != nil {
			return err
		}
	}
	return nil
}

func (st *topState) take(s agent.Status) {
	st.now, st.waiting = s, nil
	st.rates.add(s)
}

// after returns what follows a word in a list, and the first behind the last.
func after(list []string, word string) string {
	for i, w := range list {
		if w == word {
			return list[(i+1)%len(list)]
		}
	}
	return list[0]
}
