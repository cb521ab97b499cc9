package config

import (
	"strconv"
	"strings"
)

type nodeKind uint8

const (
	nullNode nodeKind = iota
	scalarNode
	mappingNode
	sequenceNode
	brokenNode // reported; whatever else is wrong with it follows from that
)

// A node is a part of the file. Nodes don't change once built; an alias shares those of its anchor.
type node struct {
	kind  nodeKind
	pos   Pos
	text  string // scalar: as YAML reads it, with ${…} still in it
	plain bool   // scalar: without quotes, so it may be a number or a boolean
	place span   // scalar
	pairs []pair
	items []*node
	size  int // number of nodes in it, aliases counted with all that they stand for
}

type pair struct {
	key    string
	keyPos Pos
	value  *node
}

// get returns the value under key, or nil when the key isn't there or has no value.
func (n *node) get(key string) *node {
	if p := n.pair(key); p != nil && p.value.kind != nullNode {
		return p.value
	}
	return nil
}

// placeOf returns the place of a key, or none when it isn't there.
func (n *node) placeOf(key string) Pos {
	if p := n.pair(key); p != nil {
		return p.keyPos
	}
	return Pos{}
}

func (n *node) pair(key string) *pair {
	if n == nil {
		return nil
	}
	for i := range n.pairs {
		if n.pairs[i].key == key {
			return &n.pairs[i]
		}
	}
	return nil
}

// locate returns the place of a key such as a.b or servers[1].address below n, or of the deepest part of it that is
// there.
func (n *node) locate(key string) Pos {
	for key != "" {
		var next *node
		key = strings.TrimPrefix(key, ".")
		if strings.HasPrefix(key, "[") {
			number, rest, _ := strings.Cut(key[1:], "]")
			i, err := strconv.Atoi(number)
			if err != nil || i < 0 || i >= len(n.items) {
				break
			}
			next, key = n.items[i], rest
		} else {
			p, rest := n.longestKey(key)
			if p == nil {
				break
			}
			next, key = p.value, rest
		}
		n = next
	}
	return n.pos
}

// longestKey finds the longest key of n that path begins with: keys may hold dots themselves.
func (n *node) longestKey(path string) (found *pair, rest string) {
	for i := range n.pairs {
		p := &n.pairs[i]
		after, ok := strings.CutPrefix(path, p.key)
		if ok && (after == "" || after[0] == '.' || after[0] == '[') && (found == nil || len(p.key) > len(found.key)) {
			found, rest = p, after
		}
	}
	return found, rest
}

// found describes what stands at a node, for messages. It shows the text of the file, never what ${…} stands for.
func (n *node) found() string {
	switch n.kind {
	case mappingNode:
		return "a mapping"
	case sequenceNode:
		return "a list"
	case nullNode:
		return "nothing"
	}
	return quote(n.text)
}

// textAt describes entry i of a list, or a scalar that stands for a list.
func (n *node) textAt(i int, otherwise string) string {
	switch {
	case n.kind == scalarNode:
		return n.found()
	case i < len(n.items):
		return n.items[i].found()
	}
	return otherwise
}

// quote returns s in quotes, cut when it is long. Backslashes stay single where that is clear.
func quote(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most-1]) + "…"
	}
	quoted := strconv.Quote(s)
	if len(quoted) > len(s)+2 && strconv.CanBackquote(s) {
		return "`" + s + "`"
	}
	return quoted
}
