// Package outputs is the contract between a destination and an output.
//
// A destination owns grouping, linger, leases, retries, breaker, order and counters. An output declares its shape,
// encodes an event, and makes one request. It has no queue, no retry and no connect step: the first Send connects.
package outputs

import (
	"context"
	"errors"
	"time"

	"github.com/firebreak/firebreak/record"
	"go.uber.org/zap"
)

// A Shape says how a destination builds batches for an output.
type Shape struct {
	Key       Keyer         // batches hold events of one key only; nil: one key for all
	MaxBytes  int           // of Data, or of Body with Encode; a single larger event still makes a batch
	MaxEvents int           // 0: no bound
	Linger    time.Duration // how long a batch may wait for more events; 0: sent at once

	// Encode appends what the event becomes in Batch.Body. nil: Chunks are passed through, nothing is decoded. An
	// error is permanent for that event: it becomes a dead letter with the reason "encode". It must not keep e.
	// It may be called concurrently.
	Encode func(dst []byte, e record.Event) ([]byte, error)
}

// A Keyer renders the key that events are grouped by, such as a path from a [record.Template] and the output's
// own sanitizer. Its methods may be called concurrently.
type Keyer interface {
	AppendKey(dst []byte, e record.Event) []byte
	PerEvent() bool // false: the key is the same for all events of a chunk
}

// A Batch is what goes into one request. Everything in it is borrowed until Send returns.
type Batch struct {
	ID     [16]byte       // equal at every attempt at the same events
	Key    string         // rendered Shape.Key
	Chunks []record.Chunk // in order; several tags are possible
	IDs    []ChunkID      // one for each chunk, equal at every attempt at the same events, also after a restart
	Body   []byte         // with Encode: all events, encoded, in order
	Ends   []int          // with Encode: where each event ends in Body
	Events int            // events in all: ranges of the Result count over all chunks
}

// A ChunkID names the events of a chunk: the id of their buffer (8 bytes), the running number of the first event in it
// (8 bytes) and their count (4 bytes), big endian.
type ChunkID [20]byte

// A Range is the events [From, To) of a batch, counted over all of its chunks.
type Range struct{ From, To int }

// Dead is events that the other side refused for good.
type Dead struct {
	Range
	Reason string // short, lower case, bounded in number: it becomes a metric label
	Detail string // what the other side said; for dead letters and logs
}

// A Result says what became of a batch. Events that are neither in Retry nor in Dead are delivered: the other side has
// taken responsibility. Err without ranges: nothing was delivered, retry all. Retry without Err: send the rest at once.
type Result struct {
	Retry []Range
	Dead  []Dead
	Err   error
}

// An Output makes requests. Send may be called concurrently by the workers of one destination; each call has a
// deadline in ctx and must return soon after it. Close ends idle connections, after the last Send.
type Output interface {
	Shape() Shape
	Send(ctx context.Context, b Batch) Result
	Close(ctx context.Context) error
}

// A Reporter is an output that has a status of its own, such as a list of servers, which becomes JSON.
type Reporter interface{ Status() any }

// A Prober is an output whose other side can't refuse events, only hang up on them. Probe makes a request of about
// the given size in bytes that holds no event to where the tag's events go; nil means that it was taken. It isn't
// called while the same worker sends.
type Prober interface {
	Probe(ctx context.Context, tag string, size int) error
}

// Rendered is an option with event names in it, as it comes out for one event.
type Rendered struct {
	Option string `json:"option"`
	Value  string `json:"value"`
}

// An Explainer is an output whose options depend on events: it renders each of them as a Send now would.
type Explainer interface {
	Explain(e record.Event) []Rendered
}

// A Finding says what a live check saw of one target, such as a server. Err nil: it works.
type Finding struct {
	Target string
	Note   string // what was seen, such as the protocol's version; "" when there is nothing to say
	Err    error
}

// A Checker is an output that can reach out to its other side without sending events: it resolves, connects,
// authenticates. It is called before the first Send, or beside it.
type Checker interface {
	Check(ctx context.Context) []Finding
}

// A Verifier is an output that needs something of this host which may be missing now and be there later, such as a file
// with a certificate. Verify says what is wrong now: a Send would be held for that reason. It makes no connection.
type Verifier interface{ Verify() error }

// Class says how a destination treats an error of Send.
type Class uint8

const (
	// Transient errors (network, 5xx) are retried with backoff and count for the breaker. The default.
	Transient Class = iota
	// Throttle: the other side is alive and asks for less.
	Throttle
	// Held: authentication or configuration; the data is held, the status is raised, retries are slow.
	Held
	// NoAck: everything was written and no acknowledgement came in time.
	NoAck
)

// An Error carries the class of a failure, a hint what the user should change, and the server's wish when to retry.
type Error struct {
	Class      Class
	RetryAfter time.Duration // 0: no wish
	Hint       string        // what to change; "" when there is nothing to say
	// Written says that events reached a connection that then failed: such a failure may be the events' own fault.
	Written bool
	Err     error
}

func (e *Error) Error() string {
	if e.Hint != "" {
		return e.Err.Error() + "; " + e.Hint
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Classify returns the Error inside err, or a transient one around it.
func Classify(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Err: err}
}

// Env is what an output gets from its destination.
type Env struct {
	Name string      // of the destination
	Log  *zap.Logger // one line per state change
	Host string      // this host's name
	// Work runs f in the pool for encoding and compression, which is fair between destinations and takes at most
	// half of the cores. It returns early, without running f, when ctx ends first.
	Work func(ctx context.Context, f func()) error
}

// Options are the decoded options of one output: a pointer to a struct with config tags.
type Options interface {
	// Open checks the options and builds the output. It makes no connection and resolves no name.
	Open(env Env) (Output, error)
}

// A Kind declares an output: its type in the configuration, and its options with their defaults and docs.
type Kind struct {
	Name    string // the value of `type`
	Summary string // one sentence for the reference
	Options func() Options
}
