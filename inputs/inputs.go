// Package inputs is the contract between an input and the rest.
package inputs

import (
	"context"

	"github.com/firebreak/firebreak/record"
)

// Accept takes what one read of an input yielded: chunks of any tags, in order, with an empty Route.
//
// When it returns nil, every buffer that the routes name has stored the events, or shed them by declared policy: the
// input may acknowledge its peer. It waits for no destination, except for the room of one that declares
// `on_full: block`. An error means that the events may not be acknowledged (the context ended while waiting);
// the input closes the connection and the peer sends again.
//
// The chunks and their Data may be reused as soon as Accept returns. Accept may be called concurrently; the order is
// kept between calls that don't overlap.
type Accept func(ctx context.Context, chunks []record.Chunk) error

// An Input receives events until its context ends.
type Input interface {
	// Run serves until ctx ends, then stops as the shutdown rules of docs/DELIVERY.md say, and returns.
	Run(ctx context.Context, accept Accept) error
}

// A Changer is an input that can take other options while it runs.
type Changer interface {
	// Prepare does everything of a change to the options that can fail: it checks them, reads files, opens addresses
	// that are new. Nothing changes for anybody before Commit; an error means that nothing ever will. It fails while
	// another change isn't over, and when the input is stopping. options is what the input was made with, of the same type.
	Prepare(options any) (Change, error)
}

// A Change is prepared: everything that can fail has been done. Exactly one of its methods is called, once.
type Change interface {
	Commit() // the new options hold from now on; in an input that is stopping by now it is an Abort
	Abort()  // everything stays as it was
}

// Stats is a snapshot of what an input has seen since its start. For the ledger, Received counts every event once,
// whether it was valid or not: Received = routed + dropped + discarded + the sum of Invalid. Events that are held
// back (pieces of a line that isn't complete) are counted when they are emitted.
type Stats struct {
	Received    uint64            // events
	Invalid     map[string]uint64 // events that were not understood, by reason
	Errors      map[string]uint64 // messages or connections that ended with an error, by reason
	Connections int               // open now
	Accepted    uint64            // connections since the start
	Refused     uint64            // connections beyond the bound
	Held        int               // lines that wait for their next piece
	Broken      map[string]uint64 // lines passed on before their last piece, by reason
	Bytes       uint64            // read
	Acks        uint64            // sent
	Memory      int64             // bytes of read buffers
}
