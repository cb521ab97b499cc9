// Package process holds the actions of processors: each takes the record of one event and gives at most one back.
//
// Actions take and give a record in msgpack and never decode more of it than they change. They are immutable but for
// what sample and throttle count, and may be used concurrently.
package process

import (
	"errors"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/mp"
)

// A Verdict says what an action did.
type Verdict uint8

// The verdicts of an action.
const (
	Same      Verdict = iota // the record stays as it is
	Changed                  // the result takes its place
	Truncated                // Changed, and text was cut off
	Redacted                 // Changed, and text was replaced
	Dropped                  // the event ends here
	TooLarge                 // the record stays, and becomes a dead letter where it is routed to
)

// An Action appends what becomes of rec to dst, when the verdict is Changed, Truncated or Redacted; otherwise it gives
// dst back. dst and rec don't overlap.
type Action interface {
	Apply(dst, rec []byte, s *Scope) ([]byte, Verdict)
}

// New returns the action of a processor.
func New(p *config.Processor) (Action, error) {
	switch {
	case p.Drop:
		return drop{}, nil
	case p.Add != nil:
		return newAdd(p.Add), nil
	case p.Rename != nil:
		return newRename(p.Rename), nil
	case p.Remove != nil:
		return &remove{keys: newSelection(p.Remove...)}, nil
	case p.Redact != nil:
		return newRedact(p.Redact)
	case p.Sample != nil:
		return newSample(p.Sample)
	case p.Throttle != nil:
		return newThrottle(p.Throttle)
	case p.ParseJSON != nil:
		return parseJSON{key: p.ParseJSON.Key, keep: p.ParseJSON.Keep}, nil
	case p.SizeGuard != nil:
		return newSizeGuard(p.SizeGuard)
	}
	return nil, errors.New("the processor has no action")
}

type drop struct{}

func (drop) Apply(dst, _ []byte, _ *Scope) ([]byte, Verdict) { return dst, Dropped }

// A pair is one key and its value inside a record.
type pair struct {
	key        []byte // nil: neither str nor bin
	start, end int    // of the pair in the record
	value      int    // start of the value
}

// pairs walks over the pairs of a record.
type pairs struct {
	rec  []byte
	left int
	at   int
}

func pairsOf(rec []byte) (pairs, bool) { return pairsAt(rec, 0) }

// pairsAt walks over the map at an offset.
func pairsAt(rec []byte, at int) (pairs, bool) {
	n, size, err := mp.MapHeader(rec[at:])
	return pairs{rec: rec, left: n, at: at + size}, err == nil
}

// next returns the next pair; false at the end and at bytes that are no msgpack.
func (p *pairs) next() (out pair, ok bool) {
	if p.left == 0 || p.at >= len(p.rec) {
		return out, false
	}
	p.left--
	out.start = p.at
	if c := p.rec[p.at]; mp.IsStr(c) || mp.IsBin(c) {
		k, n, err := mp.Bytes(p.rec[p.at:])
		if err != nil {
			return out, false
		}
		out.key, out.value = k, p.at+n
	} else {
		n, err := mp.Skip(p.rec[p.at:])
		if err != nil {
			return out, false
		}
		out.value = p.at + n
	}
	n, err := mp.Skip(p.rec[out.value:])
	if err != nil {
		return out, false
	}
	out.end = out.value + n
	p.at = out.end
	return out, true
}

// find returns the last pair under a key.
func find(rec []byte, key string) (found pair, ok bool) {
	p, _ := pairsOf(rec)
	for {
		next, more := p.next()
		if !more {
			return found, ok
		}
		if next.key != nil && string(next.key) == key {
			found, ok = next, true
		}
	}
}
