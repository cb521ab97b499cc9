package process

import (
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/record"
)

// throttle drops the events over a rate. Each key has a token bucket; those of two keys with the same hash of 64 bits
// are one. An event is offered again when its Accept failed, and takes another token then.
type throttle struct {
	perNano float64 // tokens
	burst   float64
	by      *record.Template // nil: one bucket for all
	seed    maphash.Seed
	start   time.Time
	what    string

	mu      sync.Mutex
	buckets buckets
}

func newThrottle(c *config.Throttle) (*throttle, error) {
	if c.Rate <= 0 || c.Per <= 0 {
		return nil, fmt.Errorf("throttle to %d events per %v: both must be more than 0", c.Rate, c.Per)
	}
	burst := c.Burst
	if burst <= 0 {
		burst = c.Rate
	}
	by, err := keyTemplate(c.By)
	return &throttle{
		perNano: float64(c.Rate) / float64(c.Per), burst: float64(burst), by: by, seed: maphash.MakeSeed(), start: time.Now(),
		what: fmt.Sprintf("%d events per %v", c.Rate, c.Per), buckets: newBuckets(c.MaxKeys),
	}, err
}

func (a *throttle) Apply(dst, rec []byte, s *Scope) ([]byte, Verdict) {
	hash := uint64(0)
	if a.by != nil {
		hash = maphash.Bytes(a.seed, s.name(a.by, rec))
	}
	now := s.Now().Sub(a.start)
	a.mu.Lock()
	defer a.mu.Unlock()
	b, fresh := a.buckets.get(hash)
	a.fill(b, fresh, now)
	if b.tokens < 1 {
		return dst, Dropped
	}
	b.tokens--
	return dst, Same
}

// fill gives a bucket the tokens since it was last used. Calls may come with times slightly out of order.
func (a *throttle) fill(b *bucket, fresh bool, now time.Duration) {
	if fresh {
		b.tokens, b.at = a.burst, now
		return
	}
	if now > b.at {
		b.tokens = min(a.burst, b.tokens+float64(now-b.at)*a.perNano)
		b.at = now
	}
}

// Peek says that the event passes and what counts it, without counting it.
func (a *throttle) Peek(rec []byte, s *Scope) (Verdict, string) {
	if a.by == nil {
		return Same, "passes up to " + a.what
	}
	return Same, fmt.Sprintf("passes up to %s of %q", a.what, s.name(a.by, rec))
}

// buckets holds the buckets that were used last, at most max.
type buckets struct {
	max    int
	index  map[uint64]int32
	list   []bucket
	newest int32
	oldest int32
}

// A bucket is a node of a list by the time of use.
type bucket struct {
	hash         uint64
	at           time.Duration // since the start
	tokens       float64
	newer, older int32 // -1: none
}

func newBuckets(most int) buckets {
	return buckets{max: max(most, 1), index: make(map[uint64]int32), newest: -1, oldest: -1}
}

// get returns the bucket for a hash, as the newest one. fresh: it holds nothing yet. The bucket is valid until the next
// call.
func (b *buckets) get(hash uint64) (_ *bucket, fresh bool) {
	if b.newest >= 0 && b.list[b.newest].hash == hash {
		return &b.list[b.newest], false
	}
	i, there := b.index[hash]
	switch {
	case there:
		b.unlink(i)
	case len(b.list) < b.max:
		i = int32(len(b.list))
		b.list = append(b.list, bucket{})
	default:
		i = b.oldest
		b.unlink(i)
		delete(b.index, b.list[i].hash)
	}
	if !there {
		b.index[hash] = i
		b.list[i].hash = hash
	}
	b.link(i)
	return &b.list[i], !there
}

func (b *buckets) unlink(i int32) {
	n := &b.list[i]
	if n.newer >= 0 {
		b.list[n.newer].older = n.older
	} else {
		b.newest = n.older
	}
	if n.older >= 0 {
		b.list[n.older].newer = n.newer
	} else {
		b.oldest = n.newer
	}
}

func (b *buckets) link(i int32) {
	n := &b.list[i]
	n.newer, n.older = -1, b.newest
	if b.newest >= 0 {
		b.list[b.newest].newer = i
	} else {
		b.oldest = i
	}
	b.newest = i
}
