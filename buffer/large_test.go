package buffer

import (
	"context"
	"testing"
	"time"

	"github.com/firebreak/firebreak/record"
)

// One call may bring more than the memory share, or than a buffer that blocks has room for: its first chunks make
// room for its last ones.
func TestOneAppendLargerThanTheRoom(t *testing.T) {
	var chunks []record.Chunk
	events := 0
	for i := range 24 {
		chunks = append(chunks, chunkOf("a", i*20000, 20000)) // about 600 KB each
		events += 20000
	}
	disk := func(o DiskOptions) func(t *testing.T) Buffer {
		return func(t *testing.T) Buffer {
			o.Dir, o.Name = t.TempDir(), "d"
			b, err := OpenDisk(o)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	for name, open := range map[string]func(t *testing.T) Buffer{
		"disk":          disk(DiskOptions{MaxBytes: 1 << 30, Memory: 2 << 20}),
		"disk, block":   disk(DiskOptions{MaxBytes: 6 << 20, Memory: 2 << 20, OnFull: Block}),
		"memory, block": func(*testing.T) Buffer { return OpenMemory(MemoryOptions{MaxBytes: 4 << 20, OnFull: Block}) },
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t)
			defer closeNow(t, b)
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			got := make(chan int)
			go func() {
				n := 0
				for n < events {
					l, err := b.Next(ctx)
					if err != nil {
						break
					}
					n += l.Chunk.Events
					l.Deliver()
				}
				got <- n
			}()
			if err := b.Append(ctx, chunks); err != nil {
				t.Error(err)
			}
			if n := <-got; n != events {
				t.Errorf("%d of %d events came through: %+v", n, events, b.Stats())
			}
		})
	}
}
