package process

import (
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
