package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/firebreak/firebreak/internal/table"
)

const (
	maxChanges = 8  // of one kind that are shown of one processor
	maxShown   = 80 // characters of a value
)

// changes says in words what differs between two records in JSON: the keys that were added, removed and changed.
func changes(before, after json.RawMessage) string {
	var d differ
	a, aok := object(before)
	b, bok := object(after)
	if !aok || !bok {
		return "changes the record"
	}
	d.walk("", a, b)
	var words []string
	for _, list := range []struct {
		verb  string
		found []string
	}{{"adds", d.added}, {"removes", d.removed}, {"sets", d.set}} {
		if n := len(list.found) - maxChanges; n > 0 {
			list.found = append(list.found[:maxChanges], fmt.Sprintf("… %d more", n))
		}
		if len(list.found) > 0 {
			words = append(words, list.verb+" "+strings.Join(list.found, ", "))
		}
	}
	return cmp.Or(strings.Join(words, "; "), "changes the order of keys")
}

type differ struct{ added, removed, set []string }

func (d *differ) walk(prefix string, a, b map[string]json.RawMessage) {
	keys := slices.Collect(maps.Keys(a))
	for k := range b {
		if _, ok := a[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		old, had := a[k]
		now, has := b[k]
		name := prefix + k
		switch {
		case !had:
			d.added = append(d.added, name+"="+shownFrom(now, 0))
		case !has:
			d.removed = append(d.removed, name)
		case !bytes.Equal(old, now):
			oldMap, ok := object(old)
			nowMap, both := object(now)
			if ok && both {
				d.walk(name+".", oldMap, nowMap)
				continue
			}
			at := firstDifference(old, now)
			d.set = append(d.set, name+" from "+shownFrom(old, at)+" to "+shownFrom(now, at))
		}
	}
}

func object(text json.RawMessage) (map[string]json.RawMessage, bool) {
	var m map[string]json.RawMessage
	if len(text) == 0 || text[0] != '{' || json.Unmarshal(text, &m) != nil {
		return nil, false
	}
	return m, true
}

func firstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// shownFrom returns the part of a value that is worth seeing: around where it differs from another one.
func shownFrom(text json.RawMessage, at int) string {
	lead := ""
	if start := at - maxShown/2; start > 0 && len(text) > maxShown {
		for start < len(text) && !utf8.RuneStart(text[start]) {
			start++
		}
		text, lead = text[start:], "…"
	}
	return lead + table.Clip(table.Clean(string(text)), maxShown)
}
