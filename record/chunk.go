// Package record holds what flows through Firebreak: chunks of encoded events, and the means to look into them
// without decoding them.
package record

import (
	"slices"
	"strings"
	"time"
)

// A Chunk is a run of encoded events of one tag and one route: the unit of routing, buffering and acknowledgement.
//
// A Chunk is immutable. Data is only borrowed: it is valid until the call that the chunk was passed to returns,
// and for a chunk of a lease until the lease ends.
type Chunk struct {
	Tag   string
	Route string // the event type; empty until the router has decided
	Attrs Attrs  // where the events come from; the same for all events of the chunk

	Arrived        time.Time // when the input read the first event
	Oldest, Newest time.Time // smallest and largest event time

	Events int    // number of entries in Data, at least 1
	Data   []byte // entries, one after the other; see [Iter]
}

// An Attr is one fact about the origin of a chunk, such as host, ecs.cluster or k8s.namespace.
type Attr struct{ Key, Value string }

// Attrs is sorted by key, without duplicates. It is immutable and shared between chunks.
type Attrs []Attr

// NewAttrs sorts the given facts and drops those with an empty value; of equal keys the last one stays.
func NewAttrs(list ...Attr) Attrs {
	out := make(Attrs, 0, len(list))
	for _, a := range list {
		if i := slices.IndexFunc(out, func(o Attr) bool { return o.Key == a.Key }); i >= 0 {
			out = slices.Delete(out, i, i+1)
		}
		if a.Value != "" {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(x, y Attr) int { return strings.Compare(x.Key, y.Key) })
	return out
}

// Get returns the value under key, or "".
func (a Attrs) Get(key string) string {
	for i := range a {
		if a[i].Key == key {
			return a[i].Value
		}
	}
	return ""
}

// Equal reports whether a and b hold the same facts.
func (a Attrs) Equal(b Attrs) bool { return slices.Equal(a, b) }
