package destination

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

// A piece is a run of events of one lease inside a batch.
type piece struct {
	h        *held
	from, to int
}

// A parcel is a batch under construction, and where its events come from.
type parcel struct {
	batch  outputs.Batch
	pieces []piece
	runs   []byte // of running numbers, for the id
	bytes  int
	full   bool // an event of its key did not fit: no later one may overtake it
}

func (p *parcel) reset(key string) {
	clear(p.batch.Chunks)
	p.batch = outputs.Batch{Key: key, Chunks: p.batch.Chunks[:0], IDs: p.batch.IDs[:0], Body: p.batch.Body[:0], Ends: p.batch.Ends[:0]}
	clear(p.pieces)
	p.pieces, p.bytes, p.full = p.pieces[:0], 0, false
}

// addEvent extends the last chunk when the event follows it, so that runs stay whole.
func (to *parcel) addEvent(h *held, i int, e record.Event, off, size int) {
	to.bytes += size
	to.batch.Events++
	if n := len(to.pieces); n > 0 {
		if last := &to.pieces[n-1]; last.h == h && last.to == i {
			last.to++
			c := &to.batch.Chunks[n-1]
			c.Events++
			c.Data = c.Data[:len(c.Data)+len(e.Raw)]
			return
		}
	}
	c := *e.Chunk
	c.Data = e.Chunk.Data[off : off+len(e.Raw)] // its capacity reaches further: the run grows in place
	c.Events = 1
	to.batch.Chunks = append(to.batch.Chunks, c)
	to.pieces = append(to.pieces, piece{h, i, i + 1})
}

// end returns the number behind the last event.
func (to *parcel) end() uint64 {
	last := to.pieces[len(to.pieces)-1]
	return last.h.lease.ID.First + uint64(last.to)
}

// front returns the lease and the index of the first event that isn't settled; nil: all are.
func (to *parcel) front() (*held, int) {
	for _, p := range to.pieces {
		for _, s := range p.h.todo {
			if from := max(s.from, p.from); from < min(s.to, p.to) {
				return p.h, from
			}
		}
	}
	return nil, 0
}

// identify gives the batch and its chunks ids that are equal at every attempt at the same events, and different for
// others: a batch that lost some events to a partial result is another one.
func (to *parcel) identify() {
	to.runs = to.runs[:0]
	var run outputs.ChunkID // neighbours joined: how events are cut into chunks doesn't matter
	count, next := uint64(0), uint64(0)
	for _, p := range to.pieces {
		id := p.h.lease.ID
		first, n := id.First+uint64(p.from), uint64(p.to-p.from)
		cid := chunkID(id.Buffer, first, n)
		to.batch.IDs = append(to.batch.IDs, cid)
		if count > 0 && first == next && [8]byte(run[:8]) == id.Buffer {
			count += n
			binary.BigEndian.PutUint32(run[16:], uint32(count))
		} else {
			if count > 0 {
				to.runs = append(to.runs, run[:]...)
			}
			run, count = cid, n
		}
		next = first + n
	}
	to.runs = append(to.runs, run[:]...)
	sum := sha256.Sum256(to.runs)
	copy(to.batch.ID[:], sum[:])
}

func chunkID(buf [8]byte, first, n uint64) (id outputs.ChunkID) {
	copy(id[:], buf[:])
	binary.BigEndian.PutUint64(id[8:], first)
	binary.BigEndian.PutUint32(id[16:], uint32(n))
	return id
}
