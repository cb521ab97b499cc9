package record

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/firebreak/firebreak/internal/mp"
)

// pair returns a record with the one key "k".
func pair(value ...byte) []byte { return append([]byte{0x81, 0xa1, 'k'}, value...) }

func TestJSONOfEachType(t *testing.T) {
	const fffd = "\uFFFD"
	f32 := func(f float32) []byte {
		b := math.Float32bits(f)
		return []byte{0xca, byte(b >> 24), byte(b >> 16), byte(b >> 8), byte(b)}
	}
	f64 := func(f float64) []byte { return mp.AppendFloat(nil, f) }
	str := func(s string) []byte { return mp.AppendStr(nil, s) }
	for _, c := range []struct {
		value []byte
		want  string
	}{
		{[]byte{0xc0}, `null`}, {[]byte{0xc2}, `false`}, {[]byte{0xc3}, `true`},
		{[]byte{0x05}, `5`}, {[]byte{0xff}, `-1`}, {mp.AppendInt(nil, math.MinInt64), `-9223372036854775808`},
		{mp.AppendInt(nil, 1<<53+1), `9007199254740993`}, {[]byte{0xcf, 255, 255, 255, 255, 255, 255, 255, 255}, `18446744073709551615`},
		{f64(1), `1.0`}, {f64(-0.5), `-0.5`}, {f64(0.1), `0.1`}, {f64(math.Copysign(0, -1)), `-0.0`}, {f64(1e20), `100000000000000000000.0`},
		{f64(1e21), `1e+21`}, {f64(1e-7), `1e-07`}, {f64(math.MaxFloat64), `1.7976931348623157e+308`}, {f32(0.1), `0.1`},
		{f64(math.NaN()), `null`}, {f64(math.Inf(1)), `null`}, {f32(float32(math.Inf(-1))), `null`},
		{str("a\"b\\c/d"), `"a\"b\\c/d"`}, {str("\n\r\t\b\x00\x1f\x7f"), `"\n\r\t\u0008\u0000\u001f` + "\x7f" + `"`},
		{str("<&>\u2028"), "\"<&>\u2028\""}, {str("日本 é 😀"), `"日本 é 😀"`},
		{str("a\xffb\xc3"), `"a` + fffd + `b` + fffd + `"`}, {str("\xed\xa0\x80"), `"` + fffd + fffd + fffd + `"`},
		{mp.AppendBin(nil, []byte("bin\xfe")), `"bin` + fffd + `"`},
		{mp.AppendEventTime(nil, 1700000000, 5), `"2023-11-14T22:13:20.000000005Z"`},
		{mp.AppendEventTime(nil, 1700000000, 1e9), `{"ext":0,"data":"6553f1003b9aca00"}`},
		{[]byte{0xd6, 0xff, 0, 0, 0, 1}, `"1970-01-01T00:00:01Z"`},
		{[]byte{0xd7, 0xff, 0, 0, 0, 4, 0, 0, 0, 1}, `"1970-01-01T00:00:01.000000001Z"`},
		{[]byte{0xc7, 12, 0xff, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255}, `"1969-12-31T23:59:59Z"`},
		{[]byte{0xc7, 12, 0xff, 0, 0, 0, 0, 127, 255, 255, 255, 255, 255, 255, 255}, `{"ext":-1,"data":"000000007fffffffffffffff"}`},
		{[]byte{0xd5, 0x05, 1, 0xab}, `{"ext":5,"data":"01ab"}`},
		{[]byte{0x90}, `[]`}, {[]byte{0x80}, `{}`}, {[]byte{0x93, 1, 0xc0, 0x91, 2}, `[1,null,[2]]`},
		{[]byte{0x82, 0xa1, 'a', 1, 0xa1, 'a', 2}, `{"a":1,"a":2}`},
	} {
		got := string(AppendJSON(nil, pair(c.value...)))
		if want := `{"k":` + c.want + `}`; got != want {
			t.Errorf("% x: %s, want %s", c.value, got, want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%s is not valid", got)
		}
	}
	keys := []byte{0x87, 0x07, 1, 0xc0, 2, 0xc3, 3, 0xc4, 1, 'b', 4, 0x91, 1, 5}
	keys = append(append(keys, f64(math.NaN())...), 6)
	keys = append(keys, 0xd4, 5, 0xee, 7)
	if got := string(AppendJSON(nil, keys)); got != `{"7":1,"null":2,"true":3,"b":4,"9101":5,"NaN":6,"d405ee":7}` {
		t.Errorf("keys: %s", got)
	}
}

func TestJSONOfBrokenRecordsStaysValid(t *testing.T) {
	whole := pair(0x93, 1, 0x81, 0xa1, 'x', 0xa3, 'a', 'b', 'c', 0xcb, 0, 0, 0, 0, 0, 0, 0, 0)
	if got := string(AppendJSON(nil, whole)); got != `{"k":[1,{"x":"abc"},0.0]}` {
		t.Fatal(got)
	}
	for n := range whole {
		if got := AppendJSON(nil, whole[:n]); !json.Valid(got) {
			t.Errorf("cut to %d bytes: %s", n, got)
		}
	}
	deep := append(pair(bytes.Repeat([]byte{0x91}, mp.MaxDepth-1)...), 7)
	if got := string(AppendJSON(nil, deep)); !strings.Contains(got, "[7]") || !json.Valid([]byte(got)) {
		t.Errorf("at the deepest: %s", got)
	}
	deeper := append(pair(bytes.Repeat([]byte{0x91}, 100_000)...), 7)
	if got := AppendJSON(nil, deeper); !json.Valid(got) || len(got) > 1000 {
		t.Errorf("too deep: %d bytes", len(got))
	}
	if got := string(AppendJSON([]byte("x"), []byte{0x01})); got != "x{}" {
		t.Errorf("no map: %s", got)
	}
}

func TestJSONEventAddsWhatTheRecordLacks(t *testing.T) {
	opts := JSONOptions{TimeKey: "time", TagKey: "tag", TypeKey: "type"}
	for _, c := range []struct {
		rec  []byte
		o    JSONOptions
		want string
	}{
		{rec("log", "x"), opts, `{"time":"2026-01-05T03:04:09.123456789Z","tag":"app","type":"access","log":"x"}`},
		{rec("log", "x"), DefaultJSON(), `{"time":"2026-01-05T03:04:09.123456789Z","tag":"app","log":"x"}`},
		{rec("log", "x"), JSONOptions{}, `{"log":"x"}`},
		{rec("log", "x", "time", "own", "tag", "own"), opts, `{"type":"access","log":"x","time":"own","tag":"own"}`},
		{rec("tag", "own"), JSONOptions{TagKey: "tag"}, `{"tag":"own"}`},
		{rec(), opts, `{"time":"2026-01-05T03:04:09.123456789Z","tag":"app","type":"access"}`},
		{rec(), JSONOptions{}, `{}`},
		{rec("log", "x"), JSONOptions{TagKey: "a\"b"}, `{"a\"b":"app","log":"x"}`},
	} {
		got := AppendJSONEvent(nil, oneEvent("app", templateTime, c.rec), c.o)
		if string(got) != c.want || !json.Valid(got) {
			t.Errorf("%+v: %s, want %s", c.o, got, c.want)
		}
	}
	e := oneEvent("app", templateTime, rec("log", "x"))
	e.Chunk.Route = ""
	if got := string(AppendJSONEvent(nil, e, JSONOptions{TypeKey: "type"})); got != `{"log":"x"}` {
		t.Errorf("without a type: %s", got)
	}
}

func TestLineFormatIsOneLineAnEvent(t *testing.T) {
	raw := LineFormat{Raw: RawKeys("text")}
	for _, c := range []struct {
		rec  []byte
		want string
	}{
		{rec("log", "a", "message", "b"), "a\n"}, {rec("message", "b\n"), "b\n"}, {rec("log", "a", "text", "c"), "c\n"},
		{rec("x", "y"), `{"x":"y"}` + "\n"}, {rec("log", ""), "\n"},
	} {
		if got := string(raw.Append(nil, oneEvent("t", templateTime, c.rec))); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestJSONAllocatesNothing(t *testing.T) {
	e := oneEvent(strings.Repeat("long.tag.", 10), templateTime, append(rec(), pair(mp.AppendFloat(nil, 1.25)...)...))
	e.Record = pair(mp.AppendStr(nil, strings.Repeat("é\n", 100))...)
	f := LineFormat{JSON: DefaultJSON()}
	var dst []byte
	if n := testing.AllocsPerRun(1000, func() { dst = f.Append(dst[:0], e) }); n != 0 {
		t.Errorf("%v allocations for each event", n)
	}
}

// asValue decodes msgpack of the types that JSON has too, as encoding/json would have made it.
func asValue(t *testing.T, b []byte) (any, int) {
	t.Helper()
	c := b[0]
	switch {
	case c == 0xc0:
		return nil, 1
	case c == 0xc2, c == 0xc3:
		return c == 0xc3, 1
	case mp.IsMap(c):
		pairs, i, _ := mp.MapHeader(b)
		m := map[string]any{}
		for range pairs {
			k, n, err := mp.Bytes(b[i:])
			if err != nil || !utf8.Valid(k) {
				t.Skip("a key that is no text")
			}
			v, m2 := asValue(t, b[i+n:])
			m[string(k)] = v
			i += n + m2
		}
		return m, i
	case mp.IsArray(c):
		elems, i, _ := mp.ArrayHeader(b)
		list := []any{}
		for range elems {
			v, n := asValue(t, b[i:])
			list, i = append(list, v), i+n
		}
		return list, i
	}
	if s, n, err := mp.Bytes(b); err == nil {
		if !utf8.Valid(s) {
			t.Skip("no UTF-8")
		}
		return string(s), n
	}
	if f, n, err := mp.Float(b); err == nil {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, n
		}
		if b[0] == 0xca {
			t.Skip("a float32 has a shorter text than its float64")
		}
		return f, n
	}
	if i, n, err := mp.Int(b); err == nil {
		return float64(i), n
	}
	t.Skip("a type that JSON has not")
	return nil, 0
}

func FuzzJSON(f *testing.F) {
	f.Add(pair(0x93, 1, 0xc0, 0x91, 2))
	f.Add(pair(0x81, 0xa1, 'x', 0xa3, 'a', 0xff, '"'))
	f.Add(pair(mp.AppendFloat(nil, 1e300)...))
	f.Add(pair(mp.AppendEventTime(nil, 1, 2)...))
	f.Add([]byte{0x82, 0x07, 1, 0x91, 1, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		got := AppendJSON([]byte("x"), b)
		if got[0] != 'x' || !json.Valid(got[1:]) || got[1] != '{' {
			t.Fatalf("% x: %s", b, got)
		}
		if !utf8.Valid(got) || bytes.ContainsAny(got, "\n\r\x00") {
			t.Fatalf("% x: %q is not one line of UTF-8", b, got)
		}
		e := Event{Chunk: &Chunk{Tag: string(b), Route: string(b)}, Raw: AppendEntry(nil, time.Unix(1, 0), nil), Record: b}
		if line := AppendJSONEvent(nil, e, JSONOptions{"time", "tag", "type"}); !json.Valid(line) {
			t.Fatalf("% x: %s", b, line)
		}
		if n, err := mp.Skip(b); err != nil || n != len(b) || !mp.IsMap(b[0]) {
			return
		}
		want, _ := asValue(t, b)
		var decoded any
		if err := json.Unmarshal(got[1:], &decoded); err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		if diff := cmp.Diff(want, decoded); diff != "" {
			t.Fatalf("%s: %s", got, diff)
		}
	})
}

func BenchmarkJSON(b *testing.B) {
	docker := rec("container_id", strings.Repeat("f", 64), "container_name", "/web1", "source", "stdout",
		"log", `10.0.0.1 - - [20/Nov/2026:05:43:17 +0000] "GET /index.html HTTP/1.1" 200 612 "-" "Mozilla/5.0 (X11; Linux x86_64)"`)
	e := oneEvent("docker.web", templateTime, docker)
	for name, f := range map[string]LineFormat{"record": {}, "event": {JSON: DefaultJSON()}, "raw": {Raw: RawKeys("")}} {
		b.Run(name, func(b *testing.B) {
			var dst []byte
			b.SetBytes(int64(len(docker)))
			b.ReportAllocs()
			for b.Loop() {
				dst = f.Append(dst[:0], e)
			}
		})
	}
}
