package table

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// TerminalSize returns the size of the terminal that w is, or zeros when it is none. One that doesn't know its size
// counts as 80 by 24.
func TerminalSize(w io.Writer) (width, height int) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, 0
	}
	ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	switch {
	case err != nil:
		return 0, 0
	case ws.Col == 0 || ws.Row == 0:
		return 80, 24
	}
	return int(ws.Col), int(ws.Row)
}

// StyleFor says whether what is written to w gets colours: on a terminal, unless $NO_COLOR is set or $TERM is dumb.
func StyleFor(w io.Writer, env func(string) string) Style {
	width, _ := TerminalSize(w)
	return Style{Colour: width > 0 && env("NO_COLOR") == "" && env("TERM") != "dumb"}
}
