package match

import (
	"bytes"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/mp"
	"github.com/firebreak/firebreak/record"
)

// reasons returns why a condition doesn't hold for an event, and because of what it does.
func reasons(t testing.TB, m *config.Match, tag string, attrs record.Attrs, r []byte) (why, because string) {
	t.Helper()
	var table Table
	c, err := table.Compile(m)
	if err != nil {
		t.Fatal(err)
	}
	rs := table.Reasons(tag, attrs, c)
	rs.Look(r)
	why, because = rs.Why(c), rs.Because(c)
	reduced := c.Reduce(table.Decide(nil, tag, attrs))
	var v View
	v.Use(&table, table.Needs(reduced), attrs)
	v.Look(r)
	if holds := reduced.Holds(&v); holds != (why == "") || !holds && because != "" {
		t.Errorf("the condition holds: %v; why %q, because %q", holds, why, because)
	}
	return why, because
}

func TestReasonsOfTests(t *testing.T) {
	present, absent := config.Pattern{Kind: config.Present}, config.Pattern{Kind: config.Absent}
	written := config.Pattern{Kind: config.Compare, Text: ">=500", Op: ">=", Number: 500}
	attrs := record.NewAttrs(record.Attr{Key: "k8s.namespace", Value: "prod"})
	long := strings.Repeat("0123456789", 30)
	r := rec{
		{"container_name", "/web-1"}, {"log", `{"type":"audit","status":200,"f":5e2,"no":null,"o":{"a":1},"l":[],"esc":"a\"b\u000a","ok":true}`},
		{"id", 42}, {"f", 500.0}, {"t", true}, {"nil", nil}, {"map", rec{}}, {"long", "é" + long}, {"odd", "a\x1b[31m\xff\u202eb"}, {"both", `'"`}, {"neg", -1}, {"bin", []byte{}}, {"raw", bytes.Repeat([]byte{0x80}, 100)},
	}.append(nil)
	with := func(test config.Test, key string) config.Test {
		test.LineKey = key
		return test
	}
	for _, c := range []struct {
		test         config.Test
		why, because string
	}{
		{when("tag", "", glb("debug.*")), `tag is "app.web", not "debug.*"`, ""},
		{when("tag", "", glb("x"), glb("app.*")), "", `tag "app.web" matches "app.*"`},
		{when("tag", "", rex("^x")), `tag "app.web" does not match /^x/`, ""},
		{when("k8s", "namespace", glb("test"), rex("^p$")), `k8s.namespace is "prod", not "test" or /^p$/`, ""},
		{when("k8s", "namespace", absent), `k8s.namespace is "prod", not absent`, ""},
		{when("k8s", "namespace", present), "", `k8s.namespace is present`},
		{when("k8s", "pod", glb("*")), `k8s.pod is absent`, ""},
		{when("k8s", "pod", absent), "", `k8s.pod is absent`},
		{when("container", "", glb("api-*")), `container is "web-1", not "api-*"`, ""},
		{when("container", "", glb("web-1")), "", `container is "web-1"`},
		{when("source", "", glb("stderr")), `source is absent: the record has no text under source or stream`, ""},
		{when("line", "", rex(`"(GET|POST) `)), `line '{"type":"audit","status":200,"f":5e2,"no":null,"o":{"a":1},"l":[],"esc":"a\"b\u0…' does not match /"(GET|POST) /`, ""},
		{when("line", "", rex("a"), rex(`ok":tr`)), "", `line '{"type":"audit","status":200,"f":5e2,"no":null,"o":{"a":1},"l":[],"esc":"a\"b\u0…' matches /a/`},
		{with(when("line", "", rex("x")), "msg"), `line (msg) is absent: the record has no text under msg`, ""},
		{with(when("line", "", rex("89$")), "long"), "", `line (long) "…` + long[len(long)-80:] + `" matches /89$/`},
		{when("json", "type", glb("audit")), "", `json.type is "audit"`},
		{when("json", "status", than(">=", 500)), `json.status is 200, not >= 500`, ""},
		{when("json", "status", written, glb("4??")), `json.status is 200, not >=500 or "4??"`, ""},
		{when("json", "f", than("==", 500)), "", `json.f is 5e2, == 500`},
		{when("json", "f", glb("500")), "", `json.f is 5e2`},
		{when("json", "no", glb("x")), `json.no is null, not "x"`, ""},
		{when("json", "o", rex("x")), `json.o is an object, not /x/`, ""},
		{when("json", "l", rex("x")), `json.l is a list, not /x/`, ""},
		{when("json", "ok", glb("false")), `json.ok is true, not "false"`, ""},
		{when("json", "esc", glb("x")), `json.esc is 'a"b\n', not "x"`, ""},
		{when("json", "none", glb("x")), `json.none is absent`, ""},
		{with(when("json", "a", glb("x")), "long"), `json.a (long): the line "é` + long[:78] + `…" is no JSON object`, ""},
		{with(when("json", "a", absent), "msg"), `json.a (msg): there is no line, as the record has no text under msg`, ""},
		{when("record", "user.id", glb("x")), `record.user.id is absent`, ""},
		{when("record", "id", than(">", 42), than("<", 42)), `record.id is 42, not > 42 or < 42`, ""},
		{when("record", "id", rex("^5")), `record.id 42 does not match /^5/`, ""},
		{when("record", "id", rex("2$")), "", `record.id 42 matches /2$/`},
		{when("record", "id", glb("4*")), "", `record.id 42 matches "4*"`},
		{when("record", "f", glb("5"), glb("6"), glb("7"), glb("8"), glb("9"), glb("10")), `record.f is 500, not "5" or "6" or "7" or "8" or 2 more`, ""},
		{when("record", "t", glb("false")), `record.t is true, not "false"`, ""},
		{when("record", "nil", glb("x")), `record.nil is null, not "x"`, ""},
		{when("record", "map", glb("x")), `record.map is an object, not "x"`, ""},
		{when("record", "odd", glb("x")), `record.odd is "a\x1b[31m\xff\u202eb", not "x"`, ""},
		{when("record", "both", glb(`"`)), `record.both is "'\"", not '"'`, ""},
		{when("record", "bin", present), "", `record.bin is present`},
		{when("record", "bin", glb("x")), `record.bin is "", not "x"`, ""},
		{when("record", "raw", glb("x")), `record.raw is "` + strings.Repeat(`\x80`, 80) + `…", not "x"`, ""},
		{when("record", "none", absent, glb("x")), "", `record.none is absent`},
		{when("record", "id", glb(long)), `record.id is 42, not "` + long[:80] + `…"`, ""},
		{when("record", "id"), `record.id has no pattern`, ""},
	} {
		why, because := reasons(t, all(c.test), "app.web", attrs, r)
		if why != c.why || because != c.because {
			t.Errorf("%s %s:\nwhy     %s\nwant    %s\nbecause %s\nwant    %s", c.test.Field, c.test.Path, why, c.why, because, c.because)
		}
	}
}

