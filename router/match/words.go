package match

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/firebreak/firebreak/config"
)

const (
	maxValue    = 80 // bytes of a value or pattern that are shown
	maxPatterns = 4  // of one test
)

// String returns the value as it stands in a sentence behind the field.
func (s shown) String() string {
	switch {
	case s.text != nil:
		return quote(s.text)
	case s.bare != nil:
		return escape(string(s.bare))
	}
	return s.thing
}

// whyTest says why a test doesn't hold.
func (r *Reasons) whyTest(c *Cond) string {
	name, value, patterns := fieldName(c.source), r.look(c), c.source.Patterns
	switch {
	case value.odd != "":
		return name + ": " + value.odd
	case value.absent && c.op == opField && c.field.text:
		return name + " is absent:" + r.noText(c.field)
	case value.absent:
		return name + " is absent"
	case len(patterns) == 0:
		return name + " has no pattern"
	case value.thing == "" && allRegexes(patterns):
		return name + " " + value.String() + " does not match " + orList(patterns)
	}
	return name + " is " + value.String() + ", not " + orList(patterns)
}

// becauseTest says by what a test holds.
func (r *Reasons) becauseTest(c *Cond) string {
	name, value := fieldName(c.source), r.look(c)
	if value.absent {
		return name + " is absent"
	}
	p := r.holding(c)
	switch {
	case p == nil || p.Kind == config.Present:
		return name + " is present"
	case p.Kind == config.Compare:
		return name + " is " + value.String() + ", " + patternText(p)
	case p.Kind == config.Regex:
		if at := p.Regexp.FindIndex(value.text); at != nil {
			return name + " " + quoteAround(value.text, at[0]) + " matches " + patternText(p)
		}
	case !strings.ContainsAny(p.Text, "*?"):
		return name + " is " + value.String()
	}
	return name + " " + value.String() + " matches " + patternText(p)
}

// holding returns the first pattern of a test that holds by itself.
func (r *Reasons) holding(c *Cond) *config.Pattern {
	patterns := c.source.Patterns
	regexes := c.test.regexes
	for i := range patterns {
		single := &test{}
		if patterns[i].Kind == config.Regex {
			single.regexes, regexes = regexes[:1], regexes[1:]
		} else if t, err := newTest(patterns[i : i+1]); err == nil {
			single = t
		}
		if r.try(c, single) {
			return &patterns[i]
		}
	}
	return nil
}

// try tests what a condition looks at by another test.
func (r *Reasons) try(c *Cond, t *test) bool {
	if c.op == opKnown {
		k := knownTest{attr: r.table.known[c.known].attr, test: t}
		return k.holds(r.tag, r.view.attrs)
	}
	return r.view.test(c.field, t)
}

// fieldName returns the field as it is called in a configuration: container, json.status.
func fieldName(t *config.Test) string {
	name := t.Field
	if t.Path != "" {
		name += "." + escape(t.Path)
	}
	if t.LineKey != "" {
		name += " (" + escape(t.LineKey) + ")"
	}
	return name
}

func allRegexes(list []config.Pattern) bool {
	for i := range list {
		if list[i].Kind != config.Regex {
			return false
		}
	}
	return true
}

// orList names patterns: "a" or /b/.
func orList(list []config.Pattern) string {
	var words []string
	for i := range list[:min(len(list), maxPatterns)] {
		words = append(words, patternText(&list[i]))
	}
	if n := len(list) - len(words); n > 0 {
		words = append(words, fmt.Sprintf("%d more", n))
	}
	return strings.Join(words, " or ")
}

// patternText returns a pattern as one would write it.
func patternText(p *config.Pattern) string {
	switch p.Kind {
	case config.Regex:
		return "/" + escape(p.Regexp.String()) + "/"
	case config.Present:
		return "present"
	case config.Absent:
		return "absent"
	case config.Compare:
		if p.Text == "" {
			return p.Op + " " + strconv.FormatFloat(p.Number, 'g', -1, 64)
		}
		return escape(p.Text)
	}
	return quote(p.Text)
}

// quote puts a text in quotes, those that need no escapes inside, and shortens it.
func quote[T string | []byte](s T) string { return quoteAround(s, 0) }

// quoteAround shows the part around a place that is worth seeing.
func quoteAround[T string | []byte](s T, at int) string {
	start := 0
	if at > maxValue/2 && len(s) > maxValue {
		start = min(at-maxValue/4, len(s)-maxValue)
		for start > 0 && at-start < maxValue/2 && !utf8.RuneStart(s[start]) {
			start--
		}
	}
	part := string(s[start:min(start+maxValue+utf8.UTFMax, len(s))]) // clip decides on the end
	mark := `"`
	if strings.Contains(part, mark) && !strings.Contains(part, "'") {
		mark = "'"
	}
	lead := ""
	if start > 0 {
		lead = "…"
	}
	return mark + lead + escapeFor(part, mark[0]) + mark
}

// escape makes a text visible and shortens it.
func escape(s string) string { return escapeFor(s, 0) }

func escapeFor(s string, mark byte) string {
	short := clip(s, maxValue)
	if mark == '"' && strings.Contains(short, `"`) {
		short = strings.ReplaceAll(short, `"`, `\"`)
	}
	var b strings.Builder
	for i := 0; i < len(short); {
		c, n := utf8.DecodeRuneInString(short[i:])
		switch {
		case c == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, short[i])
		case strconv.IsPrint(c):
			b.WriteRune(c)
		default:
			q := strconv.QuoteRune(c) // '\n'
			b.WriteString(q[1 : len(q)-1])
		}
		i += n
	}
	return b.String()
}

// clip shortens a text to a number of bytes without cutting a character.
func clip(s string, size int) string {
	if len(s) <= size {
		return s
	}
	end := cutRune(s, size)
	if size-end >= utf8.UTFMax { // not UTF-8
		end = size
	}
	return s[:end] + "…"
}
