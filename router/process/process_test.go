package process

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/mp"
)

// rec builds a record of texts; a value made by encoded is taken as it is.
func rec(pairs ...string) []byte {
	b := mp.AppendMap(nil, len(pairs)/2)
	for i, s := range pairs {
		if i%2 == 1 && strings.HasPrefix(s, "\xff") {
			b = append(b, s[1:]...)
		} else {
			b = mp.AppendStr(b, s)
		}
	}
	return b
}

func encoded(b []byte) string { return "\xff" + string(b) }

func apply(t *testing.T, p config.Processor, in []byte) ([]byte, Verdict) {
	t.Helper()
	a, err := New(&p)
	if err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(in)
	out, v := a.Apply([]byte("before"), in, &Scope{})
	if !bytes.Equal(before, in) {
		t.Errorf("the record was changed in place")
	}
	if !bytes.HasPrefix(out, []byte("before")) {
		t.Fatalf("what was in dst is lost: % x", out)
	}
	return out[len("before"):], v
}

func TestAdd(t *testing.T) {
	p := config.Processor{Add: []config.Field{{Key: "env", Value: "old"}, {Key: "team", Value: "blue"}, {Key: "env", Value: "prod"}}}
	many := make([]string, 0, 30)
	for i := range 15 {
		many = append(many, fmt.Sprint(i), "x")
	}
	for _, c := range []struct{ in, want []byte }{
		{rec(), rec("team", "blue", "env", "prod")},
		{rec("log", "x"), rec("log", "x", "team", "blue", "env", "prod")},
		{rec("env", "a", "log", "x", "team", encoded(rec("env", "1")), "env", "b"), rec("log", "x", "team", "blue", "env", "prod")},
		{rec(many...), rec(append(many, "team", "blue", "env", "prod")...)},
	} {
		got, v := apply(t, p, c.in)
		if v != Changed || !bytes.Equal(got, c.want) {
			t.Errorf("add to % x = % x, %v; want % x", c.in, got, v, c.want)
		}
	}
}

func TestParseJSON(t *testing.T) {
	five := encoded([]byte{5})
	for _, c := range []struct {
		name     string
		keep     bool
		in, want []byte // want nil: unchanged
	}{
		{"merged", false, rec("source", "stdout", "log", ` {"a":5,"b":"x"} `), rec("a", five, "b", "x", "source", "stdout")},
		{"kept", true, rec("log", `{"a":5}`), rec("a", five, "log", `{"a":5}`)},
		{"record wins", false, rec("a", "own", "log", `{"a":5,"b":5}`), rec("b", five, "a", "own")},
		{"the text's own key", false, rec("log", `{"log":"inner"}`), rec("log", "inner")},
		{"the text's own key, kept", true, rec("log", `{"log":"inner"}`), rec("log", `{"log":"inner"}`)},
		{"last duplicate wins", false, rec("log", `{"a":1,"b":5,"a":5}`), rec("b", five, "a", five)},
		{"empty object", false, rec("log", `{}`), rec()},
		{"last text counts", false, rec("log", "x", "log", `{"a":5}`), rec("a", five)},
		{"bin", false, rec("log", encoded(mp.AppendBin(nil, []byte(`{"a":5}`)))), rec("a", five)},
		{"array", false, rec("log", `[1]`), nil},
		{"invalid", false, rec("log", `{"a":5`), nil},
		{"text", false, rec("log", `hello`), nil},
		{"no text", false, rec("log", five), nil},
		{"no key", false, rec("msg", `{"a":5}`), nil},
		{"too deep", false, rec("log", strings.Repeat(`{"a":`, 65)+"1"+strings.Repeat("}", 65)), nil},
	} {
		got, v := apply(t, config.Processor{ParseJSON: &config.ParseJSON{Key: "log", Keep: c.keep}}, c.in)
		switch {
		case c.want == nil && (v != Same || len(got) > 0):
			t.Errorf("%s: %v with % x, want no change", c.name, v, got)
		case c.want != nil && (v != Changed || !bytes.Equal(got, c.want)):
			t.Errorf("%s: %v with % x, want % x", c.name, v, got, c.want)
		}
	}
}

func TestParseJSONOfManyKeys(t *testing.T) {
	var object, want []string
	for i := range 100 {
		object = append(object, fmt.Sprintf(`"k%d":"old"`, i))
	}
	for i := range 100 {
		object = append(object, fmt.Sprintf(`"k%d":"new"`, i))
		if i != 7 {
			want = append(want, fmt.Sprintf("k%d", i), "new")
		}
	}
	got, v := apply(t, config.Processor{ParseJSON: &config.ParseJSON{Key: "log"}}, rec("log", "{"+strings.Join(object, ",")+"}", "k7", "own"))
	if v != Changed || !bytes.Equal(got, rec(append(want, "k7", "own")...)) {
		t.Errorf("%v, % x", v, got)
	}
}

