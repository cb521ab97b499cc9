package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/config"
)

func newBuffer() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "buffer",
		Short: "Look into buffers and dead letters, and replay them",
		Long: `Looks into what outputs have on disk, whether a router runs or not: the events
that wait in their buffers, and their dead letters, which are events that were
given up with a reason. An output that is not configured any more may have left
both behind: an orphan, which replay delivers through another output.

ls, dump and verify read the files below data_dir and change nothing. What a
running router holds only in memory, they don't see; look at it with status and
tap. replay goes through the running router, or writes by itself if none runs.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usageError{fmt.Errorf("unknown command %q for buffer: ls, dump, verify or replay", args[0])}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBufferLs(), newBufferDump(), newBufferVerify(), newBufferReplay())
	return cmd
}

// A shelf is the data directory that a command looks into.
type shelf struct {
	dir     string
	same    string // flags that name it
	running bool
	status  agent.Status   // if a router runs
	cfg     *config.Config // nil: it can't be read, or is another directory's
}

// shelf finds the data directory that the flags name, and what is known of its outputs.
func (f *routerFlags) shelf(ctx context.Context) (*shelf, error) {
	router, err := f.router()
	if err != nil {
		return nil, err
	}
	s := &shelf{dir: router.dir, same: f.same()}
	if s.status, _, err = router.status(ctx, answerTime); err == nil {
		s.running = true
	}
	if src, err := findConfig(f.config); err == nil {
		if cfg, err := src.load(); err == nil && (f.dataDir == "" || filepath.Clean(cfg.DataDir) == filepath.Clean(s.dir)) {
			s.cfg = cfg
			s.cfg.DataDir = s.dir
		}
	}
	if _, err := os.Stat(s.dir); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no data directory %s: name it with --data-dir, or the configuration with -c", s.dir)
		}
		return nil, err
	}
	return s, nil
}

// configured returns the types of the outputs' buffers by name; nil: not known.
func (s *shelf) configured() map[string]string {
	if s.running {
		known := map[string]string{}
		for _, d := range s.status.Destinations {
			known[d.Name] = "disk"
		}
		for _, o := range s.status.Orphans {
			delete(known, o.Name) // one whose buffer is in memory now
		}
		return known
	}
	if s.cfg == nil {
		return nil
	}
	known := map[string]string{}
	for _, o := range s.cfg.Outputs {
		known[o.Name] = o.Buffer.Type
	}
	return known
}

func (s *shelf) buffer(name string) string { return filepath.Join(s.dir, "buffers", name) }
func (s *shelf) dead(name string) string   { return filepath.Join(s.dir, "dead", name) }

// names lists what has a directory.
func (s *shelf) names() ([]string, error) {
	var out []string
	for _, kind := range []string{"buffers", "dead"} {
		list, err := os.ReadDir(filepath.Join(s.dir, kind))
		switch {
		case errors.Is(err, fs.ErrPermission):
			return nil, fmt.Errorf("look into %s: %w", s.dir, denied(s.dir))
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
		for _, e := range list {
			if e.IsDir() && !slices.Contains(out, e.Name()) {
				out = append(out, e.Name())
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// choose checks names that somebody gave; without any it returns all.
func (s *shelf) choose(args []string) ([]string, error) {
	all, err := s.names()
	if err != nil || len(args) == 0 {
		return all, err
	}
	for _, name := range args {
		if slices.Contains(all, name) {
			continue
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("%s has no buffers", s.dir)
		}
		return nil, fmt.Errorf("%s has nothing of %q; there are: %s", s.dir, name, strings.Join(all, ", "))
	}
	return args, nil
}

// chosen finds the data directory that the flags name, and what the arguments name in it; without any, all.
func (f *routerFlags) chosen(ctx context.Context, args []string) (*shelf, []string, error) {
	s, err := f.shelf(ctx)
	if err != nil {
		return nil, nil, err
	}
	names, err := s.choose(args)
	return s, names, err
}

func exists(dir string) bool {
	_, err := os.Stat(dir)
	return err == nil
}

// An entry of ls.
type bufferEntry struct {
	Name    string              `json:"name"`
	State   string              `json:"state"`             // configured, orphan or unknown
	Command string              `json:"command,omitempty"` // what to do about it
	Buffer  *buffer.Summary     `json:"buffer,omitempty"`
	Dead    *buffer.DeadSummary `json:"dead_letters,omitempty"`
}

// entry looks at one output's files.
func (s *shelf) entry(name string, known map[string]string) (bufferEntry, error) {
	e := bufferEntry{Name: name, State: "unknown"}
	if exists(s.buffer(name)) {
		sum, err := buffer.Inspect(s.buffer(name), nil)
		if err != nil {
			return e, err
		}
		e.Buffer = &sum
	}
	if exists(s.dead(name)) {
		sum, err := buffer.InspectDead(s.dead(name), nil)
		if err != nil {
			return e, err
		}
		e.Dead = &sum
	}
	left := e.Buffer != nil && e.Buffer.Buffered > 0
	typ, there := known[name]
	switch {
	case known == nil:
	case there && (typ == "disk" || !left):
		e.State = "configured"
	default:
		e.State = "orphan"
		if left || e.Dead != nil && e.Dead.Events > 0 {
			e.Command = "firebreak buffer replay " + name + " --to OUTPUT" + s.same
		}
	}
	return e, nil
}

// completeBuffers completes the names of what has files.
func completeBuffers(flags *routerFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		router, err := flags.router()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names, err := (&shelf{dir: router.dir}).names()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return slices.DeleteFunc(names, func(n string) bool { return slices.Contains(args, n) }), cobra.ShellCompDirectiveNoFileComp
	}
}
