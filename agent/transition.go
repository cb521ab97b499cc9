package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/inputs"
	"github.com/firebreak/firebreak/outputs"
)

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
