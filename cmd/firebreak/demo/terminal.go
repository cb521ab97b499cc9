package demo

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// minHeight is the least number of lines of a terminal that the table is refreshed in place on.
const minHeight = 16

// A terminalView keeps the table below the narration and writes it anew in place. It uses two escapes that every
// terminal knows (ECMA-48): CUU moves up, ED clears what is below.
type terminalView struct {
	out   io.Writer
	style style
	size  func() (width, height int)
	drawn int // lines of the table on the screen, with the cursor below
	last  state
}

// terminalSize returns the size of the terminal that w is, or zeros when it is none. One that doesn't know its size
// counts as 80 by 24.
func terminalSize(w io.Writer) (width, height int) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, 0
	}
	ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	switch {
	case err != nil:
		return 0, 0
	case ws.Col == 0 || ws.Row == 0:
		return textWidth, 24
	}
	return int(ws.Col), int(ws.Row)
}

// newView chooses by what out is, and by the environment.
func newView(out io.Writer, noColour bool, env func(string) string, every time.Duration) view {
	width, height := terminalSize(out)
	if width < 40 || height < minHeight || env("TERM") == "dumb" {
		return &plainView{out: out, every: every, next: every}
	}
	return &terminalView{
		out: out, style: style{colour: !noColour && env("NO_COLOR") == ""},
		size: func() (int, int) { return terminalSize(out) },
	}
}

func (v *terminalView) width() int {
	w, _ := v.size()
	return max(w-1, 0) // the last column makes some terminals wrap
}

func (v *terminalView) say(at time.Duration, text, colour string) error {
	var b bytes.Buffer
	v.clear(&b)
	for _, line := range narration(at, text, min(v.width(), 100)) {
		fmt.Fprintf(&b, "%s\n", v.style.paint(colour, line))
	}
	v.draw(&b)
	return v.flush(&b)
}

func (v *terminalView) show(st state) error {
	v.last = st
	var b bytes.Buffer
	v.clear(&b)
	v.draw(&b)
	return v.flush(&b)
}

func (v *terminalView) print(text string) error {
	var b bytes.Buffer
	if v.drawn > 0 { // the last table stays
		v.clear(&b)
		v.draw(&b)
		v.drawn = 0
	}
	b.WriteString(text)
	return v.flush(&b)
}

func (v *terminalView) clear(b *bytes.Buffer) {
	if v.drawn > 0 {
		fmt.Fprintf(b, "\x1b[%dA\x1b[J", v.drawn)
	}
	v.drawn = 0
}

func (v *terminalView) draw(b *bytes.Buffer) {
	if v.last.Destinations == nil {
		return
	}
	_, height := v.size()
	lines := append([]string{""}, v.style.table(v.last, v.width())...)
	lines = append(lines, "", v.style.paint(dim, clip(fmt.Sprintf("%.1f s of about %.0f s; Ctrl-C ends it and leaves nothing behind", v.last.At.Seconds(), v.last.End.Seconds()), v.width())))
	if height > 0 {
		lines = lines[:min(len(lines), height-1)]
	}
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	v.drawn = len(lines)
}

func (v *terminalView) flush(b *bytes.Buffer) error {
	_, err := v.out.Write(b.Bytes())
	return err
}

func clip(text string, width int) string {
	if r := []rune(text); len(r) > width {
		return string(r[:max(width, 0)])
	}
	return text
}
