// Package table writes tables and texts for people: columns as wide as they must be, colours only where they are
// wanted, and nothing that could control a terminal.
package table

import "strings"

// Colours, as parameters of the SGR escape (ECMA-48).
const (
	Plain  = ""
	Bold   = "1"
	Dim    = "2"
	Red    = "31"
	Green  = "32"
	Yellow = "33"
	Cyan   = "36"
)

// gap is between two columns.
const gap = "  "

// Style colours text, or doesn't.
type Style struct{ Colour bool }

// Paint gives text a colour. It doesn't clean the text.
func (s Style) Paint(colour, text string) string {
	if !s.Colour || colour == Plain || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// A Cell is a text with its colour.
type Cell struct{ Text, Colour string }

// A Column has a title; texts stand left in it, numbers right.
type Column struct {
	Title string
	Left  bool
}

// A Table has rows of cells; a row may be shorter than the columns are many.
type Table struct {
	Columns []Column
	Rows    [][]Cell
}

// Add adds a row.
func (t *Table) Add(cells ...Cell) {
	for i := range cells {
		cells[i].Text = Clean(cells[i].Text)
	}
	t.Rows = append(t.Rows, cells)
}

// Lines returns the table with its titles, each line at most width characters; 0: any. Of what doesn't fit, the last
// columns are left out, since a number that is cut is a wrong number; only the first column is cut.
func (t *Table) Lines(s Style, width int) []string {
	widths := t.widths()
	if width > 0 {
		widths[0] = min(widths[0], max(width/3, Width(t.Columns[0].Title)))
		widths = fitting(widths, width)
	}
	head := make([]Cell, len(t.Columns))
	for i, c := range t.Columns {
		head[i] = Cell{c.Title, Bold}
	}
	lines := []string{t.line(s, widths, head)}
	for _, row := range t.Rows {
		lines = append(lines, t.line(s, widths, row))
	}
	return lines
}

// fitting returns the widths of the columns that there is room for, the first one in any case.
func fitting(widths []int, width int) []int {
	used := widths[0]
	for i, w := range widths[1:] {
		if used += len(gap) + w; used > width {
			return widths[:i+1]
		}
	}
	return widths
}

func (t *Table) widths() []int {
	widths := make([]int, len(t.Columns))
	for i, c := range t.Columns {
		widths[i] = Width(c.Title)
	}
	for _, row := range t.Rows {
		for i, c := range row {
			widths[i] = max(widths[i], Width(c.Text))
		}
	}
	return widths
}

// line writes the cells of a row that there are widths for.
func (t *Table) line(s Style, widths []int, row []Cell) string {
	var b strings.Builder
	owed := 0 // spaces that the next cell needs before it
	for i, c := range row[:min(len(row), len(widths))] {
		text := c.Text
		if i == 0 {
			text = Clip(text, widths[0])
		} else {
			owed += len(gap)
		}
		pad := widths[i] - Width(text)
		if !t.Columns[i].Left {
			owed += pad
		}
		if text != "" {
			b.WriteString(strings.Repeat(" ", owed) + s.Paint(c.Colour, text))
			owed = 0
		}
		if t.Columns[i].Left {
			owed += pad
		}
	}
	return b.String()
}
