package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/internal/table"
)

// A pacing says when what happens, since the start of the containers.
type pacing struct {
	kill, join, back, stop time.Duration
	catchUp                time.Duration // longest wait for the end, behind stop
	sample                 time.Duration // between two looks
	limit                  time.Duration // a pause that is longer breaks the promise
	retry, retryMax        time.Duration // the router's
}

func realPacing() pacing {
	return pacing{
		kill: 5 * time.Second, join: 7 * time.Second, back: 12 * time.Second, stop: 17 * time.Second, catchUp: 10 * time.Second,
		sample: 125 * time.Millisecond, limit: time.Second, retry: 100 * time.Millisecond, retryMax: time.Second,
	}
}

// maxTold bounds the router's warnings in the narration; the rest is in its log.
const maxTold = 4

// A story is one run. Only the goroutine that runs it uses it, but for the parts that have their own locks.
type story struct {
	pace       pacing
	view       view
	router     *agent.Agent
	warnings   *warnings
	told       int
	aggs       [len(kinds)]*aggregator
	containers []*container
	meter      meter
	began      time.Time
	phase      phase

	hiccup     atomic.Int64    // ns: how late this machine is at worst
	stop, kill context.Context // of the containers
	stopAll    context.CancelFunc
	logging    sync.WaitGroup

	sum          Summary
	backAt       time.Time
	atKill, back mark
}

// A mark is what was sent and received up to a moment.
type mark struct {
	at             time.Time
	sent, received [len(kinds)]uint64
}

func (s *story) since(t time.Time) time.Duration { return t.Sub(s.began) }

func (s *story) mark() mark {
	m := mark{at: time.Now()}
	for i := range kinds {
		m.received[i] = s.aggs[i].tally.counts().received
		m.sent[i] = sum(sentBy(s.containers, i))
	}
	return m
}

func (s *story) say(colour, format string, args ...any) error {
	return s.view.say(s.since(time.Now()), fmt.Sprintf(format, args...), colour)
}

