package destination

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

var errShort = errors.New("data ends before the last event")

// A packer builds the parcels of one attempt out of held leases, in order. It is reused by its worker.
type packer struct {
	shape   outputs.Shape
	parcels []*parcel // in use: the first n
	n       int
	byKey   map[string]*parcel
	key     []byte
	left    int // events that may still be packed
	unfit   []unfit
	bad     *held        // the lease that pack failed at
	part    record.Chunk // what add works on
	same    *parcel      // for all events of part; nil: not known
}

// unfit is an event that the output can't encode.
type unfit struct {
	piece
	err error
}

func newPacker(s outputs.Shape) *packer { return &packer{shape: s, byKey: map[string]*parcel{}} }

// pack fills parcels with what is still to do of the held leases, at most limit events (0: any number). When the
// events of a lease can't be read, bad is that lease.
func (p *packer) pack(list []*held, limit int) error {
	p.n, p.left, p.unfit, p.bad = 0, cmp.Or(limit, math.MaxInt), p.unfit[:0], nil
	clear(p.byKey)
	for _, h := range list {
		if err := p.add(h); err != nil {
			p.bad = h
			return fmt.Errorf("read lease %d: %w", h.lease.ID.First, err)
		}
		if p.left == 0 || p.shape.Key == nil && p.n > 0 && p.parcels[0].full {
			return nil
		}
	}
	return nil
}

// add packs what is to do of a lease: whole, if that is possible, else event by event.
func (p *packer) add(h *held) error {
	p.same = nil
	if len(h.todo) == 1 && p.shape.Encode == nil && (p.shape.Key == nil || !p.shape.Key.PerEvent()) {
		s := h.todo[0]
		s.to = s.from + min(s.to-s.from, p.left)
		var err error
		if p.part, err = h.slice(s.from, s.to); err != nil {
			return err
		}
		if p.fits(p.part.Events, len(p.part.Data)) || p.part.Events == 1 {
			return p.addChunk(h, s)
		}
	}
	return p.addEvents(h)
}

// fits reports whether something fits into an empty batch.
func (p *packer) fits(events, size int) bool {
	return size <= p.shape.MaxBytes && (p.shape.MaxEvents == 0 || events <= p.shape.MaxEvents)
}

// addChunk adds the part of a lease to a parcel as it is, or marks that parcel as full.
func (p *packer) addChunk(h *held, s span) error {
	var e record.Event
	if p.shape.Key != nil {
		it := record.Iterate(&p.part)
		if !it.Next() {
			return cmp.Or(it.Err(), errShort)
		}
		e = it.Event()
	}
	to, err := p.parcel(e)
	switch {
	case err != nil:
		p.unfit = append(p.unfit, unfit{piece{h, s.from, s.to}, err})
	case to.full:
	case to.batch.Events > 0 && !p.fits(to.batch.Events+p.part.Events, to.bytes+len(p.part.Data)):
		to.full = true
	default:
		to.batch.Chunks = append(to.batch.Chunks, p.part)
		to.pieces = append(to.pieces, piece{h, s.from, s.to})
		to.batch.Events += p.part.Events
		to.bytes += len(p.part.Data)
	}
	p.left -= s.to - s.from
	return nil
}

// addEvents adds what is to do of a lease event by event.
func (p *packer) addEvents(h *held) error {
	p.part = h.lease.Chunk
	todo := h.todo
	it := record.Iterate(&p.part)
	for i := 0; len(todo) > 0; i++ {
		if !it.Next() {
			return cmp.Or(it.Err(), errShort)
		}
		if i < todo[0].from {
			continue
		}
		if i == todo[0].to-1 {
			todo = todo[1:]
		}
		full, err := p.addEvent(h, i, it.Event(), it.Offset())
		if err != nil {
			p.refuse(h, i, err)
		}
		if p.left--; p.left == 0 || full && p.shape.Key == nil {
			return nil
		}
	}
	return nil
}

