package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

var (
	actions       = []string{"add", "parse_json", "drop", "size_guard"}
	processorKeys = append([]string{"name", "match"}, actions...)
)

// processors reads a list of processors: those before the router, or those of a route.
func (l *loader) processors(n *node, path, route, lineKey string) []Processor {
	if n == nil {
		return nil
	}
	if n.kind != sequenceNode {
		l.problem(n.pos, fmt.Sprintf("%s: expected a list such as [ { add: { env: prod } } ], found %s", path, n.found()), "")
		return nil
	}
	var out []Processor
	for i, item := range n.items {
		at := fmt.Sprintf("%s[%d]", path, i)
		if item.kind != mappingNode {
			l.problem(item.pos, fmt.Sprintf("%s: expected a mapping with one of %s, found %s", at, strings.Join(actions, ", "), item.found()), "")
			continue
		}
		p := l.processor(item, at, lineKey)
		l.nameProcessor(&p, item, at, route, i)
		out = append(out, p)
	}
	return out
}

func (l *loader) processor(n *node, path, lineKey string) Processor {
	p := Processor{Pos: n.pos, Match: l.match(n.get("match"), path+".match", lineKey)}
	var found []string
	unknown := false
	for _, kv := range n.pairs {
		at := join(path, kv.key)
		if !slices.Contains(processorKeys, kv.key) {
			l.problem(kv.keyPos, "unknown key "+quote(kv.key)+in(path), hintNames(kv.key, "known keys", processorKeys))
			unknown = true
			continue
		}
		if !slices.Contains(actions, kv.key) {
			continue
		}
		found = append(found, kv.key)
		switch kv.key {
		case "add":
			p.Add = l.add(kv.value, at)
		case "drop":
			p.Drop = kv.value.kind == scalarNode && kv.value.plain && kv.value.text == "true"
			if !p.Drop {
				l.problem(kv.value.pos, fmt.Sprintf("%s: expected true, found %s", at, kv.value.found()), "remove the processor to keep the events")
			}
		case "parse_json":
			p.ParseJSON = new(ParseJSON)
			l.action(kv.value, p.ParseJSON, at)
		case "size_guard":
			p.SizeGuard = new(SizeGuard)
			l.action(kv.value, p.SizeGuard, at)
		}
	}
	switch {
	case len(found) == 0 && !unknown:
		l.problem(n.pos, path+" does nothing", "give it one of "+strings.Join(actions, ", "))
	case len(found) > 1:
		l.problem(n.pos, fmt.Sprintf("%s has %d actions: %s", path, len(found), strings.Join(found, ", ")), "write a processor for each; they run in order")
	}
	return p
}

// action decodes the options of an action.
func (l *loader) action(n *node, options any, path string) {
	v := reflect.ValueOf(options).Elem()
	l.set(n, v, &field{typ: v.Type()}, path)
}

func (l *loader) add(n *node, path string) []Field {
	if n.kind != mappingNode || len(n.pairs) == 0 {
		l.problem(n.pos, fmt.Sprintf("%s: expected keys and the text to set them to, such as { env: prod }, found %s", path, n.found()), "")
		return nil
	}
	var out []Field
	for _, p := range n.pairs {
		at := join(path, p.key)
		switch {
		case p.key == "":
			l.problem(p.keyPos, path+": a key is empty", "")
		case p.value.kind == nullNode:
			l.problem(p.keyPos, at+" has no text", `write "" to set it to nothing`)
		default:
			if text, ok := l.plainText(p.value, at); ok {
				out = append(out, Field{Key: p.key, Value: text})
			}
		}
	}
	return out
}

// nameProcessor gives a processor the name that its counters have.
func (l *loader) nameProcessor(p *Processor, n *node, path, route string, index int) {
	pos := n.pos
	switch name := n.get("name"); {
	case name != nil:
		pos = name.pos
		text, ok := l.plainText(name, path+".name")
		if ok && !name64.MatchString(text) {
			l.problem(pos, fmt.Sprintf("%s.name: %s is not a name", path, name.found()), "names hold 1 to 64 of the characters A-Z a-z 0-9 _ -")
		}
		p.Name = text
	default:
		p.Name = fmt.Sprintf("%s-%d", actionOf(p), index+1)
		if route != "" {
			p.Name = route + "." + p.Name
		}
	}
	if p.Name != "" && l.names[p.Name] {
		l.problem(pos, fmt.Sprintf("two processors are called %q", p.Name), "counters need different names")
	}
	l.names[p.Name] = true
}

func actionOf(p *Processor) string {
	switch {
	case p.ParseJSON != nil:
		return "parse_json"
	case p.Drop:
		return "drop"
	case p.SizeGuard != nil:
		return "size_guard"
	}
	return "add"
}
