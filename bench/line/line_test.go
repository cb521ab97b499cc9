package line

import "testing"

func TestTokenRoundTrip(t *testing.T) {
	for _, want := range []Token{{}, {Stream: 7, Seq: 123, Micros: 1_800_000_000_123_456}, {Stream: MaxStream, Seq: MaxSeq, Micros: 9_999_999_999_999_999}} {
		for _, end := range []string{"", `"`, `"}`, "}"} {
			log := append(Append([]byte("GET / "), want), end...)
			if got, ok := Parse(log); !ok || got != want {
				t.Errorf("%q: %+v, %v; want %+v", log, got, ok, want)
			}
		}
	}
}

func TestParseRefusesOtherLines(t *testing.T) {
	token := string(Append(nil, Token{Stream: 1, Seq: 2, Micros: 3}))
	for _, log := range []string{"", "}", `"}`, "hello", token[1:], token + "x", token + `}"`, "0000x" + token[5:], token[:5] + "_" + token[6:]} {
		if got, ok := Parse([]byte(log)); ok {
			t.Errorf("%q: %+v", log, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Append(nil, Token{Stream: 1, Seq: 2, Micros: 3}))
	f.Add([]byte(`"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := Parse(b)
		if !ok {
			return
		}
		if again, ok := Parse(Append(nil, got)); !ok || again != got {
			t.Fatalf("%q: %+v, again %+v", b, got, again)
		}
	})
}
