package destination

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

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

// A packer builds the parcels of one attempt out of held leases, in order. It is reused by its worker.
type packer struct {
	shape   outputs.Shape
	parcels []*parcel // in use: the first n
	n       int
	byKey   map[string]*parcel
	key     []byte
	limit   int // events in all; 0: no limit
	taken   int
	unfit   []unfit
}

// unfit is an event that the output can't encode.
type unfit struct {
	piece
	err error
}

func newPacker(s outputs.Shape) *packer { return &packer{shape: s, byKey: map[string]*parcel{}} }

// pack fills parcels with what is still to do of the held leases, at most limit events (0: any number).
func (p *packer) pack(list []*held, limit int) error {
	p.n, p.taken, p.limit, p.unfit = 0, 0, limit, p.unfit[:0]
	clear(p.byKey)
	for _, h := range list {
		for _, s := range h.todo {
			if p.limit > 0 {
				if p.taken >= p.limit {
					return nil
				}
				s.to = min(s.to, s.from+p.limit-p.taken)
			}
			if err := p.add(h, s); err != nil {
				return err
			}
			p.taken += s.to - s.from
			if p.shape.Key == nil && p.n > 0 && p.parcels[0].full {
				return nil
			}
		}
	}
	return nil
}

func (p *packer) add(h *held, s span) error {
	part, err := h.lease.Chunk.Slice(s.from, s.to)
	if err != nil {
		return fmt.Errorf("read lease %d: %w", h.lease.ID.First, err)
	}
	perEvent := p.shape.Encode != nil || p.shape.Key != nil && p.shape.Key.PerEvent() ||
		p.shape.MaxEvents > 0 && part.Events > p.shape.MaxEvents || len(part.Data) > p.shape.MaxBytes && part.Events > 1
	it := record.Iterate(&part)
	if !perEvent {
		if !it.Next() {
			return it.Err()
		}
		to := p.parcel(it.Event())
		if to.full || to.batch.Events > 0 && (to.bytes+len(part.Data) > p.shape.MaxBytes ||
			p.shape.MaxEvents > 0 && to.batch.Events+part.Events > p.shape.MaxEvents) {
			to.full = true
			return nil
		}
		to.addChunk(h, s, part)
		return nil
	}
	for i := s.from; it.Next(); i++ {
		e := it.Event()
		p.addEvent(h, i, e, it.Offset(), p.parcel(e))
	}
	return it.Err()
}

// addEvent puts one event into its parcel, unless that is full.
func (p *packer) addEvent(h *held, i int, e record.Event, off int, to *parcel) {
	if to.full {
		return
	}
	size, mark := len(e.Raw), len(to.batch.Body)
	if p.shape.Encode != nil {
		body, err := p.shape.Encode(to.batch.Body, e)
		if err != nil {
			to.batch.Body = to.batch.Body[:mark]
			p.unfit = append(p.unfit, unfit{piece{h, i, i + 1}, err})
			return
		}
		to.batch.Body, size = body, len(body)-mark
	}
	if to.batch.Events > 0 && (to.bytes+size > p.shape.MaxBytes || p.shape.MaxEvents > 0 && to.batch.Events >= p.shape.MaxEvents) {
		to.full = true
		to.batch.Body = to.batch.Body[:mark]
		return
	}
	if p.shape.Encode != nil {
		to.batch.Ends = append(to.batch.Ends, len(to.batch.Body))
	}
	to.addEvent(h, i, e, off, size)
}

// parcel returns the parcel for the key of e.
func (p *packer) parcel(e record.Event) *parcel {
	if p.shape.Key == nil {
		if p.n == 0 {
			return p.open("")
		}
		return p.parcels[0]
	}
	p.key = p.shape.Key.AppendKey(p.key[:0], e)
	if to := p.byKey[string(p.key)]; to != nil {
		return to
	}
	key := string(p.key)
	to := p.open(key)
	p.byKey[key] = to
	return to
}

func (p *packer) open(key string) *parcel {
	if p.n == len(p.parcels) {
		p.parcels = append(p.parcels, &parcel{})
	}
	to := p.parcels[p.n]
	p.n++
	to.reset(key)
	return to
}

// ready returns the parcels that hold events, with their ids.
func (p *packer) ready() []*parcel {
	for _, to := range p.parcels[:p.n] {
		to.identify()
	}
	return p.parcels[:p.n]
}

// release lets go of memory that an unusual batch needed.
func (p *packer) release() {
	const keep = 64
	if len(p.parcels) > keep {
		clear(p.parcels[keep:])
		p.parcels = p.parcels[:keep]
	}
	for _, to := range p.parcels {
		if cap(to.batch.Body) > 2*p.shape.MaxBytes {
			to.batch.Body = nil
		}
	}
}

func (to *parcel) addChunk(h *held, s span, part record.Chunk) {
	to.batch.Chunks = append(to.batch.Chunks, part)
	to.pieces = append(to.pieces, piece{h, s.from, s.to})
	to.batch.Events += part.Events
	to.bytes += len(part.Data)
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

// pack runs in the pool when it encodes, which is the costly part.
func (d *Destination) pack(ctx context.Context, p *packer, list []*held, limit int) error {
	if d.shape.Encode == nil {
		return p.pack(list, limit)
	}
	var err error
	if e := d.pool.Do(ctx, func() { err = p.pack(list, limit) }); e != nil {
		return e
	}
	return err
}
