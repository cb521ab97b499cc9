package table

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func example() *Table {
	t := &Table{Columns: []Column{{Title: "NAME", Left: true}, {Title: "n"}, {Title: "state", Left: true}, {Title: "last"}}}
	t.Add(Cell{Text: "access"}, Cell{Text: "1,234"}, Cell{Text: "ok", Colour: Green}, Cell{Text: "3s"})
	t.Add(Cell{Text: "日本語-long-name"}, Cell{Text: "5"}, Cell{}, Cell{Text: "12m"})
	t.Add(Cell{Text: "evil\x1b[2J"}, Cell{Text: "0"}, Cell{Text: "open"})
	return t
}

func TestColumnsAreAsWideAsTheyMustBe(t *testing.T) {
	want := []string{
		"NAME                  n  state  last",
		"access            1,234  ok       3s",
		"日本語-long-name      5          12m",
		`evil\x1b[2J           0  open`,
	}
	if diff := cmp.Diff(want, example().Lines(Style{}, 0)); diff != "" {
		t.Error(diff)
	}
	for i, line := range example().Lines(Style{Colour: true}, 0) {
		plain := strings.NewReplacer("\x1b[1m", "", "\x1b[32m", "", "\x1b[0m", "").Replace(line)
		if plain != want[i] {
			t.Errorf("without its colours a line is %q, want %q", plain, want[i])
		}
	}
}

// What doesn't fit is left out in whole columns, of every row the same; the first one is cut.
func TestTablesFit(t *testing.T) {
	want := []string{
		"NAME           n  state",
		"access     1,234  ok",
		"日本語-l…      5",
		`evil\x1b…      0  open`,
	}
	if diff := cmp.Diff(want, example().Lines(Style{}, 28)); diff != "" {
		t.Error(diff)
	}
	for width := 1; width < 50; width++ {
		for _, line := range example().Lines(Style{}, width) {
			if Width(line) > max(width, len("NAME")) {
				t.Errorf("a line of a table %d wide is %q", width, line)
			}
		}
	}
}
