package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/config"
)

// ErrRunning says that a router runs on the data directory.
var ErrRunning = errInUse

// ReplayStopped replays as [Agent.Replay] does while no router runs: what it offers is in the destination's buffer
// when the next one starts. Its error is ErrRunning while one does.
func ReplayStopped(ctx context.Context, cfg *config.Config, log *zap.Logger, r Replay, report func(ReplayProgress)) error {
	a := newAgent(Options{Config: cfg, Log: log})
	if err := a.lock.take(diskPatience); err != nil {
		return fmt.Errorf("use data_dir %q: %w", cfg.DataDir, err)
	}
	defer a.lock.release()
	s := &setup{cfg: cfg}
	defer func() {
		closing, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		for _, d := range s.dests {
			_ = d.Close(closing)
			_ = d.dead.Close()
		}
	}()
	for i := range cfg.Outputs {
		c := &cfg.Outputs[i]
		if c.Name != r.From && c.Name != r.To {
			continue
		}
		if c.Buffer.Type != "disk" && (c.Name == r.To || r.To == "") {
			return fmt.Errorf("the buffer of %q is in memory: replay to it while the router runs", c.Name)
		}
		out, err := a.parts.output(c)
		if err != nil {
			return err
		}
		t, err := a.openTarget(c, out)
		if err != nil {
			return err
		}
		s.dests = append(s.dests, t)
	}
	a.now.Store(s)
	return a.Replay(ctx, r, report)
}

// serveReplay replays for the command line: the query says what, the body may hold repaired dead letters.
func (a *Agent) serveReplay(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	q := Replay{From: v.Get("from"), To: v.Get("to"), Reasons: v["reason"], Dead: v.Get("dead") != ""}
	if v.Get("repaired") != "" {
		q.Repaired = r.Body
	}
	if q.From == "" {
		http.Error(w, "from is missing", http.StatusBadRequest)
		return
	}
	_ = http.NewResponseController(w).EnableFullDuplex() // the body is read while the answer is written
	s := newStream(w)
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer context.AfterFunc(a.life.ctx, func() { cancel(errStopping) })() // a shutdown doesn't wait for it
	said := false
	err := a.Replay(ctx, q, func(p ReplayProgress) {
		said = said || p.Done || p.Error != ""
		if s.send(p) != nil {
			cancel(nil)
		}
	})
	if err != nil && !said {
		_ = s.send(ReplayProgress{Error: err.Error()})
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		a.log.Warn("replay ended early", zap.String("from", q.From), zap.Error(err))
	}
}
