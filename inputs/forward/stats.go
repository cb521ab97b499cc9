package forward

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// A verdict says what becomes of an event: valid, ignored, or invalid for a reason.
type verdict int8

const (
	valid   verdict = -2
	ignored verdict = -1 // a group marker or a nil record: no event, not counted
)

// Reasons why an event is invalid. Its message is acked nevertheless: sending it again would not help.
const (
	invalidEntry  verdict = iota // neither [time, record] nor [[time, metadata], record]
	invalidTime                  // the time is a string, map, …
	invalidRecord                // the record is not a map
	invalidSignal                // a message of metrics, traces, …, counted once
	invalidKinds
)

var invalidNames = [invalidKinds]string{"bad_entry", "bad_time", "not_a_map", "not_logs"}

// invalids counts invalid events by reason.
type invalids [invalidKinds]uint64

func (v *invalids) count(why verdict) {
	if why >= 0 {
		v[why]++
	}
}

func (v *invalids) add(o invalids) {
	for i := range v {
		v[i] += o[i]
	}
}

// An errKind is a reason why a connection ended badly, or what else went wrong.
type errKind uint8

const (
	errMessage   errKind = iota // bytes that are no message
	errTooLarge                 // a message or event above a bound
	errInflate                  // compressed data that can't be read
	errBudget                   // no room in the memory budget for budgetWait
	errStalled                  // silent in the middle of a message
	errCut                      // closed in the middle of a message
	errHandshake                // shared key, user, or no answer in time
	errTLS                      // TLS handshake
	errRead                     // reset and the like
	errWrite                    // an ack that could not be sent
	errAccept                   // events that were not accepted: the router is ending
	errListen                   // no connection could be taken (file descriptors, …)
	errPieces                   // files of held pieces
	errKinds
)

var errNames = [errKinds]string{"bad_message", "too_large", "bad_compression", "memory", "stalled", "cut", "handshake",
	"tls", "read", "write", "accept", "listen", "pieces"}

// A badError ends a connection.
type badError struct {
	kind errKind
	err  error
}

func (e *badError) Error() string { return e.err.Error() }
func (e *badError) Unwrap() error { return e.err }

func badf(kind errKind, format string, args ...any) error {
	return &badError{kind, fmt.Errorf(format, args...)}
}

// kindOf returns the reason that err carries, or otherwise.
func kindOf(err error, otherwise errKind) errKind {
	if bad, ok := errors.AsType[*badError](err); ok {
		return bad.kind
	}
	return otherwise
}

// Stats is a snapshot of an input since its start.
type Stats struct {
	Connections      int    // now
	ConnectionsTotal uint64 // taken since start
	Refused          uint64 // closed at once because of max_connections

	Received  uint64            // events, invalid ones included; a joined line counts once
	Invalid   map[string]uint64 // events that are not passed on, by reason
	BytesRead uint64            // from all connections, after TLS
	Acks      uint64            // sent

	HeldLines int               // lines that wait for their next piece
	HeldBytes int64             // memory that they take
	Joined    uint64            // lines passed on whole
	Broken    map[string]uint64 // lines passed on before their last piece, by reason

	Errors map[string]uint64 // connections that ended badly and other trouble, by reason
	Buffer int64             // bytes of the memory budget in use
}

type counters struct {
	total, refused, received, bytes, acks, joined atomic.Uint64
	invalid                                       [invalidKinds]atomic.Uint64
	broken                                        [brokenKinds]atomic.Uint64
	errors                                        [errKinds]atomic.Uint64
}

// Stats returns a snapshot. It may be called at any time.
func (in *Input) Stats() Stats {
	s := Stats{
		ConnectionsTotal: in.count.total.Load(), Refused: in.count.refused.Load(),
		Received: in.count.received.Load(), BytesRead: in.count.bytes.Load(), Acks: in.count.acks.Load(),
		Joined:  in.count.joined.Load(),
		Invalid: map[string]uint64{}, Broken: map[string]uint64{}, Errors: map[string]uint64{},
	}
	s.HeldLines, s.HeldBytes = in.join.held()
	in.mu.Lock()
	s.Connections = len(in.conns)
	in.mu.Unlock()
	s.Buffer = in.budget.used()
	snapshot(s.Invalid, invalidNames[:], in.count.invalid[:])
	snapshot(s.Broken, brokenNames[:], in.count.broken[:])
	snapshot(s.Errors, errNames[:], in.count.errors[:])
	return s
}

func snapshot(dst map[string]uint64, names []string, from []atomic.Uint64) {
	for i := range from {
		if n := from[i].Load(); n > 0 {
			dst[names[i]] = n
		}
	}
}
