package match

import (
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// Bounds of the literals that are kept of a regular expression.
const (
	maxLiterals   = 16
	maxLiteralLen = 64
)

// A literal is text that must occur; fold: in any mixture of ASCII cases.
type literal struct {
	text string
	fold bool
}

// literals says what texts a match of an expression contains.
type literals struct {
	whole []literal // when not nil, each match is one of these; "" is among them for what can be empty
	loose bool      // whole leaves out a condition on what is around (\b, ^, $)
	need  []literal // when not nil, each match contains one of these
}

// analyse walks over a simplified syntax tree.
func analyse(re *syntax.Regexp) literals {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return literals{whole: []literal{{}}}
	case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return literals{whole: []literal{{}}, loose: true}
	case syntax.OpLiteral:
		return fromRunes(re.Rune, re.Flags&syntax.FoldCase != 0)
	case syntax.OpCharClass:
		return fromClass(re.Rune)
	case syntax.OpCapture:
		return analyse(re.Sub[0])
	case syntax.OpPlus:
		sub := analyse(re.Sub[0])
		return literals{need: sub.best()}
	case syntax.OpQuest:
		if sub := analyse(re.Sub[0]); sub.whole != nil && !sub.loose && len(sub.whole) < maxLiterals {
			return literals{whole: append(sub.whole[:len(sub.whole):len(sub.whole)], literal{})}
		}
	case syntax.OpConcat:
		return concat(re.Sub)
	case syntax.OpAlternate:
		return alternate(re.Sub)
	}
	return literals{}
}

func fromRunes(runes []rune, fold bool) literals {
	s := string(runes)
	if strings.ContainsRune(s, utf8.RuneError) {
		return literals{} // invalid bytes match it as well
	}
	if !fold {
		if len(s) > maxLiteralLen {
			return literals{need: []literal{{text: s[:cutRune(s, maxLiteralLen)]}}}
		}
		return literals{whole: []literal{{text: s}}}
	}
	// Letters outside ASCII have other cases, and so have k and s (the Kelvin sign, the long s): the longest part
	// without them is required.
	parts := strings.FieldsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf || strings.ContainsRune("kKsS", r) })
	longest := ""
	for _, p := range parts {
		if len(p) > len(longest) {
			longest = p
		}
	}
	if len(longest) == len(s) && len(s) <= maxLiteralLen {
		return literals{whole: []literal{{text: strings.ToLower(s), fold: true}}}
	}
	if longest == "" {
		return literals{}
	}
	return literals{need: []literal{{text: strings.ToLower(longest[:min(len(longest), maxLiteralLen)]), fold: true}}}
}

func fromClass(ranges []rune) literals {
	var out []literal
	for i := 0; i < len(ranges); i += 2 {
		for r := ranges[i]; r <= ranges[i+1]; r++ {
			if len(out) == maxLiterals || r == utf8.RuneError || !utf8.ValidRune(r) {
				return literals{}
			}
			out = append(out, literal{text: string(r)})
		}
	}
	return literals{whole: out}
}

func concat(subs []*syntax.Regexp) literals {
	out := literals{whole: []literal{{}}}
	run := out // the literals of the neighbours so far
	var need []literal
	for _, s := range subs {
		sub := analyse(s)
		if joined, ok := join(run, sub); ok {
			run = joined
			continue
		}
		out.whole = nil
		need = better(need, run.best())
		if sub.whole == nil {
			need = better(need, sub.need)
			run = literals{whole: []literal{{}}}
		} else {
			run = sub
		}
	}
	need = better(need, run.best())
	if out.whole == nil {
		return literals{need: need}
	}
	return run
}

// join gives the literals of a followed by b, if they are few.
func join(a, b literals) (literals, bool) {
	if b.whole == nil || len(a.whole)*len(b.whole) > maxLiterals {
		return literals{}, false
	}
	out := literals{loose: a.loose || b.loose}
	for _, x := range a.whole {
		for _, y := range b.whole {
			l := literal{text: x.text + y.text, fold: x.fold || y.fold}
			if len(l.text) > maxLiteralLen || x.fold != y.fold && !(caseless(x) && caseless(y)) && x.text != "" && y.text != "" {
				return literals{}, false
			}
			out.whole = append(out.whole, l)
		}
	}
	return out, true
}

// caseless reports whether folding changes nothing about the literal.
func caseless(l literal) bool {
	return l.fold || !strings.ContainsFunc(l.text, func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= utf8.RuneSelf })
}

func alternate(subs []*syntax.Regexp) literals {
	out := literals{whole: []literal{}, need: []literal{}}
	for _, s := range subs {
		sub := analyse(s)
		out.loose = out.loose || sub.loose
		if sub.whole == nil || len(out.whole)+len(sub.whole) > maxLiterals {
			out.whole = nil
		}
		if out.whole != nil {
			out.whole = append(out.whole, sub.whole...)
		}
		best := sub.best()
		if best == nil || len(out.need)+len(best) > maxLiterals {
			out.need = nil
		}
		if out.need != nil {
			out.need = append(out.need, best...)
		}
		if out.whole == nil && out.need == nil {
			return literals{}
		}
	}
	return out
}

// best returns what each match must contain one of, or nil.
func (l literals) best() []literal { return better(l.need, usable(l.whole)) }

// usable returns nil for a set with an empty literal in it, which excludes nothing.
func usable(set []literal) []literal {
	for _, l := range set {
		if l.text == "" {
			return nil
		}
	}
	return set
}

// better returns the set that excludes more: the one whose shortest literal is longer.
func better(a, b []literal) []literal {
	switch {
	case len(b) == 0:
		return a
	case len(a) == 0:
		return b
	case shortest(b) > shortest(a), shortest(b) == shortest(a) && len(b) < len(a):
		return b
	}
	return a
}

func shortest(set []literal) int {
	n := maxLiteralLen + 1
	for _, l := range set {
		n = min(n, len(l.text))
	}
	return n
}

func cutRune(s string, n int) int {
	for n > 0 && n < len(s) && !utf8.RuneStart(s[n]) {
		n--
	}
	return n
}
