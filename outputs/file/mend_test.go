package file

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMendsWhatSomebodyElseLeftAtTheEnd: behind another writer's bytes a line would be glued to them, and a compressed
// member could not be read at all.
func TestMendsWhatSomebodyElseLeftAtTheEnd(t *testing.T) {
	for _, format := range []string{"none", "gzip", "zstd"} {
		t.Run(format, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.log")
			o := raw(path)
			o.Compress = format
			out := open(t, o)
			send(t, out, line("one"))
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString("torn"); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			send(t, out, line("two"))
			if err := os.Truncate(path, int64(len(content(t, path))-1)); err != nil {
				t.Fatal(err)
			}
			send(t, out, line("three"))
			if format == "none" {
				if got := content(t, path); got != "one\nthree\n" {
					t.Errorf("got %q", got)
				}
			} else if got := unpack(t, format, path); got != "three\n" { // the torn ones are rotated away
				t.Errorf("got %q", got)
			}
		})
	}
}
