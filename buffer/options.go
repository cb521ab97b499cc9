package buffer

import (
	"time"

	"go.uber.org/zap"
)

// OnFull says what happens at a buffer's bound.
type OnFull uint8

// The policies.
const (
	ShedOldest OnFull = iota // whole oldest segments
	ShedNewest               // what comes in
	Block                    // Append waits for room
)

// Sync says when written data is forced to the disk.
type Sync uint8

// The modes.
const (
	SyncInterval Sync = iota // each second
	SyncAlways               // before Append returns
	SyncNever                // when the system does
)

const (
	maxSegment   = 16 << 20
	tailBytes    = 2 << 20          // of written frames kept in memory for a reader that keeps up
	hangAfter    = 2 * time.Second  // a write that takes longer is a disk in trouble
	retryAfter   = 10 * time.Second // a disk in trouble is tried again
	syncInterval = time.Second
	readSize     = 256 << 10
	readTries    = 10          // then what can't be read is skipped
	readAgain    = time.Second // between them
	badSector    = 4 << 10     // is skipped
)

// DiskOptions describe a buffer on disk.
type DiskOptions struct {
	Dir      string  // made if it doesn't exist
	Name     string  // for messages
	MaxBytes int64   // bound of the directory, 1 GiB if 0
	Memory   int64   // share of memory, 8 MiB if 0
	MinFree  float64 // share of the volume to leave free, 0 to 1
	OnFull   OnFull
	Sync     Sync
	MaxAge   time.Duration // by arrival; 0: no bound
	Spills   bool          // see [Policy]
	FS       FS            // nil: the real one
	Log      *zap.Logger   // nil: none
}

// MemoryOptions describe a buffer in memory.
type MemoryOptions struct {
	Name     string
	MaxBytes int64 // 32 MiB if 0
	OnFull   OnFull
	MaxAge   time.Duration
	Spills   bool // see [Policy]
	Log      *zap.Logger
}

// OpenDisk returns a buffer over the directory. It doesn't wait for the disk: the directory is opened in the
// background, and one that can't be opened leaves the buffer in memory, which Stats says, until it can.
func OpenDisk(o DiskOptions) (Buffer, error) {
	if o.FS == nil {
		o.FS = OS()
	}
	p := Policy{MaxBytes: o.MaxBytes, Memory: o.Memory, MaxAge: o.MaxAge, MinFree: o.MinFree, OnFull: o.OnFull, Sync: o.Sync, Spills: o.Spills}
	q := newQueue(o.Name, p.resolve(true), o.Log)
	q.disk = newDisk(q, o)
	go q.disk.run()
	go q.disk.tidy()
	return q, nil
}

// OpenMemory returns a buffer in memory.
func OpenMemory(o MemoryOptions) Buffer {
	p := Policy{MaxBytes: o.MaxBytes, MaxAge: o.MaxAge, OnFull: o.OnFull, Spills: o.Spills}
	return newQueue(o.Name, p.resolve(false), o.Log)
}
