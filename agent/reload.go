package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/inputs"
	"github.com/firebreak/firebreak/outputs"
)

// retirePatience is how long what a reload removes is waited for before it is closed all the same: appends that wait
// for room in a buffer that nobody names any more.
const retirePatience = 3 * time.Second

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
	if len(all) == 0 {
		return nil
	}
	return fmt.Errorf("%w; that needs a restart, or another name for the changed part", errors.Join(all...))
}

// A transition is a reload whose parts are built, and that can still be given up.
type transition struct {
	old, next *setup
	admin     *admin // nil: stays

	changes      map[*input]inputs.Change
	addedIns     []*input
	removedIns   []*input
	built        map[string]outputs.Output // new outputs of destinations that were there, and of those to be opened
	changedDests []*target
	addedDests   []*target
	removedDests []*target
	names        []func() // give back the names of added outputs
	notes        []string
}

func (t *transition) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

func (t *transition) describe() []string {
	if len(t.notes) == 0 {
		return []string{"nothing differs"}
	}
	return t.notes
}

// prepare does everything of a reload that can fail. What leaves traces comes last.
func (a *Agent) prepare(old *setup, cfg *config.Config) (*transition, error) {
	t := &transition{old: old, next: &setup{cfg: cfg}, changes: map[*input]inputs.Change{}, built: map[string]outputs.Output{}}
	if err := a.assemble(t); err != nil {
		t.abort()
		return nil, err
	}
	for _, d := range old.dests {
		if t.next.target(d.Name()) == nil {
			t.removedDests = append(t.removedDests, d)
		}
	}
	for _, in := range old.ins {
		if t.next.input(in.name) == nil {
			t.removedIns = append(t.removedIns, in)
			t.note("input %s removed", in.name)
		}
	}
	for _, part := range []struct {
		name    string
		old, is any
	}{
		{"processors", old.cfg.Processors, cfg.Processors}, {"routes", old.cfg.Routes, cfg.Routes},
		{"shutdown", old.cfg.Shutdown, cfg.Shutdown}, {"log", old.cfg.Log, cfg.Log},
	} {
		if !same(part.old, part.is) {
			t.note("%s changed", part.name)
		}
	}
	if old.cfg.Admin != cfg.Admin {
		t.admin = newAdmin(a, cfg.Admin)
		t.note("admin changed to %s", cfg.Admin)
	}
	return t, nil
}

func (a *Agent) assemble(t *transition) error {
	cfg := t.next.cfg
	if err := routable(cfg); err != nil {
		return err
	}
	for i := range cfg.Outputs {
		c := &cfg.Outputs[i]
		was := t.old.target(c.Name)
		if was != nil && was.cfg.Type == c.Type && same(was.cfg.Options, c.Options) {
			continue
		}
		out, err := a.parts.output(c)
		if err != nil {
			return err
		}
		t.built[c.Name] = out
	}
	for _, c := range cfg.Inputs {
		if err := a.prepareInput(t, c); err != nil {
			return err
		}
	}
	for i := range cfg.Outputs {
		if err := a.prepareOutput(t, &cfg.Outputs[i]); err != nil {
			return err
		}
	}
	return t.next.connect()
}

// prepareOutput puts a destination into the next setup: the one that is there, or a new one.
func (a *Agent) prepareOutput(t *transition, c *config.Output) error {
	if was := t.old.target(c.Name); was != nil {
		d := &target{Destination: was.Destination, standing: was.standing, cfg: c}
		t.next.dests = append(t.next.dests, d)
		if !same(was.cfg, c) {
			t.changedDests = append(t.changedDests, d)
			t.note("output %s changed%s", c.Name, listed(differing(was.cfg, c)))
		}
		return nil
	}
	_, end := a.replays.begin(context.Background(), c.Name)
	if end == nil {
		return fmt.Errorf("add output %q: what an earlier one of that name has left is just being replayed: reload when that is done, or end it", c.Name)
	}
	t.names = append(t.names, end)
	d, err := a.openTarget(c, t.built[c.Name])
	if err != nil {
		return err
	}
	delete(t.built, c.Name)
	t.next.dests = append(t.next.dests, d)
	t.addedDests = append(t.addedDests, d)
	t.note("output %s added", c.Name)
	return nil
}

func (a *Agent) prepareInput(t *transition, c config.Input) error {
	was := t.old.input(c.Name)
	if was == nil {
		in, err := a.openInputOf(c, t.next.cfg)
		if err != nil {
			if taken := t.old.listensOn(c, t.next.cfg); taken != "" {
				err = fmt.Errorf("%w; input %q listens there until it is removed: remove it first, then add this one", err, taken)
			}
			return err
		}
		a.added++
		in.id = fmt.Sprintf("%s %d", c.Name, a.added)
		t.next.ins = append(t.next.ins, in)
		t.addedIns = append(t.addedIns, in)
		t.note("input %s added", c.Name)
		return nil
	}
	t.next.ins = append(t.next.ins, was)
	before := t.old.cfg.Inputs[slices.IndexFunc(t.old.cfg.Inputs, func(o config.Input) bool { return o.Name == c.Name })]
	if same(before.Options, c.Options) {
		return nil
	}
	change, err := was.in.Prepare(c.Options)
	if err != nil {
		return fmt.Errorf("change input %q: %w", c.Name, err)
	}
	t.changes[was] = change
	t.note("input %s changed%s", c.Name, listed(differing(before.Options, c.Options)))
	return nil
}