func TestSizeGuard(t *testing.T) {
	guard := func(maxBytes int, action string) config.Processor {
		return config.Processor{SizeGuard: &config.SizeGuard{MaxBytes: config.Size(maxBytes), Action: action, Key: "log", Marker: "…"}}
	}
	long := rec("source", "stdout", "log", strings.Repeat("é", 500), "x", "y")
	if _, v := apply(t, guard(len(long), "truncate"), long); v != Same {
		t.Errorf("at the bound: %v", v)
	}
	if _, v := apply(t, guard(len(long)-1, "dead_letter"), long); v != TooLarge {
		t.Errorf("dead_letter: %v", v)
	}
	bare := len(long) - 1000
	for size := bare; size < len(long); size++ {
		got, v := apply(t, guard(size, "truncate"), long)
		if n, err := mp.Skip(got); v != Truncated || err != nil || n != len(got) || len(got) > size {
			t.Fatalf("max %d: %v, %d bytes of %d, %v", size, v, n, len(got), err)
		}
		p, _ := find(got, "log")
		text, _, _ := mp.Bytes(got[p.value:])
		if !utf8.Valid(text) || size >= bare+3 && !bytes.HasSuffix(text, []byte("…")) {
			t.Fatalf("max %d: text %q", size, text)
		}
		if size-len(got) > 6 {
			t.Fatalf("max %d: %d bytes are left empty", size, size-len(got))
		}
		if y, ok := find(got, "x"); !ok || got[y.value+1] != 'y' {
			t.Fatalf("max %d: the rest is damaged: % x", size, got)
		}
	}
	if _, v := apply(t, guard(bare-1, "truncate"), long); v != TooLarge {
		t.Errorf("too large without the text: %v", v)
	}
	if _, v := apply(t, guard(64, "truncate"), rec("msg", strings.Repeat("x", 100))); v != TooLarge {
		t.Errorf("no such key: %v", v)
	}
	raw := rec("log", encoded(mp.AppendBin(nil, bytes.Repeat([]byte{0x80}, 500))))
	got, v := apply(t, guard(64, "truncate"), raw)
	if v != Truncated || !mp.IsBin(got[5]) || len(got) > 64 {
		t.Errorf("bin: %v, % x", v, got)
	}
}

func TestDropAndNoAction(t *testing.T) {
	if _, v := apply(t, config.Processor{Drop: true}, rec("log", "x")); v != Dropped {
		t.Errorf("drop: %v", v)
	}
	if _, err := New(&config.Processor{}); err == nil {
		t.Error("no action gave no error")
	}
	if _, err := New(&config.Processor{SizeGuard: &config.SizeGuard{MaxBytes: 1, Action: "melt"}}); err == nil {
		t.Error("an unknown action gave no error")
	}
}

// FuzzActions feeds any bytes: an action must not panic, and of a valid record it must make a valid one.
func FuzzActions(f *testing.F) {
	f.Add(rec("log", `{"a":[1,{"b":"\u00e9"}],"a":2}`, "a", "x"), uint16(20))
	f.Add(rec("log", "text", "env", "x", "env", "y"), uint16(64))
	f.Add(encode(nil, m{{"a", m{{"b", []any{"4111111111111111", 4111111111111111, m{{"c", "x"}}}}, {"c", 5}}}, {"log", "a@b.cd"}, {"env", m{}}}), uint16(64))
	f.Add([]byte{0xdf, 0xff, 0xff, 0xff, 0xff, 0xa3, 'l', 'o', 'g'}, uint16(1))
	f.Fuzz(func(t *testing.T, in []byte, size uint16) {
		n, err := mp.Skip(in)
		valid := err == nil && n == len(in) && mp.IsMap(in[0])
		for _, p := range []config.Processor{
			{Add: []config.Field{{Key: "env", Value: "prod"}}},
			{ParseJSON: &config.ParseJSON{Key: "log"}},
			{ParseJSON: &config.ParseJSON{Key: "log", Keep: true}},
			{SizeGuard: &config.SizeGuard{MaxBytes: config.Size(size) + 1, Key: "log", Marker: "...[truncated]"}},
			{Remove: []string{"log", "a.b", "e*"}},
			{Rename: []config.Field{{Key: "log", Value: "a.b"}, {Key: "a", Value: "env"}, {Key: "env", Value: "env.x.y"}}},
			{Redact: &config.Redact{Patterns: []string{"credit_card", "/[a-z]/"}, With: "<redacted>"}},
			{Redact: &config.Redact{Patterns: []string{"email", "/./"}, Keys: []string{"log", "a.b", "e*"}}},
		} {
			out, v := apply(t, p, in)
			if !valid || v != Changed && v != Truncated && v != Redacted {
				continue
			}
			if n, err := mp.Skip(out); err != nil || n != len(out) || !mp.IsMap(out[0]) {
				t.Fatalf("% x became % x: %v", in, out, err)
			}
			if v == Truncated && len(out) > int(size)+1 {
				t.Fatalf("% x became % x, larger than %d", in, out, size+1)
			}
		}
	})
}

func TestParseJSONKeepsWhatEncodingJSONReads(t *testing.T) {
	text := `{"s":"a\"b\u00e9","n":-12,"f":1.5,"t":true,"z":null,"l":[1,[2]],"o":{"k":"v"}}`
	var want map[string]any
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	got, _ := apply(t, config.Processor{ParseJSON: &config.ParseJSON{Key: "log"}}, rec("log", text))
	if n, _, err := mp.MapHeader(got); err != nil || n != len(want) {
		t.Errorf("%d keys, %v; want %d", n, err, len(want))
	}
	for k := range want {
		if _, ok := find(got, k); !ok {
			t.Errorf("%q is missing", k)
		}
	}
}
