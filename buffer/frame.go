package buffer

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"time"

	"github.com/firebreak/firebreak/record"
)

// A frame is a chunk in a segment file or a memory block; docs/BUFFER-FORMAT.md has the table. All numbers are
// little-endian.
const (
	frameMagic = 0x31464246 // "FBF1"
	headSize   = 64
	maxBody    = 128 << 20 // of one frame
	maxFrame   = 128 << 20
	noteMax    = 2048
)

var crcTable = crc32.MakeTable(crc32.Castagnoli)

var errFrame = errors.New("not a valid frame")

// head is the fixed part of a frame.
type head struct {
	first                   uint64 // running number of the first event
	events                  int
	body                    int // bytes of Data
	tag, route, attrs, note int // bytes
	arrived, oldest, newest int64
	crc                     uint32 // of all that follows the head
	run                     uint32 // random, of the process that wrote it
}

func (h *head) meta() int { return h.tag + h.route + h.attrs + h.note }

// size is that of the whole frame.
func (h *head) size() int { return headSize + h.meta() + h.body }

func (h *head) next() uint64 { return h.first + uint64(h.events) }

// seed starts the checksum of heads with the buffer's random id: bytes inside a log line can't pose as a frame.
func seed(id [8]byte) uint32 { return crc32.Checksum(id[:], crcTable) }

// sealHead fills in the running number and the head's checksum of the frame in b.
func sealHead(b []byte, first uint64, seed uint32) {
	binary.LittleEndian.PutUint64(b[8:], first)
	binary.LittleEndian.PutUint32(b[4:], crc32.Update(seed, crcTable, b[8:headSize]))
}

// parseHead reads the head at the start of b.
func parseHead(b []byte, seed uint32) (head, error) {
	var h head
	if len(b) < headSize || binary.LittleEndian.Uint32(b) != frameMagic ||
		binary.LittleEndian.Uint32(b[4:]) != crc32.Update(seed, crcTable, b[8:headSize]) {
		return h, errFrame
	}
	le := binary.LittleEndian
	h = head{
		first: le.Uint64(b[8:]), events: int(le.Uint32(b[16:])), body: int(le.Uint32(b[20:])),
		tag: int(le.Uint16(b[24:])), route: int(le.Uint16(b[26:])), attrs: int(le.Uint16(b[28:])), note: int(le.Uint16(b[30:])),
		arrived: int64(le.Uint64(b[32:])), oldest: int64(le.Uint64(b[40:])), newest: int64(le.Uint64(b[48:])),
		crc: le.Uint32(b[56:]), run: le.Uint32(b[60:]),
	}
	if h.events == 0 || h.body > maxBody || h.first > math.MaxUint64-uint64(h.events) {
		return h, errFrame
	}
	return h, nil
}

// checkBody reports whether the frame in b, whose head is h, is whole and unchanged.
func (h *head) checkBody(b []byte) bool {
	return len(b) >= h.size() && crc32.Checksum(b[headSize:h.size()], crcTable) == h.crc
}

// A draft is a chunk measured for its frame, with everything done that needs no lock.
type draft struct {
	chunk                   *record.Chunk
	meta                    []byte // tag, route, attrs, note
	tag, route, attrs, note int
	crc                     uint32 // of meta and data
}

func (d *draft) size() int { return headSize + len(d.meta) + len(d.chunk.Data) }

// newDraft appends the frame's meta to scratch, which the draft refers to.
func newDraft(c *record.Chunk, note string, scratch []byte) (draft, []byte) {
	start := len(scratch)
	d := draft{chunk: c, tag: min(len(c.Tag), math.MaxUint16), route: min(len(c.Route), math.MaxUint16), note: min(len(note), noteMax)}
	scratch = append(scratch, c.Tag[:d.tag]...)
	scratch = append(scratch, c.Route[:d.route]...)
	n := len(scratch)
	scratch = appendAttrs(scratch, c.Attrs)
	d.attrs = len(scratch) - n
	scratch = append(scratch, note[:d.note]...)
	d.meta = scratch[start:len(scratch):len(scratch)]
	d.crc = crc32.Update(crc32.Checksum(d.meta, crcTable), crcTable, c.Data)
	return d, scratch
}

