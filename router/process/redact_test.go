package process

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/mp"
)

func redacting(with string, patterns ...string) config.Processor {
	return config.Processor{Redact: &config.Redact{Patterns: patterns, With: with}}
}

// redacted returns the text that a pattern makes of a line.
func redacted(t testing.TB, p config.Processor, line string) string {
	t.Helper()
	a, err := New(&p)
	if err != nil {
		t.Fatal(err)
	}
	out, v := a.Apply(nil, rec("log", line), &Scope{})
	if v == Same {
		return line
	}
	found, ok := find(out, "log")
	if v != Redacted || !ok {
		t.Fatalf("verdict %d, % x", v, out)
	}
	b, _, err := mp.Bytes(out[found.value:])
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBuiltinPatterns(t *testing.T) {
	secret := "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	jwt := "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0"
	for pattern, lines := range map[string][][2]string{
		"credit_card": {
			{"4111111111111111", "#"}, {"card 4111 1111 1111 1111.", "card #."}, {"4111-1111-1111-1111,5500000000000004", "#,#"},
			{"378282246310005 30569309025904 6011111111111117 3530111333300000", "# # # #"}, {"3782 822463 10005", "#"},
			{"6304 0000 0000 0000", "#"}, {"4222222222222", "#"}, {"2223003122003222", "#"}, {"6205500000000000004", "#"},
			{"2026-11-20 4111 1111 1111 1111 200", "2026-11-20 # 200"}, {"4111 1111 1111 1111 123", "# 123"},
			{"pan=4111111111111111&x", "pan=#&x"}, {"card_4111111111111111_", "card_#_"}, {`"a\n4111111111111111\n"`, `"a\n#\n"`}, {"é4111111111111111é", "é#é"},
			{"4111 1111-1111 1111", "#"},
			// no card numbers
			{"4111111111111112", ""}, {"1234567812345670", ""}, {"411111111111111", ""}, {"41111111111111111111", ""}, {"id4111111111111111", ""},
			{"4111111111111111x", ""}, {"0.4111111111111111", ""}, {"4111111111111111.25", ""}, {"4111  1111 1111 1111", ""}, {"41 11 11 11 11 11 11 11", ""},
			{"4111.1111.1111.1111", ""}, {"1732081397123", ""}, {strings.Repeat("4", 100), ""},
			{"9f4111111111111111ab", ""}, {"", ""}, {"4111", ""},
			// JSON stays JSON
			{`{"card":4111111111111111,"n":1}`, `{"card":"#","n":1}`}, {`{"n":-4111111111111111}`, `{"n":"#"}`}, {`[4111111111111111, 5500000000000004]`, `["#", "#"]`},
			{`{"card":"4111111111111111","t":": 4111111111111111, x"}`, `{"card":"#","t":": #, x"}`}, {`{"a":"\"","card":4111111111111111}`, `{"a":"\"","card":"#"}`},
		},
		"email": {
			{"mail from jo.doe+tag@mail.example.com, sent", "mail from #, sent"}, {"<a@b.io>", "<#>"}, {"q=user%40example.com&x", "q=#&x"},
			{`{"m":"\nuser@example.com"}`, `{"m":"\n#"}`}, {`\u00e9user@example.com`, `\u00e9#`}, {"a@b.co.", "#."}, {"a@b.com@c.de", "#@c.de"},
			{"x@y.com x@y.com", "# #"}, {"user@EXAMPLE.COM-", "#-"}, {"ssh git@github.com:a/b", "ssh #:a/b"},
			{"@b.com", ""}, {"a@", ""}, {"a@b", ""}, {"a@localhost", ""}, {"pkg@1.2.3", ""}, {"a@.com", ""}, {"a @b.com", ""}, {"100%40", ""},
		},
		"aws_key": {
			{"AKIAIOSFODNN7EXAMPLE", "#"}, {"key=ASIAIOSFODNN7EXAMPLE;", "key=#;"}, {"aws_secret_access_key = " + secret, "aws_secret_access_key = #"},
			{`"SecretAccessKey": "` + secret + `",`, `"SecretAccessKey": "#",`}, {"AWS_SECRET_KEY=" + secret + " AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_KEY=# #"},
			{"AKIAIOSFODNN7EXAMPLE secret " + secret + " ABIAIOSFODNN7EXAMPLE", "# secret # #"},
			{"AKIAIOSFODNN7EXAMPL", ""}, {"AKIAIOSFODNN7EXAMPLEX", ""}, {"xAKIAIOSFODNN7EXAMPLE", ""}, {"AKIAiosfodnn7example", ""}, {secret, ""}, {"secret " + secret + "x", ""},
			{"secret " + strings.Repeat(". ", 40) + secret, ""}, {"secret", ""},
		},
		"jwt": {
			{"token " + jwt + " ok", "token # ok"}, {jwt + ".", "#."}, {`"` + jwt + `"`, `"#"`}, {"eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0. next", "# next"},
			{"eyJhbGciOiJSU0EifQ.abc.def.ghi.jkl", "#"}, {"eyJhbGciOiJIUzI1NiJ9", ""}, {"eyJ.a.b", ""}, {"x" + jwt, ""},
		},
		"bearer_token": {
			{"Authorization: Bearer abcdefghijklmnop==", "Authorization: Bearer #"}, {"bearer  mF_9.B5f-4.1JqM.0123, x", "bearer  #, x"}, {"BEARER " + jwt, "BEARER #"},
			{"bearer authentication failed", ""}, {"Bearer ", ""}, {"forbearer abcdefghijklmnopq", ""},
		},
		"ipv4": {
			{"10.0.0.1 - -", "# - -"}, {"from 192.168.100.255:80", "from #:80"}, {"1.2.3.4,5.6.7.8", "#,#"}, {"end 1.2.3.4.", "end #."},
			{"1.2.3.4.5", ""}, {"1.2.3", ""}, {"256.1.1.1", ""}, {"1.2.3.1000", ""}, {"v1.2.3.4", ""}, {"..1.2", ""},
		},
	} {
		p := redacting("#", pattern)
		for _, line := range lines {
			want := line[1]
			if want == "" {
				want = line[0]
			}
			if got := redacted(t, p, line[0]); got != want {
				t.Errorf("%s of %q = %q, want %q", pattern, line[0], got, want)
			}
		}
	}
}

// What is right behind an escape is no part of it: Go writes < as \u003c into JSON and .NET " as \u0022, nginx writes " as
// \x22 into its logs, and URLs hold %22 and %3D.
func TestBehindEscapes(t *testing.T) {
	jwt := "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0"
	for pattern, secret := range map[string]string{
		"credit_card": "4111111111111111", "email": "user@example.com", "aws_key": "AKIAIOSFODNN7EXAMPLE", "jwt": jwt, "ipv4": "192.168.0.1", "bearer_token": "Bearer " + jwt,
		"aws_key ": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
	} {
		want := "#"
		if pattern == "bearer_token" {
			want = "Bearer #"
		}
		for _, escape := range []string{`\u003c`, `\u0022`, `\u003E`, `\u00e9`, `\\u0022`, `\x22`, `\x3D`, `\xe9`, "%22", "%3D", "%3d", `\n`, `\t`} {
			if pattern == "email" && escape[0] == '%' { // counts as a part of the address
				continue
			}
			line := "{a-secret:" + escape + secret + escape + "}"
			if got, want := redacted(t, redacting("#", strings.TrimSpace(pattern)), line), "{a-secret:"+escape+want+escape+"}"; got != want {
				t.Errorf("%s of %q = %q, want %q", pattern, line, got, want)
			}
		}
	}
	for _, c := range [][3]string{
		{"email", `CORP\user@example.com CORP\\u.meier@example.com CORP\jo@example.com`, `CORP\# CORP\\# CORP\#`},
		{"credit_card", `%7B%22pan%22%3A%224111111111111111%22%7D %4111111111111111`, `%7B%22pan%22%3A%22#%22%7D %#`},
		{"credit_card", `u00224111111111111111 x224111111111111111 \u0224111111111111111 2%2`, ""},
		{"credit_card", `%25154111 1111 1111 {"a":"\u50121234567897 \u50124111111111111111"}`, `%# {"a":"\u50121234567897 \u5012#"}`},
		{"ipv4", `%221.2.3.4 \u002210.0.0.1 x221.2.3.4`, `%22# \u0022# x221.2.3.4`},
	} {
		want := c[2]
		if want == "" {
			want = c[1]
		}
		if got := redacted(t, redacting("#", c[0]), c[1]); got != want {
			t.Errorf("%s of %q = %q, want %q", c[0], c[1], got, want)
		}
	}
}

func TestEveryPatternOfTheConfigurationIsBuiltIn(t *testing.T) {
	for _, name := range config.RedactNames {
		if builtin(name) == nil {
			t.Errorf("%s is missing", name)
		}
	}
	for _, text := range []string{"emial", "/a(/", "//", ""} {
		p := redacting("", text)
		if _, err := New(&p); err == nil {
			t.Errorf("the pattern %q gave no error", text)
		}
	}
}

func TestRegexes(t *testing.T) {
	for _, c := range []struct{ re, with, in, want string }{
		{`secret=\S+`, "[redacted]", "a secret=x b secret=yy", "a [redacted] b [redacted]"},
		{`(secret)=\S+`, "$1=***", "a secret=x b", "a secret=*** b"},
		{`(?P<k>\w+)=(\d+)`, "$2=$k", "a=1 b=22", "1=a 22=b"},
		{`\d`, "*", "a1b23", "a*b**"},
		{`\d+`, "$$1", "a1", "a$1"},
		{`\d+`, "", "a1b", "ab"},
		{`^\d`, "#", strings.Repeat("1", 10), "#" + strings.Repeat("1", 9)},
		{`\b`, "#", "a b", "a b"},
		{`x*`, "#", "axxb", "a#b"},
		{`a`, "b", strings.Repeat("ac", 1000), strings.Repeat("bc", 1000)},
		{`a|`, "b", strings.Repeat("ac", 1000), strings.Repeat("bc", 1000)},
		{`(?i)päss\w+`, "#", "PÄSSWORT", "#"},
	} {
		if got := redacted(t, redacting(c.with, "/"+c.re+"/"), c.in); got != c.want {
			t.Errorf("%s with %q of %.40q = %.60q, want %.60q", c.re, c.with, c.in, got, c.want)
		}
	}
	if got := redacted(t, redacting("#", "email", `/#/`, "ipv4"), "a@b.cd 1.2.3.4 #"); got != "# # #" {
		t.Errorf("several patterns: %q", got)
	}
}

func TestRedactLooksIntoEverythingButNames(t *testing.T) {
	card, bin := "4111111111111111", []byte("x 4111111111111111")
	in := m{{"log", "a " + card}, {"n", 4111111111111111}, {"b", bin}, {card, m{{"deep", []any{card, m{{"x", card}}, 5, nil}}, {"key", "plain"}}}, {"i", 4111111111111112}, {"id", 1732081397}}
	out, v := apply(t, redacting("#", "credit_card"), encode(nil, in))
	got, err := decode(out)
	want := m{{"log", "a #"}, {"n", "#"}, {"b", []byte("x #")}, {card, m{{"deep", []any{"#", m{{"x", "#"}}, 5, nil}}, {"key", "plain"}}}, {"i", 4111111111111112}, {"id", 1732081397}}
	if v != Redacted || err != nil || text(got) != text(want) {
		t.Errorf("verdict %d, %v\n got %s\nwant %s", v, err, text(got), text(want))
	}
}

func TestRedactOfSomeKeys(t *testing.T) {
	p := redacting("#", "/x/")
	p.Redact.Keys = []string{"log", "a.b", "h.t-*"}
	in := m{{"log", "x"}, {"other", "x"}, {"a", m{{"b", []any{"x", m{{"c", "x"}}}}, {"c", "x"}}}, {"h", m{{"t-1", "x"}, {"t", "x"}}}, {"a.b", "x"}, {"log", "x"}}
	out, v := apply(t, p, encode(nil, in))
	got, err := decode(out)
	want := m{{"log", "#"}, {"other", "x"}, {"a", m{{"b", []any{"#", m{{"c", "#"}}}}, {"c", "x"}}}, {"h", m{{"t-1", "#"}, {"t", "x"}}}, {"a.b", "#"}, {"log", "#"}}
	if v != Redacted || err != nil || text(got) != text(want) {
		t.Errorf("verdict %d, %v\n got %s\nwant %s", v, err, text(got), text(want))
	}
	if _, v := apply(t, p, rec("other", "x")); v != Same {
		t.Errorf("no such key: verdict %d", v)
	}
}

func TestARecordGrowsByABoundedSize(t *testing.T) {
	long := strings.Repeat("x ", 200_000)
	for _, c := range []struct{ re, with string }{{"x", strings.Repeat("y", 256)}, {"(x)", strings.Repeat("$1", 100)}, {"((?s).+)", strings.Repeat("$1", 100)}} {
		got := redacted(t, redacting(c.with, "/"+c.re+"/"), long)
		if len(got) > len(long)+maxGrowth || strings.Contains(strings.ReplaceAll(got, c.with, ""), "x") && !strings.Contains(c.with, "$") {
			t.Errorf("%s: %d bytes became %d", c.re, len(long), len(got))
		}
	}
	numbers := []any{}
	for range 1000 {
		numbers = append(numbers, 4111111111111111)
	}
	out, v := apply(t, redacting(strings.Repeat("y", 256), "credit_card"), encode(nil, m{{"n", numbers}}))
	if v != Redacted || len(out) > 9*1000+maxGrowth+100 || bytes.Contains(out, encode(nil, 4111111111111111)) {
		t.Errorf("numbers: verdict %d, %d bytes", v, len(out))
	}
}

// cardShape fits all that could be a card number, by the words of the documentation.
var cardShape = regexp.MustCompile(`[0-9]{3,}([ -][0-9]{3,})*([ -][0-9]+)?`)

// hasCard looks for card numbers in another way: it tries every part of the text.
func hasCard(text string) string {
	for i := range text {
		if !isDigit(text[i]) {
			continue
		}
		for end := min(len(text), i+maxCard+6); end >= i+minCard; end-- {
			part := text[i:end]
			if loc := cardShape.FindString(part); loc != part {
				continue
			}
			digits := strings.NewReplacer(" ", "", "-", "").Replace(part)
			if n := len(digits); n < minCard || n > maxCard || !network([]byte(digits)) || !luhn([]byte(digits)) {
				continue
			}
			if i > 0 && (isDigit(text[i-1]) && hexEscape([]byte(text), i) == 0 || glued([]byte(text), i)) || partOfMore([]byte(text), i) || moreBehind([]byte(text), end) {
				continue
			}
			if end := behindEscape([]byte(text), i); end > i && text[end-3] != '%' {
				continue
			}
			return part
		}
	}
	return ""
}

func FuzzRedact(f *testing.F) {
	f.Add("2026-11-20 4111 1111 1111 1111 123 a@b.com", "x=(.)", "$1")
	f.Add(`{"card":4111111111111111,"m":"a%40b.com \" 4111-1111-1111-1111","k":"AKIAIOSFODNN7EXAMPLE"}`, "a|", "[redacted]")
	f.Add("123 4111 1111 1111 1111 111 6304000000000000 0000", `\d`, "")
	f.Add(`\u002241111111111111111 %224111111111111111 \x3c4111-1111-1111-1111 \u00e9`, `\w+@`, "$0")
	f.Add("Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0. 10.0.0.1", "^", "yy")
	all := redacting("[redacted]", config.RedactNames...)
	cards := redacting("[redacted]", "credit_card")
	f.Fuzz(func(t *testing.T, line, re, with string) {
		in := rec("log", line)
		for _, p := range []config.Processor{all, cards, redacting(with, "/"+re+"/")} {
			if len(p.Redact.With) > 256 {
				continue
			}
			a, err := New(&p)
			if err != nil {
				continue // no regex
			}
			out, v := a.Apply(nil, in, &Scope{})
			if v != Redacted {
				continue
			}
			if n, err := mp.Skip(out); err != nil || n != len(out) || len(out) > len(in)+maxGrowth+5 {
				t.Fatalf("%q by %q became % x: %v", line, re, out, err)
			}
		}
		got := redacted(t, cards, line)
		if card := hasCard(got); card != "" {
			t.Fatalf("%q became %q, which holds %q", line, got, card)
		}
		if hasCard(line) == "" && got != line {
			t.Fatalf("%q became %q, and holds no card number", line, got)
		}
		if json.Valid([]byte(line)) && strings.HasPrefix(line, "{") && !json.Valid([]byte(got)) {
			t.Fatalf("%q is JSON, and became %q", line, got)
		}
	})
}

// TestJSONStaysJSON tries texts in JSON that are full of escapes and of what looks like a secret.
func TestJSONStaysJSON(t *testing.T) {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{`\n`, `\u0022`, `\u00e9`, `\u5012`, `\\`, `\"`, `\/`, `\t`, "4111111111111111", "user", "a@b.io", "@example.com", "%40x.yz", "10.0.0.1", "secret", "AKIAIOSFODNN7EXAMPLE",
			"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKE", "Bearer ", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.x", " ", ":", strings.Repeat("l", 60)}),
		rapid.StringMatching(`[a-z0-9.]{1,5}`),
	)
	all := redacting("[redacted]", config.RedactNames...)
	rapid.Check(t, func(rt *rapid.T) {
		line := `{"a":"` + strings.Join(rapid.SliceOfN(piece, 1, 10).Draw(rt, "pieces"), "") + `","n":4111111111111111}`
		if got := redacted(t, all, line); !json.Valid([]byte(line)) || !json.Valid([]byte(got)) {
			rt.Fatalf("%q became %q", line, got)
		}
	})
}

// TestNoCardNumberStays tries texts that are full of what looks like one.
func TestNoCardNumberStays(t *testing.T) {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"4111 1111 1111 1111", "4111111111111111", "378282246310005", "3782-822463-10005", "6304000000000000", "5500 0000 0000 0004", "4222222222222",
			" ", "-", " ", "x", ".", `\n`, `\u0022`, `\u5012`, `\x3c`, "%3D", "%2", ",", "\"", "é", "00", "123", "4111", "1", "  ", "0."}),
		rapid.StringMatching(`[0-9]{1,6}`),
	)
	cards := redacting("[redacted]", "credit_card")
	found := 0
	rapid.Check(t, func(rt *rapid.T) {
		line := strings.Join(rapid.SliceOfN(piece, 1, 12).Draw(rt, "pieces"), "")
		before := hasCard(line)
		got := redacted(t, cards, line)
		if card := hasCard(got); card != "" || (before == "") != (got == line) {
			rt.Fatalf("%q became %q, which holds %q; before %q", line, got, card, before)
		}
		if before != "" {
			found++
		}
	})
	if found == 0 {
		t.Error("no text held a card number")
	}
}
