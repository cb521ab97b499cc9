package buffer

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"maps"
)

// A ledger counts what became of events. It bounds the number of its labels: the seventeenth counts as "other".
type ledger struct {
	delivered uint64
	refused   uint64 // offered and settled without a running number
	dead      map[string]uint64
	shed      map[string]uint64
	moved     map[string]uint64
}

const maxLabels = 16

func (l *ledger) count(f Fate, label string, n uint64) {
	switch f {
	case Delivered:
		l.delivered += n
	case DeadLettered:
		bump(&l.dead, label, n)
	case Moved:
		bump(&l.moved, label, n)
	default:
		bump(&l.shed, label, n)
	}
}

func bump(m *map[string]uint64, label string, n uint64) {
	if n == 0 {
		return
	}
	if *m == nil {
		*m = map[string]uint64{}
	}
	if _, ok := (*m)[label]; !ok && len(*m) >= maxLabels {
		label = "other"
	}
	(*m)[clipLabel(label)] += n
}

func clipLabel(s string) string { return s[:min(len(s), 255)] }

// settled is the number of events that the ledger has counted.
func (l *ledger) settled() uint64 {
	n := l.delivered
	for _, m := range []map[string]uint64{l.dead, l.shed, l.moved} {
		for _, v := range m {
			n += v
		}
	}
	return n
}

// A position is what a buffer must remember of leases: everything below low is settled, and so is what acked names.
type position struct {
	seq    uint64
	id     [8]byte
	low    uint64
	acked  spans
	ledger ledger
}

// The position file has two slots, written in turn: a torn write leaves the other one.
const (
	posMagic    = 0x31504246 // "FBP1"
	posSlot     = 64 << 10
	posHeadSize = 20
	maxAcked    = 1024
)

var errPosition = errors.New("no valid position")

// append encodes the position.
func (p *position) append(dst []byte) []byte {
	le := binary.LittleEndian
	start := len(dst)
	dst = le.AppendUint32(dst, posMagic)
	dst = le.AppendUint32(dst, 0) // checksum
	dst = le.AppendUint32(dst, 0) // length
	dst = le.AppendUint64(dst, p.seq)
	dst = append(dst, p.id[:]...)
	dst = le.AppendUint64(dst, p.low)
	dst = le.AppendUint64(dst, p.ledger.delivered)
	dst = le.AppendUint64(dst, p.ledger.refused)
	dst = le.AppendUint16(dst, uint16(len(p.acked)))
	for _, s := range p.acked {
		dst = le.AppendUint64(dst, s.from)
		dst = le.AppendUint64(dst, s.to)
	}
	for _, m := range []map[string]uint64{p.ledger.dead, p.ledger.shed, p.ledger.moved} {
		dst = append(dst, byte(len(m)))
		for k, v := range m {
			dst = append(append(dst, byte(len(k))), k...)
			dst = le.AppendUint64(dst, v)
		}
	}
	b := dst[start:]
	le.PutUint32(b[8:], uint32(len(b)))
	le.PutUint32(b[4:], crc32.Checksum(b[8:], crcTable))
	return dst
}

// parsePosition reads one slot.
func parsePosition(b []byte) (position, error) {
	var p position
	le := binary.LittleEndian
	if len(b) < posHeadSize || le.Uint32(b) != posMagic {
		return p, errPosition
	}
	n := int(le.Uint32(b[8:]))
	if n < posHeadSize || n > len(b) || le.Uint32(b[4:]) != crc32.Checksum(b[8:n], crcTable) {
		return p, errPosition
	}
	b = b[12:n]
	take := func(n int) []byte {
		if len(b) < n {
			b = nil
			return make([]byte, n)
		}
		v := b[:n]
		b = b[n:]
		return v
	}
	p.seq = le.Uint64(take(8))
	copy(p.id[:], take(8))
	p.low = le.Uint64(take(8))
	p.ledger.delivered = le.Uint64(take(8))
	p.ledger.refused = le.Uint64(take(8))
	count := int(le.Uint16(take(2)))
	if len(b) < count*16 {
		return p, errPosition
	}
	for range count {
		s := span{le.Uint64(take(8)), le.Uint64(take(8))}
		if s.from >= s.to || s.from < p.low || len(p.acked) > 0 && s.from <= p.acked[len(p.acked)-1].to {
			return p, errPosition
		}
		p.acked = append(p.acked, s)
	}
	for _, m := range []*map[string]uint64{&p.ledger.dead, &p.ledger.shed, &p.ledger.moved} {
		for range take(1)[0] {
			k := string(take(int(take(1)[0])))
			bump(m, k, le.Uint64(take(8)))
		}
	}
	if b == nil {
		return p, errPosition
	}
	return p, nil
}

// newestSlot returns the valid slot of a position file with the highest sequence number.
func newestSlot(file []byte) (best position, found bool) {
	for at := 0; at < len(file); at += posSlot {
		if p, err := parsePosition(file[at:min(len(file), at+posSlot)]); err == nil && (!found || p.seq > best.seq) {
			best, found = p, true
		}
	}
	return best, found
}

// mark moves the low mark, or notes the range above it.
func (p *position) mark(s span) {
	if s.from > p.low {
		p.acked = p.acked.add(s)
		return
	}
	p.low = max(p.low, s.to)
	if len(p.acked) > 0 && p.acked[0].from <= p.low {
		p.low = max(p.low, p.acked[0].to)
		p.acked = p.acked.below(p.low)
	}
}

// open calls f with each part of s that is not settled.
func (p *position) open(s span, f func(span)) {
	if s.from = max(s.from, p.low); s.from < s.to {
		p.acked.missing(s, f)
	}
}

// high is the number behind everything that the position knows of.
func (p *position) high() uint64 {
	if n := len(p.acked); n > 0 {
		return p.acked[n-1].to
	}
	return p.low
}

func copyCounts(m map[string]uint64) map[string]uint64 {
	if m == nil {
		return map[string]uint64{}
	}
	return maps.Clone(m)
}
