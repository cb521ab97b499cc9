package forward

import (
	"sync"
	"time"

	"github.com/firebreak/firebreak/record"
)

const (
	maxChunk  = 1 << 20   // bytes of a chunk; one event alone may be larger
	maxChunks = 1024      // of a batch
	maxBatch  = 256 << 10 // bytes of a batch, and one event: what a connection holds while its events are stored
	// scarceBatch is maxBatch while the memory budget is scarce: there are many connections then, and each may have one.
	scarceBatch = 32 << 10
)

// A batch is what goes to one call of Accept: the events of everything that one read completed, in order, with the
// acks that are due when they are stored. Events are copied into it once.
type batch struct {
	out    []byte
	chunks []record.Chunk // Data is set by seal
	ends   []int          // where each chunk's data ends in out
	oldest int64          // of the last chunk, as unix nanoseconds
	newest int64

	events  int
	invalid invalids
	acks    []byte // whole messages, one after the other
	ackEnds []int
	lines   []*line // joined lines in the batch, to be forgotten when it is stored
	gather  gatherer
}

// A batch is only held between a read and the Accept that follows it, so idle connections have none.
var batches = sync.Pool{New: func() any { return new(batch) }}

// release gives the batch back. One that is larger than most will need isn't kept.
func (b *batch) release(scarce bool) {
	if cap(b.out) > 2*batchBytes(scarce) {
		return
	}
	clear(b.chunks) // drops the references to tags
	clear(b.lines)
	b.gather.release(2 * batchBytes(scarce))
	*b = batch{gather: b.gather, out: b.out[:0], chunks: b.chunks[:0], ends: b.ends[:0], acks: b.acks[:0], ackEnds: b.ackEnds[:0], lines: b.lines[:0]}
	batches.Put(b)
}

// full reports whether the batch should go out before more is added.
func (b *batch) full(scarce bool) bool {
	return len(b.out) >= batchBytes(scarce) || len(b.chunks) >= maxChunks
}

func batchBytes(scarce bool) int {
	if scarce {
		return scarceBatch
	}
	return maxBatch
}

// begin makes the last chunk one that takes an event of the tag, of size bytes.
func (b *batch) begin(tag string, size int, at int64) {
	n := len(b.chunks)
	if n > 0 {
		c := &b.chunks[n-1]
		start := 0
		if n > 1 {
			start = b.ends[n-2]
		}
		if c.Tag == tag && len(b.out)-start+size <= maxChunk {
			c.Events++
			b.events++
			b.oldest = min(b.oldest, at)
			b.newest = max(b.newest, at)
			return
		}
		b.close()
	}
	b.chunks = append(b.chunks, record.Chunk{Tag: tag, Events: 1})
	b.ends = append(b.ends, 0)
	b.events++
	b.oldest, b.newest = at, at
}

// close fixes the times and the end of the last chunk.
func (b *batch) close() {
	n := len(b.chunks) - 1
	b.ends[n] = len(b.out)
	b.chunks[n].Oldest = time.Unix(0, b.oldest)
	b.chunks[n].Newest = time.Unix(0, b.newest)
}

// add appends the event of a time and a record.
func (b *batch) add(tag string, s stamp, rec []byte) {
	b.begin(tag, len(rec)+11, s.unixNano())
	b.out = s.append(append(b.out, 0x92))
	b.out = append(b.out, rec...)
}

// addRaw appends an entry that is in the canonical form already.
func (b *batch) addRaw(tag string, s stamp, entry []byte) {
	b.begin(tag, len(entry), s.unixNano())
	b.out = append(b.out, entry...)
}

func (b *batch) addAck(head, chunk []byte) {
	b.acks = append(append(b.acks, head...), chunk...)
	b.ackEnds = append(b.ackEnds, len(b.acks))
}

// seal returns the chunks, ready for Accept.
func (b *batch) seal(attrs record.Attrs, arrived time.Time) []record.Chunk {
	if len(b.chunks) == 0 {
		return nil
	}
	b.close()
	b.gather.gather(b)
	start := 0
	for i := range b.chunks {
		c := &b.chunks[i]
		c.Attrs, c.Arrived = attrs, arrived
		c.Data = b.out[start:b.ends[i]:b.ends[i]]
		start = b.ends[i]
	}
	return b.chunks
}

// A mark is a state of a batch to go back to.
type mark struct {
	out, chunks, events, lastEvents int
	oldest, newest                  int64
}

func (b *batch) mark() mark {
	m := mark{out: len(b.out), chunks: len(b.chunks), events: b.events, oldest: b.oldest, newest: b.newest}
	if m.chunks > 0 {
		m.lastEvents = b.chunks[m.chunks-1].Events
	}
	return m
}

// rollback forgets the events since the mark.
func (b *batch) rollback(m mark) {
	b.out = b.out[:m.out]
	b.chunks, b.ends = b.chunks[:m.chunks], b.ends[:m.chunks]
	if m.chunks > 0 {
		b.chunks[m.chunks-1].Events = m.lastEvents
	}
	b.events, b.oldest, b.newest = m.events, m.oldest, m.newest
}

// An interner gives equal tags one string, so that the tags of a busy host are allocated once. It remembers at
// least the last tagsKept different ones, and at most twice as many. It is safe for concurrent use.
type interner struct {
	mu         sync.Mutex
	young, old map[string]string
}

const (
	tagsKept = 1024
	maxTag   = 1024 // bytes; Kubernetes' longest are below 350
)

func (t *interner) get(b []byte) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s, ok := t.young[string(b)]; ok {
		return s
	}
	s, ok := t.old[string(b)]
	if !ok {
		s = string(b)
	}
	if t.young == nil || len(t.young) >= tagsKept {
		t.old, t.young = t.young, make(map[string]string)
	}
	t.young[s] = s
	return s
}
