package agent

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/inputs/forward"
)

const (
	// ownMemory is what the process needs beside its buffers: connections, batches under way, the heap's own waste.
	ownMemory = 24 << 20
	// cgroupShare is how much of the container's limit the heap may take: the kernel counts page cache and sockets, too.
	cgroupShare = 0.75
)

// cgroupLimits are where a container finds its limit, of cgroup v2 and v1.
func cgroupLimits() []string {
	return []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}
}

// LimitMemory sets the garbage collector for a small process whose memory is mostly reused blocks: it collects more
// often than the default, and harder when the heap grows towards what the configuration's bounds add up to, or the
// container has. Variables GOGC and GOMEMLIMIT win.
func LimitMemory(cfg *config.Config) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit(cfg, cgroupLimits()))
	}
}

func memoryLimit(cfg *config.Config, limits []string) int64 {
	sum := int64(ownMemory)
	for _, in := range cfg.Inputs {
		if o, ok := in.Options.(*forward.Options); ok {
			sum += int64(o.Memory)
		}
	}
	for _, o := range cfg.Outputs {
		if o.Buffer.Type == "memory" {
			sum += int64(o.Buffer.MaxBytes)
		} else {
			sum += int64(o.Buffer.Memory)
		}
	}
	for _, name := range limits {
		if n, ok := readLimit(name); ok {
			sum = min(sum, int64(cgroupShare*float64(n)))
		}
	}
	return sum
}

// readLimit returns the number in a file, or false when it has none ("max").
func readLimit(name string) (int64, bool) {
	b, err := os.ReadFile(name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return n, err == nil && n > 0 && n < math.MaxInt64/2
}
