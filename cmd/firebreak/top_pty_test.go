package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A pseudo terminal with what was written to it.
type pseudo struct {
	master, slave *os.File
	mu            sync.Mutex
	text          bytes.Buffer
}

func openPseudo(t *testing.T, width, height uint16) *pseudo {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Skip(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Skip(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	p := &pseudo{master: master, slave: slave}
	p.resize(t, width, height)
	go func() {
		var b [4096]byte
		for {
			n, err := master.Read(b[:])
			p.mu.Lock()
			p.text.Write(b[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { _ = slave.Close(); _ = master.Close() })
	return p
}

func (p *pseudo) resize(t *testing.T, width, height uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(p.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: height}); err != nil {
		t.Fatal(err)
	}
}

func (p *pseudo) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// run starts the command on the terminal, as a shell would.
func (p *pseudo) run(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Args[0] = "firebreak" // by which the test binary is the command
	cmd.Env = append(os.Environ(), "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.slave, p.slave, p.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}

// On a terminal top redraws in place, takes keys, notices another size, and leaves the terminal as it was.
func TestTopOnATerminal(t *testing.T) {
	r := startRouter(t, t.TempDir(), twoRoutes)
	p := openPseudo(t, 80, 24)
	before, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{"q", "\x03"} { // q, and Ctrl-C
		p.mu.Lock()
		p.text.Reset()
		p.mu.Unlock()
		cmd := p.run(t, "top", "--data-dir", r.dir)
		wait(t, func() bool { return strings.Contains(p.String(), "s sorts (by config)") })
		if _, err := p.master.WriteString("s\x1a"); err != nil { // Ctrl-Z does nothing
			t.Fatal(err)
		}
		wait(t, func() bool { return strings.Contains(p.String(), "s sorts (by rate)") })
		p.resize(t, 40, 6)
		wait(t, func() bool { return strings.Contains(p.String(), " more lines; ") })
		p.resize(t, 80, 24)
		if _, err := p.master.WriteString(end); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		wait(t, func() bool {
			_, left, ok := strings.Cut(p.String(), leaveScreen)
			return ok && strings.Contains(left, "DESTINATION")
		})
		if text := p.String(); !strings.HasPrefix(text, enterScreen) || strings.Contains(text, "^Z") || strings.Contains(text, "ss") {
			t.Errorf("%q", text)
		}
		after, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS)
		if err != nil || *after != *before {
			t.Errorf("the terminal is not as it was: %v, %+v, %+v", err, before, after)
		}
	}
}

// Lines of a tap are cut to the terminal, in colour, and hostile ones don't reach it.
func TestTapOnATerminal(t *testing.T) {
	r := startRouter(t, t.TempDir(), twoRoutes)
	p := openPseudo(t, 60, 24)
	cmd := p.run(t, "tap", "--data-dir", r.dir, "--count", "1")
	wait(t, func() bool {
		r.send("docker.web", `{"log":"\u001b]0;owned\u0007`+strings.Repeat("x", 200)+`"}`)
		return strings.Contains(p.String(), "that passed")
	})
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if text := p.String(); strings.Contains(text, "\x1b]") || !strings.Contains(text, `\x1b]0;owned\x07xx`) || !strings.Contains(text, "x…\r\n") || !strings.Contains(text, "\x1b[36mdocker.web\x1b[0m") {
		t.Errorf("%q", text)
	}
}
