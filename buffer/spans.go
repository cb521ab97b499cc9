package buffer

import (
	"slices"
	"sort"
)

// A span is the running numbers [from, to).
type span struct{ from, to uint64 }

func (s span) len() uint64 { return s.to - s.from }

// spans is sorted, disjoint, without neighbours that touch.
type spans []span

// add returns the list with s in it.
func (l spans) add(s span) spans {
	if s.from >= s.to {
		return l
	}
	i := sort.Search(len(l), func(i int) bool { return l[i].to >= s.from })
	j := i
	for j < len(l) && l[j].from <= s.to {
		s.from, s.to = min(s.from, l[j].from), max(s.to, l[j].to)
		j++
	}
	return slices.Replace(l, i, j, s)
}

// missing calls f with each part of s that is in no span of the list.
func (l spans) missing(s span, f func(span)) {
	for i := sort.Search(len(l), func(i int) bool { return l[i].to > s.from }); i < len(l) && l[i].from < s.to; i++ {
		if l[i].from > s.from {
			f(span{s.from, l[i].from})
		}
		s.from = l[i].to
	}
	if s.from < s.to {
		f(s)
	}
}

// insert returns the list with s in it, sorted, but not joined with its neighbours.
func (l spans) insert(s span) spans {
	i := sort.Search(len(l), func(i int) bool { return l[i].from >= s.from })
	return slices.Insert(l, i, s)
}

// cover reports whether all of s is in the list.
func (l spans) cover(s span) bool {
	i := sort.Search(len(l), func(i int) bool { return l[i].to > s.from })
	return s.from >= s.to || i < len(l) && l[i].from <= s.from && l[i].to >= s.to
}

// below removes everything below n.
func (l spans) below(n uint64) spans {
	i := sort.Search(len(l), func(i int) bool { return l[i].to > n })
	l = slices.Delete(l, 0, i)
	if len(l) > 0 && l[0].from < n {
		l[0].from = n
	}
	return l
}

func (l spans) sum() uint64 {
	n := uint64(0)
	for _, s := range l {
		n += s.len()
	}
	return n
}
