package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/buffer"
)

func (a *Agent) bufferDir(name string) string { return filepath.Join(a.buffers(), name) }
func (a *Agent) deadDir(name string) string   { return filepath.Join(a.deads(), name) }

func replayCommand(name string) string {
	return fmt.Sprintf("firebreak buffer replay %s --to OUTPUT", name)
}

// noteOrphans looks for what is left in data_dir of destinations that are not configured any more: nobody delivers it.
// It may wait for the disk.
func (a *Agent) noteOrphans() {
	known := map[string]string{}
	for _, d := range a.now.Load().dests {
		known[d.Name()] = d.cfg.Buffer.Type
	}
	list := FindOrphans(a.dataDir, known)
	a.mu.Lock()
	before := a.orphans
	a.orphans = list
	a.mu.Unlock()
	for _, o := range list {
		if !slices.ContainsFunc(before, func(b Orphan) bool { return b.Name == o.Name }) {
			a.log.Warn("data_dir has events of an output that is not configured any more", zap.String("orphan", o.Name), zap.Int64("buffer_bytes", o.Bytes),
				zap.Int64("dead_letter_bytes", o.DeadBytes), zap.String("deliver_with", o.Command))
		}
	}
}

// FindOrphans lists what is in a data directory of destinations that are not in known, which holds the types of their
// buffers by name.
func FindOrphans(dataDir string, known map[string]string) []Orphan {
	found := map[string]*Orphan{}
	look := func(kind string, see func(o *Orphan, size int64)) {
		list, _ := os.ReadDir(filepath.Join(dataDir, kind))
		for _, e := range list {
			typ, configured := known[e.Name()]
			if !e.IsDir() || configured && (kind == "dead" || typ == "disk") {
				continue
			}
			dir := filepath.Join(dataDir, kind, e.Name())
			size := sizeOf(dir)
			if size == 0 || !waits(dir, kind == "dead") {
				continue
			}
			o := found[e.Name()]
			if o == nil {
				o = &Orphan{Name: e.Name(), Command: replayCommand(e.Name())}
				found[e.Name()] = o
			}
			see(o, size)
		}
	}
	look("buffers", func(o *Orphan, size int64) { o.Bytes = size })
	look("dead", func(o *Orphan, size int64) { o.DeadBytes = size })
	var out []Orphan
	for _, o := range found {
		out = append(out, *o)
	}
	slices.SortFunc(out, func(a, b Orphan) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// waits reports whether a directory holds an event that nobody has dealt with. What can't be read counts as one.
func waits(dir string, dead bool) bool {
	var err error
	if dead {
		err = buffer.WalkDead(dir, nil, func(buffer.DeadLetter) error { return errEnough })
	} else {
		err = buffer.Walk(dir, nil, buffer.Filter{}, func(buffer.Stored) error { return errEnough })
	}
	return err != nil
}

// sizeOf returns the size of the segments in a directory.
func sizeOf(dir string) int64 {
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		return 0
	}
	total := int64(0)
	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			total += info.Size()
		}
	}
	return total
}
