package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

var (
	actions       = []string{"add", "rename", "remove", "parse_json", "redact", "sample", "throttle", "drop", "size_guard"}
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
		p := l.processor(item, at, route, lineKey)
		l.nameProcessor(&p, item, at, route, i)
		out = append(out, p)
	}
	return out
}

func (l *loader) processor(n *node, path, route, lineKey string) Processor {
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
		case "rename":
			p.Rename = l.rename(kv.value, at)
		case "remove":
			p.Remove = l.remove(kv.value, at)
		case "redact":
			p.Redact = new(Redact)
			value := kv.value
			if value.kind == sequenceNode {
				value = &node{kind: mappingNode, pos: value.pos, pairs: []pair{{key: "patterns", keyPos: kv.keyPos, value: value}}}
			}
			l.action(value, p.Redact, at)
		case "sample":
			p.Sample = new(Sample)
			l.action(kv.value, p.Sample, at)
			l.checkType(kv.value, p.Sample.By, route, at)
		case "throttle":
			p.Throttle = new(Throttle)
			l.action(kv.value, p.Throttle, at)
			l.checkType(kv.value, p.Throttle.By, route, at)
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

// rename reads old and new names, in the order of the file.
func (l *loader) rename(n *node, path string) []Field {
	if n.kind != mappingNode || len(n.pairs) == 0 {
		l.problem(n.pos, fmt.Sprintf("%s: expected keys and their new names, such as { msg: log }, found %s", path, n.found()), "")
		return nil
	}
	if len(n.pairs) > maxPaths {
		l.problem(n.pos, fmt.Sprintf("%s: %d keys are more than the bound of %d", path, len(n.pairs), maxPaths), "")
		return nil
	}
	var out []Field
	for _, p := range n.pairs {
		at := join(path, p.key)
		if p.value.kind == nullNode {
			l.problem(p.keyPos, at+" has no new name", "to take a key away write remove: ["+p.key+"]")
			continue
		}
		to, ok := l.plainText(p.value, at)
		if !ok {
			continue
		}
		checkPath(l.reportAt(p.keyPos), "", path, p.key, false)
		checkPath(l.reportAt(p.value.pos), "", at, to, false)
		if to == p.key {
			l.problem(p.value.pos, at+" is called so already", "")
		}
		out = append(out, Field{Key: p.key, Value: to})
	}
	return out
}

// remove reads a list of keys, or a single one.
func (l *loader) remove(n *node, path string) []string {
	items := n.items
	if n.kind == scalarNode {
		items = []*node{n}
	}
	if len(items) == 0 {
		l.problem(n.pos, fmt.Sprintf("%s: expected keys such as [password, \"http.headers.authorization\", \"debug_*\"], found %s", path, n.found()), "")
		return nil
	}
	if len(items) > maxPaths {
		l.problem(n.pos, fmt.Sprintf("%s: %d keys are more than the bound of %d", path, len(items), maxPaths), "")
		return nil
	}
	var out []string
	for _, item := range items {
		if text, ok := l.plainText(item, path); ok {
			checkPath(l.reportAt(item.pos), "", path, text, true)
			out = append(out, text)
		}
	}
	return out
}

// reportAt returns a report whose problems all stand at one place.
func (l *loader) reportAt(pos Pos) *Report {
	return &Report{add: func(_, message, hint string) { l.problem(pos, l.hide(message), l.hide(hint)) }}
}

// checkType reports a key with the type of events that have none yet.
func (l *loader) checkType(n *node, by, route, path string) {
	if route == "" && strings.Contains(strings.ReplaceAll(by, "$${", ""), "${type") {
		l.problem(n.locate("by"), path+".by: events have no type before the routes", "put the processor into a route, or write ${tag}")
	}
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
	case p.Rename != nil:
		return "rename"
	case p.Remove != nil:
		return "remove"
	case p.Redact != nil:
		return "redact"
	case p.Sample != nil:
		return "sample"
	case p.Throttle != nil:
		return "throttle"
	case p.ParseJSON != nil:
		return "parse_json"
	case p.Drop:
		return "drop"
	case p.SizeGuard != nil:
		return "size_guard"
	}
	return "add"
}
