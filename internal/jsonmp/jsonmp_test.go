package jsonmp

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/firebreak/firebreak/internal/mp"
)

func find(t *testing.T, text, path string) (string, bool) {
	t.Helper()
	f := NewFinder([]string{"other.path", path})
	found := make([][]byte, f.Size())
	if !f.Find([]byte(text), found) {
		return "", false
	}
	return string(f.Value(found, 1)), true
}

func TestFind(t *testing.T) {
	for _, c := range []struct{ text, path, want string }{
		{`{"type":"audit","n":5}`, "type", `"audit"`},
		{` { "a" : { "b" : [1,{"c":2}] } , "x" : null } ` + "\n", "a.b", `[1,{"c":2}]`},
		{`{"a.b":1,"a":{"b":2}}`, "a.b", `1`},
		{`{"a":{"b":2},"a.b":{"c":3}}`, "a.b.c", `3`},
		{`{"a":{"b.c":2},"a.b":{"d":3}}`, "a.b.c", `2`},
		{`{"a":{"b":1},"a":{"c":2}}`, "a.b", ``},
		{`{"a":1,"a":2}`, "a", `2`},
		{`{"\u0074yp\u0065":"x"}`, "type", `"x"`},
		{`{"a\\b":1}`, `a\b`, `1`},
		{`{"a\tb":1}`, `a\tb`, ``},
		{`{"x":"\\\"","type":1}`, "type", `1`},
		{`{"x":"a\\","type":1}`, "type", `1`},
		{`{"":1}`, "", ``},
		{`{}`, "a", ``},
		{`{"a":{}}`, "a.b", ``},
		{`{"a":[]}`, "a.b", ``},
		{`{"a":"b"}`, "a.b", ``},
	} {
		if got, ok := find(t, c.text, c.path); !ok || got != c.want {
			t.Errorf("%s in %s = %q, %v; want %q", c.path, c.text, got, ok, c.want)
		}
	}
}

