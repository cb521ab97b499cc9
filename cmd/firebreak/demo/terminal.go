package demo

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/firebreak/firebreak/internal/table"
)

// minHeight is the least number of lines of a terminal that the table is refreshed in place on.
const minHeight = 16

// A terminalView keeps the table below the narration and writes it anew in place. It uses three escapes that
// every terminal knows (ECMA-48): CUU moves up, EL clears the rest of a line, ED what is below.
type terminalView struct {
	out   io.Writer
	style style
	size  func() (width, height int)
	drawn int // lines of the table on the screen, with the cursor below
	last  state
}

// newView chooses by what out is, and by the environment.
func newView(out io.Writer, noColour bool, env func(string) string, every time.Duration) view {
	width, height := table.TerminalSize(out)
	if width < 40 || height < minHeight || env("TERM") == "dumb" {
		return &plainView{out: out, every: every, next: every}
	}
	return &terminalView{
		out: out, style: style{table.Style{Colour: !noColour && env("NO_COLOR") == ""}},
		size: func() (int, int) { return table.TerminalSize(out) },
	}
}

func (v *terminalView) page() (style, int) { return v.style, min(v.width(), textWidth) }

func (v *terminalView) width() int {
	w, _ := v.size()
	return max(w-1, 0) // the last column makes some terminals wrap
}

func (v *terminalView) say(at time.Duration, text, colour string) error {
	lines := narration(at, text, min(v.width(), 100))
	for i := range lines {
		lines[i] = v.style.Paint(colour, lines[i])
	}
	return v.write(lines, v.table())
}

func (v *terminalView) show(st state) error {
	v.last = st
	return v.write(nil, v.table())
}

// print leaves the last table where it is.
func (v *terminalView) print(text string) error {
	if err := v.write(nil, v.fit(v.lines())); err != nil {
		return err
	}
	v.drawn = 0
	_, err := io.WriteString(v.out, text)
	return err
}

// table returns the table and what stands below it.
func (v *terminalView) table() []string {
	lines := v.lines()
	if lines == nil {
		return nil
	}
	foot := fmt.Sprintf("%.1f s of about %.0f s. Ctrl-C ends it.", v.last.At.Seconds(), v.last.End.Seconds())
	return v.fit(append(lines, "", v.style.Paint(table.Dim, clip(foot, v.width()))))
}

func (v *terminalView) lines() []string {
	if v.last.Destinations == nil {
		return nil
	}
	return append([]string{""}, v.style.table(v.last, v.width())...)
}

// fit cuts what the screen has no room for: the cursor can't move up beyond it.
func (v *terminalView) fit(lines []string) []string {
	_, height := v.size()
	return lines[:min(len(lines), max(height-1, 0))]
}

// write puts lines that stay where the table was, and the table below them, all in one write.
func (v *terminalView) write(stay, table []string) error {
	var b bytes.Buffer
	if v.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.drawn)
	}
	for _, line := range slices.Concat(stay, table) {
		b.WriteString(line + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	v.drawn = len(table)
	_, err := v.out.Write(b.Bytes())
	return err
}

func clip(text string, width int) string {
	if r := []rune(text); len(r) > width {
		return string(r[:max(width, 0)])
	}
	return text
}
