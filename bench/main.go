// Command bench measures a firebreak binary from the outside, with a load of Docker's messages and aggregators that
// fail on demand.
//
//	go build -o firebreak ./cmd/firebreak && go run ./bench -firebreak ./firebreak
//	go run ./bench -firebreak ./firebreak -run speed,isolation -scale 0.1 -json results.json
//
// Its parts can be used against any router of the forward protocol:
//
//	go run ./bench sink -listen 127.0.0.1:24225 -fault never-ack
//	go run ./bench load -addr 127.0.0.1:24224 -rate 20000 -events 1000000
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/firebreak/firebreak/bench/scenario"
	"github.com/firebreak/firebreak/bench/sink"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "sink":
			return runSink(ctx, args[1:])
		case "load":
			return runLoad(ctx, args[1:])
		case "pump":
			if len(args) != 4 {
				return errors.New("usage: bench pump LISTEN FORWARD FILE")
			}
			return scenario.Pump(ctx, args[1], args[2], args[3])
		}
	}
	return runScenarios(ctx, args)
}

func runScenarios(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	binary := fs.String("firebreak", "./firebreak", "the binary to measure")
	names := fs.String("run", strings.Join(scenario.Names(), ","), "scenarios, with commas")
	scale := fs.Float64("scale", 1, "length: 1 takes minutes, 0.05 seconds")
	out := fs.String("json", "", "also write the results to this file")
	dir := fs.String("dir", os.TempDir(), "where configurations and buffers go; should be a real disk")
	rate := fs.Float64("rate", 0, "events per second of isolation; 0: half of the measured maximum")
	by := fs.String("by", "tag", "what isolation routes by: tag (one type per connection); tags, record or line (all types on each connection)")
	faults := fs.String("faults", "", "faults of isolation, with commas; empty: all")
	output := fs.String("output", "", "YAML to add to each output, such as 'workers: 2'")
	buffer := fs.String("buffer", "", "YAML of the buffers, such as 'sync: always'")
	verbose := fs.Bool("v", false, "show the routers' logs")
	if err := fs.Parse(args); err != nil {
		return err
	}
	path, err := filepath.Abs(*binary)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	e := &scenario.Env{Binary: path, Dir: *dir, Scale: *scale, Rate: *rate, By: *by, Pump: []string{self, "pump"}, Output: *output, Buffer: *buffer,
		Say: func(f string, args ...any) { fmt.Fprintf(os.Stderr, f+"\n", args...) }}
	if *verbose {
		e.Log = os.Stderr
	}
	if e.Faults, err = parseFaults(*faults); err != nil {
		return err
	}
	if memoryDisk(*dir) {
		fmt.Fprintf(os.Stderr, "warning: %s is in memory: what is measured there says nothing about disks\n", *dir)
	}
	return report(ctx, e, strings.Split(*names, ","), *out)
}

func report(ctx context.Context, e *scenario.Env, names []string, out string) error {
	var reports []*scenario.Report
	var errs []error
	broken := 0
	for _, name := range names {
		r, err := scenario.Run(ctx, strings.TrimSpace(name), e)
		if err != nil {
			errs = append(errs, err)
		}
		if r != nil {
			reports = append(reports, r)
			broken += len(r.Problems)
		}
		if ctx.Err() != nil {
			break
		}
	}
	if err := scenario.Print(os.Stdout, reports); err != nil {
		errs = append(errs, err)
	}
	if out != "" {
		b, err := json.MarshalIndent(reports, "", "  ")
		if err == nil {
			err = os.WriteFile(out, append(b, '\n'), 0o644)
		}
		errs = append(errs, err)
	}
	if broken > 0 {
		errs = append(errs, fmt.Errorf("%d promises were broken", broken))
	}
	return errors.Join(errs...)
}

func parseFaults(list string) (out []sink.Mode, err error) {
	for name := range strings.SplitSeq(list, ",") {
		m := sink.Mode(strings.TrimSpace(name))
		switch {
		case m == sink.OK:
		case slices.Contains(sink.Faults(), m):
			out = append(out, m)
		default:
			return nil, fmt.Errorf("unknown fault %q: there are %q", m, sink.Faults())
		}
	}
	return out, nil
}

// memoryDisk reports whether dir is on a tmpfs.
func memoryDisk(dir string) bool {
	const tmpfsMagic = 0x01021994 // statfs(2)
	var st syscall.Statfs_t
	return syscall.Statfs(dir, &st) == nil && st.Type == tmpfsMagic
}