// refuse notes an event that can't be encoded, together with its neighbours if they have the same error.
func (p *packer) refuse(h *held, i int, err error) {
	if n := len(p.unfit); n > 0 {
		if last := &p.unfit[n-1]; last.h == h && last.to == i && last.err.Error() == err.Error() {
			last.to++
			return
		}
	}
	p.unfit = append(p.unfit, unfit{piece{h, i, i + 1}, err})
}

// addEvent puts one event into its parcel, unless that is full. What a key or an encoder panics about is an error of
// the event: one that nobody foresaw must not end the router.
func (p *packer) addEvent(h *held, i int, e record.Event, off int) (full bool, err error) {
	to, err := p.parcel(e)
	if err != nil || to.full {
		return err == nil, err
	}
	size, mark := len(e.Raw), len(to.batch.Body)
	if p.shape.Encode != nil {
		body, err := p.encode(to.batch.Body, e)
		if err != nil {
			return false, err
		}
		to.batch.Body, size = body, len(body)-mark
	}
	if to.batch.Events > 0 && !p.fits(to.batch.Events+1, to.bytes+size) {
		to.full = true
		to.batch.Body = to.batch.Body[:mark]
		return true, nil
	}
	if p.shape.Encode != nil {
		to.batch.Ends = append(to.batch.Ends, len(to.batch.Body))
	}
	to.addEvent(h, i, e, off, size)
	return false, nil
}

func (p *packer) encode(dst []byte, e record.Event) (out []byte, err error) {
	defer recovered(&err)
	out, err = p.shape.Encode(dst, e)
	if err == nil && len(out) < len(dst) {
		err = errors.New("encoder took away what others had written")
	}
	return out, err
}

// recovered turns a panic of an output into an error.
func recovered(err *error) {
	if v := recover(); v != nil {
		*err = panicked(v)
	}
}

func panicked(v any) error { return fmt.Errorf("output panicked: %v", v) }

// parcel returns the parcel for the key of e.
func (p *packer) parcel(e record.Event) (*parcel, error) {
	switch {
	case p.same != nil:
		return p.same, nil
	case p.shape.Key == nil && p.n > 0:
		return p.parcels[0], nil
	case p.shape.Key == nil:
		return p.open(""), nil
	}
	if err := p.render(e); err != nil {
		return nil, err
	}
	to := p.byKey[string(p.key)]
	if to == nil {
		key := string(p.key)
		to = p.open(key)
		p.byKey[key] = to
	}
	if !p.shape.Key.PerEvent() {
		p.same = to
	}
	return to, nil
}

func (p *packer) render(e record.Event) (err error) {
	defer recovered(&err)
	p.key = p.shape.Key.AppendKey(p.key[:0], e)
	return nil
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

// ready returns the parcels that hold events.
func (p *packer) ready() []*parcel {
	n := 0
	for i, to := range p.parcels[:p.n] {
		if to.batch.Events > 0 {
			p.parcels[n], p.parcels[i] = to, p.parcels[n]
			n++
		}
	}
	return p.parcels[:n]
}

// release forgets what was packed, and lets go of memory that an unusual batch needed.
func (p *packer) release() {
	const keep = 64
	if len(p.parcels) > keep {
		clear(p.parcels[keep:])
		p.parcels = p.parcels[:keep]
	}
	bodies := 0
	for _, to := range p.parcels {
		to.reset("")
		if bodies += cap(to.batch.Body); bodies > 2*p.shape.MaxBytes {
			to.batch.Body = nil
		}
	}
	clear(p.unfit)
	clear(p.byKey)
	p.part, p.same, p.bad = record.Chunk{}, nil, nil
}

// packUp fills the packer; in the pool when it encodes, which is the costly part.
func (w *worker) packUp(list []*held) error {
	if w.c.shape.Encode == nil {
		return w.pack.pack(list, w.suspect.limit)
	}
	var err error
	if e := w.d.pool.Do(w.c.taking, func() { err = w.pack.pack(list, w.suspect.limit) }); e != nil {
		return e
	}
	return err
}
