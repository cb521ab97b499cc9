package match

import (
	"bytes"
	"regexp"
	"regexp/syntax"
)

// A regex is a regular expression with what spares its engine: the texts that a match must contain. An expression
// that is nothing but a few texts, such as "(GET|POST) , needs no engine at all.
type regex struct {
	re         *regexp.Regexp // nil: the literals decide
	literals   []literal      // one of them must occur; nil: unknown
	begin, end bool           // with re nil: only at the start or the end of the text
}

func newRegex(re *regexp.Regexp) regex {
	out := regex{re: re}
	tree, err := syntax.Parse(re.String(), syntax.Perl)
	if err != nil {
		return out
	}
	tree = tree.Simplify()
	if tree.Op == syntax.OpConcat {
		if tree.Sub[0].Op == syntax.OpBeginText {
			out.begin = true
			tree.Sub = tree.Sub[1:]
		}
		if n := len(tree.Sub); n > 0 && tree.Sub[n-1].Op == syntax.OpEndText {
			out.end = true
			tree.Sub = tree.Sub[:n-1]
		}
	}
	found := analyse(tree)
	if found.whole != nil && !found.loose {
		out.re, out.literals = nil, found.whole
		return out
	}
	out.literals = found.best()
	return out
}

func (r *regex) match(text []byte) bool {
	if r.re == nil {
		return r.anyLiteral(text, r.begin, r.end)
	}
	if r.literals != nil && !r.anyLiteral(text, false, false) {
		return false
	}
	return r.re.Match(text)
}

func (r *regex) anyLiteral(text []byte, begin, end bool) bool {
	for i := range r.literals {
		if r.literals[i].occurs(text, begin, end) {
			return true
		}
	}
	return false
}

func (l *literal) occurs(text []byte, begin, end bool) bool {
	n := len(l.text)
	switch {
	case len(text) < n || begin && end && len(text) != n:
		return false
	case begin:
		text = text[:n]
	case end:
		text = text[len(text)-n:]
	case l.fold:
		return containsFold(text, l.text)
	default:
		return index(text, l.text) >= 0
	}
	if l.fold {
		return equalFold(text, l.text)
	}
	return string(text) == l.text
}

// containsFold reports whether the text contains lower, which is in lower case and not empty, in any ASCII case.
func containsFold(text []byte, lower string) bool {
	c := lower[0]
	if c < 'a' || c > 'z' {
		for {
			i := bytes.IndexByte(text, c)
			if i < 0 || len(text)-i < len(lower) {
				return false
			}
			if equalFold(text[i:i+len(lower)], lower) {
				return true
			}
			text = text[i+1:]
		}
	}
	last := len(text) - len(lower)
	for i := 0; i <= last; i++ {
		if text[i]|0x20 == c && equalFold(text[i:i+len(lower)], lower) {
			return true
		}
	}
	return false
}

func equalFold(text []byte, lower string) bool {
	for i := range len(lower) {
		c := text[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
