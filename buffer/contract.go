// Package buffer keeps the chunks of one destination between intake and delivery.
//
// A buffer is the only asynchronous edge on the way of the data, and the boundary of acknowledgement: when
// [Buffer.Append] has returned, the events are kept until somebody ends the lease that they are in.
// docs/BUFFER-FORMAT.md describes the files.
package buffer

import (
	"context"
	"errors"
	"time"

	"github.com/firebreak/firebreak/record"
)

// ErrClosed is returned by calls on a buffer after Close.
var ErrClosed = errors.New("buffer is closed")

// A Buffer keeps chunks in order until they are delivered. All methods may be called concurrently.
type Buffer interface {
	// Append stores the chunks, in order, and returns nil when they are kept as the sync mode says, or were shed by
	// the policy at the bound (counted in Stats). Data is copied: it may be reused after the call.
	//
	// Append waits for the buffer's own disk, at most about 2 s: then the buffer goes on in memory and says so in
	// Stats.Volatile. For room it waits only with the policy Block, until ctx ends, and with Policy.Spills, at most
	// about 2 s; when ctx ends meanwhile, its error is ctx's and nothing of the call's chunks that had no room is stored.
	Append(ctx context.Context, chunks []record.Chunk) error

	// Next returns the next lease: returned events first, in the order of their positions, then the ones not leased
	// before. It waits until there is one, ctx ends or the buffer is closed.
	Next(ctx context.Context) (*Lease, error)

	// TryNext is Next without waiting: nil when there is nothing to lease right now.
	TryNext() *Lease

	// Account counts n events that were offered and met their fate without being stored (a size guard's dead letters).
	Account(n int, fate Fate, reason string)

	// Stats returns counters and gauges. The ledger in it balances at every instant.
	Stats() Stats

	// Configure changes the policy of an open buffer. What is stored stays; a bound that is lower than what is stored
	// takes effect with the next append.
	Configure(p Policy)

	// Pressure says how near the bound the buffer is. It is cheap.
	Pressure() Pressure

	// Pressed gets a token whenever Pressure may have risen. It is for one receiver.
	Pressed() <-chan struct{}

	// Close returns all leases, syncs and closes the files. Events that are still buffered stay on disk; those of a
	// buffer in memory are shed with the reason "shutdown". Appends and leases that wait get ErrClosed. Close gives
	// up at the end of ctx, when a disk hangs.
	Close(ctx context.Context) error
}

// A Policy is what of a buffer's options may change while it is open. Zero values mean the defaults.
type Policy struct {
	MaxBytes int64
	Memory   int64 // of a buffer on disk
	MaxAge   time.Duration
	MinFree  float64 // share of the volume to leave free, 0 to 1
	OnFull   OnFull
	Sync     Sync
	// Spills says that somebody moves the oldest events elsewhere under pressure: an append at the bound waits for that,
	// at most about 2 s, before the policy sheds. When that was for nothing, appends don't wait again until a lease has
	// settled events, and when it was so again and again, not for up to about a minute.
	Spills bool
}

// Pressure says how near its bound a buffer is.
type Pressure uint8

// The levels of pressure.
const (
	Relaxed Pressure = iota // below about half of the bound, or since it was there
	High                    // above about three quarters of the bound, and until it is relaxed again
	Waiting                 // at the bound: an append waits for room
)

// A Lease is a chunk that is being delivered. Its chunk's Data is valid until End. A lease belongs to one goroutine.
type Lease struct {
	ID       ID
	Chunk    record.Chunk
	Attempts int // how often it was leased before, in this run of the process

	q          *queue // nil once ended
	blk        *block // holds Data
	num        uint64 // running number of the first event; ID.First is what it was at the first lease
	size       int    // its share of the buffer's bytes
	orphan     bool   // its segment was shed while it was leased
	prev, next *Lease // of the leases in order of time
}

// An ID names the events of a lease. It is the same at every attempt and after a restart.
type ID struct {
	Buffer [8]byte // random, made with the buffer's directory
	First  uint64  // running number of the first event in the buffer
	Events int
}

// Fate says what became of events that leave a buffer.
type Fate uint8

// The fates of law 3. An event that no Settled names returns to the buffer.
const (
	Delivered    Fate = iota + 1
	DeadLettered      // kept aside with a reason
	Shed              // discarded by declared policy
	Moved             // appended to the fallback
)

// Settled says what became of the events [From, To) of a lease's chunk. Reason is needed for DeadLettered and Shed,
// and names the destination for Moved.
type Settled struct {
	From, To int
	Fate     Fate
	Reason   string
}

// End ends the lease. Events that no entry of settled names return to the buffer and are leased again, first and in
// order. Calling it twice does nothing.
func (l *Lease) End(settled ...Settled) {
	if q := l.q; q != nil {
		l.q = nil
		q.end(l, settled)
	}
}

// Deliver ends the lease with all its events delivered.
func (l *Lease) Deliver() { l.End(Settled{To: l.Chunk.Events, Fate: Delivered}) }

// Return ends the lease with all its events returned.
func (l *Lease) Return() { l.End() }

// Reasons for shedding that buffers count by themselves.
const (
	ReasonFull     = "full"      // the bound max_bytes, shed_oldest or shed_newest
	ReasonNoSpace  = "no_space"  // the volume has no room (ENOSPC, min_free)
	ReasonCorrupt  = "corrupt"   // the disk gave back other bytes than it was given
	ReasonLost     = "lost"      // the position is ahead of the data: a power cut took what was not synced
	ReasonMaxAge   = "max_age"   // older than max_age
	ReasonShutdown = "shutdown"  // a buffer in memory was closed
	ReasonTooLarge = "too_large" // a chunk larger than the whole buffer
)

// Stats is a snapshot. The ledger:
//
//	Offered = Delivered + sum(DeadLettered) + sum(Shed) + sum(Moved) + Buffered
//
// All counts are of events and survive restarts (kill -9 included) for a buffer on disk.
type Stats struct {
	Offered      uint64
	Delivered    uint64
	DeadLettered map[string]uint64 // by reason
	Shed         map[string]uint64 // by reason
	Moved        map[string]uint64 // by destination
	Buffered     uint64            // not ended yet, leased ones included
	Leased       uint64            // events in leases

	Bytes       int64     // of the buffered events, on disk or in memory
	MemoryBytes int64     // memory held
	DiskBytes   int64     // size of the segment files
	MaxBytes    int64     // the bound
	Oldest      time.Time // arrival of the oldest buffered chunk that is known; zero when empty
	Volatile    bool      // what is accepted now is only in memory
	Problem     string    // why, or another trouble with the disk; "" when fine. No secrets.
	Full        bool      // at the bound: shedding or blocking since the last append
}
