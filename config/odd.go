package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Operators that other languages have, and what they are here.
var (
	otherOp = regexp.MustCompile(`^(=>|=<|<>|=|≥|≤|≠)\s*(.*)$`)
	ownOp   = map[string]string{"=": "==", "=>": ">=", "=<": "<=", "<>": "!=", "≥": ">=", "≤": "<=", "≠": "!="}
)

const rangeHint = `for a range from 500 to 599 write ">= 500", and ">= 600" in the same place under not: { … }`

// flagged fits a regex as other languages write it: with flags behind it.
var flagged = regexp.MustCompile(`^/.+/[gimsuxy]{1,4}$`)

// checkPattern reports a pattern that can be read but hardly means what it was written for.
func (l *loader) checkPattern(n *node, path, field, key string, p Pattern) {
	switch {
	case p.Kind != Glob && p.Kind != Regex:
	case strings.HasSuffix(p.Text, "\n"):
		l.warn(n.pos, path+": the pattern ends with a line break", "write it in one line in single quotes, or below |- instead of |")
	case field == "line" && p.Kind == Regex && len(p.Text) > 2 && p.Text[0] == '/' && p.Text[len(p.Text)-1] == '/':
		l.warn(n.pos, path+": the slashes are part of this pattern, because line is always a regex", "leave them out; write [/] for a slash that is meant")
	case (field == "line") == (p.Kind == Regex) && flagged.MatchString(p.Text):
		hint := "flags stand inside: /(?i)…/"
		if field == "line" {
			hint = "leave out the slashes; flags stand inside: (?i)…"
		}
		l.warn(n.pos, path+": "+n.found()+" is taken as it is, with its slashes and letters behind them", hint)
	case field == "container" && (p.Kind == Glob && strings.HasPrefix(p.Text, "/") || p.Kind == Regex && slashFirst.MatchString(p.Text)):
		l.problem(n.pos, path+": names of containers have no / before them here", "leave it out")
	case p.Kind == Glob:
		l.checkGlob(n, path, field, key, p.Text)
	}
}

var slashFirst = regexp.MustCompile(`^/?\^(\(\?[a-z]+\))?(\\/|\[/\]|/)`)

func (l *loader) checkGlob(n *node, path, field, key, text string) {
	switch {
	case strings.HasPrefix(text, "!"):
		l.warn(n.pos, path+": "+n.found()+" is text that begins with !", "for the opposite write not: { … }")
	case (field == "tag" || field == "container") && strings.ContainsAny(text, "{}[]|, "):
		l.warn(n.pos, fmt.Sprintf("%s: in %s only * and ? have a meaning", path, n.found()), "for several names write a list: [a, b]; for anything else a /regex/")
	case field == "source" && !slices.ContainsFunc(sources, func(s string) bool { return globFits(text, s) }):
		hint := "source is stdout or stderr"
		if near := Nearest(text, sources); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		l.warn(n.pos, path+": "+n.found()+" is neither stdout nor stderr", hint)
	case field == "record" && key == "container_name" && text != "" && !strings.ContainsRune("/*?", rune(text[0])):
		l.warn(n.pos, path+": Docker puts a / before the name in this key", l.hide("write container: "+text+", which knows of it"))
	}
}

var sources = []string{"stdout", "stderr"}

// globFits reports whether a glob fits a short name.
func globFits(glob, name string) bool {
	expr := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(glob))
	fits, err := regexp.MatchString("^(?:"+expr+")$", name)
	return err == nil && fits
}

// coverAll reports whether each number fulfils one of the comparisons.
func coverAll(list []Pattern) bool {
	for i, p := range list {
		for _, q := range list[i+1:] {
			if p.Kind == Compare && q.Kind == Compare && (covers(p, q) || covers(q, p)) {
				return true
			}
		}
	}
	return false
}

func covers(p, q Pattern) bool {
	switch p.Op {
	case ">", ">=":
		return q.Op == "<" && q.Number > p.Number || q.Op == "<=" && q.Number >= p.Number || q.Op == "<" && p.Op == ">=" && q.Number == p.Number
	case "!=":
		return q.Op == "!=" && q.Number != p.Number || q.Op == "==" && q.Number == p.Number
	}
	return false
}

// conditions counts what must hold.
func (m *Match) conditions() int {
	n := len(m.Tests) + len(m.Not)
	if m.Any != nil {
		n++
	}
	return n
}
