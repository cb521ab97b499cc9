package buffer

import "github.com/firebreak/firebreak/record"

// A piece is a part of a frame that may be leased again; it keeps its block.
type piece struct {
	num      uint64 // running number of its first event
	chunk    record.Chunk
	blk      *block
	id       ID
	size     int
	attempts int
}

func (p *piece) span() span { return span{p.num, p.num + uint64(p.chunk.Events)} }

// pieces is a heap: the first one has the lowest number.
type pieces []piece

func (h *pieces) push(p piece) {
	l := append(*h, p)
	i := len(l) - 1
	for i > 0 {
		up := (i - 1) / 2
		if l[up].num <= p.num {
			break
		}
		l[i] = l[up]
		i = up
	}
	l[i] = p
	*h = l
}

func (h *pieces) pop() piece {
	l := *h
	top, n := l[0], len(l)-1
	p := l[n]
	l[n] = piece{}
	l = l[:n]
	if n > 0 {
		l.sink(0, p)
	}
	*h = l
	return top
}

// sink puts p at i or below it.
func (h pieces) sink(i int, p piece) {
	for {
		c := 2*i + 1
		if c >= len(h) {
			break
		}
		if c+1 < len(h) && h[c+1].num < h[c].num {
			c++
		}
		if h[c].num >= p.num {
			break
		}
		h[i] = h[c]
		i = c
	}
	h[i] = p
}

// remove calls f with each piece that drop names, and takes it out.
func (h *pieces) remove(drop func(*piece) bool, f func(*piece)) {
	l := *h
	kept := l[:0]
	for i := range l {
		if drop(&l[i]) {
			f(&l[i])
			continue
		}
		kept = append(kept, l[i])
	}
	if len(kept) == len(l) {
		return
	}
	clear(l[len(kept):])
	for i := len(kept)/2 - 1; i >= 0; i-- {
		kept.sink(i, kept[i])
	}
	*h = kept
}
