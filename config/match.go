package config

import (
	"fmt"
	"slices"
	"strings"
)

// matchKeys are the keys of a condition. Those of pathFields take a mapping of keys to patterns.
var matchKeys = []string{"tag", "container", "source", "line", "json", "record", "k8s", "ecs", "any", "not", "line_key"}

var pathFields = []string{"json", "record", "k8s", "ecs"}

// Names that other tools use, and what they are here.
var otherNames = map[string]string{
	"image":          "Docker's driver sends the name of the container and of no image; match container, or a label under record",
	"image_name":     "Docker's driver sends the name of the container and of no image; match container, or a label under record",
	"container_name": "write container: NAME, without the / before it",
	"name":           "write container: NAME",
	"log":            "write line: REGEX for the text of the event",
	"message":        "write line: REGEX for the text of the event",
	"msg":            "write line: REGEX for the text of the event, with line_key: msg",
	"stream":         "write source: stdout or source: stderr",
	"label":          "labels are keys of the record: write record: { LABEL: PATTERN }",
	"labels":         "labels are keys of the record: write record: { LABEL: PATTERN }",
	"namespace":      "write k8s: { namespace: PATTERN }",
	"pod":            "write k8s: { pod: PATTERN }",
	"cluster":        "write ecs: { cluster: PATTERN }",
	"task":           "write ecs: { task_id: PATTERN }",
	"or":             "write any: [ { … }, { … } ]",
	"and":            "all keys of a match must hold anyway",
	"all":            "all keys of a match must hold anyway",
}

// lineKey returns the key under which a line is looked for, that of the surroundings by default.
func (l *loader) lineKey(n *node, outer string) string {
	k := n.get("line_key")
	if k == nil {
		return outer
	}
	text, ok := l.plainText(k, "line_key")
	if ok && text == "" {
		l.problem(k.pos, "line_key is empty", "name the record key that holds the text of the event")
	}
	return text
}

// match reads a condition; nil when there is none.
func (l *loader) match(n *node, path, lineKey string) *Match {
	if n == nil {
		return nil
	}
	m := &Match{Pos: n.pos}
	if n.kind != mappingNode {
		hint := ""
		if n.kind == sequenceNode {
			hint = "for conditions of which one is enough write match: { any: [ { … }, { … } ] }"
		}
		l.problem(n.pos, fmt.Sprintf("%s: expected conditions such as { container: \"api-*\" }, found %s", path, n.found()), hint)
		return m
	}
	if len(n.pairs) == 0 {
		l.problem(n.pos, path+" holds no condition", "leave it out to match everything")
	}
	if len(n.pairs) == 1 && n.pairs[0].key == "line_key" {
		l.problem(n.pos, path+" holds no condition beside line_key", "add line: REGEX or json: { KEY: PATTERN }, which look at that key")
	}
	lineKey = l.lineKey(n, lineKey)
	for _, p := range n.pairs {
		at := join(path, p.key)
		if p.value.kind == nullNode && slices.Contains(matchKeys, p.key) {
			l.problem(p.keyPos, at+" has no pattern", "write true to ask whether it is there")
			continue
		}
		switch {
		case slices.Contains(pathFields, p.key):
			l.pathTests(m, p.key, p, at, "", lineKey)
		case p.key == "any":
			m.Any = l.matches(p.value, at, lineKey)
			if p.value.kind == mappingNode && len(m.Any) == 1 && m.Any[0].conditions() > 1 {
				l.problem(p.value.pos, at+": one mapping holds only when all its keys do", "write a list: any: [ { … }, { … } ]")
			}
		case p.key == "not":
			m.Not = l.matches(p.value, at, lineKey)
		case p.key == "line_key":
		case slices.Contains(matchKeys, p.key):
			t := Test{Pos: p.keyPos, Field: p.key, Patterns: l.patterns(p.value, at, p.key, "")}
			if p.key == "line" {
				t.LineKey = lineKey
			}
			m.Tests = append(m.Tests, t)
		default:
			hint := otherNames[p.key]
			if hint == "" {
				hint = hintNames(p.key, "conditions", matchKeys)
			}
			l.problem(p.keyPos, fmt.Sprintf("unknown condition %s in %s", quote(p.key), path), hint)
		}
	}
	return m
}

// matches reads what any and not hold: a list of conditions, or a single one.
func (l *loader) matches(n *node, path, lineKey string) []*Match {
	if n.kind != sequenceNode {
		return []*Match{l.match(n, path, lineKey)}
	}
	if len(n.items) == 0 {
		l.problem(n.pos, path+": the list is empty", "")
	}
	var out []*Match
	for i, item := range n.items {
		at := fmt.Sprintf("%s[%d]", path, i)
		if item.kind == nullNode {
			l.problem(n.pos, at+" is empty", "")
			continue
		}
		out = append(out, l.match(item, at, lineKey))
	}
	return out
}

// pathTests reads conditions on keys of a field, which may be written with dots or nested.
func (l *loader) pathTests(m *Match, field string, p pair, at, prefix, lineKey string) {
	if p.value.kind != mappingNode {
		l.problem(p.value.pos, fmt.Sprintf("%s: expected keys and their patterns such as { %s: … }, found %s", at, examplePath(field), p.value.found()), "")
		return
	}
	if len(p.value.pairs) == 0 {
		l.problem(p.value.pos, at+" holds no condition", "")
	}
	for _, in := range p.value.pairs {
		path, inAt := join(prefix, in.key), join(at, in.key)
		switch in.value.kind {
		case mappingNode:
			l.pathTests(m, field, in, inAt, path, lineKey)
		case nullNode:
			l.problem(in.keyPos, inAt+" has no pattern", "write true to ask whether it is there")
		default:
			if strings.ContainsAny(in.key, "[]") {
				l.warn(in.keyPos, inAt+": keys in lists can't be named, [ and ] are part of the key here", "for text of the line write line: REGEX")
			}
			t := Test{Pos: in.keyPos, Field: field, Path: path, Patterns: l.patterns(in.value, inAt, field, path)}
			if field == "json" {
				t.LineKey = lineKey
			}
			m.Tests = append(m.Tests, t)
		}
	}
}

func examplePath(field string) string {
	switch field {
	case "k8s":
		return "namespace"
	case "ecs":
		return "cluster"
	}
	return "level"
}
