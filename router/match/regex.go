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
	lead       string         // what all literals start with, if it is worth to search for that alone
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
	} else {
		out.literals = found.best()
	}
	out.lead = commonLead(out.literals)
	return out
}

// commonLead returns what several literals start with: "" when it is so short that most texts are full of it.
func commonLead(set []literal) string {
	if len(set) < 2 || set[0].fold {
		return ""
	}
	lead := set[0].text
	for _, l := range set[1:] {
		if l.fold {
			return ""
		}
		n := 0
		for n < min(len(lead), len(l.text)) && lead[n] == l.text[n] {
			n++
		}
		lead = lead[:n]
	}
	if len(lead) == 1 && (lead[0] == ' ' || lead[0]-'0' < 10 || lead[0]|0x20 >= 'a' && lead[0]|0x20 <= 'z') {
		return ""
	}
	return lead
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
	if r.lead != "" && !begin && !end {
		return r.search(text)
	}
	for i := range r.literals {
		if r.literals[i].occurs(text, begin, end) {
			return true
		}
	}
	return false
}

// search looks for the common lead, and for the literals only there.
func (r *regex) search(text []byte) bool {
	for {
		at := index(text, r.lead)
		if at < 0 {
			return false
		}
		text = text[at:]
		for i := range r.literals {
			if l := r.literals[i].text; len(text) >= len(l) && string(text[:len(l)]) == l {
				return true
			}
		}
		text = text[1:]
	}
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
