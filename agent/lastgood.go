package agent

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// lastGood is the file in data_dir that holds the text of the last configuration that ran, unexpanded: it holds no
// secret that the configuration itself doesn't.
const lastGood = "last-config.yaml"

// KeepConfig stores the text of a configuration that runs, so that a bad file at a later start doesn't stop the logs.
func KeepConfig(dataDir string, src []byte) error {
	name := filepath.Join(dataDir, lastGood)
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, src) {
		return nil
	}
	if err := os.MkdirAll(dataDir, 0o750); err != nil {
		return err
	}
	f, err := os.CreateTemp(dataDir, lastGood+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(src)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// sources is the text of the configuration that runs, on its way to the disk.
type sources struct {
	newest  atomic.Pointer[[]byte]
	writing sync.Mutex
}

// set gives the text; nil: it isn't kept.
func (s *sources) set(src []byte) {
	if src != nil {
		s.newest.Store(&src)
	}
}

// keep stores the newest text. Several may do so at the same time: the newest stays.
func (s *sources) keep(dataDir string) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	src := s.newest.Load()
	if src == nil {
		return nil
	}
	return KeepConfig(dataDir, *src)
}

// LastConfig returns the text of the last configuration that ran on a data directory, and its file.
func LastConfig(dataDir string) (src []byte, name string, err error) {
	name = filepath.Join(dataDir, lastGood)
	src, err = os.ReadFile(name)
	return src, name, err
}
