package forward

import "github.com/firebreak/firebreak/record"

// A gatherer makes one chunk of all events of a tag in a batch. Senders that carry several containers alternate
// between tags, event by event; the order has a meaning within one tag only, and a chunk costs as much as many events.
type gatherer struct {
	group map[string]int32 // of a tag: index into first and last
	first []int32          // chunk of each group
	last  []int32
	next  []int32 // of each chunk: the next one of its group, or -1
	out   []byte
	list  []record.Chunk
	ends  []int
}

// link finds the chunks of each tag. It reports whether some tag has several.
func (g *gatherer) link(chunks []record.Chunk) bool {
	if len(chunks) < 3 { // neighbours of one tag are one chunk already
		return false
	}
	if g.group == nil {
		g.group = make(map[string]int32)
	}
	clear(g.group)
	g.first, g.last, g.next = g.first[:0], g.last[:0], g.next[:0]
	for i := range chunks {
		n := int32(i)
		g.next = append(g.next, -1)
		k, known := g.group[chunks[i].Tag]
		if !known {
			g.group[chunks[i].Tag] = int32(len(g.first))
			g.first, g.last = append(g.first, n), append(g.last, n)
			continue
		}
		g.next[g.last[k]] = n
		g.last[k] = n
	}
	return len(g.first) < len(chunks)
}

// gather rewrites the closed batch, so that each tag has one chunk, or several of maxChunk.
func (g *gatherer) gather(b *batch) {
	if !g.link(b.chunks) {
		return
	}
	g.out, g.list, g.ends = g.out[:0], g.list[:0], g.ends[:0]
	for _, i := range g.first {
		start := len(g.out)
		for at := i; at >= 0; at = g.next[at] {
			from := 0
			if at > 0 {
				from = b.ends[at-1]
			}
			data := b.out[from:b.ends[at]]
			c := &b.chunks[at]
			if n := len(g.list); at == i || len(g.out)-start+len(data) > maxChunk {
				start = len(g.out)
				g.list, g.ends = append(g.list, *c), append(g.ends, 0)
			} else {
				to := &g.list[n-1]
				to.Events += c.Events
				if c.Oldest.Before(to.Oldest) {
					to.Oldest = c.Oldest
				}
				if c.Newest.After(to.Newest) {
					to.Newest = c.Newest
				}
			}
			g.out = append(g.out, data...)
			g.ends[len(g.ends)-1] = len(g.out)
		}
	}
	b.out, g.out = g.out, b.out
	b.chunks, g.list = g.list, b.chunks
	b.ends, g.ends = g.ends, b.ends
}

// release forgets the tags, and memory beyond the given size.
func (g *gatherer) release(most int) {
	clear(g.group)
	clear(g.list[:cap(g.list)])
	if cap(g.out) > most {
		g.out = nil
	}
}
