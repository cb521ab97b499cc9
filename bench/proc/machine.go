package proc

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Machine is what the whole machine has done since it started: whether a measurement was disturbed.
type Machine struct {
	Busy time.Duration // CPU time of all processes, without interrupts
	Wait time.Duration // time in which at least one task waited for a disk; 0 where the kernel doesn't tell (PSI)
}

// ReadMachine reads /proc/stat and /proc/pressure/io.
func ReadMachine() (Machine, error) {
	var m Machine
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return m, fmt.Errorf("read the machine's usage: %w", err)
	}
	first, _, _ := strings.Cut(string(b), "\n")
	f := strings.Fields(first) // cpu user nice system idle …
	if len(f) < 5 || f[0] != "cpu" {
		return m, fmt.Errorf("read the machine's usage: /proc/stat has another form: %q", first)
	}
	for _, s := range f[1:4] {
		n, _ := strconv.ParseInt(s, 10, 64)
		m.Busy += time.Duration(n) * (time.Second / userHZ)
	}
	if b, err := os.ReadFile("/proc/pressure/io"); err == nil {
		some, _, _ := strings.Cut(string(b), "\n")
		if _, total, ok := strings.Cut(some, "total="); ok {
			us, _ := strconv.ParseInt(total, 10, 64)
			m.Wait = time.Duration(us) * time.Microsecond
		}
	}
	return m, nil
}
