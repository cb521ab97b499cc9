package agent

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/destination"
	"github.com/firebreak/firebreak/inputs"
	"github.com/firebreak/firebreak/record"
	"github.com/firebreak/firebreak/router"
)

// A setup is one configuration as it runs: a router, and the inputs and destinations that it names. A reload puts a new
// one in its place; what both name stays what it is, with its connections, its buffer and its counters.
type setup struct {
	cfg     *config.Config
	ins     []*input
	dests   []*target
	router  *router.Router
	intakes map[string]*router.Intake // by id
	users   atomic.Int64              // calls of Accept under way
}

// An input is a configured input.
type input struct {
	name  string
	id    string // its name, and another one for each input that a reload adds: what it counts is its own
	kind  string
	in    serving
	ended atomic.Bool // Run has returned
	stop  context.CancelFunc
	done  chan struct{} // closed when Run has returned
}

// A target is a configured destination: its configuration in one setup, and what stands over reloads.
type target struct {
	*destination.Destination
	*standing
	cfg *config.Output
}

// standing is what a destination keeps as long as it is configured.
type standing struct {
	dead     *deadLetters
	buf      buffer.Buffer
	taps     *taps
	ended    chan struct{} // closed when Run has returned
	stop     context.CancelFunc
	removed  atomic.Bool // from the configuration: nobody wants its events any more
	unstored atomic.Uint64
	replayed atomic.Uint64
}

// Blocks reports whether Append may wait for room, by the configuration of this setup: the router is made before the
// destination is changed.
func (t *target) Blocks() bool { return t.cfg.Buffer.OnFull == "block" }

// Append stores chunks, and shows some of them to who taps. A destination that was just removed takes what is still on
// its way to it, and drops it.
func (t *target) Append(ctx context.Context, chunks []record.Chunk) error {
	t.taps.see(tapDestination, t.Name(), chunks)
	err := t.Destination.Append(ctx, chunks)
	if err == nil || !errors.Is(err, buffer.ErrClosed) || !t.removed.Load() {
		return err
	}
	for i := range chunks {
		t.unstored.Add(uint64(chunks[i].Events))
	}
	return nil
}

// connect gives a setup its router.
func (s *setup) connect() error {
	sinks := make(map[string]router.Sink, len(s.dests))
	for _, d := range s.dests {
		sinks[d.Name()] = d
	}
	r, err := router.New(s.cfg.Processors, s.cfg.Routes, sinks)
	if err != nil {
		return err
	}
	s.router, s.intakes = r, make(map[string]*router.Intake, len(s.ins))
	for _, in := range s.ins {
		s.intakes[in.id] = r.Intake(in.id)
	}
	return nil
}

// intake returns the way of an input into the router, also of one that the setup doesn't name any more.
func (s *setup) intake(id string) *router.Intake {
	if in := s.intakes[id]; in != nil {
		return in
	}
	return s.router.Intake(id)
}

func (s *setup) target(name string) *target {
	for _, d := range s.dests {
		if d.Name() == name {
			return d
		}
	}
	return nil
}

func (s *setup) input(name string) *input {
	for _, in := range s.ins {
		if in.name == name {
			return in
		}
	}
	return nil
}

// enter returns the present setup, which isn't retired before the caller has ended its use with leave.
func (a *Agent) enter() *setup {
	for {
		s := a.now.Load()
		s.users.Add(1)
		if a.now.Load() == s {
			return s
		}
		s.leave() // replaced between the two
	}
}

func (s *setup) leave() { s.users.Add(-1) }

// accept is what an input calls: each call goes wholly through one setup.
func (a *Agent) accept(in *input) inputs.Accept {
	return func(ctx context.Context, chunks []record.Chunk) error {
		s := a.enter()
		defer s.leave()
		a.taps.see(tapInput, in.name, chunks)
		return s.intake(in.id).Accept(ctx, chunks)
	}
}
