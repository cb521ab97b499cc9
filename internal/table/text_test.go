package table

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestCleanEscapesWhatCouldControlATerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                 "plain",
		"grün 日本 👍 e\u0301":     "grün 日本 👍 e\u0301",
		"a\tb\r\nc":             `a\tb\r\nc`,
		"\x1b]0;title\x07\x1b[": `\x1b]0;title\x07\x1b[`,
		"\x7f\x00":              `\x7f\x00`,
		"\u009b31m":             `\u009b31m`,     // CSI as one character
		"\u202egpj.exe":         `\u202egpj.exe`, // writes from right to left
		"\xff\xfe ok":           `\xff\xfe ok`,
		"\U000e0041":            `\U000e0041`, // an invisible tag
		"no\u00a0break\u3000":   "no\u00a0break\u3000",
		"\ufffd":                "\ufffd",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) is %q, want %q", in, got, want)
		}
	}
	if got := CleanLines("a\x1b\nb\n"); got != "a\\x1b\nb\n" {
		t.Errorf("%q", got)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b[31mred\u009b\xff\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		for _, r := range got {
			if !unicode.IsGraphic(r) {
				t.Errorf("Clean(%q) is %q", s, got)
			}
		}
		if !utf8.ValidString(got) || Clean(got) != got {
			t.Errorf("Clean(%q) is %q", s, got)
		}
		for _, width := range []int{0, 1, 7, 80} {
			if c := Clip(got, width); Width(c) > width || Width(got) <= width && c != got {
				t.Errorf("Clip(%q, %d) is %q", got, width, c)
			}
		}
	})
}

func FuzzCleanJSON(f *testing.F) {
	f.Add([]byte(`{"a":"\u001b` + "\u009b\u202e\U000e0041\x7f\ufffd" + `"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var before, after any
		if json.Unmarshal(text, &before) != nil {
			return
		}
		got := CleanJSON(text)
		if err := json.Unmarshal(got, &after); err != nil || !reflect.DeepEqual(before, after) {
			t.Errorf("CleanJSON(%q) is %q: %v", text, got, err)
		}
		for _, r := range string(got) {
			if r >= 0x7f && !unicode.IsGraphic(r) {
				t.Errorf("CleanJSON(%q) is %q", text, got)
			}
		}
	})
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  []string
	}{
		{"short", 10, []string{"short"}},
		{"one two three four", 9, []string{"one two", "three", "four"}},
		{"one averyveryverylongword two", 9, []string{"one", "averyveryverylongword", "two"}},
		{"one two three four", 0, []string{"one two three four"}},
		{"", 5, []string{""}},
		{"a\x1bb cd", 5, []string{`a\x1bb`, "cd"}},
	} {
		if diff := cmp.Diff(c.want, Wrap(c.text, c.width)); diff != "" {
			t.Errorf("%q in %d: %s", c.text, c.width, diff)
		}
	}
}

func TestWidth(t *testing.T) {
	for s, want := range map[string]int{"": 0, "abc": 3, "日本": 4, "e\u0301": 1, "👍": 2, "→…": 2, strings.Repeat("한", 5): 10} {
		if got := Width(s); got != want {
			t.Errorf("Width(%q) is %d, want %d", s, got, want)
		}
	}
}