// listensOn names the input that has an address which c wants and that cfg doesn't name any more; "": none.
func (s *setup) listensOn(c config.Input, cfg *config.Config) string {
	for _, in := range s.cfg.Inputs {
		if slices.ContainsFunc(cfg.Inputs, func(o config.Input) bool { return o.Name == in.Name }) {
			continue
		}
		for _, addr := range config.ListenAddresses(in.Options) {
			if slices.Contains(config.ListenAddresses(c.Options), addr) {
				return in.Name
			}
		}
	}
	return ""
}

func listed(keys []string) string {
	if len(keys) == 0 {
		return ""
	}
	return " (" + strings.Join(keys, ", ") + ")"
}

// abort closes what was built, and leaves the rest as it is.
func (t *transition) abort() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, c := range t.changes {
		c.Abort()
	}
	for _, in := range t.addedIns {
		in.in.Close()
	}
	for _, out := range t.built {
		_ = out.Close(ctx)
	}
	for _, d := range t.addedDests {
		_ = d.Close(ctx)
	}
	if t.admin != nil {
		t.admin.stop(time.Now())
	}
	t.giveBack()
}

// giveBack ends the hold on the names of added outputs.
func (t *transition) giveBack() {
	for _, end := range t.names {
		end()
	}
	t.names = nil
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

// retire ends what the new setup doesn't name any more.
func (a *Agent) retire(t *transition) {
	for _, in := range t.removedIns {
		in.stop() // its connections end when they are quiet
	}
	idle := a.awaitIdle(t.old, retirePatience)
	if idle {
		a.tally.fold(t.old, a.now.Load)
	} else {
		a.reloads.retiring.Go(func() { // an append waits for room
			if a.awaitIdle(t.old, 0) {
				a.tally.fold(t.old, a.now.Load)
			}
		})
	}
	for _, d := range t.removedDests {
		d.removed.Store(true)
		end := a.replays.take(d.Name(), retirePatience)
		left := a.closeRemoved(d)
		if end != nil {
			end()
		}
		t.note("output %s removed%s", d.Name(), left)
	}
	if len(t.removedDests) == 0 || !idle && !a.awaitIdle(t.old, time.Second) {
		return
	}
	for _, d := range t.removedDests {
		if n := d.unstored.Load(); n > 0 {
			t.note("up to %d events that were on their way to %s are dropped: it had no room for them", n, d.Name())
		}
	}
}

// awaitIdle waits until no call of Accept goes through a setup, at most for the given time; 0: until the agent stops.
func (a *Agent) awaitIdle(s *setup, patience time.Duration) bool {
	began := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for s.users.Load() > 0 {
		if patience > 0 && time.Since(began) > patience {
			return false
		}
		select {
		case <-tick.C:
		case <-a.life.ctx.Done():
			return false
		}
	}
	return true
}

// closeRemoved closes a destination that is not configured any more, and says what is left of it.
func (a *Agent) closeRemoved(d *target) string {
	d.Drain()
	if d.cfg.Buffer.Type == "memory" {
		a.awaitEmpty(d, retirePatience)
	}
	d.stop()
	limit := time.Now().Add(retirePatience)
	if !a.await(func() { <-d.ended }, limit) {
		go func() { // a request hangs: until it returns, the buffer stays open, and no other output can have it
			<-d.ended
			a.closeTarget(d, time.Now().Add(retirePatience))
		}()
	}
	lost := a.closeTarget(d, limit.Add(time.Second))
	s := d.Stats().Buffer
	text := ""
	if s.Buffered > 0 && d.cfg.Buffer.Type == "disk" {
		text = fmt.Sprintf(": %d events stay in %s; deliver them with: %s", s.Buffered, a.bufferDir(d.Name()), replayCommand(d.Name()))
		if s.Volatile {
			text += "; its disk hangs, and those that it doesn't take before the router ends are lost"
		}
	}
	if lost > 0 {
		text += fmt.Sprintf(": %d events that were in its memory are lost", lost)
	}
	return text
}

// awaitEmpty gives a destination in memory a moment to deliver what it has.
func (a *Agent) awaitEmpty(d *target, patience time.Duration) {
	limit := time.Now().Add(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(limit) {
		if s := d.Stats(); s.Buffer.Buffered == 0 || s.Breaker != "closed" {
			return
		}
		select {
		case <-tick.C:
		case <-a.life.ctx.Done():
			return
		}
	}
}
