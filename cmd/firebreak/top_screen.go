package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/firebreak/firebreak/internal/table"
)

// Escapes of xterm and ECMA-48 that every terminal of today knows.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // another screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	goHome      = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// A topScreen redraws a terminal in place, on a screen of its own; the last page stays when it ends.
type topScreen struct {
	out     io.Writer
	style   table.Style
	size    func() (width, height int)
	entered bool
	last    topState
}

// newTopScreen returns nil when out is no terminal that can be redrawn.
func newTopScreen(out io.Writer, env func(string) string) *topScreen {
	if width, _ := table.TerminalSize(out); width == 0 || env("TERM") == "dumb" || env("TERM") == "" {
		return nil
	}
	return &topScreen{out: out, style: table.StyleFor(out, env), size: func() (int, int) { return table.TerminalSize(out) }}
}

func (s *topScreen) show(st topState) error {
	s.last = st
	width, height := s.size()
	lines := s.page(st, width)
	foot := fmt.Sprintf("q ends, s sorts (by %s), every %v", st.sort, st.every)
	if room := max(height-2, 1); len(lines) > room {
		foot = fmt.Sprintf("%d more lines; ", len(lines)-room) + foot
		lines = lines[:room]
	}
	var b bytes.Buffer
	if !s.entered {
		b.WriteString(enterScreen)
		s.entered = true
	}
	b.WriteString(goHome)
	for _, line := range lines {
		b.WriteString(line + clearLine + "\r\n")
	}
	b.WriteString(clearLine + "\r\n" + s.style.Paint(table.Dim, table.Clip(foot, width)) + clearLine + clearBelow)
	_, err := s.out.Write(b.Bytes())
	return err
}

func (s *topScreen) page(st topState, width int) []string {
	p := topPage{style: s.style, width: width}
	return p.lines(st)
}

// close returns to the screen that was there and leaves the last page on it.
func (s *topScreen) close() error {
	if !s.entered {
		return nil
	}
	s.entered = false
	var b bytes.Buffer
	b.WriteString(leaveScreen)
	width, _ := s.size()
	for _, line := range s.page(s.last, width) {
		b.WriteString(line + "\r\n")
	}
	_, err := s.out.Write(b.Bytes())
	return err
}

// resizes tells when the terminal has another size.
func resizes() (<-chan struct{}, func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGWINCH)
	out, end := make(chan struct{}, 1), make(chan struct{})
	go func() {
		for {
			select {
			case <-end:
				return
			case <-signals:
			}
			select {
			case out <- struct{}{}:
			default: // one is waiting
			}
		}
	}()
	return out, func() { signal.Stop(signals); close(end) }
}

// readKeys gives what is typed, key by key and without showing it; q calls end at once. Without a terminal nothing is
// typed. Ctrl-C stays a signal; Ctrl-Z does nothing, since a shell could not show its prompt on this screen.
func readKeys(in *os.File, end func()) (keys <-chan byte, restore func()) {
	fd := int(in.Fd())
	was, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, func() {}
	}
	mode := *was
	mode.Lflag &^= unix.ICANON | unix.ECHO
	mode.Cc[unix.VMIN], mode.Cc[unix.VTIME], mode.Cc[unix.VSUSP] = 1, 0, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &mode); err != nil {
		return nil, func() {}
	}
	out := make(chan byte, 1)
	go func() { // ends with the process: nothing wakes who reads a terminal
		var b [1]byte
		for {
			if n, err := in.Read(b[:]); err != nil || n == 0 {
				return
			}
			switch b[0] {
			case 'q', 'Q':
				end()
			default:
				select {
				case out <- b[0]:
				default: // the last one is not seen yet
				}
			}
		}
	}()
	return out, func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, was) }
}
