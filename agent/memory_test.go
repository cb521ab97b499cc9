package agent

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/inputs/forward"
)

func TestMemoryLimitFollowsTheBoundsAndTheContainer(t *testing.T) {
	cfg := &config.Config{
		Inputs: []config.Input{{Options: &forward.Options{Memory: 16 << 20}}},
		Outputs: []config.Output{
			{Buffer: config.Buffer{Type: "disk", MaxBytes: 1 << 30, Memory: 8 << 20}},
			{Buffer: config.Buffer{Type: "memory", MaxBytes: 32 << 20}},
		},
	}
	if got := memoryLimit(cfg, nil); got != ownMemory+56<<20 {
		t.Errorf("limit of %d MiB", got>>20)
	}
	file := filepath.Join(t.TempDir(), "memory.max")
	for text, want := range map[string]int64{"67108864\n": 48 << 20, "max\n": ownMemory + 56<<20, "9223372036854771712\n": ownMemory + 56<<20} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := memoryLimit(cfg, []string{"/nowhere", file}); got != want {
			t.Errorf("limit of %d MiB with %q, want %d", got>>20, text, want>>20)
		}
	}
}
