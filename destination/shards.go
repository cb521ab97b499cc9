package destination

import (
	"context"
	"hash/maphash"

	"github.com/firebreak/firebreak/buffer"
)

// shards hand the leases of one buffer to several workers: all of a tag to the same one, so that its order is kept.
type shards struct {
	buf  buffer.Buffer
	list []*shard
	seed maphash.Seed
}

type shard struct{ leases chan *buffer.Lease }

func newShards(b buffer.Buffer, n int) *shards {
	s := &shards{buf: b, seed: maphash.MakeSeed()}
	for range n {
		s.list = append(s.list, &shard{leases: make(chan *buffer.Lease, 16)})
	}
	return s
}

// run distributes until ctx ends or the buffer is closed, then returns what no worker took.
func (s *shards) run(ctx context.Context) {
	defer func() {
		for _, sh := range s.list {
			close(sh.leases)
		}
	}()
	for {
		l, err := s.buf.Next(ctx)
		if err != nil {
			return
		}
		to := s.list[maphash.String(s.seed, l.Chunk.Tag)%uint64(len(s.list))]
		select {
		case to.leases <- l:
		case <-ctx.Done():
			l.Return()
			return
		}
	}
}

// Next waits for the shard's next lease.
func (s *shard) Next(ctx context.Context) (*buffer.Lease, error) {
	select {
	case l, ok := <-s.leases:
		if ok {
			return l, nil
		}
		return nil, buffer.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TryNext returns the shard's next lease, or nil when none is there.
func (s *shard) TryNext() *buffer.Lease {
	select {
	case l := <-s.leases:
		return l
	default:
		return nil
	}
}

// drain returns what is left after the workers have ended.
func (s *shards) drain() {
	for _, sh := range s.list {
		for l := range sh.leases {
			l.Return()
		}
	}
}
