package match

import (
	"regexp"
	"testing"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/mp"
	"github.com/firebreak/firebreak/record"
)

type kv struct {
	key   string
	value any
}
type rec []kv

func (r rec) append(dst []byte) []byte {
	dst = mp.AppendMap(dst, len(r))
	for _, p := range r {
		dst = mp.AppendStr(dst, p.key)
		switch v := p.value.(type) {
		case string:
			dst = mp.AppendStr(dst, v)
		case []byte:
			dst = mp.AppendBin(dst, v)
		case int:
			dst = mp.AppendInt(dst, int64(v))
		case uint64:
			dst = append(dst, 0xcf, byte(v>>56), byte(v>>48), byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
		case float64:
			dst = mp.AppendFloat(dst, v)
		case float32:
			dst = append(dst, 0xca, 0x3d, 0xcc, 0xcc, 0xcd) // 0.1
		case bool:
			dst = mp.AppendBool(dst, v)
		case rec:
			dst = v.append(dst)
		case nil:
			dst = mp.AppendNil(dst)
		default:
			panic("no such type")
		}
	}
	return dst
}

func glb(s string) config.Pattern { return config.Pattern{Kind: config.Glob, Text: s} }
func rex(s string) config.Pattern {
	return config.Pattern{Kind: config.Regex, Text: s, Regexp: regexp.MustCompile(s)}
}
func than(op string, n float64) config.Pattern {
	return config.Pattern{Kind: config.Compare, Op: op, Number: n}
}

func when(field, path string, p ...config.Pattern) config.Test {
	return config.Test{Field: field, Path: path, Patterns: p}
}

func all(tests ...config.Test) *config.Match { return &config.Match{Tests: tests} }

// holds evaluates a condition for one event.
func holds(t *testing.T, m *config.Match, tag string, attrs record.Attrs, r rec) bool {
	t.Helper()
	var table Table
	c, err := table.Compile(m)
	if err != nil {
		t.Fatal(err)
	}
	c = c.Reduce(table.Decide(nil, tag, attrs))
	var v View
	v.Use(&table, table.Needs(c), attrs)
	v.Look(r.append(nil))
	return c.Holds(&v)
}

func TestConditions(t *testing.T) {
	present, absent := config.Pattern{Kind: config.Present}, config.Pattern{Kind: config.Absent}
	attrs := record.NewAttrs(record.Attr{Key: "k8s.namespace", Value: "prod"}, record.Attr{Key: "k8s.label.app", Value: "shop"},
		record.Attr{Key: "ecs.cluster", Value: "c-500"}, record.Attr{Key: "k8s.container", Value: "fallback"})
	r := rec{
		{"container_name", "/api-7"}, {"source", "stderr"}, {"log", `{"type":"audit","status":503,"n":"12","ok":true,"no":null,"o":{"a":1},"x\u0041":"q\"é","f":5e2} ` + "\n"},
		{"com.example.team", "blue"}, {"a", rec{{"b", rec{{"c", 5}}}, {"d.e", "de"}}}, {"big", uint64(1 << 63)}, {"neg", -7}, {"f", 2.5}, {"f32", float32(0)},
		{"t", true}, {"u", false}, {"nil", nil}, {"num", "1e3"}, {"bin", []byte("raw text")}, {"message", "other"}, {"empty", ""}, {"e", rec{}},
	}
	for _, c := range []struct {
		test config.Test
		want bool
	}{
		{when("tag", "", glb("app.*")), true},
		{when("tag", "", glb("app")), false},
		{when("tag", "", glb("other"), rex("^app[.]w")), true},
		{when("tag", "", present), true},
		{when("k8s", "namespace", glb("pr?d")), true},
		{when("k8s", "namespace", glb("pr?")), false},
		{when("k8s", "label.app", rex("^sh")), true},
		{when("k8s", "pod", glb("*")), false},
		{when("k8s", "pod", absent), true},
		{when("k8s", "namespace", absent), false},
		{when("k8s", "namespace", present), true},
		{when("ecs", "cluster", glb("c-*")), true},
		{when("ecs", "cluster", than(">", 1)), false},
		{when("container", "", glb("api-*")), true},
		{when("container", "", glb("/api-*")), false},
		{when("container", "", glb("fallback")), false},
		{when("source", "", glb("stdout"), glb("stderr")), true},
		{when("source", "", glb("stdout")), false},
		{when("line", "", rex(`"type":"aud`)), true},
		{when("line", "", rex(`other`)), false},
		{config.Test{Field: "line", LineKey: "message", Patterns: []config.Pattern{rex(`other`)}}, true},
		{config.Test{Field: "line", LineKey: "a.d.e", Patterns: []config.Pattern{rex(`^de$`)}}, true},
		{config.Test{Field: "line", LineKey: "num", Patterns: []config.Pattern{rex(`type`)}}, false},
		{when("record", "com.example.team", glb("blue")), true},
		{when("record", "com.example", present), false},
		{when("record", "a.b.c", than("==", 5)), true},
		{when("record", "a.b.c", glb("5")), true},
		{when("record", "a.b.c", rex("^5$")), true},
		{when("record", "a.b.c", glb("*5*")), true},
		{when("record", "a.b.c", than("<", 5), than(">", 5)), false},
		{when("record", "a.d.e", glb("de")), true},
		{when("record", "a.b", present), true},
		{when("record", "a.b", glb("*")), false},
		{when("record", "a.x", absent), true},
		{when("record", "a.b", absent), false},
		{when("record", "big", glb("9223372036854775808")), true},
		{when("record", "big", than(">=", 9e18)), true},
		{when("record", "neg", than("<", 0)), true},
		{when("record", "neg", glb("-7")), true},
		{when("record", "f", glb("2.5")), true},
		{when("record", "f", than("<=", 2.5)), true},
		{when("record", "f32", glb("0.1")), true},
		{when("record", "t", glb("true")), true},
		{when("record", "t", rex("^t")), true},
		{when("record", "u", glb("true")), false},
		{when("record", "u", glb("false")), true},
		{when("record", "u", than("!=", 1)), false},
		{when("record", "nil", present), true},
		{when("record", "nil", glb("*")), false},
		{when("record", "nil", absent), false},
		{when("record", "num", than("==", 1000)), true},
		{when("record", "num", than("!=", 1000)), false},
		{when("record", "source", than("!=", 1000)), false},
		{when("record", "bin", glb("raw *")), true},
		{when("record", "empty", present), true},
		{when("record", "empty", glb("")), true},
		{when("record", "e", present), true},
		{when("record", "none", glb("")), false},
		{when("record", "none", absent, glb("x")), true},
		{when("record", "none"), false},
		{when("json", "type", glb("audit")), true},
		{when("json", "type", rex("^a.*t$")), true},
		{when("json", "status", than(">=", 500)), true},
		{when("json", "status", than(">=", 504)), false},
		{when("json", "status", glb("5??")), true},
		{when("json", "n", than("==", 12)), true},
		{when("json", "f", than("==", 500)), true},
		{when("json", "f", glb("5e2")), true},
		{when("json", "ok", glb("true")), true},
		{when("json", "no", present), true},
		{when("json", "no", glb("null")), false},
		{when("json", "o", present), true},
		{when("json", "o", glb("*")), false},
		{when("json", "o.a", than("==", 1)), true},
		{when("json", "xA", glb(`q"é`)), true},
		{when("json", "none", absent), true},
		{when("json", "none", present), false},
		{config.Test{Field: "json", Path: "none", LineKey: "message", Patterns: []config.Pattern{absent}}, false},
		{config.Test{Field: "json", Path: "none", LineKey: "nowhere", Patterns: []config.Pattern{absent}}, false},
	} {
		if got := holds(t, all(c.test), "app.web", attrs, r); got != c.want {
			t.Errorf("%s %s %+v = %v, want %v", c.test.Field, c.test.Path, c.test.Patterns, got, c.want)
		}
	}
}

func TestOtherKeysAreTriedInTurn(t *testing.T) {
	attrs := record.NewAttrs(record.Attr{Key: "k8s.container", Value: "web"})
	for _, c := range []struct {
		test config.Test
		r    rec
		want bool
	}{
		{when("line", "", rex("x")), rec{{"message", "x"}}, true},
		{when("line", "", rex("x")), rec{{"log", 5}, {"message", "x"}}, true},
		{when("line", "", rex("x")), rec{{"log", "y"}, {"message", "x"}}, false},
		{when("line", "", rex("")), rec{{"msg", "x"}}, false},
		{when("source", "", glb("stderr")), rec{{"stream", "stderr"}}, true},
		{when("container", "", glb("web")), rec{{"log", "x"}}, true},
		{when("container", "", glb("web")), rec{{"container_name", "/db"}}, false},
		{when("json", "a", glb("b")), rec{{"message", `{"a":"b"}`}}, true},
	} {
		if got := holds(t, all(c.test), "t", attrs, c.r); got != c.want {
			t.Errorf("%+v of %v = %v, want %v", c.test, c.r, got, c.want)
		}
	}
}

func TestNesting(t *testing.T) {
	yes, no := all(when("record", "a", glb("1"))), all(when("record", "a", glb("2")))
	tagYes, tagNo := all(when("tag", "", glb("t"))), all(when("tag", "", glb("u")))
	for name, c := range map[string]struct {
		m    *config.Match
		want bool
	}{
		"nil":               {nil, true},
		"empty":             {all(), true},
		"any of none":       {&config.Match{Any: []*config.Match{}}, false},
		"any":               {&config.Match{Any: []*config.Match{no, yes}}, true},
		"any, none holds":   {&config.Match{Any: []*config.Match{no, tagNo}}, false},
		"any by tag":        {&config.Match{Any: []*config.Match{no, tagYes}}, true},
		"not":               {&config.Match{Not: []*config.Match{no, tagNo}}, true},
		"not, one holds":    {&config.Match{Not: []*config.Match{no, yes}}, false},
		"not by tag":        {&config.Match{Not: []*config.Match{tagYes, no}}, false},
		"all of three":      {&config.Match{Tests: yes.Tests, Any: []*config.Match{no, yes}, Not: []*config.Match{no}}, true},
		"test fails":        {&config.Match{Tests: no.Tests, Any: []*config.Match{yes}}, false},
		"any fails":         {&config.Match{Tests: yes.Tests, Any: []*config.Match{no}}, false},
		"not fails":         {&config.Match{Tests: yes.Tests, Not: []*config.Match{yes}}, false},
		"not in not in any": {&config.Match{Any: []*config.Match{{Not: []*config.Match{{Not: []*config.Match{yes}}}}}}, true},
		"two tests":         {all(yes.Tests[0], no.Tests[0]), false},
	} {
		if got := holds(t, c.m, "t", nil, rec{{"a", 1}}); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestReduceLeavesNothingToDoForTagsAndAttributes(t *testing.T) {
	var table Table
	tagOr := &config.Match{Any: []*config.Match{all(when("tag", "", glb("a*"))), all(when("line", "", rex("x")))}}
	c, err := table.Compile(tagOr)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Reduce(table.Decide(nil, "abc", nil)).Always() {
		t.Error("the tag decides, but the condition isn't constant")
	}
	rest := c.Reduce(table.Decide(nil, "b", nil))
	if rest.Always() || rest.Never() {
		t.Error("the line isn't asked")
	}
	c, _ = table.Compile(all(when("k8s", "pod", glb("p")), when("line", "", rex("x"))))
	if !c.Reduce(table.Decide(nil, "b", nil)).Never() {
		t.Error("the attribute decides, but the condition isn't constant")
	}
}

func TestKeysOfDecisionsDontCollide(t *testing.T) {
	var table Table
	if _, err := table.Compile(all(when("k8s", "pod", glb("p")))); err != nil {
		t.Fatal(err)
	}
	a := table.AppendKey(nil, "t\x00p", nil)
	b := table.AppendKey(nil, "t", record.NewAttrs(record.Attr{Key: "k8s.pod", Value: "p"}))
	if string(a) == string(b) {
		t.Error("a tag looks like another one with an attribute")
	}
}
