package config

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// A builder makes nodes of the YAML library's tree: aliases and merge keys resolved and bounded, duplicate keys
// reported.
type builder struct {
	*loader
	anchors map[string]*node
	merged  int  // pairs that merge keys brought
	stopped bool // a bound was hit and reported
}

func (b *builder) build(a ast.Node, depth int) *node {
	n := b.value(a, depth)
	if n.size == 0 {
		n.size = 1
		for _, p := range n.pairs {
			n.size += p.value.size
		}
		for _, item := range n.items {
			n.size += item.size
		}
	}
	if n.size > maxNodes {
		if !b.stopped {
			b.problem(n.pos, fmt.Sprintf("file has more than %d values once its aliases are expanded", maxNodes), "")
		}
		b.stopped = true
		return &node{pos: n.pos, size: 1}
	}
	return n
}

func (b *builder) value(a ast.Node, depth int) *node {
	if depth > maxDepth {
		if !b.stopped {
			b.problem(b.pos(a), fmt.Sprintf("values are nested too deep, the bound is %d", maxDepth), "")
		}
		b.stopped = true
		return &node{}
	}
	n := &node{pos: b.pos(a)}
	switch a := a.(type) {
	case *ast.MappingNode:
		b.mapping(n, a.Values, depth)
	case *ast.MappingValueNode:
		b.mapping(n, []*ast.MappingValueNode{a}, depth)
	case *ast.SequenceNode:
		n.kind = sequenceNode
		for _, v := range a.Values {
			n.items = append(n.items, b.build(v, depth+1))
		}
	case *ast.AnchorNode:
		v := b.build(a.Value, depth+1)
		b.anchors[nameOf(a.Name)] = v
		return v
	case *ast.AliasNode:
		name := nameOf(a.Value)
		if v := b.anchors[name]; v != nil {
			return v
		}
		b.fail(n, fmt.Sprintf("no anchor &%s stands before this alias", name), fmt.Sprintf("for a glob, put it in quotes: %q", "*"+name))
	case *ast.TagNode:
		b.fail(n, "YAML tags such as !!binary are not supported", "remove it; text that begins with ! goes in quotes")
	case *ast.LiteralNode:
		n.kind = scalarNode
		if a.Value != nil {
			n.text = a.Value.Value
			n.place = span{from: n.pos, lines: strings.Count(strings.TrimRight(a.Value.GetToken().Origin, " \n"), "\n") + 1}
		}
	case *ast.NullNode:
		n.text = a.GetToken().Value // for a hint
	case nil, *ast.CommentGroupNode:
	default:
		if s, ok := a.(ast.ScalarNode); ok {
			b.scalar(n, s.GetToken())
			break
		}
		b.fail(n, "this YAML is not supported here", "")
	}
	return n
}

func (b *builder) scalar(n *node, tk *token.Token) {
	n.kind = scalarNode
	n.text = tk.Value
	n.plain = tk.Type != token.SingleQuoteType && tk.Type != token.DoubleQuoteType
	origin := strings.TrimSpace(tk.Origin)
	first, _, _ := strings.Cut(origin, "\n")
	n.place = span{from: n.pos, width: len([]rune(first)), lines: strings.Count(origin, "\n")}
}

func (b *builder) mapping(n *node, values []*ast.MappingValueNode, depth int) {
	n.kind = mappingNode
	seen := make(map[string]int, len(values)) // line of each key
	var merged []pair
	for _, v := range values {
		if v.Key.IsMergeKey() {
			merged = append(merged, b.merge(v.Value, depth)...)
			continue
		}
		keyPos := b.pos(v.Key)
		key, ok := b.key(v.Key)
		if !ok {
			continue
		}
		p := pair{key: key, keyPos: keyPos, value: b.build(v.Value, depth+1)}
		if p.value.kind == nullNode || p.value.kind == mappingNode && !isFlow(v.Value) || p.value.pos == (Pos{}) {
			at := *p.value // a problem of the whole is shown at its key
			at.pos = keyPos
			p.value = &at
		}
		if line := seen[key]; line > 0 {
			b.problem(keyPos, fmt.Sprintf("key %q stands twice, the first time in line %d", key, line), "keep one of them")
			continue
		}
		seen[key] = keyPos.Line
		n.pairs = append(n.pairs, p)
	}
	for _, p := range merged {
		if seen[p.key] == 0 {
			seen[p.key] = p.keyPos.Line
			n.pairs = append(n.pairs, p)
		}
	}
}

// merge returns the pairs that a merge key brings: those of one mapping, or of a list of them.
func (b *builder) merge(a ast.Node, depth int) []pair {
	v := b.build(a, depth+1)
	list := []*node{v}
	if v.kind == sequenceNode {
		list = v.items
	}
	var pairs []pair
	for _, m := range list {
		if m.kind != mappingNode {
			b.problem(b.pos(a), "a merge key << needs a mapping, found "+m.found(), "write <<: *name, where &name stands before a mapping")
			return nil
		}
		if b.merged += len(m.pairs); b.merged > maxNodes {
			if !b.stopped {
				b.problem(b.pos(a), fmt.Sprintf("merge keys bring more than %d values", maxNodes), "")
			}
			b.stopped = true
			return nil
		}
		pairs = append(pairs, m.pairs...)
	}
	return pairs
}

func (b *builder) key(a ast.Node) (string, bool) {
	if k, ok := a.(*ast.MappingKeyNode); ok {
		a = k.Value
	}
	s, ok := a.(ast.ScalarNode)
	if !ok || s.GetToken() == nil {
		b.problem(b.pos(a), "a key must be plain text", "")
		return "", false
	}
	key := s.GetToken().Value
	if strings.Contains(key, "${") {
		at := node{pos: b.pos(a)}
		b.fail(&at, fmt.Sprintf("key %s holds ${…}, which works in values only", quote(key)), "")
	}
	return key, true
}

// fail reports a problem of a node, and that no others of it are to be.
func (b *builder) fail(n *node, message, hint string) {
	b.problem(n.pos, message, hint)
	n.kind = brokenNode
	b.broken[n.pos] = true
}

func (b *builder) pos(a ast.Node) Pos {
	switch m := a.(type) {
	case nil:
		return Pos{}
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			return b.pos(m.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return b.pos(m.Key)
	}
	return tokenPos(a.GetToken())
}

func isFlow(a ast.Node) bool {
	m, ok := a.(*ast.MappingNode)
	return ok && m.IsFlowStyle
}

func nameOf(a ast.Node) string {
	if a == nil || a.GetToken() == nil {
		return ""
	}
	return a.GetToken().Value
}
