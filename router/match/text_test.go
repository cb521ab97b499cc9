package match

import (
	"math"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/firebreak/firebreak/internal/mp"
	"github.com/firebreak/firebreak/record"
)

// slowGlob is the definition: one character after the other.
func slowGlob(p string, s string) bool {
	if p == "" {
		return s == ""
	}
	switch p[0] {
	case '*':
		for {
			if slowGlob(p[1:], s) {
				return true
			}
			if s == "" {
				return false
			}
			_, n := utf8.DecodeRuneInString(s)
			s = s[n:]
		}
	case '?':
		_, n := utf8.DecodeRuneInString(s)
		return s != "" && slowGlob(p[1:], s[n:])
	}
	return s != "" && s[0] == p[0] && slowGlob(p[1:], s[1:])
}

func FuzzGlob(f *testing.F) {
	for _, p := range []string{"", "*", "?", "a*b", "a?c*", "*?*", "**a??b*c?", "*é?", "?\xc3*"} {
		for _, s := range []string{"", "ab", "aXbc", "éa", "a\xffb", "abcabc"} {
			f.Add(p, s)
		}
	}
	f.Fuzz(func(t *testing.T, p, s string) {
		if len(p) > 12 || len(s) > 24 || !utf8.ValidString(p) {
			return
		}
		g := newGlob(p)
		if got, want := g.match([]byte(s)), slowGlob(p, s); got != want {
			t.Errorf("%q matches %q: %v, want %v", p, s, got, want)
		}
	})
}

func TestGlobTakesLinearTime(t *testing.T) {
	g := newGlob(strings.Repeat("*a", 40) + "*b")
	if g.match([]byte(strings.Repeat("a", 1<<20))) { // with backtracking this would not end
		t.Error("matches without a b")
	}
}

func FuzzRegexAgainstEngine(f *testing.F) {
	for _, p := range []string{
		`"(GET|POST|PUT) `, `^abc$`, `^(?:ab|c)`, `x$`, `(?i)error`, `(?i)kiosk`, `(?i)é1`, `a+b?c*`, `[ab]c[de]`, `\bfoo\b`, `(?m)^x$`, ``, `()`, `a|`, `.`,
		`" 5\d\d `, `(?i:ab)C`, `a{2,3}`, `[^a]b`, `(a|b)(c|d)(e|f)(g|h)(i|j)`, `^`, `$`, `^$`, `(?s).*x`, `a(?i)b-1`, `\x{FFFD}`, `[[:alpha:]]z`,
	} {
		for _, s := range []string{"", `x "GET /`, "abc", "ERROR", "\u212Aiosk", "foo", "a\xffb", "aab", "x\ny", "AB-1", "acegi", "É1"} {
			f.Add(p, s)
		}
	}
	f.Fuzz(func(t *testing.T, p, s string) {
		re, err := regexp.Compile(p)
		if err != nil || len(p) > 60 || len(s) > 200 {
			return
		}
		r := newRegex(re)
		if got, want := r.match([]byte(s)), re.MatchString(s); got != want {
			t.Errorf("%q matches %q: %v, want %v (literals %v)", p, s, got, want, r.literals)
		}
	})
}

func TestSimpleExpressionsNeedNoEngine(t *testing.T) {
	for _, p := range []string{`"(GET|POST|PUT) `, `^abc$`, `(?i)^error`, `x|yz|`, `[ab]c`, `" 5[0-9] `, `^$`} {
		if r := newRegex(regexp.MustCompile(p)); r.re != nil {
			t.Errorf("%q runs the engine", p)
		}
	}
	for p, want := range map[string]string{
		`" 5\d\d `: `" 50`, `took \d+ms`: "took ", `\d+ (?:GET|POST) /api`: " GET /api", `(?i)panic: .*`: "panic: ", `(a|b)*core dumped`: "core dumped",
		`\bOOM\b`: "OOM", `status=(\d+) timeout`: " timeout",
	} {
		r := newRegex(regexp.MustCompile(p))
		if r.re == nil || len(r.literals) == 0 || r.literals[0].text != want {
			t.Errorf("%q requires %v, want %q first", p, r.literals, want)
		}
	}
}

func TestParseNumber(t *testing.T) {
	for text, want := range map[string]float64{
		"0": 0, "500": 500, "-5": -5, "+5": 5, "007": 7, "1.5": 1.5, "-1e3": -1000, "1E-2": .01, "123456789012345678901234567890": 123456789012345678901234567890,
		"1e999": math.Inf(1), "999999999999999": 999999999999999,
	} {
		if got, ok := parseNumber([]byte(text)); !ok || got.value() != want {
			t.Errorf("parseNumber(%q) = %v, %v; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "-", "x", "1x", " 1", "1.", ".5", "1e", "1e+", "0x10", "1_0", "Inf", "NaN", "1,5"} {
		if got, ok := parseNumber([]byte(text)); ok {
			t.Errorf("parseNumber(%q) = %v", text, got)
		}
	}
}

// FuzzLocate holds the one-pass search against record.Path.
func FuzzLocate(f *testing.F) {
	f.Add(rec{{"a", rec{{"b", 1}, {"c.d", 2}}}, {"a.b", rec{{"c", 3}}}, {"a", rec{{"b", 4}}}}.append(nil), "a.b", "a.b.c")
	f.Add(rec{{"a", 1}, {"", 2}, {"a.", rec{{"", 3}}}}.append(nil), "a.", ".")
	f.Fuzz(func(t *testing.T, r []byte, p, q string) {
		if n, err := mp.Skip(r); err != nil || n != len(r) {
			return
		}
		var table Table
		c, err := table.Compile(all(when("record", p, glb("x")), when("record", q, glb("x"))))
		if err != nil {
			t.Fatal(err)
		}
		var v View
		v.Use(&table, table.Needs(c), nil)
		v.Look(r)
		v.locate()
		for _, path := range []string{p, q} {
			want := record.ParsePath(path).Lookup(r)
			if got := v.slots[table.slots(path)[0]].value; string(got) != string(want) {
				t.Errorf("%q in % x = % x, want % x", path, r, got, want)
			}
		}
	})
}
