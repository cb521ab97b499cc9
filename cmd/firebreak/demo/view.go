package demo

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// textWidth is the width of texts where nobody says how wide the page is.
const textWidth = 80

// A view shows the story: narration that stays, and a table of how things are. Its errors are those of the writer; it
// is used by one goroutine.
type view interface {
	say(at time.Duration, text, colour string) error
	show(state) error
	print(text string) error // what stands behind the story; ends the table
	page() (style, int)      // how texts look, and how wide they may be
}

// A plainView is for pipes and files: no escape codes, a table now and then.
type plainView struct {
	out   io.Writer
	every time.Duration
	next  time.Duration
}

func (v *plainView) say(at time.Duration, text, _ string) error {
	_, err := fmt.Fprintln(v.out, strings.Join(narration(at, text, textWidth), "\n"))
	return err
}

func (v *plainView) show(st state) error {
	if st.At < v.next {
		return nil
	}
	v.next = st.At + v.every
	var b strings.Builder
	for _, line := range append(style{}.table(st, textWidth-2), "") {
		b.WriteString(strings.TrimRight("  "+line, " ") + "\n")
	}
	_, err := fmt.Fprintf(v.out, "\n%6.1fs\n%s", st.At.Seconds(), b.String())
	return err
}

func (v *plainView) print(text string) error {
	_, err := io.WriteString(v.out, text)
	return err
}

func (v *plainView) page() (style, int) { return style{}, textWidth }

// narration returns the lines of a sentence with the time in front.
func narration(at time.Duration, text string, width int) []string {
	lines := wrap(text, max(width-9, 20), 0)
	for i := range lines {
		if i == 0 {
			lines[i] = fmt.Sprintf("%6.1fs  %s", at.Seconds(), lines[i])
		} else {
			lines[i] = strings.Repeat(" ", 9) + lines[i]
		}
	}
	return lines
}
