package agent

import (
	"os"
	"runtime/debug"

	"github.com/firebreak/firebreak/config"
)

// LimitMemory sets the garbage collector for a small process whose memory is mostly reused blocks: it collects more
// often than the default, and harder before it grows towards what the buffers' shares add up to. Variables GOGC and
// GOMEMLIMIT win.
func LimitMemory(cfg *config.Config) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(48 << 20)
	}
}
