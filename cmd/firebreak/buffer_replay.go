package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/internal/table"
)

// replayOptions say what is to be replayed.
type replayOptions struct {
	to, file string
	dead     bool
	reasons  []string
	output   string
}

func newBufferReplay() *cobra.Command {
	var o replayOptions
	cmd := &cobra.Command{
		Use:   "replay NAME",
		Short: "Offer dead letters, or what an orphan has left, again",
		Long: `Offers the dead letters of an output to it again, or to another one with --to.
Of an orphan, which is an output that is not configured any more, it moves what
waits in the buffer, and the dead letters, to the output that --to names.

What the output's buffer has taken is marked, so a replay that was interrupted
goes on where it stopped when it is called again. It takes only half of the
output's buffer and waits for room: new events are not pushed out. Replayed
events come after those that wait already, and are counted (offered, replayed).
An event that is refused again becomes a dead letter again.

With --file the dead letters in a file go instead of the originals, which it
names by their ids: dump, repair, replay. Each is replayed once, however often
the file is.`,
		Example: `  firebreak buffer replay access
  firebreak buffer replay access --reason rejected --to archive
  firebreak buffer replay old-access --to access

  firebreak buffer dump access --dead > letters.jsonl   # change them
  firebreak buffer replay access --file letters.jsonl`,
		Args: oneName,
	}
	flags := addRouterFlags(cmd)
	cmd.ValidArgsFunction = completeBuffers(flags)
	cmd.Flags().StringVar(&o.to, "to", "", "output that gets the events; without it NAME itself")
	cmd.Flags().StringSliceVar(&o.reasons, "reason", nil, "only dead letters with this reason (may be repeated)")
	cmd.Flags().BoolVar(&o.dead, "dead", false, "of an orphan only the dead letters, not the buffer")
	cmd.Flags().StringVarP(&o.file, "file", "f", "", "repaired dead letters, as dump prints them; - for standard input")
	cmd.Flags().StringVarP(&o.output, "output", "o", "text", "form of the result: text or json")
	completeNames(cmd, flags, "to", destinationNames)
	completeWords(cmd, "output", "text", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := formOf(o.output, "text", "json"); err != nil {
			return err
		}
		if o.file != "" && len(o.reasons) > 0 {
			return usageError{errors.New("--reason and --file: the file says which dead letters are meant")}
		}
		s, _, err := flags.chosen(cmd.Context(), args)
		if err != nil {
			return err
		}
		return replay(cmd, flags, s, args[0], &o)
	}
	return cmd
}

func replay(cmd *cobra.Command, flags *routerFlags, s *shelf, name string, o *replayOptions) error {
	q := agent.Replay{From: name, To: o.to, Reasons: o.reasons, Dead: o.dead}
	switch {
	case o.file == "-":
		q.Repaired = cmd.InOrStdin()
	case o.file != "":
		f, err := os.Open(o.file)
		if err != nil {
			return err
		}
		defer f.Close()
		q.Repaired = f
	}
	ctx, cancel := untilInterrupted(cmd.Context())
	defer cancel()
	show := &progress{out: cmd.ErrOrStderr()}
	var err error
	if s.running {
		err = replayRunning(ctx, s.dir, q, show.see)
	} else {
		err = replayStopped(ctx, flags, s, q, show.see)
	}
	show.end()
	return show.result(cmd, ctx, err, o, name)
}

// replayStopped replays without a router: the next one delivers.
func replayStopped(ctx context.Context, flags *routerFlags, s *shelf, q agent.Replay, see func(agent.ReplayProgress)) error {
	if s.cfg == nil {
		src, err := findConfig(flags.config)
		if err == nil {
			_, err = src.load()
		}
		if err == nil {
			err = fmt.Errorf("its data_dir is not %s", s.dir)
		}
		return fmt.Errorf("no router runs on %s, and the configuration that says where events go can't be used: %w", s.dir, err)
	}
	err := agent.ReplayStopped(ctx, s.cfg, zap.NewNop(), q, see)
	if errors.Is(err, agent.ErrRunning) {
		return fmt.Errorf("%w: its control socket can't be used: run this as the router's user, or when it has ended", err)
	}
	return err
}

// replayRunning lets the running router replay, and reads how far it is.
func replayRunning(ctx context.Context, dir string, q agent.Replay, see func(agent.ReplayProgress)) error {
	v := url.Values{"from": {q.From}}
	if q.To != "" {
		v.Set("to", q.To)
	}
	v["reason"] = q.Reasons
	if q.Dead {
		v.Set("dead", "1")
	}
	if q.Repaired != nil {
		v.Set("repaired", "1")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://control/replay?"+v.Encode(), q.Repaired)
	if err != nil {
		return err
	}
	resp, err := newRouterClient(dir, dir).http.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return fmt.Errorf("the router answers %s: %s", resp.Status, text)
	}
	in := bufio.NewScanner(resp.Body)
	for in.Scan() {
		var p agent.ReplayProgress
		if err := json.Unmarshal(in.Bytes(), &p); err != nil {
			return fmt.Errorf("the router answers in a form that this firebreak doesn't know: %w", err)
		}
		see(p)
		switch {
		case p.Done:
			return nil
		case p.Error != "":
			return errors.New(p.Error)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(errors.New("the router ended the replay: has it stopped?"), in.Err())
}

// progress shows how far a replay is.
type progress struct {
	out   io.Writer
	last  agent.ReplayProgress
	said  time.Time
	shown bool
}

func (p *progress) see(now agent.ReplayProgress) {
	waits := now.Waiting != p.last.Waiting
	p.last = now
	if now.Done || now.Error != "" || !waits && time.Since(p.said) < time.Second {
		return
	}
	if p.said.IsZero() && !waits { // a short one needs no words
		p.said = time.Now()
		return
	}
	p.said = time.Now()
	text := fmt.Sprintf("replayed %s (%s)", events(now.Replayed), table.Size(int64(now.Bytes)))
	if now.Waiting != "" {
		text += ", waiting " + now.Waiting
	}
	if width, _ := table.TerminalSize(p.out); width > 0 {
		fmt.Fprintf(p.out, "\r\x1b[K%s", table.Clip(table.Clean(text), width-1))
		p.shown = true
		return
	}
	fmt.Fprintln(p.out, table.Clean(text))
}

// end clears the line of progress.
func (p *progress) end() {
	if p.shown {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

func (p *progress) result(cmd *cobra.Command, ctx context.Context, err error, o *replayOptions, name string) error {
	to := o.to
	if to == "" {
		to = name
	}
	r := p.last
	if o.output == "json" {
		if err != nil && r.Error == "" {
			r.Error = err.Error()
		}
		text, e := json.Marshal(r)
		if e == nil {
			e = printJSON(cmd.OutOrStdout(), text)
		}
		if e != nil {
			return e
		}
		if err != nil {
			return errSilent
		}
		return nil
	}
	switch {
	case err == nil && r.Replayed == 0 && r.Skipped == 0:
		fmt.Fprintf(cmd.OutOrStdout(), "nothing of %s is there to replay\n", table.Clean(name))
	case err == nil || r.Replayed > 0:
		fmt.Fprintf(cmd.OutOrStdout(), "replayed %s (%s) of %s to %s", events(r.Replayed), table.Size(int64(r.Bytes)), table.Clean(name), table.Clean(to))
		if r.Skipped > 0 {
			fmt.Fprintf(cmd.OutOrStdout(), "; skipped %s, which were not asked for or replayed before", table.Number(r.Skipped))
		}
		fmt.Fprintln(cmd.OutOrStdout())
	}
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted: the same command goes on where this one stopped")
	}
	return err
}
