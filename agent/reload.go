package agent

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/config"
)

// reloads are the attempts to put another configuration in place.
type reloads struct {
	one sync.Mutex // one at a time

	mu       sync.Mutex
	degraded string // why another configuration runs than the one given
	last     *Reloaded
	loaded   time.Time // when one last succeeded
	stopping bool
	retiring sync.WaitGroup
}

func (r *reloads) why() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.degraded
}

func (r *reloads) latest() *Reloaded {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// loadedAt returns when the configuration was loaded that runs, which was at the start if no reload has succeeded.
func (r *reloads) loadedAt(start time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loaded.IsZero() {
		return start
	}
	return r.loaded
}

// end keeps reloads from starting, and waits until none is under way.
func (r *reloads) end() {
	r.mu.Lock()
	r.stopping = true
	r.mu.Unlock()
	r.one.Lock()
	r.one.Unlock() //nolint:staticcheck // who had it is through
}

// ending reports whether end was called.
func (r *reloads) ending() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopping
}

var errStopping = errors.New("the router is shutting down")

// Reload reads the configuration anew and puts it in place: everything that can fail is done first, and when anything
// does, nothing changes. What the old and the new configuration say alike is not touched. Reloads run one at a time.
func (a *Agent) Reload() Reloaded {
	a.reloads.one.Lock()
	defer a.reloads.one.Unlock()
	res := Reloaded{At: time.Now(), Changes: []string{}}
	cfg, changes, err := a.reload()
	res.OK = err == nil
	if err != nil {
		res.Error = err.Error()
	} else {
		res.Changes = append(res.Changes, changes...)
		for _, p := range cfg.Warnings {
			res.Warnings = append(res.Warnings, oneLine(p))
		}
	}
	a.reloads.mu.Lock()
	if last := a.reloads.last; last != nil {
		res.Count, res.Failed = last.Count, last.Failed
	}
	res.Count++
	if err != nil {
		res.Failed++
	} else {
		a.reloads.degraded, a.reloads.loaded = "", res.At
	}
	a.reloads.last = &res
	a.reloads.mu.Unlock()
	if err != nil {
		a.log.Error("the configuration is not reloaded: nothing has changed", zap.Error(err))
	} else {
		a.log.Info("configuration reloaded", zap.Strings("changes", res.Changes))
	}
	return res
}

func (a *Agent) reload() (*config.Config, []string, error) {
	switch {
	case a.reloads.ending() || a.phase.get() == stoppingPhase:
		return nil, nil, errStopping
	case a.phase.get() != running:
		return nil, nil, errors.New("the router is starting: try again in a moment")
	case a.opts.Load == nil:
		return nil, nil, errors.New("there is nothing to reload")
	}
	cfg, source, err := a.opts.Load()
	if err != nil {
		return nil, nil, err
	}
	old := a.now.Load()
	if err := needsRestart(old.cfg, cfg); err != nil {
		return nil, nil, err
	}
	t, err := a.prepare(old, cfg)
	if err != nil {
		return nil, nil, err
	}
	if a.reloads.ending() { // meanwhile
		t.abort()
		return nil, nil, errStopping
	}
	a.commit(t)
	a.sources.set(source)
	a.await(a.keepSource, time.Now().Add(diskPatience))
	if a.opts.Applied != nil {
		a.opts.Applied(cfg)
	}
	return cfg, t.describe(), nil
}

// needsRestart says what can't change while the router runs.
func needsRestart(old, cfg *config.Config) error {
	var all []error
	if old.DataDir != cfg.DataDir {
		all = append(all, fmt.Errorf("data_dir changes from %q to %q", old.DataDir, cfg.DataDir))
	}
	for _, o := range old.Outputs {
		i := slices.IndexFunc(cfg.Outputs, func(c config.Output) bool { return c.Name == o.Name })
		if i >= 0 && cfg.Outputs[i].Buffer.Type != o.Buffer.Type {
			all = append(all, fmt.Errorf("outputs.%s.buffer.type changes from %s to %s", o.Name, o.Buffer.Type, cfg.Outputs[i].Buffer.Type))
		}
	}
	for _, in := range old.Inputs {
		i := slices.IndexFunc(cfg.Inputs, func(c config.Input) bool { return c.Name == in.Name })
		if i >= 0 && cfg.Inputs[i].Type != in.Type {
			all = append(all, fmt.Errorf("inputs.%s.type changes from %s to %s", in.Name, in.Type, cfg.Inputs[i].Type))
		}
	}
	what := "that needs a restart"
	switch {
	case len(all) == 0:
		return nil
	case old.DataDir == cfg.DataDir:
		what += ", or another name for the changed input or output"
	}
	return fmt.Errorf("%w; %s", errors.Join(all...), what)
}

// commit puts the new setup in place. From the swap on, what inputs receive goes through the new one.
func (a *Agent) commit(t *transition) {
	for _, d := range t.addedDests {
		if d.cfg.Buffer.Fallback != "" {
			d.Change(t.next.settingsOf(d.cfg, nil))
		}
		a.startTarget(d)
	}
	for _, d := range t.changedDests {
		d.buf.Configure(policyOf(d.cfg))
		d.dead.Bound(int64(d.cfg.DeadLetters.MaxBytes))
		d.Change(t.next.settingsOf(d.cfg, t.built[d.Name()]))
	}
	a.tally.swap(t.old, func() { a.now.Store(t.next) })
	t.giveBack()
	for _, c := range t.changes {
		c.Commit()
	}
	for _, in := range t.next.ins {
		in.in.Adjust(synced(t.next.cfg), t.next.cfg.Shutdown)
	}
	for _, in := range t.addedIns {
		a.startInput(in)
	}
	if t.admin != nil {
		was := a.page()
		a.mu.Lock()
		a.admin = t.admin
		a.mu.Unlock()
		was.stop(time.Now().Add(time.Second))
		t.admin.start(a.life.ctx)
	}
	a.mu.Lock()
	a.warnings = nil
	a.mu.Unlock()
	a.warnAll(t.next.cfg)
	a.retire(t)
	a.await(a.examine, time.Now().Add(diskPatience)) // its disk may hang
}
