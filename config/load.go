package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A loader reads one file. Problems are collected, with their excerpts made at the end, when the secrets are known.
type loader struct {
	path     string
	kinds    Kinds
	env      Lookup
	lines    []string
	secrets  []span
	problems []Problem
	warnings []Problem
	broken   map[Pos]bool    // values that YAML itself couldn't give: no more about them
	outer    []string        // what ${env:…} and ${file:…} brought, and how it is written, in turn
	names    map[string]bool // of processors
}

// Load reads a configuration. Its error is an *Errors with all problems of the file. path is for messages only.
//
// Load makes no connection and resolves no name; it reads nothing but what ${env:…} and ${file:…} name, through env.
func Load(path string, src []byte, kinds Kinds, env Lookup) (*Config, error) {
	l := &loader{path: path, kinds: kinds, env: env, names: map[string]bool{}, broken: map[Pos]bool{}}
	cfg := &Config{Path: path}
	if root := l.parse(src); len(l.problems) == 0 || root != nil {
		l.load(cfg, root)
	}
	if len(l.problems) > 0 {
		return nil, &Errors{Problems: l.finish(l.problems)}
	}
	cfg.Warnings = l.finish(l.warnings)
	return cfg, nil
}

func (l *loader) problem(pos Pos, message, hint string) {
	if l.broken[pos] {
		return
	}
	l.problems = append(l.problems, Problem{File: l.path, Pos: pos, Message: message, Hint: hint})
}

func (l *loader) warn(pos Pos, message, hint string) {
	l.warnings = append(l.warnings, Problem{File: l.path, Pos: pos, Message: message, Hint: hint})
}

func (l *loader) finish(list []Problem) []Problem {
	list = sortProblems(list)
	for i := range list[:min(len(list), maxShown)] {
		list[i].Excerpt = l.excerpt(list[i].Pos)
	}
	return list
}

// sections are the keys of the file that aren't fields with tags.
var sections = []string{"inputs", "processors", "routes", "outputs", "line_key"}

func (l *loader) load(cfg *Config, root *node) {
	if root == nil {
		l.problem(Pos{}, "the configuration is empty", "it needs inputs and outputs at least")
		return
	}
	if root.kind != mappingNode {
		l.problem(root.pos, "expected a mapping with inputs and outputs, found "+root.found(), "")
		return
	}
	others := slices.Clone(sections)
	for _, p := range root.pairs {
		if strings.HasPrefix(p.key, "x-") { // for anchors
			others = append(others, p.key)
		}
	}
	l.decode(root, "", others, cfg)
	l.inputs(cfg, root)
	l.outputs(cfg, root)
	lineKey := l.lineKey(root, "")
	cfg.Processors = l.processors(root.get("processors"), "processors", "", lineKey)
	l.routes(cfg, root, lineKey)
	l.checkListen(cfg, root)
	l.checkBlock(cfg, root)
	l.checkFallback(cfg, root)
}

var name64 = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// named returns the entries of a mapping whose keys are names.
func (l *loader) named(root *node, section, what string, kinds []Kind) []pair {
	n := root.get(section)
	example := fmt.Sprintf("{ %s: { type: %s } }", what, firstKind(kinds))
	switch {
	case n == nil || n.kind == mappingNode && len(n.pairs) == 0:
		l.problem(root.placeOf(section), "no "+section+" are configured", "add "+section+": "+example)
		return nil
	case n.kind != mappingNode:
		l.problem(n.pos, fmt.Sprintf("%s: expected names and what they stand for such as %s, found %s", section, example, n.found()), "")
		return nil
	}
	for _, p := range n.pairs {
		if !name64.MatchString(p.key) {
			l.problem(p.keyPos, fmt.Sprintf("%s is not a name in %s", quote(p.key), section), "names hold 1 to 64 of the characters A-Z a-z 0-9 _ -")
		}
	}
	return n.pairs
}

func firstKind(kinds []Kind) string {
	if len(kinds) == 0 {
		return "…"
	}
	return kinds[0].Name
}

// kind returns the kind that the type key of an entry names, or nil after a problem.
func (l *loader) kind(p pair, path string, kinds []Kind) *Kind {
	var names []string
	for i := range kinds {
		names = append(names, kinds[i].Name)
	}
	if p.value.kind != mappingNode {
		l.problem(p.value.pos, fmt.Sprintf("%s: expected a mapping such as { type: %s }, found %s", path, firstKind(kinds), p.value.found()), "")
		return nil
	}
	n := p.value.get("type")
	if n == nil {
		hint := "types: " + strings.Join(names, ", ")
		if t := p.value.pair("type"); t != nil && slices.Contains(names, t.value.text) {
			hint = fmt.Sprintf("unquoted, %s means nothing in YAML: write type: %q", t.value.text, t.value.text)
		}
		l.problem(p.value.pos, path+".type is missing", hint)
		return nil
	}
	text, ok := l.plainText(n, path+".type")
	if !ok {
		return nil
	}
	i := slices.Index(names, text)
	if i < 0 {
		l.problem(n.pos, fmt.Sprintf("%s.type: %s is not a known type", path, n.found()), hintNames(n.text, "types", names))
		return nil
	}
	return &kinds[i]
}

// plainText returns the text of a scalar outside of any options struct.
func (l *loader) plainText(n *node, path string) (string, bool) {
	if n.kind != scalarNode {
		l.problem(n.pos, fmt.Sprintf("%s: expected text, found %s", path, n.found()), "")
		return "", false
	}
	return l.expand(n, false)
}

func (l *loader) inputs(cfg *Config, root *node) {
	for _, p := range l.named(root, "inputs", "docker", l.kinds.Inputs) {
		path := "inputs." + p.key
		in := Input{Name: p.key, Pos: p.keyPos}
		if kind := l.kind(p, path, l.kinds.Inputs); kind != nil {
			in.Type, in.Options = kind.Name, kind.Options()
			l.decode(p.value, path, []string{"type"}, in.Options)
		}
		cfg.Inputs = append(cfg.Inputs, in)
	}
}

func (l *loader) outputs(cfg *Config, root *node) {
	for _, p := range l.named(root, "outputs", "archive", l.kinds.Outputs) {
		path := "outputs." + p.key
		out := Output{Name: p.key, Pos: p.keyPos}
		if kind := l.kind(p, path, l.kinds.Outputs); kind != nil {
			out.Type, out.Options = kind.Name, kind.Options()
			l.decode(p.value, path, []string{"type"}, &out, out.Options)
			l.finishBuffer(&out.Buffer, p.value.get("buffer"), path+".buffer")
		}
		cfg.Outputs = append(cfg.Outputs, out)
	}
}

// Bounds of a buffer that the file doesn't set.
const (
	defaultDiskBytes   Size = 1 << 30
	defaultMemoryBytes Size = 32 << 20
)

// finishBuffer sets the bound that depends on the type, and keeps the memory share below it.
func (l *loader) finishBuffer(b *Buffer, n *node, path string) {
	if b.MaxBytes == 0 {
		b.MaxBytes = defaultDiskBytes
		if b.Type == "memory" {
			b.MaxBytes = defaultMemoryBytes
		}
	}
	memory := n.get("memory")
	switch {
	case memory != nil && b.Type == "memory":
		l.problem(memory.pos, path+".memory is the share of a buffer on disk, and this one is in memory", "set max_bytes instead")
	case memory != nil && b.Memory > b.MaxBytes:
		l.problem(memory.pos, fmt.Sprintf("%s.memory: %s is more than max_bytes", path, memory.found()), "")
	}
	b.Memory = min(b.Memory, b.MaxBytes)
}
