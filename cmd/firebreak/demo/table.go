package demo

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/firebreak/firebreak/internal/table"
)

// A style writes the tables of the demo, with or without colours.
type style struct{ table.Style }

// A cell is a text with its colour; in a row it is filled up to the column's width.
type cell struct{ text, colour string }

// A column is so many characters wide, with two spaces before the next one.
type column struct {
	title string
	width int
	left  bool
}

// head returns the titles of the columns.
func (s style) head(cols []column, width int) string {
	cells := make([]cell, len(cols))
	for i, c := range cols {
		cells[i] = cell{c.title, table.Bold}
	}
	return s.row(cols, width, cells...)
}

// row returns one line of a table, at most width characters.
func (s style) row(cols []column, width int, cells ...cell) string {
	var b strings.Builder
	used := 0
	for i, c := range cells {
		gap := ""
		if i > 0 {
			gap = "  "
		}
		pad := strings.Repeat(" ", max(0, cols[i].width-utf8.RuneCountInString(c.text)))
		text := gap + pad
		if cols[i].left {
			text = gap
		}
		n := utf8.RuneCountInString(text) + utf8.RuneCountInString(c.text)
		if used+n > width {
			break // whole cells only: a number that is cut is a wrong number
		}
		b.WriteString(text + s.Paint(c.colour, c.text))
		used += n
		if cols[i].left && i < len(cells)-1 && used+len(pad) <= width {
			b.WriteString(pad)
			used += len(pad)
		}
	}
	return b.String()
}

var (
	containerColumns   = []column{{"CONTAINER", 13, true}, {"lines sent", 10, false}, {"lines/s", 8, false}, {"failed sends", 12, false}, {"longest send", 12, false}}
	destinationColumns = []column{{"DESTINATION", 13, true}, {"in/s", 6, false}, {"out/s", 6, false}, {"waiting", 8, false}, {"on disk", 9, false},
		{"breaker", 9, true}, {"oldest", 6, false}, {"lost", 5, false}}
)

// table returns the lines of the table, each at most width characters.
func (s style) table(st state, width int) []string {
	lines := []string{s.head(containerColumns, width)}
	for _, c := range st.Containers {
		lines = append(lines, s.row(containerColumns, width, cell{c.Name, table.Plain}, cell{table.Number(c.Sent), table.Plain}, cell{rate(c.Rate), table.Plain},
			bad(c.Failed), cell{short(c.Slowest), table.Plain}))
	}
	lines = append(lines, "", s.head(destinationColumns, width))
	for _, d := range st.Destinations {
		name, waiting := cell{d.Name, table.Plain}, cell{table.Number(d.Backlog), table.Plain}
		if d.Dead {
			name = cell{d.Name + " (dead)", table.Red}
		}
		if d.Breaker != "closed" {
			waiting.colour = table.Yellow
		}
		oldest := "-"
		if d.Oldest >= time.Second {
			oldest = fmt.Sprintf("%.1f s", d.Oldest.Seconds())
		}
		lines = append(lines, s.row(destinationColumns, width, name, cell{rate(d.In), table.Plain}, cell{rate(d.Out), table.Plain},
			waiting, cell{size(d.Bytes), table.Plain}, breaker(d.Breaker), cell{oldest, table.Plain}, bad(d.Lost)))
	}
	return lines
}

func breaker(state string) cell {
	colour := table.Yellow
	switch state {
	case "closed":
		colour = table.Green
	case "open":
		colour = table.Red
	}
	return cell{state, colour}
}

// bad is a number that should be 0.
func bad(n uint64) cell {
	if n > 0 {
		return cell{table.Number(n), table.Red}
	}
	return cell{"0", table.Plain}
}

// short writes a duration with two or three digits.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond)/time.Millisecond)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// wrap breaks text at spaces into lines of at most width characters; all but the first are indented.
func wrap(text string, width, indent int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width:
			lines = append(lines, line)
			line = strings.Repeat(" ", indent) + word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}