// run tells the story to its end. It returns early when ctx ends, or nobody reads any more.
func (s *story) run(ctx context.Context) error {
	s.stop, s.stopAll = context.WithCancel(ctx)
	defer s.logging.Wait()
	defer s.stopAll()
	s.kill = ctx
	s.logging.Go(func() { s.hiccup.Store(int64(hiccup(s.stop))) })
	s.began = time.Now()
	for _, step := range [...]struct {
		at    time.Duration
		ready func() bool // what must be so, too; nil: nothing
		do    func(context.Context) error
	}{
		{0, nil, s.begin},
		{s.pace.kill, s.allWell, s.killOne},
		{s.pace.join, nil, s.joinLate},
		{s.pace.back, s.someWait, s.restart},
		{s.pace.stop, nil, s.end},
	} {
		err := s.watch(ctx, func() bool {
			passed := time.Since(s.began)
			return passed >= step.at && (step.ready == nil || step.ready() || passed >= step.at+s.pace.catchUp)
		})
		if err == nil {
			err = step.do(ctx)
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// allWell reports whether every aggregator has got something, and more than once.
func (s *story) allWell() bool {
	for _, a := range s.aggs {
		if a.tally.counts().pauses[before] == 0 {
			return false
		}
	}
	return true
}

// someWait reports whether lines wait for the victim.
func (s *story) someWait() bool { return destination(s.router.Status(), killed).Buffered > 0 }

// hiccup returns how late a goroutine that has nothing to do with the router wakes up at worst: what a busy machine
// does to everybody is not the router's doing.
func hiccup(ctx context.Context) (worst time.Duration) {
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return worst
		case <-time.After(pace):
		}
		now := time.Now()
		worst = max(worst, now.Sub(last)-pace)
		last = now
	}
}

// watch looks at everything, again and again, until done.
func (s *story) watch(ctx context.Context, done func() bool) error {
	tick := time.NewTicker(s.pace.sample)
	defer tick.Stop()
	for !done() {
		if err := errors.Join(s.tellWarnings(), s.tellCaughtUp(), s.view.show(s.look())); err != nil {
			return fmt.Errorf("show the story: %w", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

func (s *story) tellWarnings() error {
	for _, text := range s.warnings.take() {
		if s.told++; s.told > maxTold {
			continue
		}
		if s.told == maxTold {
			text += " (what else it says is in its log; see --keep)"
		}
		if err := s.say(table.Dim, "%s", text); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) begin(context.Context) error {
	err := s.say(table.Plain, "The router listens on %s. Behind it: three aggregators, one for each kind of line, each with its own buffer on disk.", s.listening())
	if err != nil {
		return err
	}
	rate := 0
	for _, c := range s.containers {
		if c.late {
			continue
		}
		if err := s.start(c); err != nil {
			return err
		}
		rate += c.rate
	}
	return s.say(table.Plain, "Three containers log %s lines/s to it, each line one send, as Docker's fluentd log driver does.", table.Number(uint64(rate)))
}

func (s *story) listening() string {
	for _, addr := range s.router.Listening() {
		return addr[len("tcp://"):]
	}
	return ""
}

func (s *story) start(c *container) error {
	conn, err := c.open(s.listening())
	if err != nil {
		return err
	}
	s.logging.Go(func() { c.run(s.stop, s.kill, conn) })
	return nil
}

func (s *story) enter(p phase) {
	s.phase = p
	for _, a := range s.aggs {
		a.tally.enter(p)
	}
}

func (s *story) victim() (int, *aggregator) {
	for i, a := range s.aggs {
		if a.kind == killed {
			return i, a
		}
	}
	return 0, nil
}

func (s *story) killOne(context.Context) error {
	_, a := s.victim()
	s.atKill = s.mark()
	s.enter(outage)
	a.kill()
	return s.say(table.Red, "Aggregator %q is killed: its connections break, and its port refuses new ones.", a.kind)
}

// joinLate starts a container while the aggregator is dead: what the origin of it all was about.
func (s *story) joinLate(context.Context) error {
	_, a := s.victim()
	direct := a.dial()
	if direct == nil {
		return fmt.Errorf("kill aggregator %q: somebody answers at %s", a.kind, a.addr)
	}
	s.sum.DirectError = direct.Error()
	for _, c := range s.containers {
		if !c.late {
			continue
		}
		if err := s.say(table.Yellow, "A new container, %q, wants to start. If it logged straight to the dead aggregator, Docker would refuse: failed to initialize logging driver: %v", c.name, direct); err != nil {
			return err
		}
		if err := s.start(c); err != nil {
			return err
		}
		if err := s.say(table.Green, "It logs to the router instead: connected after %s, and it starts.", short(c.connect)); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) restart(ctx context.Context) error {
	i, a := s.victim()
	s.back = s.mark()
	waiting := a.tally.waiting(sentBy(s.containers, i))
	if err := a.restart(ctx); err != nil {
		return err
	}
	s.backAt = time.Now()
	s.enter(after)
	return s.say(table.Green, "Aggregator %q is back. %s lines wait for it; the router finds out at its next attempt.", a.kind, table.Number(waiting))
}

// tellCaughtUp says once that nothing waits any more.
func (s *story) tellCaughtUp() error {
	if s.backAt.IsZero() || s.sum.CaughtUpAt > 0 {
		return nil
	}
	_, a := s.victim()
	c := a.tally.counts()
	if c.lateLeft > 0 || c.lateDone.IsZero() {
		return nil
	}
	s.sum.CaughtUpAt = inSeconds(s.since(c.lateDone))
	return s.say(table.Green, "Aggregator %q has caught up: %s late lines had arrived %s after its return.", a.kind, table.Number(c.late), short(c.lateDone.Sub(s.backAt)))
}

// end stops the containers and waits until all that they sent has arrived.
func (s *story) end(ctx context.Context) error {
	s.stopAll()
	s.logging.Wait()
	if err := s.say(table.Plain, "The containers stop. What they sent is on its way to the aggregators."); err != nil {
		return err
	}
	limit := time.Now().Add(s.pace.catchUp)
	if err := s.watch(ctx, func() bool { return time.Now().After(limit) || s.arrived() }); err != nil {
		return err
	}
	return errors.Join(s.tellWarnings(), s.tellCaughtUp(), s.view.show(s.look()))
}

// arrived reports whether the router has delivered everything: no more can come.
func (s *story) arrived() bool {
	status := s.router.Status()
	delivered, sent := uint64(0), uint64(0)
	for _, d := range status.Destinations {
		delivered += d.Delivered
		if d.Buffered > 0 {
			return false
		}
	}
	for _, c := range s.containers {
		sent += c.total()
	}
	return delivered >= sent
}