// appendTo appends the frame. run is random, the same for all frames of a process.
func (d *draft) appendTo(dst []byte, first uint64, seed, run uint32) []byte {
	le := binary.LittleEndian
	c := d.chunk
	var zero [headSize]byte
	at := len(dst)
	dst = append(dst, zero[:]...)
	h := dst[at:]
	le.PutUint32(h[0:], frameMagic)
	le.PutUint32(h[16:], uint32(c.Events))
	le.PutUint32(h[20:], uint32(len(c.Data)))
	le.PutUint16(h[24:], uint16(d.tag))
	le.PutUint16(h[26:], uint16(d.route))
	le.PutUint16(h[28:], uint16(d.attrs))
	le.PutUint16(h[30:], uint16(d.note))
	le.PutUint64(h[32:], uint64(c.Arrived.UnixNano()))
	le.PutUint64(h[40:], uint64(c.Oldest.UnixNano()))
	le.PutUint64(h[48:], uint64(c.Newest.UnixNano()))
	le.PutUint32(h[56:], d.crc)
	le.PutUint32(h[60:], run)
	sealHead(h, first, seed)
	dst = append(dst, d.meta...)
	return append(dst, c.Data...)
}

// attrs are written as length, key, length, value; what doesn't fit into 64 KiB is left out.
func appendAttrs(dst []byte, a record.Attrs) []byte {
	n := 0
	for i := range a {
		k, v := a[i].Key, a[i].Value
		s := 3 + len(k) + len(v)
		if len(k) > math.MaxUint8 || n+s > math.MaxUint16 {
			continue
		}
		n += s
		dst = append(append(dst, byte(len(k))), k...)
		dst = append(append(dst, byte(len(v)), byte(len(v)>>8)), v...)
	}
	return dst
}

func parseAttrs(b []byte) record.Attrs {
	var out record.Attrs
	for len(b) > 0 {
		k := int(b[0])
		if len(b) < 3+k {
			return out
		}
		v := int(b[1+k]) | int(b[2+k])<<8
		if len(b) < 3+k+v {
			return out
		}
		out = append(out, record.Attr{Key: string(b[1 : 1+k]), Value: string(b[3+k : 3+k+v])})
		b = b[3+k+v:]
	}
	return out
}

// names remembers the strings of the last frames: reading neighbours allocates nothing.
type names struct {
	tags, routes map[string]string
	rawAttrs     []byte
	attrs        record.Attrs
}

func intern(m *map[string]string, b []byte) string {
	if s, ok := (*m)[string(b)]; ok {
		return s
	}
	if *m == nil || len(*m) >= 256 {
		*m = make(map[string]string, 8)
	}
	s := string(b)
	(*m)[s] = s
	return s
}

// chunk returns the chunk of the frame in b; its Data is a part of b.
func (n *names) chunk(h *head, b []byte) record.Chunk {
	at := headSize
	tag := b[at : at+h.tag]
	at += h.tag
	route := b[at : at+h.route]
	at += h.route
	attrs := b[at : at+h.attrs]
	at += h.attrs + h.note
	if string(attrs) != string(n.rawAttrs) {
		n.rawAttrs, n.attrs = append(n.rawAttrs[:0], attrs...), parseAttrs(attrs)
	}
	return record.Chunk{
		Tag: intern(&n.tags, tag), Route: intern(&n.routes, route), Attrs: n.attrs,
		Arrived: time.Unix(0, h.arrived), Oldest: time.Unix(0, h.oldest), Newest: time.Unix(0, h.newest),
		Events: h.events, Data: b[at : at+h.body : at+h.body],
	}
}

func (h *head) noteOf(b []byte) []byte {
	at := headSize + h.tag + h.route + h.attrs
	return b[at : at+h.note]
}
