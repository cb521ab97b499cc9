package load

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/firebreak/firebreak/bench/line"
	"github.com/firebreak/firebreak/internal/mp"
)

// A block holds encoded messages of one connection that are sent over and over, with new numbers and times.
//
// A unit is one message: unit u is the u%len(units)th of the block, its kind is u % kinds, and its first event has
// the sequence number (u/kinds)*perUnit in the stream of that kind.
type block struct {
	buf     []byte
	units   []unit
	kinds   int
	perUnit int
}

type unit struct {
	start, end int
	chunk      int // where the 24 bytes of the chunk id start; 0: none
	events     []event
}

type event struct{ time, token int } // where they start

const chunkLen = 24 // as Docker's: base64 of 16 bytes

func newBlock(cfg *Config, conn int, kinds []Kind) *block {
	b := &block{kinds: len(kinds), perUnit: 1}
	r := rand.New(rand.NewPCG(uint64(conn), 0x10ad))
	id := containerID(r)
	name := fmt.Sprintf("/app-%04d", conn)
	if len(kinds) == 1 {
		name = fmt.Sprintf("/%s-%04d", kinds[0], conn)
	}
	stream := func(i int) int { return cfg.FirstStream + conn*len(kinds) + i }
	record := func(e *event, i int) {
		b.record(cfg, e, kinds[i], r, stream(i), id, name, b.overhead(cfg, cfg.Tag(conn, kinds[i]), kinds[i], name))
	}
	if cfg.Mode != Message {
		b.perUnit = cfg.Batch
		for i, k := range kinds {
			b.frame(cfg, cfg.Tag(conn, k), func(e *event) { record(e, i) })
		}
		return b
	}
	for len(b.units) < cfg.Batch || len(b.units)%len(kinds) != 0 {
		i := len(b.units) % len(kinds)
		u := unit{start: len(b.buf), events: make([]event, 1)}
		b.buf = mp.AppendStr(mp.AppendArray(b.buf, 4), cfg.Tag(conn, kinds[i]))
		b.time(cfg, &u.events[0])
		record(&u.events[0], i)
		b.option(cfg, &u, 0)
		b.units = append(b.units, u)
	}
	return b
}

// frame adds one message of the Forward or Packed mode.
func (b *block) frame(cfg *Config, tag string, record func(*event)) {
	u := unit{start: len(b.buf), events: make([]event, b.perUnit)}
	b.buf = mp.AppendStr(mp.AppendArray(b.buf, 3), tag)
	size := 0
	if cfg.Mode == Packed {
		b.buf = append(b.buf, 0xc6, 0, 0, 0, 0) // bin32, as Fluent Bit's
		size = len(b.buf)
	} else {
		b.buf = mp.AppendArray(b.buf, b.perUnit)
	}
	for i := range u.events {
		b.buf = mp.AppendArray(b.buf, 2)
		b.time(cfg, &u.events[i])
		record(&u.events[i])
	}
	if size > 0 {
		binary.BigEndian.PutUint32(b.buf[size-4:], uint32(len(b.buf)-size))
	}
	b.option(cfg, &u, b.perUnit)
	b.units = append(b.units, u)
}

func (b *block) time(cfg *Config, e *event) {
	e.time = len(b.buf)
	if cfg.SubSecond {
		b.buf = mp.AppendEventTime(b.buf, 0, 0)
	} else {
		b.buf = append(b.buf, 0xd2, 0, 0, 0, 0) // Docker's int32
	}
}

// overhead returns the bytes of a Docker message around its log line.
func (b *block) overhead(cfg *Config, tag string, k Kind, name string) int {
	n := 1 + 1 + len(tag) + 5 + 1 + 1 + 13 + 66 + 15 + 1 + len(name) + 7 + 7 + 4 + 2 + 1
	if cfg.TypeKey {
		n += 5 + 1 + len(k)
	}
	return n
}

func (b *block) record(cfg *Config, e *event, k Kind, r *rand.Rand, stream int, id, name string, overhead int) {
	pairs := 4
	if cfg.TypeKey {
		pairs++
	}
	b.buf = mp.AppendMap(b.buf, pairs)
	str := func(v string) { b.buf = mp.AppendStr(b.buf, v) }
	str("container_id")
	str(id)
	str("container_name")
	str(name)
	if cfg.TypeKey {
		str("type")
		str(string(k))
	}
	str("source")
	str(k.source())
	str("log")
	text, token := k.text(r, cfg.Size-overhead, stream)
	b.buf = mp.AppendStr(b.buf, text)
	e.token = len(b.buf) - len(text) + token
}

// option ends a unit. Docker sends an empty map without request-ack.
func (b *block) option(cfg *Config, u *unit, size int) {
	pairs := 0
	if cfg.Ack {
		pairs++
	}
	if size > 0 {
		pairs++
	}
	b.buf = mp.AppendMap(b.buf, pairs)
	if size > 0 {
		b.buf = mp.AppendInt(mp.AppendStr(b.buf, "size"), int64(size))
	}
	if cfg.Ack {
		b.buf = mp.AppendStr(b.buf, "chunk")
		b.buf = mp.AppendStr(b.buf, "0000000000000000000000==")
		u.chunk = len(b.buf) - chunkLen
	}
	u.end = len(b.buf)
}

// prepare writes the numbers and times of up to n units from u on and returns their bytes. It stops at the end of the block.
func (b *block) prepare(u uint64, n int, t time.Time) (data []byte, units []unit) {
	first := int(u % uint64(len(b.units)))
	units = b.units[first:min(first+n, len(b.units))]
	sec, nsec, micros := uint32(t.Unix()), uint32(t.Nanosecond()), t.UnixMicro()
	for i := range units {
		un := &units[i]
		seq := u / uint64(b.kinds) * uint64(b.perUnit)
		for _, e := range un.events {
			if b.buf[e.time] == 0xd7 {
				binary.BigEndian.PutUint32(b.buf[e.time+2:], sec)
				binary.BigEndian.PutUint32(b.buf[e.time+6:], nsec)
			} else {
				binary.BigEndian.PutUint32(b.buf[e.time+1:], sec)
			}
			line.Patch(b.buf[e.token:], seq, micros)
			seq++
		}
		if un.chunk > 0 {
			putChunk(b.buf[un.chunk:], u)
		}
		u++
	}
	return b.buf[units[0].start:units[len(units)-1].end], units
}

// putChunk writes the number of a unit into the first 22 bytes of its chunk id.
func putChunk(b []byte, u uint64) {
	for i := chunkLen - 3; i >= 0; i-- {
		b[i] = '0' + byte(u%10)
		u /= 10
	}
}

// chunkUnit reads what putChunk wrote.
func chunkUnit(b []byte) (u uint64, ok bool) {
	if len(b) != chunkLen || string(b[chunkLen-2:]) != "==" {
		return 0, false
	}
	for _, c := range b[:chunkLen-2] {
		if c < '0' || c > '9' {
			return 0, false
		}
		u = u*10 + uint64(c-'0')
	}
	return u, true
}

// events returns how many events of kind i are in the first n units.
func (b *block) eventsOf(i int, n uint64) uint64 {
	k := uint64(b.kinds)
	return (n + k - 1 - uint64(i)) / k * uint64(b.perUnit)
}
