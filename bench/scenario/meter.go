package scenario

import (
	"fmt"
	"os"
	"time"

	"github.com/firebreak/firebreak/bench/proc"
)

// A meter tells what a process used, and what disturbed it, between its start and stop. What can't be read counts as 0.
type meter struct {
	pid      int
	begin    time.Time
	usage    proc.Usage
	own      proc.Usage
	machine  proc.Machine
	watching *proc.Watch
}

// A reading is what a meter showed.
type reading struct {
	took       time.Duration
	cpu        time.Duration
	system     time.Duration // of cpu
	own        time.Duration // CPU of load and sinks
	written    int64         // bytes to disk
	peak       proc.Usage
	others     float64 // cores that other processes of the machine used
	diskWaits  float64 // share of the time in which some task of the machine waited for a disk
	usageAfter proc.Usage
}

func startMeter(pid int) *meter {
	m := &meter{pid: pid, watching: proc.StartWatch(pid, 20*time.Millisecond)}
	m.usage, _ = proc.Read(pid)
	m.own, _ = proc.Read(os.Getpid())
	m.machine, _ = proc.ReadMachine()
	m.begin = time.Now()
	return m
}

// stop may be called once.
func (m *meter) stop() reading {
	took := time.Since(m.begin)
	after, _ := proc.Read(m.pid)
	own, _ := proc.Read(os.Getpid())
	machine, _ := proc.ReadMachine()
	r := reading{took: took, cpu: after.CPU() - m.usage.CPU(), system: after.System - m.usage.System, own: own.CPU() - m.own.CPU(),
		written: after.Written - m.usage.Written, peak: m.watching.Stop(), usageAfter: after}
	r.others = max(0, (machine.Busy-m.machine.Busy-r.cpu-r.own).Seconds()/took.Seconds())
	r.diskWaits = (machine.Wait - m.machine.Wait).Seconds() / took.Seconds()
	return r
}

// perCPU returns events per second of CPU.
func (r reading) perCPU(events uint64) float64 { return float64(events) / max(r.cpu.Seconds(), 0.01) }

func (r reading) disturbance() string {
	return fmt.Sprintf("meanwhile other processes used %.1f cores, and some task waited for a disk %.0f %% of the time", r.others, 100*r.diskWaits)
}