func TestReasonsOfConnectives(t *testing.T) {
	a1, a2, line := all(when("record", "a", glb("1"))), all(when("record", "a", glb("2"))), all(when("line", "", rex("x")))
	tag, other := all(when("tag", "", glb("t"))), all(when("tag", "", glb("u")))
	many := &config.Match{Any: []*config.Match{a2, a2, a2, a2, a2, a2}}
	noLine := `line is absent: the record has no text under log or message`
	for name, c := range map[string]struct {
		m            *config.Match
		why, because string
	}{
		"nil":                    {nil, "", ""},
		"empty":                  {all(), "", ""},
		"any of none":            {&config.Match{Any: []*config.Match{}}, "any names no alternative", ""},
		"the first as written":   {all(line.Tests[0], a2.Tests[0], other.Tests[0]), noLine, ""},
		"all":                    {all(a1.Tests[0], tag.Tests[0]), "", `record.a is 1; tag is "t"`},
		"any":                    {&config.Match{Any: []*config.Match{a2, a1, tag}}, "", `record.a is 1`},
		"none of two":            {&config.Match{Any: []*config.Match{line, other}}, `none of 2 alternatives holds: (` + noLine + `; tag is "t", not "u")`, ""},
		"none of one":            {&config.Match{Any: []*config.Match{a2}}, `record.a is 1, not "2"`, ""},
		"none of many":           {many, `none of 6 alternatives holds: (` + strings.Repeat(`record.a is 1, not "2"; `, 4) + `… 2 more)`, ""},
		"the last of many":       {&config.Match{Any: append(many.Any[:5:5], a1)}, "", `record.a is 1`},
		"not":                    {&config.Match{Not: []*config.Match{a2, tag}}, `not: tag is "t"`, ""},
		"not, all":               {&config.Match{Not: []*config.Match{all(a1.Tests[0], tag.Tests[0])}}, `not: record.a is 1; tag is "t"`, ""},
		"not, holds":             {&config.Match{Not: []*config.Match{a2, other}}, "", `record.a is 1, not "2"; tag is "t", not "u"`},
		"not what always holds":  {&config.Match{Not: []*config.Match{all()}}, `not: an empty condition always holds`, ""},
		"not in not":             {&config.Match{Not: []*config.Match{{Not: []*config.Match{a2}}}}, `not: record.a is 1, not "2"`, ""},
		"not in not, holds":      {&config.Match{Not: []*config.Match{{Not: []*config.Match{a1}}}}, "", `not: record.a is 1`},
		"any in not in any":      {&config.Match{Any: []*config.Match{a2, {Not: []*config.Match{{Any: []*config.Match{other, a1}}}}}}, `none of 2 alternatives holds: (record.a is 1, not "2"; not: record.a is 1)`, ""},
		"a test before an any":   {&config.Match{Tests: a2.Tests, Any: []*config.Match{line, other}}, `record.a is 1, not "2"`, ""},
		"a test, any and not":    {&config.Match{Tests: a1.Tests, Any: []*config.Match{tag}, Not: []*config.Match{other}}, "", `record.a is 1; tag is "t"; tag is "t", not "u"`},
		"any with what is empty": {&config.Match{Any: []*config.Match{a2, all()}}, "", `an empty condition always holds`},
	} {
		if why, because := reasons(t, c.m, "t", nil, rec{{"a", 1}}.append(nil)); why != c.why || because != c.because {
			t.Errorf("%s:\nwhy     %s\nwant    %s\nbecause %s\nwant    %s", name, why, c.why, because, c.because)
		}
	}
}

