package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/inputs/forward"
	"github.com/firebreak/firebreak/record"
)

// An aggregator is a server of the forward protocol, with acks, on a port of its own. It counts what it takes.
type aggregator struct {
	kind  string
	tally *tally
	drop  func(container string, n uint64) bool // takes a line and loses it; nil: none. Tests want to see it found.

	addr  string
	alive *atomic.Bool
	in    *forward.Input
	ended chan struct{}
}

// startAggregator starts one on a free port.
func startAggregator(kind string, drop func(string, uint64) bool) (*aggregator, error) {
	a := &aggregator{kind: kind, tally: newTally(), drop: drop, addr: "127.0.0.1:0"}
	return a, a.start()
}

// start listens, after a kill on the same address as before.
func (a *aggregator) start() error {
	in, err := forward.New(&forward.Options{
		Listen: []string{"tcp://" + a.addr}, MaxMessage: 64 << 20, MaxDecompressed: 256 << 20, MaxConnections: 1000,
		Memory: 16 << 20, JoinTimeout: 5 * time.Second, JoinMaxBytes: 1 << 20, UnixMode: "0660",
	}, forward.Env{Name: a.kind, Shutdown: config.Shutdown{}})
	if err != nil {
		return fmt.Errorf("start aggregator %q: %w", a.kind, err)
	}
	if err := in.Listen(); err != nil {
		return fmt.Errorf("start aggregator %q: %w", a.kind, err)
	}
	alive, ended := new(atomic.Bool), make(chan struct{})
	alive.Store(true)
	a.addr, a.alive, a.in, a.ended = in.Addrs()[0].String(), alive, in, ended
	go func() {
		defer close(ended)
		_ = in.Run(context.Background(), func(_ context.Context, chunks []record.Chunk) error {
			if !alive.Load() {
				return errors.New("the aggregator is dead") // it closes the connection and acknowledges nothing
			}
			a.take(chunks)
			return nil
		})
	}()
	return nil
}

// restart is start, with some patience with who took the port meanwhile.
func (a *aggregator) restart(ctx context.Context) error {
	for tries := 0; ; tries++ {
		err := a.start()
		if err == nil || tries == 50 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// kill ends it as a crash does: its port refuses, its connections break, what is on the way isn't acknowledged.
func (a *aggregator) kill() {
	a.alive.Store(false)
	a.in.Stop()
	<-a.ended
}

// dial connects to it without a router in between, as Docker's log driver would.
func (a *aggregator) dial() error {
	conn, err := net.DialTimeout("tcp", a.addr, time.Second)
	if err == nil {
		_ = conn.Close()
	}
	return err
}

var (
	containerPath = record.ParsePath("container_name")
	linePath      = record.ParsePath("log")
)

func (a *aggregator) take(chunks []record.Chunk) {
	now := time.Now()
	a.tally.arrive(now)
	for i := range chunks {
		it := record.Iterate(&chunks[i])
		for it.Next() {
			name, _ := record.Text(containerPath.Lookup(it.Event().Record))
			text, _ := record.Text(linePath.Lookup(it.Event().Record))
			kind, n := parseLine(text)
			switch {
			case kind != a.kind:
				a.tally.addStrange()
			case a.drop == nil || !a.drop(string(name), n):
				a.tally.add(name, n, now)
			}
		}
	}
}
