package match

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/jsonmp"
	"github.com/firebreak/firebreak/internal/mp"
)

// A test compares one value with patterns; it holds when one of them does.
type test struct {
	present, absent bool
	equal           []string
	numbers         []num // those of equal that are numbers: 500 is 500.0, too, where the value is a number
	globs           []glob
	regexes         []regex
	compares        []compare
}

type compare struct {
	op string
	to num
}

// oddNumber fits numbers that are meant as text: 007, +1.
var oddNumber = regexp.MustCompile(`^([+]|-?0[0-9])`)

func newTest(patterns []config.Pattern) (*test, error) {
	t := &test{}
	for i := range patterns {
		p := &patterns[i]
		switch p.Kind {
		case config.Present:
			t.present = true
		case config.Absent:
			t.absent = true
		case config.Glob:
			if strings.ContainsAny(p.Text, "*?") {
				t.globs = append(t.globs, newGlob(p.Text))
			} else {
				t.equal = append(t.equal, p.Text)
				if n, ok := parseNumber([]byte(p.Text)); ok && !oddNumber.MatchString(p.Text) {
					t.numbers = append(t.numbers, n)
				}
			}
		case config.Regex:
			if p.Regexp == nil {
				return nil, fmt.Errorf("compile pattern %q: it has no regular expression", p.Text)
			}
			t.regexes = append(t.regexes, newRegex(p.Regexp))
		case config.Compare:
			switch p.Op {
			case "==", "!=", "<", "<=", ">", ">=":
			default:
				return nil, fmt.Errorf("compile pattern %q: unknown comparison %q", p.Text, p.Op)
			}
			to, ok := parseNumber([]byte(strings.TrimSpace(strings.TrimPrefix(p.Text, p.Op))))
			if !ok {
				to = floatNum(p.Number)
			}
			t.compares = append(t.compares, compare{op: p.Op, to: to})
		default:
			return nil, fmt.Errorf("compile pattern %q: unknown kind %d", p.Text, p.Kind)
		}
	}
	return t, nil
}

// cost orders tests: cheap ones first.
func (t *test) cost() int {
	n := 1
	for i := range t.regexes {
		if t.regexes[i].re != nil {
			n += 10
		}
		n += len(t.regexes[i].literals)
	}
	return n
}

// text tests a text; also one that holds a number.
func (t *test) text(b []byte) bool {
	if t.present || t.anyText(b) {
		return true
	}
	if len(t.compares) > 0 {
		if n, ok := parseNumber(b); ok {
			return t.anyCompare(n)
		}
	}
	return false
}

// anyText tests the text of a value of any type.
func (t *test) anyText(b []byte) bool {
	for _, s := range t.equal {
		if string(b) == s {
			return true
		}
	}
	for i := range t.globs {
		if t.globs[i].match(b) {
			return true
		}
	}
	for i := range t.regexes {
		if t.regexes[i].match(b) {
			return true
		}
	}
	return false
}

func (t *test) readsText() bool { return len(t.equal)+len(t.globs)+len(t.regexes) > 0 }

// anyNumber tests a value that is a number, beside its text.
func (t *test) anyNumber(n num) bool {
	for _, to := range t.numbers {
		if n.compare(to) == 0 {
			return true
		}
	}
	return t.anyCompare(n)
}

func (t *test) anyCompare(n num) bool {
	for _, c := range t.compares {
		ok := false
		switch x := n.compare(c.to); c.op {
		case "==":
			ok = x == 0
		case "!=":
			ok = x != 0
		case "<":
			ok = x < 0
		case "<=":
			ok = x <= 0
		case ">":
			ok = x > 0
		case ">=":
			ok = x >= 0
		}
		if ok {
			return true
		}
	}
	return false
}

// msgpack tests an encoded value; nil: there is none. Null, maps, arrays and extensions are present and match no
// pattern. buf is scratch, which may grow.
func (t *test) msgpack(v []byte, buf *[]byte) bool {
	if len(v) == 0 {
		return t.absent
	}
	if t.present {
		return true
	}
	c := v[0]
	if mp.IsStr(c) || mp.IsBin(c) {
		b, _, err := mp.Bytes(v)
		return err == nil && t.text(b)
	}
	if c == 0xc2 || c == 0xc3 {
		return t.word(c == 0xc3)
	}
	n, ok := number(v)
	if !ok {
		return false
	}
	if t.readsText() {
		text, _ := appendNumber((*buf)[:0], v)
		*buf = text
		if t.anyText(text) {
			return true
		}
	}
	return t.anyNumber(n)
}

func (t *test) word(v bool) bool {
	if v {
		return t.anyText([]byte("true"))
	}
	return t.anyText([]byte("false"))
}

// json tests a value as it is written in a JSON text, by the same rules; the text of a number is what is written.
func (t *test) json(v []byte, buf *[]byte) bool {
	if len(v) == 0 {
		return t.absent
	}
	if t.present {
		return true
	}
	switch v[0] {
	case '"':
		text, escaped := jsonmp.Inner(v)
		if escaped {
			var ok bool
			text, ok = jsonmp.AppendText((*buf)[:0], text)
			*buf = text
			if !ok {
				return false
			}
		}
		return t.text(text)
	case '{', '[', 'n':
		return false
	case 't', 'f':
		return t.anyText(v)
	}
	if t.anyText(v) {
		return true
	}
	if len(t.numbers)+len(t.compares) > 0 {
		if n, ok := parseNumber(v); ok {
			return t.anyNumber(n)
		}
	}
	return false
}
