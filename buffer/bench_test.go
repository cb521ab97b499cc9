package buffer

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/firebreak/firebreak/record"
)

func cpuTime() int64 {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

// Append, Next and Deliver; one op is one chunk.
func BenchmarkWay(b *testing.B) {
	for _, kind := range []string{"disk", "memory"} {
		for _, events := range []int{200, 1} {
			for _, appenders := range []int{1, 4, 64} {
				b.Run(fmt.Sprintf("%s/events=%d/appenders=%d", kind, events, appenders), func(b *testing.B) {
					var q Buffer = OpenMemory(MemoryOptions{MaxBytes: 32 << 20, OnFull: Block})
					if kind == "disk" {
						var err error
						if q, err = OpenDisk(DiskOptions{Dir: b.TempDir(), MaxBytes: 1 << 30, OnFull: Block}); err != nil {
							b.Fatal(err)
						}
					}
					defer closeNow(b, q)
					c := chunkOf("app.container", 0, events)
					pad := chunkOf(fmt.Sprintf("%0275d", 0), 0, 1) // 300 bytes
					c.Data = bytes.Repeat(pad.Data, events)
					b.SetBytes(int64(len(c.Data)))
					b.ReportAllocs()
					b.ResetTimer()
					cpu := cpuTime()
					var left atomic.Int64
					left.Store(int64(b.N))
					var wg sync.WaitGroup
					for range appenders {
						wg.Go(func() {
							list := []record.Chunk{c}
							for left.Add(-1) >= 0 {
								if err := q.Append(context.Background(), list); err != nil {
									b.Error(err)
								}
							}
						})
					}
					for range b.N {
						l, err := q.Next(context.Background())
						if err != nil {
							b.Fatal(err)
						}
						l.Deliver()
					}
					wg.Wait()
					b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N)/float64(events), "cpu-ns/event")
				})
			}
		}
	}
}
