package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/table"
)

type checkOptions struct {
	config  string
	live    bool
	timeout time.Duration
	output  string
}

func newCheck() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Report everything that is wrong with a configuration",
		Long: `Reads a configuration as run does and reports every error at once, each with
its place and a hint, and files that outputs need and that aren't there.
Connects to nothing unless --live is given.

With --live it also reaches out to every target of every output, all at the same
time, without sending events: it resolves names, connects, authenticates, tries
to write. Run it where the router runs, as the router's user.

Exits 0 when the configuration can run and, with --live, every target works;
else 1. Warnings don't change that.`,
		Example: `  firebreak check -c firebreak.yaml
  firebreak check -c firebreak.yaml --live
  firebreak check --live --timeout 2s --output json | jq '.live[].findings[]'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case cmd.Flags().Changed("timeout") && !o.live:
				return usageError{errors.New("--timeout is for --live")}
			case o.timeout <= 0:
				return usageError{fmt.Errorf("--timeout %v: it must be above 0s", o.timeout)}
			}
			if err := oneOf("output", o.output, "text", "json"); err != nil {
				return err
			}
			return o.run(cmd)
		},
	}
	cmd.Flags().StringVarP(&o.config, "config", "c", "", configHelp)
	cmd.Flags().BoolVar(&o.live, "live", false, "also reach out to the targets of the outputs")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 5*time.Second, "how long --live may take")
	cmd.Flags().StringVarP(&o.output, "output", "o", "text", "form of the result: text or json")
	completeWords(cmd, "output", "text", "json")
	return cmd
}

// A checkReport is the result of a check.
type checkReport struct {
	Config   string            `json:"config"`
	OK       bool              `json:"ok"`
	Inputs   int               `json:"inputs"`
	Routes   int               `json:"routes"`
	Outputs  int               `json:"outputs"`
	Errors   []wrongPlace      `json:"errors"`
	Warnings []wrongPlace      `json:"warnings"`
	Live     []agent.LiveCheck `json:"live,omitempty"`
}

// A wrongPlace is a config.Problem in JSON.
type wrongPlace struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
	Excerpt string `json:"excerpt,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

func wrongPlaces(list []config.Problem) []wrongPlace {
	out := []wrongPlace{}
	for _, p := range list {
		out = append(out, wrongPlace{File: p.File, Line: p.Pos.Line, Column: p.Pos.Column, Message: p.Message, Excerpt: p.Excerpt, Hint: p.Hint})
	}
	return out
}

func (o *checkOptions) run(cmd *cobra.Command) error {
	r := checkReport{Errors: []wrongPlace{}, Warnings: []wrongPlace{}}
	src, err := findConfig(o.config)
	r.Config = src.name()
	var cfg *config.Config
	if err == nil {
		cfg, err = src.load()
	}
	if err == nil {
		r.Inputs, r.Routes, r.Outputs = len(cfg.Inputs), len(cfg.Routes), len(cfg.Outputs)
		r.Warnings = wrongPlaces(cfg.Warnings)
		if missing := agent.Verify(cfg); len(missing) > 0 {
			err = &config.Errors{Problems: missing}
		}
		if o.live {
			r.Live = o.reachOut(cmd.Context(), cfg)
		}
	}
	if found, ok := errors.AsType[*config.Errors](err); ok {
		r.Errors = wrongPlaces(found.Problems)
	} else if err != nil {
		r.Errors = []wrongPlace{{Message: err.Error()}}
	}
	r.OK = err == nil && reached(r.Live)
	if o.output == "json" {
		text, e := json.Marshal(r)
		if e == nil {
			e = printJSON(cmd.OutOrStdout(), text)
		}
		if e != nil {
			return e
		}
	} else if e := r.print(cmd, cfg, err); e != nil {
		return e
	}
	if !r.OK {
		return errSilent
	}
	return nil
}

func (o *checkOptions) reachOut(ctx context.Context, cfg *config.Config) []agent.LiveCheck {
	ctx, stop := untilInterrupted(ctx)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	return agent.CheckLive(ctx, cfg)
}

func reached(list []agent.LiveCheck) bool {
	for _, l := range list {
		for _, f := range l.Findings {
			if !f.OK {
				return false
			}
		}
	}
	return true
}

// print writes a report for people. A configuration that can't be found is an error like any other.
func (r *checkReport) print(cmd *cobra.Command, cfg *config.Config, err error) error {
	out, errs := cmd.OutOrStdout(), cmd.ErrOrStderr()
	if cfg != nil {
		for _, p := range cfg.Warnings {
			fmt.Fprintf(errs, "warning: %v\n\n", p)
		}
	}
	var wrong *config.Errors
	switch {
	case errors.As(err, &wrong):
		fmt.Fprintln(errs, err)
	case err != nil:
		return err
	default:
		fmt.Fprintf(out, "%s: ok: %s, %s, %s\n", r.Config, plural(r.Inputs, "input"), plural(r.Routes, "route"), plural(r.Outputs, "output"))
	}
	return printLive(out, r.Live)
}

// liveRoom returns how wide the last column of printLive may be; 0: any.
func liveRoom(out io.Writer, list []agent.LiveCheck) int {
	width, _ := table.TerminalSize(out)
	if width == 0 {
		return 0
	}
	name, kind, target := len("OUTPUT"), len("type"), len("target")
	for _, l := range list {
		name, kind = max(name, table.Width(l.Output)), max(kind, table.Width(l.Type))
		for _, f := range l.Findings {
			target = max(target, table.Width(f.Target))
		}
	}
	return max(width-name-kind-target-len("FAILED")-4*len("  "), 30)
}

// printLive writes what was seen of the targets.
func printLive(out io.Writer, list []agent.LiveCheck) error {
	if len(list) == 0 {
		return nil
	}
	t := table.Table{Columns: []table.Column{{Title: "OUTPUT", Left: true}, {Title: "type", Left: true}, {Title: "target", Left: true}, {Title: "live", Left: true}, {Left: true}}}
	cell := func(text string) table.Cell { return table.Cell{Text: text} }
	room := liveRoom(out, list)
	for _, l := range list {
		if len(l.Findings) == 0 {
			t.Add(cell(l.Output), cell(l.Type), cell("-"), table.Cell{Text: "-", Colour: table.Dim}, table.Cell{Text: "nothing to check", Colour: table.Dim})
		}
		for _, f := range l.Findings {
			state := table.Cell{Text: "ok", Colour: table.Green}
			if !f.OK {
				state = table.Cell{Text: "FAILED", Colour: table.Red}
			}
			front := []table.Cell{cell(l.Output), cell(l.Type), cell(cmp.Or(f.Target, "-")), state}
			texts := table.Wrap(cmp.Or(f.Error, f.Note), room)
			if f.Hint != "" {
				texts = append(texts, table.Wrap("hint: "+f.Hint, room)...)
			}
			for _, text := range texts {
				t.Add(append(slices.Clip(front), cell(text))...)
				front = make([]table.Cell, len(front))
			}
		}
	}
	for _, line := range t.Lines(table.StyleFor(out, os.Getenv), 0) {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}
