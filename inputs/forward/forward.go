// Package forward is the input that speaks the forward protocol of Fluentd and Fluent Bit, as Docker's fluentd log
// driver and AWS FireLens do.
//
// Each connection has one goroutine, which reads, takes all complete messages into one batch, has it accepted, and
// then sends the acks that are due. It waits for nothing else. Large messages go out in parts as they arrive.
//
// Sources: Forward Protocol Specification v0, v1 and v1.5 (fluent/fluentd wiki), and what the clients really send.
package forward

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/inputs"
	"github.com/firebreak/firebreak/record"
)

// Env is what an input needs from the router.
type Env struct {
	Name     string
	Log      *zap.Logger  // nil: none
	Attrs    record.Attrs // of every chunk
	Dir      string       // for acked pieces of long lines; made when it is missing; "": memory alone keeps them
	Sync     bool         // sync pieces before they are acked, because a destination does so too (sync: always)
	Shutdown config.Shutdown
}

// An Input is a forward input. Call Listen once, then Run once.
type Input struct {
	set     atomic.Pointer[settings] // of now; connections have the ones that they began with
	env     Env                      // Shutdown with mu
	log     limitedLog
	fileMax int // see fileBound

	budget *budget
	tags   interner
	join   *joiner
	count  counters

	accept   inputs.Accept
	work     context.Context // of connections; outlives the ctx of Run
	last     atomic.Int64    // when something was read, unix nanoseconds; connections alone may be heartbeats
	stopping chan struct{}
	stopOnce sync.Once

	mu        sync.Mutex
	listeners []*listener // in the order of the options
	changing  bool        // between Prepare and the end of the change
	running   bool        // Run serves; the listeners change with their goroutines
	ending    bool        // no listener is opened any more
	conns     map[*conn]struct{}
	stopBy    time.Time // set when the connections were told to stop
	serving   sync.WaitGroup
	helpers   sync.WaitGroup
}

var _ inputs.Input = (*Input)(nil)

// New returns an input that listens nowhere yet. It reads the TLS files.
func New(opts *Options, env Env) (*Input, error) {
	in := &Input{
		env:      env,
		budget:   newBudget(int64(opts.Memory)),
		stopping: make(chan struct{}),
		fileMax:  fileBound(),
		conns:    map[*conn]struct{}{},
	}
	log := env.Log
	if log == nil {
		log = zap.NewNop()
	}
	in.log.Logger = log.With(zap.String("input", env.Name))
	set, err := newSettings(opts, nil, in.log.Logger)
	if err != nil {
		return nil, fmt.Errorf("open input %q: %w", env.Name, err)
	}
	in.set.Store(set)
	files := &pieceFiles{dir: env.Dir}
	files.sync.Store(env.Sync)
	in.join = newJoiner(opts, files, &in.count)
	return in, nil
}

// Run serves until ctx ends, then as long as clients still send (see Env.Shutdown) or until Stop. Then every
// connection ends at the end of the message in hand, what is held is passed on, and Run returns nil.
func (in *Input) Run(ctx context.Context, accept inputs.Accept) error {
	if len(in.current()) == 0 {
		return errors.New("run forward input: it does not listen")
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	in.accept, in.work = accept, work
	earlier := in.takeUp()
	in.begin()
	in.helpers.Go(func() {
		select {
		case acked := <-earlier:
			in.deliverLines(acked)
		case <-work.Done():
		}
	})
	in.helpers.Go(func() { in.join.sweep(work, in.deliverLines) })
	stopWatch := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { in.watchSockets(stopWatch) })
	select {
	case <-ctx.Done():
		in.end()
		in.drain()
	case <-in.stopping:
	}
	close(stopWatch)
	watching.Wait()
	in.Stop()
	in.Close()
	in.endConnections(cancel)
	cancel()
	in.helpers.Wait()
	in.work = context.WithoutCancel(ctx)
	in.flushHeld()
	return nil
}

// begin starts to serve the listeners.
func (in *Input) begin() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.running = true
	for _, ln := range in.listeners {
		in.serve(ln)
	}
}

// serve starts the goroutines of a listener; the lock is held.
func (in *Input) serve(ln *listener) {
	in.helpers.Go(func() { in.acceptLoop(ln) })
	if ln.packets != nil {
		in.helpers.Go(func() { heartbeat(ln.packets) })
	}
}

// end makes the listeners stay as they are.
func (in *Input) end() {
	in.mu.Lock()
	in.ending = true
	in.mu.Unlock()
}

func (in *Input) stopped() bool {
	select {
	case <-in.stopping:
		return true
	default:
		return false
	}
}

// Stop makes Run end now: connections end at the end of the message in hand. It may be called at any time, and again.
func (in *Input) Stop() { in.stopOnce.Do(func() { close(in.stopping) }) }

// restorePatience is how long clients wait for the pieces of an earlier run to be read: the next piece of a line must
// not come before its first ones, and a disk that hangs must not keep anybody out.
const restorePatience = time.Second

// takeUp reads the pieces of an earlier run. The channel gives the lines among them that are complete or too old.
func (in *Input) takeUp() <-chan []*line {
	lines := make(chan []*line, 1)
	go func() { lines <- in.restore() }() // a disk that hangs may hold it for ever
	select {
	case acked := <-lines:
		lines <- acked
	case <-time.After(restorePatience):
		in.fail(errPieces, "", errors.New("the disk doesn't answer: pieces of lines from before the start come later"))
	}
	return lines
}

// restore takes up the pieces that an earlier run has acked, and returns the lines that are to be passed on now.
func (in *Input) restore() (done []*line) {
	err := in.join.files.restore(func(file string, at stamp, p piece, rec []byte) {
		done = append(done, in.join.add(nil, at, p, rec, file)...)
	})
	if err != nil {
		in.fail(errPieces, "", err)
	}
	return done
}

// deliver has a batch accepted and counts it.
func (in *Input) deliver(ctx context.Context, b *batch, arrived time.Time) error {
	if chunks := b.seal(in.env.Attrs, arrived); len(chunks) > 0 {
		if err := in.accept(ctx, chunks); err != nil {
			in.join.restore(b.lines)
			return &badError{errAccept, fmt.Errorf("accept %d events: %w", b.events, err)}
		}
	}
	received := uint64(b.events)
	for i, n := range b.invalid {
		if n > 0 {
			received += n
			in.count.invalid[i].Add(n)
		}
	}
	if received > 0 {
		in.count.received.Add(received)
	}
	if len(b.lines) > 0 {
		in.join.forget(b.lines)
	}
	return nil
}

// deliverLines passes lines on that no connection does.
func (in *Input) deliverLines(lines []*line) error {
	for len(lines) > 0 {
		b := batches.Get().(*batch)
		for len(lines) > 0 && !b.full(in.budget.scarce.Load()) {
			b.addLine(lines[0])
			lines = lines[1:]
		}
		err := in.deliver(in.work, b, time.Now())
		b.release(in.budget.scarce.Load())
		if err != nil {
			in.join.restore(lines)
			in.fail(errAccept, "", err)
			return err
		}
	}
	return nil
}

// active notes that a client is there.
func (in *Input) active(now time.Time) { in.last.Store(now.UnixNano()) }

// fail counts a failure and writes about it, at most once for a while.
func (in *Input) fail(kind errKind, peer string, err error) {
	in.count.errors[kind].Add(1)
	in.log.warn(errNames[kind], peer, err)
}