func TestFindRefusesWhatIsNoObject(t *testing.T) {
	for _, text := range []string{
		``, ` `, `x`, `"a"`, `[1]`, `1`, `null`, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{"a":1}x`, `{"a":1}{}`,
		`{a:1}`, `{"a" 1}`, `{"a":01}`, `{"a":1.}`, `{"a":-}`, `{"a":1e}`, `{"a":tru}`, `{"a":[1}`, `{"a":{"b":1]}`, `{"a":[1,]}`,
		`{"a":"b\"}`, `{,"a":1}`, `{"a":+1}`, `{"a":nan}`,
		`{"a":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + `}`,
	} {
		if got, ok := find(t, text, "a"); ok {
			t.Errorf("%s is taken for an object, a = %q", text, got)
		}
		if out, err := Append([]byte("x"), []byte(text)); string(out) != "x" && err != nil {
			t.Errorf("Append of %s left %q", text, out)
		}
	}
	deep := `{"a":` + strings.Repeat("[", MaxDepth-1) + strings.Repeat("]", MaxDepth-1) + `}`
	if _, ok := find(t, deep, "a"); !ok {
		t.Errorf("depth %d is refused", MaxDepth)
	}
}

func TestAppend(t *testing.T) {
	long := strings.Repeat("é", 200)
	for _, c := range []struct {
		text string
		want []byte
	}{
		{`{}`, []byte{0x80}},
		{`[]`, []byte{0x90}},
		{`{"a":1,"b":[true,false,null]}`, []byte{0x82, 0xa1, 'a', 1, 0xa1, 'b', 0x93, 0xc3, 0xc2, 0xc0}},
		{`-5`, mp.AppendInt(nil, -5)},
		{`-0`, []byte{0}},
		{`-9223372036854775808`, mp.AppendInt(nil, math.MinInt64)},
		{`18446744073709551615`, []byte{0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
		{`18446744073709551616`, mp.AppendFloat(nil, 18446744073709551616)},
		{`1.5e3`, mp.AppendFloat(nil, 1500)},
		{`1e999`, mp.AppendStr(nil, "1e999")},
		{`"\ud83d\ude00\ud83d\n"`, mp.AppendStr(nil, "😀\ufffd\n")},
		{`"` + long + `\n"`, mp.AppendStr(nil, long+"\n")},
		{`"` + strings.Repeat("x", 32) + `\/"`, mp.AppendStr(nil, strings.Repeat("x", 32)+"/")},
		{"\"\xff\t\"", mp.AppendStr(nil, "\xff\t")},
		{`[` + strings.Repeat("0,", 19) + `0]`, append([]byte{0xdc, 0, 20}, make([]byte, 20)...)},
	} {
		got, err := Append([]byte("head"), []byte(" "+c.text+" "))
		if err != nil || !bytes.Equal(got, append([]byte("head"), c.want...)) {
			t.Errorf("Append(%.60s) = % x, %v; want % x", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{`"\x"`, `"\u12"`, `"\u12g4"`} {
		if _, err := Append(nil, []byte(text)); err == nil {
			t.Errorf("Append(%s) gave no error", text)
		}
	}
}

// decode is a naive msgpack decoder, to what encoding/json decodes to.
func decode(t *testing.T, b []byte) (any, []byte) {
	if n, size, err := mp.MapHeader(b); err == nil {
		m := map[string]any{}
		b = b[size:]
		for range n {
			k, size, err := mp.Bytes(b)
			if err != nil {
				t.Fatal(err)
			}
			m[string(k)], b = decode(t, b[size:])
		}
		return m, b
	}
	if n, size, err := mp.ArrayHeader(b); err == nil {
		list := []any{}
		b = b[size:]
		for range n {
			var v any
			v, b = decode(t, b)
			list = append(list, v)
		}
		return list, b
	}
	if s, size, err := mp.Bytes(b); err == nil {
		return string(s), b[size:]
	}
	if v, size, err := mp.Int(b); err == nil {
		return float64(v), b[size:]
	}
	if v, size, err := mp.Float(b); err == nil {
		return v, b[size:]
	}
	switch b[0] {
	case 0xc0:
		return nil, b[1:]
	case 0xc2, 0xc3:
		return b[0] == 0xc3, b[1:]
	case 0xcf:
		v := uint64(0)
		for _, c := range b[1:9] {
			v = v<<8 | uint64(c)
		}
		return float64(v), b[9:]
	}
	t.Fatalf("unexpected byte %x", b[0])
	return nil, nil
}

// naive looks a path up in a decoded object.
func naive(v any, path string) (any, bool) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, false
	}
	for cut := len(path); cut > 0; cut = strings.LastIndexByte(path[:cut], '.') {
		inner, ok := m[path[:cut]]
		if ok && cut < len(path) {
			inner, ok = naive(inner, path[cut+1:])
		}
		if ok {
			return inner, true
		}
	}
	return nil, false
}

func FuzzAgainstEncodingJSON(f *testing.F) {
	f.Add(`{"a":{"b.c":[1,2.5,-3e2,"x\n\u00e9"]},"a.b":{"c":null},"d":true}`, "a.b.c")
	f.Add(`{"a":1,"a":{"b":2},"\u0061":{"b":"\ud83d\ude00"}}`, "a.b")
	f.Add(` [ ] `, "a")
	f.Fuzz(func(t *testing.T, text, path string) {
		got, ok := find(t, text, path)
		packed, err := Append(nil, []byte(text))
		if err == nil {
			if n, err := mp.Skip(packed); err != nil || n != len(packed) {
				t.Fatalf("Append(%q) = % x: %d, %v", text, packed, n, err)
			}
			if len(packed) > 5*len(text)/2+2 { // "0.0" becomes 9
				t.Fatalf("%d bytes became %d", len(text), len(packed))
			}
		}
		var want any
		if !utf8.ValidString(text) || !utf8.ValidString(path) || json.Unmarshal([]byte(text), &want) != nil {
			return
		}
		if strings.Count(text, "[")+strings.Count(text, "{") > MaxDepth {
			return
		}
		if err != nil {
			t.Fatalf("Append(%q): %v", text, err)
		}
		if v, rest := decode(t, packed); len(rest) > 0 || !reflect.DeepEqual(v, want) {
			t.Fatalf("Append(%q) holds %#v, want %#v", text, v, want)
		}
		if _, object := want.(map[string]any); object != ok {
			t.Fatalf("Find(%q) = %v", text, ok)
		}
		value, exists := naive(want, path)
		if exists != (got != "") {
			t.Fatalf("%q in %q: got %q, want %v", path, text, got, value)
		}
		if exists {
			var v any
			if err := json.Unmarshal([]byte(got), &v); err != nil || !reflect.DeepEqual(v, value) {
				t.Fatalf("%q in %q: got %q, want %v", path, text, got, value)
			}
		}
	})
}

func TestFindAllocatesNothing(t *testing.T) {
	text := []byte(`{"time":"2026-01-01T00:00:00Z","level":"info","m\u0073g":"x","ctx":{"user":{"id":5}}}`)
	f := NewFinder([]string{"level", "ctx.user.id", "msg"})
	found := make([][]byte, f.Size())
	if n := testing.AllocsPerRun(100, func() {
		if !f.Find(text, found) || f.Value(found, 1) == nil || f.Value(found, 2) == nil {
			t.Error("not found")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFind(b *testing.B) {
	text := []byte(`{"time":"2026-01-01T00:00:00.123456Z","level":"info","msg":"request served","method":"GET","path":"/api/v1/things/12345","status":200,"bytes":5120,"duration_ms":12.75,"remote":"10.11.12.13","agent":"Mozilla/5.0 (X11; Linux x86_64)","trace":{"id":"4bf92f3577b34da6","span":"00f067aa0ba902b7"}}`)
	f := NewFinder([]string{"status", "trace.id"})
	found := make([][]byte, f.Size())
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		f.Find(text, found)
	}
}
