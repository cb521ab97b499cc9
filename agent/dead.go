package agent

import (
	"errors"
	"io/fs"
	"os"

	"github.com/firebreak/firebreak/buffer"
)

// deadLetters are the dead letters of one destination.
type deadLetters struct {
	*buffer.Dead
	dir string
}

var errEnough = errors.New("enough")

// load counts what earlier runs have left. It waits for the disk.
func (d *deadLetters) load() {
	if _, err := os.Stat(d.dir); errors.Is(err, fs.ErrNotExist) {
		return // made with the first dead letter
	}
	_ = d.Read(func(buffer.DeadLetter) error { return errEnough })
}
