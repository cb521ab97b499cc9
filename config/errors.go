package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what one error prints.
const (
	maxShown        = 100 // problems
	maxExcerptWidth = 70  // characters of a line
)

// Errors are all problems of a configuration that can't be used, sorted by their place.
type Errors struct{ Problems []Problem }

// Error prints each problem as FILE:LINE:COLUMN: message, an excerpt and a hint, with empty lines between them.
func (e *Errors) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i == maxShown {
			fmt.Fprintf(&b, "\n\nand %d more problems", len(e.Problems)-i)
			break
		}
		if i > 0 {
			b.WriteString("\n\n")
		}
		b.WriteString(p.String())
	}
	return b.String()
}

// String prints the problem over several lines, without a newline at the end.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(displayName(p.File))
	if p.Pos != (Pos{}) {
		fmt.Fprintf(&b, ":%d:%d", p.Pos.Line, p.Pos.Column)
	}
	b.WriteString(": " + p.Message)
	if p.Excerpt != "" {
		b.WriteString("\n" + p.Excerpt)
	}
	if p.Hint != "" {
		b.WriteString("\nhint: " + p.Hint)
	}
	return b.String()
}

func displayName(file string) string {
	if file == "" {
		return "(built-in configuration)"
	}
	return file
}

func sortProblems(list []Problem) []Problem {
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	return slices.Compact(list)
}

// excerpt returns the line at pos below the one before it, and a caret under the column. Lines that hold a secret
// are masked.
func (l *loader) excerpt(pos Pos) string {
	if pos.Line < 1 || pos.Line > len(l.lines) {
		return ""
	}
	number := len(fmt.Sprint(pos.Line))
	var b strings.Builder
	line, caret := window(l.maskedLine(pos.Line), pos.Column-1)
	if before := pos.Line - 1; before >= 1 && strings.TrimSpace(l.lines[before-1]) != "" {
		text, _ := window(l.maskedLine(before), 0)
		fmt.Fprintf(&b, "  %*d | %s\n", number, before, text)
	}
	fmt.Fprintf(&b, "  %*d | %s\n  %*s | %s^", number, pos.Line, line, number, "", caret)
	return b.String()
}

// window cuts a line to what is shown around column, and returns the space before the caret.
func window(line string, column int) (text, caret string) {
	runes := []rune(line)
	column = max(0, min(column, len(runes)))
	start := max(0, min(column-maxExcerptWidth*2/3, len(runes)-maxExcerptWidth))
	end := min(len(runes), start+maxExcerptWidth)
	var t, c strings.Builder
	if start > 0 {
		t.WriteString("…")
		c.WriteString(" ")
	}
	for i, r := range runes[start:end] {
		space := ' '
		switch {
		case r == '\t':
			space = '\t'
		case !unicode.IsPrint(r):
			r = utf8.RuneError
		}
		t.WriteRune(r)
		if start+i < column {
			c.WriteRune(space)
		}
	}
	if end < len(runes) {
		t.WriteString("…")
	}
	return t.String(), c.String()
}

// A span is the part of the file that a secret's text covers.
type span struct {
	from  Pos
	width int // characters on the first line; 0: the rest of it
	lines int // lines that it goes on for
}

func (l *loader) maskedLine(number int) string {
	runes := []rune(l.lines[number-1])
	for _, s := range l.secrets {
		if number > s.from.Line && number <= s.from.Line+s.lines {
			return "***"
		}
		if start := s.from.Column - 1; number == s.from.Line && start < len(runes) {
			end := len(runes)
			if s.width > 0 && s.lines == 0 {
				end = min(end, start+s.width)
			}
			for i := start; i < end; i++ { // as long as before: columns stay right
				runes[i] = '*'
			}
		}
	}
	return string(runes)
}
