package process

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/mp"
	"github.com/firebreak/firebreak/router/match"
)

// Bounds of redact.
const (
	maxGrowth  = 64 << 10 // bytes that a record may grow by
	regexBatch = 256      // matches of a regex that are found at a time
)

// redact replaces matches of patterns in texts.
type redact struct {
	patterns []pattern
	keys     selection // nil: all texts
	with     []byte    // for regexes, when refs > 0: a template
	plain    []byte    // with $$ replaced
	refs     int       // references to groups in with
	numbers  bool      // whole numbers can be card numbers
}

// A pattern is a built-in one or a regex.
type pattern struct {
	find func(dst []span, text []byte) []span // appends the matches, in order, none of them empty
	card bool
	re   *regexp.Regexp
	may  *match.Prefilter // of re
}

// A span is a part of a text.
type span struct{ start, end int }

func newRedact(c *config.Redact) (*redact, error) {
	a := &redact{keys: newSelection(c.Keys...), with: []byte(c.With), plain: []byte(strings.ReplaceAll(c.With, "$$", "$"))}
	a.refs = strings.Count(strings.ReplaceAll(c.With, "$$", ""), "$")
	for _, text := range c.Patterns {
		p := pattern{find: builtin(text)}
		switch n := len(text); {
		case p.find != nil:
			p.card = text == "credit_card"
			a.numbers = a.numbers || p.card
		case n > 2 && text[0] == '/' && text[n-1] == '/':
			re, err := regexp.Compile(text[1 : n-1])
			if err != nil {
				return nil, fmt.Errorf("compile pattern %q: %w", text, err)
			}
			p.re, p.may = re, match.NewPrefilter(re)
		default:
			return nil, fmt.Errorf("unknown pattern %q", text)
		}
		a.patterns = append(a.patterns, p)
	}
	return a, nil
}

// builtin returns the pattern of a name; nil: there is none.
func builtin(name string) func([]span, []byte) []span {
	switch name {
	case "credit_card":
		return findCards
	case "email":
		return findEmails
	case "aws_key":
		return findAWSKeys
	case "jwt":
		return findJWTs
	case "bearer_token":
		return findBearerTokens
	case "ipv4":
		return findIPv4
	}
	return nil
}

func (a *redact) Apply(dst, rec []byte, s *Scope) ([]byte, Verdict) {
	r := redactor{redact: a, scope: s, rec: rec, out: dst, room: maxGrowth}
	ok := false
	if len(a.keys) == 0 {
		_, ok = r.all(0, 0)
	} else {
		s.rests = a.keys.begin(s.rests[:0])
		ok = r.some(0, 0, len(s.rests))
	}
	if !ok || !r.changed {
		return dst, Same
	}
	return append(r.out, rec[r.from:]...), Redacted
}

// A redactor copies a record but for its texts that change.
type redactor struct {
	*redact
	scope   *Scope
	rec     []byte
	out     []byte
	from    int // end of what was copied or replaced
	room    int // bytes that the record may still grow by
	changed bool
}

// some redacts what the rests [lo, hi) select in the map at an offset.
func (r *redactor) some(at, lo, hi int) bool {
	p, ok := pairsAt(r.rec, at)
	for ok {
		next, more := p.next()
		if !more {
			return p.left == 0
		}
		if r.keys.has(r.scope.rests[lo:hi], next.key) {
			_, ok = r.all(next.value, 0)
			continue
		}
		if !mp.IsMap(r.rec[next.value]) {
			continue
		}
		r.scope.rests = r.keys.into(r.scope.rests, lo, hi, next.key)
		if end := len(r.scope.rests); end > hi {
			ok = r.some(next.value, hi, end)
			r.scope.rests = r.scope.rests[:hi]
		}
	}
	return false
}

// all redacts the value at an offset, with all that is in it, and returns its end; false at bytes that are no msgpack.
func (r *redactor) all(at, depth int) (end int, ok bool) {
	if at >= len(r.rec) || depth > mp.MaxDepth {
		return 0, false
	}
	c := r.rec[at]
	switch {
	case mp.IsStr(c) || mp.IsBin(c):
		text, size, err := mp.Bytes(r.rec[at:])
		if err != nil {
			return 0, false
		}
		if after, changed := r.replace(text); changed {
			r.put(at, at+size, after, mp.IsBin(c))
		}
		return at + size, true
	case mp.IsMap(c), mp.IsArray(c):
		return r.inside(at, depth)
	case r.numbers && (c == 0xcf || c == 0xd3) && isCardNumber(r.rec[at:]):
		text := r.plain
		if !r.fits(len(text), span{at, at + 9}) {
			text = nil
		}
		r.put(at, at+9, text, false)
	}
	n, err := mp.Skip(r.rec[at:])
	return at + n, err == nil
}

// inside redacts the values of a map or an array. Names of keys stay.
func (r *redactor) inside(at, depth int) (end int, ok bool) {
	isMap := mp.IsMap(r.rec[at])
	header := mp.ArrayHeader
	if isMap {
		header = mp.MapHeader
	}
	n, size, err := header(r.rec[at:])
	if err != nil {
		return 0, false
	}
	for at += size; n > 0; n-- {
		if isMap {
			key, err := mp.Skip(r.rec[min(at, len(r.rec)):])
			if err != nil {
				return 0, false
			}
			at += key
		}
		if at, ok = r.all(at, depth+1); !ok {
			return 0, false
		}
	}
	return at, true
}

// put replaces the bytes [start, end) of the record by a text.
func (r *redactor) put(start, end int, text []byte, bin bool) {
	r.out = append(r.out, r.rec[r.from:start]...)
	if bin {
		r.out = mp.AppendBin(r.out, text)
	} else {
		r.out = mp.AppendStr(r.out, text)
	}
	r.from, r.changed = end, true
}

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
