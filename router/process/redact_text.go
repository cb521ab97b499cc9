package process

import (
	"bytes"
)

// replace applies the patterns one after the other. The result is valid until the next call.
func (r *redactor) replace(text []byte) (_ []byte, changed bool) {
	turn := 0
	for i := range r.patterns {
		p := &r.patterns[i]
		out, some := r.scope.bufs[turn][:0], false
		if p.re != nil {
			out, some = r.regex(out, text, p)
		} else if spans := p.find(r.scope.spans[:0], text); len(spans) > 0 {
			r.scope.spans, some = spans, true
			out = r.cut(out, text, spans, p.card)
		}
		if some {
			r.scope.bufs[turn] = out
			text, turn, changed = out, 1-turn, true
		}
	}
	return text, changed
}

// cut appends the text with spans of it replaced.
func (r *redactor) cut(out, text []byte, spans []span, card bool) []byte {
	q := quotes{text: text, isJSON: card && looksJSON(text)}
	at := 0
	for _, sp := range spans {
		out = append(out, text[at:sp.start]...)
		at = sp.end
		if q.isJSON && q.bare(sp) && r.fits(len(r.plain)+2, sp) {
			out = bytes.TrimSuffix(out, []byte{'-'}) // the sign of the number
			out = append(append(append(out, '"'), r.plain...), '"')
		} else if r.fits(len(r.plain), sp) {
			out = append(out, r.plain...)
		}
	}
	return append(out, text[at:]...)
}

// fits reports whether n bytes may take the place of a match.
func (r *redactor) fits(n int, sp span) bool {
	grow := n - (sp.end - sp.start)
	if grow > r.room {
		return false
	}
	r.room -= max(grow, 0)
	return true
}

// regex appends the text with the matches of a regex replaced; false: it has none.
func (r *redactor) regex(out, text []byte, p *pattern) (_ []byte, some bool) {
	re := p.re
	if !p.may.May(text) || !re.Match(text) {
		return out, false
	}
	at := 0
	for {
		// What begins behind a batch begins like a text: ^ may hold there, which can only replace too much.
		rest := text[at:]
		var matches [][]int
		if r.refs > 0 {
			matches = re.FindAllSubmatchIndex(rest, regexBatch)
		} else {
			matches = re.FindAllIndex(rest, regexBatch)
		}
		last := 0
		for _, m := range matches {
			sp := span{m[0], m[1]}
			if sp.start == sp.end {
				continue
			}
			some = true
			out = append(out, rest[last:sp.start]...)
			last = sp.end
			switch {
			case r.refs == 0:
				if r.fits(len(r.plain), sp) {
					out = append(out, r.plain...)
				}
			case len(r.with)+(r.refs-1)*(sp.end-sp.start) <= r.room:
				before := len(out)
				out = re.Expand(out, r.with, rest, m)
				r.fits(len(out)-before, sp)
			}
		}
		if len(matches) < regexBatch || at+last == len(text) {
			return append(out, rest[last:]...), some
		}
		if end := matches[len(matches)-1][1]; end > last { // an empty match
			out = append(out, rest[last:end]...)
			last = end
		}
		at += last
	}
}

const jsonSpace = " \t\r\n"

// looksJSON reports whether a text is likely to be JSON: an object or an array.
func looksJSON(text []byte) bool {
	text = bytes.Trim(text, jsonSpace)
	n := len(text)
	return n > 1 && (text[0] == '{' && text[n-1] == '}' || text[0] == '[' && text[n-1] == ']')
}

// quotes follows the strings of a JSON text.
type quotes struct {
	text   []byte
	isJSON bool
	at     int
	inside bool
}

// bare reports whether a span, behind those it was asked for before, is a number of the JSON text and no part of a
// string.
func (q *quotes) bare(sp span) bool {
	for ; q.at < sp.start; q.at++ {
		switch c := q.text[q.at]; {
		case c == '\\' && q.inside:
			q.at++
		case c == '"':
			q.inside = !q.inside
		}
	}
	if q.inside {
		return false
	}
	left := bytes.TrimRight(bytes.TrimSuffix(q.text[:sp.start], []byte{'-'}), jsonSpace)
	right := bytes.TrimLeft(q.text[sp.end:], jsonSpace)
	return len(left) > 0 && bytes.IndexByte([]byte(":[,"), left[len(left)-1]) >= 0 && len(right) > 0 && bytes.IndexByte([]byte(",]}"), right[0]) >= 0
}

// before returns the byte before an offset, or 0.
func before(text []byte, i int) byte {
	if i == 0 {
		return 0
	}
	return text[i-1]
}
