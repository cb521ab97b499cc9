package destination

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/record"
)

// Reasons for dead letters that destinations give by themselves.
const (
	ReasonEncode   = "encode"   // the output can't encode the event
	ReasonRejected = "rejected" // the event fails again and again on servers that take others
	// reasonUnkept is a reason for shedding: a dead letter that could not be kept.
	reasonUnkept = "dead_letter_unkept"
	// reasonRefused stands for a reason that an output didn't give.
	reasonRefused = "refused"
)

// buryPatience bounds the wait for the dead letters' disk: intake and delivery don't stop for it.
const buryPatience = 2 * time.Second

var errHangs = fmt.Errorf("the disk has not answered for %v", buryPatience)

// A cemetery keeps dead letters, or says that it can't.
type cemetery struct {
	store   DeadLetters   // nil: none
	busy    chan struct{} // holds one token while the store works
	started atomic.Int64  // when it began to, in nanoseconds; 0: idle
}

func newCemetery(store DeadLetters) *cemetery {
	return &cemetery{store: store, busy: make(chan struct{}, 1)}
}

// keep stores a chunk. It waits at most buryPatience, and not at all when somebody has waited that long already. What
// is stored later than that is kept all the same, but counts as shed.
func (m *cemetery) keep(c record.Chunk, reason, detail string) error {
	if m.store == nil {
		return errors.New("no store")
	}
	if at := m.started.Load(); at != 0 && time.Since(time.Unix(0, at)) >= buryPatience {
		return errHangs
	}
	t := time.NewTimer(buryPatience)
	defer t.Stop()
	select {
	case m.busy <- struct{}{}:
	case <-t.C:
		return errHangs
	}
	m.started.Store(time.Now().UnixNano())
	c.Data = slices.Clone(c.Data) // borrowed, and the disk may take its time
	done := make(chan error, 1)
	go func() {
		err := m.store.Append(c, reason, detail)
		m.started.Store(0)
		<-m.busy
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-t.C:
		return errHangs
	}
}

// bury keeps a dead letter and says what its fate is.
func (d *Destination) bury(c record.Chunk, reason, detail string) (buffer.Fate, string) {
	if reason == "" {
		reason = reasonRefused
	}
	if err := d.dead.keep(c, reason, detail); err != nil {
		d.counts.note(fmt.Sprintf("keep dead letters: %v", err))
		return buffer.Shed, reasonUnkept
	}
	d.counts.note("")
	return buffer.DeadLettered, reason
}

// Reject gives chunks straight to the dead letters. It waits a moment for their disk, not longer.
func (d *Destination) Reject(_ context.Context, chunks []record.Chunk, reason string) error {
	for i := range chunks {
		fate, why := d.bury(chunks[i], reason, "")
		d.buf.Account(chunks[i].Events, fate, why)
	}
	return nil
}

// bury gives up the events [from, to) of a lease and keeps them with the dead letters.
func (w *worker) bury(h *held, from, to int, reason, detail string) {
	part, err := h.slice(from, to)
	if err != nil {
		h.settle(from, to, buffer.Shed, buffer.ReasonCorrupt)
		return
	}
	fate, why := w.d.bury(part, reason, detail)
	h.settle(from, to, fate, why)
}
