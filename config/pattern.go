package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Bounds of patterns.
const (
	maxPattern  = 4096 // bytes
	maxPatterns = 1000 // of one condition
)

var (
	compareOp = regexp.MustCompile(`^(==|!=|<=|>=|<|>)\s*(.*)$`)
	numeral   = regexp.MustCompile(`^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
)

// patterns reads the right side of a condition on a field and the key in it: one pattern, or a list of which any may
// hold.
func (l *loader) patterns(n *node, path, field, key string) []Pattern {
	items := []*node{n}
	if n.kind == sequenceNode {
		items = n.items
		if len(items) == 0 {
			l.problem(n.pos, path+": the list is empty, so nothing can match", "")
		}
	}
	if len(items) > maxPatterns {
		l.problem(n.pos, fmt.Sprintf("%s: %d patterns are more than the bound of %d", path, len(items), maxPatterns), "write one regex with | between the words")
		return nil
	}
	var out []Pattern
	for _, item := range items {
		if item.kind != scalarNode {
			l.problem(item.pos, fmt.Sprintf("%s: expected a pattern such as \"api-*\", /regex/, true or \">= 500\", found %s", path, item.found()), "")
			continue
		}
		text, ok := l.expand(item, false)
		if !ok {
			continue
		}
		if p, w := parsePattern(text, item.plain && text == item.text, field == "line"); w != nil {
			l.problem(item.pos, path+": "+item.found()+" "+l.hide(w.message), l.hide(w.hint))
		} else {
			l.checkPattern(item, path, field, key, p)
			out = append(out, p)
		}
	}
	if n.kind == sequenceNode && coverAll(out) {
		l.problem(n.pos, path+": every number fulfils one of these comparisons, and one is enough", rangeHint)
	}
	return out
}

// parsePattern reads one pattern. plain: not in quotes, so that true and false are booleans.
func parsePattern(text string, plain, line bool) (Pattern, *wrong) {
	if len(text) > maxPattern {
		return Pattern{}, &wrong{fmt.Sprintf("has %d bytes, more than the bound of %d", len(text), maxPattern), ""}
	}
	if b, ok := parseBool(text); ok && plain {
		if b {
			return Pattern{Kind: Present, Text: text}, nil
		}
		return Pattern{Kind: Absent, Text: text}, nil
	}
	if line {
		return parseRegex(text, text)
	}
	if len(text) >= 2 && text[0] == '/' && text[len(text)-1] == '/' {
		return parseRegex(text, text[1:len(text)-1])
	}
	if m := otherOp.FindStringSubmatch(text); m != nil && numeral.MatchString(m[2]) {
		return Pattern{}, &wrong{"is no comparison", fmt.Sprintf("write %q; the operators are == != < <= > >=", ownOp[m[1]]+" "+m[2])}
	}
	if m := compareOp.FindStringSubmatch(text); m != nil {
		if numeral.MatchString(m[2]) {
			x, err := strconv.ParseFloat(m[2], 64)
			if err != nil {
				return Pattern{}, &wrong{"compares with a number that is too large", ""}
			}
			return Pattern{Kind: Compare, Text: text, Op: m[1], Number: x}, nil
		}
		if strings.ContainsAny(m[2], "<>") {
			return Pattern{}, &wrong{"is more than one comparison", rangeHint}
		}
		if m[2] != strings.TrimPrefix(text, m[1]) || m[1] == "==" || m[1] == "!=" {
			return Pattern{}, &wrong{"compares with something that is not a number", "for text write a glob or a /regex/, with `not:` around it for the opposite"}
		}
	}
	return Pattern{Kind: Glob, Text: text}, nil
}

func parseRegex(text, expr string) (Pattern, *wrong) {
	if expr == "" {
		return Pattern{}, &wrong{"is an empty regex, which matches everything", "write true for a field that is present"}
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return Pattern{}, regexProblem(expr, err)
	}
	return Pattern{Kind: Regex, Text: text, Regexp: re}, nil
}

// What other regex dialects have and RE2, whose time is linear in the text, can't do.
var notRE2 = []struct{ start, name, hint string }{
	{"(?=", "a lookahead", "say what must be there in a second condition: the keys of one match all hold"},
	{"(?!", "a negative lookahead", "put the other pattern under `not: { … }`"},
	{"(?<=", "a lookbehind", "match the text before it too"},
	{"(?<!", "a negative lookbehind", "put the other pattern under `not: { … }`"},
	{"(?>", "an atomic group", "write (?: instead; nothing is tried twice anyway"},
	{"(?(", "a conditional", "write two patterns in a list"},
	{"(?|", "a branch reset", "write (?: instead"},
	{"(?#", "a comment", "leave it out"},
	{"++", "a possessive repetition", "leave out the second +; nothing is tried twice anyway"},
	{"*+", "a possessive repetition", "leave out the +; nothing is tried twice anyway"},
	{"?+", "a possessive repetition", "leave out the +; nothing is tried twice anyway"},
	{`\Z`, "the anchor \\Z", `write \z or $`},
	{`\G`, "the anchor \\G", "leave it out"},
	{`\K`, "the reset \\K", "leave it out"},
}

func regexProblem(expr string, err error) *wrong {
	const intro = "is not a regex that RE2 knows: "
	for i := 0; i < len(expr); i++ {
		if expr[i] == '\\' && i+1 < len(expr) && expr[i+1] >= '1' && expr[i+1] <= '9' {
			return &wrong{intro + "it has the back reference " + expr[i:i+2], "write the repeated part out"}
		}
		for _, f := range notRE2 {
			if strings.HasPrefix(expr[i:], f.start) {
				return &wrong{intro + "it has " + f.name + " " + f.start, f.hint}
			}
		}
		if expr[i] == '\\' {
			i++ // what it escapes means itself
		}
	}
	message := strings.TrimPrefix(err.Error(), "error parsing regexp: ")
	hint := ""
	switch {
	case strings.HasPrefix(message, "missing argument to repetition"):
		hint = "a regex that begins with * was probably meant as a glob: write .* instead of *"
	case strings.HasPrefix(message, "missing closing"), strings.HasPrefix(message, "unexpected )"):
		hint = `write \ before a bracket that means itself`
	}
	return &wrong{"is not a regex: " + message, hint}
}