func TestReasonsBehindAParsedLine(t *testing.T) {
	var table Table
	table.Parsed([]string{"log"})
	c, err := table.Compile(all(when("json", "status", than(">=", 500))))
	if err != nil {
		t.Fatal(err)
	}
	rs := table.Reasons("t", nil, c)
	for _, e := range []struct {
		r    rec
		want string
	}{
		{rec{{"status", 200}}, `json.status is 200, not >= 500`},
		{rec{{"status", 500}}, ``},
		{rec{}, `json.status is absent`},
		{rec{{"log", "plain"}, {"status", 500}}, `json.status: the line "plain" is no JSON object`},
		{rec{{"message", `{"status":"201"}`}}, `json.status is "201", not >= 500`},
	} {
		rs.Look(e.r.append(nil))
		if got := rs.Why(c); got != e.want {
			t.Errorf("%v: %s, want %s", e.r, got, e.want)
		}
	}
}

// FuzzReasons feeds any bytes: what is said agrees with Holds, is short, and can be shown on a terminal.
func FuzzReasons(f *testing.F) {
	f.Add(rec{{"log", `{"a":"\u001b","b":{"a":1}}`}, {"a", rec{{"b", "x"}}}}.append(nil), "t\x1b", "a.b")
	f.Add(rec{{"message", "x\x00\xff"}, {"container_name", "/"}, {"b", 1}}.append(nil), "", "\n")
	f.Add([]byte{0x81, 0xa1, 'a', 0xc7, 0x01}, "\xff", "a")
	f.Add([]byte{0xdf, 0xff, 0xff, 0xff, 0xff, 0xa3, 'l', 'o', 'g'}, "x", "")
	absent := config.Pattern{Kind: config.Absent}
	f.Fuzz(func(t *testing.T, r []byte, tag, path string) {
		attrs := record.NewAttrs(record.Attr{Key: "k8s.pod", Value: tag})
		tests := []config.Test{
			when("tag", "", glb(path), rex("^[a-f]")), when("k8s", "pod", absent, glb("*x?")), when("container", "", glb(path)), when("source", "", glb("std*")),
			when("line", "", rex("a.c"), rex("x$")), when("json", path, glb(path), than(">=", 5)), when("json", "a", absent, rex("1")), when("record", path, rex("b"), than("!=", 1)),
			when("record", path, absent), {Field: "line", LineKey: path, Patterns: []config.Pattern{rex("(?i)b")}},
		}
		m := all(tests...)
		var each []*config.Match
		for i := range tests {
			each = append(each, all(tests[i]), &config.Match{Not: []*config.Match{all(tests[i])}})
		}
		if n, err := mp.Skip(r); err != nil || n != len(r) {
			each = each[:8] // inputs give no such record, but nothing may panic
		}
		for _, m := range append(each, m, &config.Match{Any: each}, &config.Match{Not: each}, &config.Match{Any: []*config.Match{m, {Not: each}}}) {
			why, because := reasons(t, m, tag, attrs, r)
			for _, s := range []string{why, because} {
				if len(s) > maxReason+len("…") || !utf8.ValidString(s) || strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) {
					t.Errorf("%d bytes: %q", len(s), s)
				}
			}
		}
	})
}
