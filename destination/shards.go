package destination

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"

	"github.com/firebreak/firebreak/buffer"
)

// maxWorkers bounds the workers of a destination.
const maxWorkers = 64

// shards hand the leases of one buffer to several workers: all of a tag to the same one, so that its order is kept.
//
// A worker that is stuck makes its queue grow; when the queues together hold half of maxLeases, or as many bytes as a
// batch, nothing more is leased until somebody takes something.
type shards struct {
	buf      buffer.Buffer
	seed     maphash.Seed
	maxBytes int
	list     []*shard

	mu     sync.Mutex
	leases int // in all queues
	bytes  int
	ended  bool          // nothing comes any more
	room   chan struct{} // a token says that a worker took something
}

// A shard is the queue of one worker.
type shard struct {
	*shards
	queue []*buffer.Lease
	next  int           // index in queue of the one to take
	ready chan struct{} // a token says that something came, or that the shards have ended
}

func newShards(b buffer.Buffer, n, maxBytes int) *shards {
	s := &shards{buf: b, seed: maphash.MakeSeed(), maxBytes: maxBytes, room: make(chan struct{}, 1)}
	for range n {
		s.list = append(s.list, &shard{shards: s, ready: make(chan struct{}, 1)})
	}
	return s
}

// run distributes until ctx ends or the buffer is closed.
func (s *shards) run(ctx context.Context) {
	for s.awaitRoom(ctx) {
		l, err := s.buf.Next(ctx)
		if err != nil {
			break
		}
		for l != nil {
			if s.put(l) {
				break
			}
			l = s.buf.TryNext()
		}
	}
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	for _, sh := range s.list {
		token(sh.ready)
	}
}

// awaitRoom waits until the queues may grow. It returns false at the end of ctx.
func (s *shards) awaitRoom(ctx context.Context) bool {
	for {
		s.mu.Lock()
		full := s.full()
		s.mu.Unlock()
		if !full {
			return true
		}
		select {
		case <-s.room:
		case <-ctx.Done():
			return false
		}
	}
}

// full reports whether the queues are at a bound; the caller holds mu.
func (s *shards) full() bool { return s.leases >= maxLeases/2 || s.bytes >= s.maxBytes }

// put queues a lease for its worker and reports whether the queues are full now.
func (s *shards) put(l *buffer.Lease) (full bool) {
	to := s.list[maphash.String(s.seed, l.Chunk.Tag)%uint64(len(s.list))]
	s.mu.Lock()
	if to.next > maxLeases/2 { // a queue that never runs empty
		to.queue, to.next = slices.Delete(to.queue, 0, to.next), 0
	}
	to.queue = append(to.queue, l)
	s.leases++
	s.bytes += len(l.Chunk.Data)
	full = s.full()
	s.mu.Unlock()
	token(to.ready)
	return full
}

// Next waits for the shard's next lease.
func (s *shard) Next(ctx context.Context) (*buffer.Lease, error) {
	for {
		l, ended := s.take()
		if l != nil {
			return l, nil
		}
		if ended {
			return nil, buffer.ErrClosed
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// TryNext returns the shard's next lease, or nil when none is there.
func (s *shard) TryNext() *buffer.Lease {
	l, _ := s.take()
	return l
}

func (s *shard) take() (l *buffer.Lease, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == len(s.queue) {
		s.queue, s.next = s.queue[:0], 0
		return nil, s.ended
	}
	l = s.queue[s.next]
	s.queue[s.next] = nil
	s.next++
	if s.full() {
		token(s.room)
	}
	s.leases--
	s.bytes -= len(l.Chunk.Data)
	return l, false
}

// drain returns what is left after the workers have ended.
func (s *shards) drain() {
	for _, sh := range s.list {
		for l := sh.TryNext(); l != nil; l = sh.TryNext() {
			l.Return()
		}
	}
}

// token puts a token into a channel of one, unless one is there.
func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
