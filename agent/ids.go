package agent

import (
	"slices"
	"sort"
)

// ids is a set of running numbers, held as ranges.
type ids []idRange

type idRange struct{ from, to uint64 }

// add puts n numbers into the set. They are above all that are in it.
func (s *ids) add(first uint64, n int) {
	to := first + uint64(n)
	if k := len(*s); k > 0 && (*s)[k-1].to == first {
		(*s)[k-1].to = to
		return
	}
	*s = append(*s, idRange{first, to})
}

// take removes a number; false: it isn't there.
func (s *ids) take(id uint64) bool {
	i := sort.Search(len(*s), func(i int) bool { return (*s)[i].to > id })
	if i == len(*s) || (*s)[i].from > id {
		return false
	}
	switch r := &(*s)[i]; {
	case r.from == id:
		r.from++
	case r.to == id+1:
		r.to--
	default:
		tail := idRange{id + 1, r.to}
		r.to = id
		*s = slices.Insert(*s, i+1, tail)
		return true
	}
	if (*s)[i].from == (*s)[i].to {
		*s = slices.Delete(*s, i, i+1)
	}
	return true
}
