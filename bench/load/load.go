// Package load generates Docker's log stream: the messages of the fluentd log driver, on several connections, at full
// speed or at a fixed rate, with or without acks, with a numbered and timed token at the end of each line.
package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firebreak/firebreak/bench/hist"
	"github.com/firebreak/firebreak/bench/line"
)

// Mode is a mode of the forward protocol.
type Mode string

// The modes that are generated.
const (
	Message Mode = "" // what Docker sends: one event per message
	Forward Mode = "forward"
	Packed  Mode = "packed"
)

// Config sets up a load. The zero value of a field means its default.
type Config struct {
	Addr  string // host:port, or unix:///path
	Conns int    // 4
	Kinds []Kind // all: access, audit, error
	Mixed bool   // each connection sends all kinds in turn; else one: conn i sends Kinds[i % len]

	Rate   float64 // events per second over all connections; 0: as fast as possible
	Events uint64  // over all connections, rounded up to whole batches; 0: until Stop
	Size   int     // bytes of one message on the wire, about 300
	Batch  int     // events of one write, or of one message in the Forward and Packed modes; 128

	Mode      Mode
	Ack       bool // ask for acks: what is not acked is sent again after a reconnect
	Window    int  // messages without an ack per connection; 256, or 8 in the Forward and Packed modes. Docker's is 1
	SubSecond bool // EventTime instead of int32 seconds

	Tag         func(conn int, k Kind) string // "docker.<kind>.<conn>"
	TypeKey     bool                          // one more record key "type" with the kind's name, such as a label
	FirstStream int                           // number of the first stream
	KeepTimes   bool                          // remember when what was written, for WrittenAt
	NoReconnect bool                          // a connection that fails ends
	Now         func() time.Time              // time.Now
}

func (c Config) withDefaults() (Config, error) {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&c.Conns, 4)
	def(&c.Size, 300)
	def(&c.Batch, 128)
	if c.Mode == Message {
		def(&c.Window, 256)
	} else {
		def(&c.Window, 8)
	}
	if len(c.Kinds) == 0 {
		c.Kinds = Kinds()
	}
	if c.Tag == nil {
		c.Tag = func(conn int, k Kind) string { return fmt.Sprintf("docker.%s.%04d", k, conn) }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Mode != Message && c.Mode != Forward && c.Mode != Packed {
		return c, fmt.Errorf("set up load: unknown mode %q", c.Mode)
	}
	per := 1
	if c.Mixed {
		per = len(c.Kinds)
	}
	if last := c.FirstStream + c.Conns*per - 1; last > line.MaxStream {
		return c, fmt.Errorf("set up load: stream %d, at most %d", last, line.MaxStream)
	}
	for _, k := range c.Kinds {
		if !k.known() {
			return c, fmt.Errorf("set up load: unknown kind %q", k)
		}
	}
	return c, nil
}

// A Load sends. Its methods may be called concurrently, also while it runs.
type Load struct {
	cfg   Config
	conns []*conn
	stop  chan struct{}
	once  sync.Once
}

// New checks the configuration and encodes the messages. Nothing is sent before Run.
func New(cfg Config) (*Load, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Load{cfg: cfg, stop: make(chan struct{})}
	for i := range cfg.Conns {
		l.conns = append(l.conns, newConn(l, i))
	}
	return l, nil
}

// Run sends until everything is sent (and acked, with Ack), Stop was called, or ctx ends. The end of ctx cuts off
// writes and ack waits in progress.
func (l *Load) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, c := range l.conns {
		wg.Go(func() { c.run(ctx) })
	}
	wg.Wait()
}

// Stop sends nothing new; Run returns when the writes in progress are done and, with Ack, acked.
func (l *Load) Stop() { l.once.Do(func() { close(l.stop) }) }

// A Stream is what was sent of one kind on one connection. Sent numbers are [0, Sent).
type Stream struct {
	Number int
	Kind   Kind
	Tag    string
	Sent   uint64       // completely written to the socket at least once
	Acked  []line.Range // what the other side has taken responsibility for
}

// AckedCount returns how many events were acked.
func (s Stream) AckedCount() (n uint64) {
	for _, r := range s.Acked {
		n += r.Len()
	}
	return n
}

// Streams returns the state of all streams.
func (l *Load) Streams() []Stream {
	var out []Stream
	for _, c := range l.conns {
		out = append(out, c.streams()...)
	}
	return out
}

// Sent returns how many different events were written completely.
func (l *Load) Sent() (n uint64) {
	for _, c := range l.conns {
		n += c.sent.Load() * uint64(c.block.perUnit)
	}
	return n
}

// SentOf returns how many different events of one kind were written completely.
func (l *Load) SentOf(k Kind) (n uint64) {
	for _, s := range l.Streams() {
		if s.Kind == k {
			n += s.Sent
		}
	}
	return n
}

// Acked returns how many events were acked.
func (l *Load) Acked() (n uint64) {
	for _, s := range l.Streams() {
		n += s.AckedCount()
	}
	return n
}

// Stats is what the senders felt.
type Stats struct {
	Sent       uint64
	Acked      uint64
	Resent     uint64 // events sent again after a reconnect
	BadAcks    uint64 // acks that nobody waited for
	Reconnects uint64
	DialErrors uint64
	Writes     hist.Hist // duration of each write to the socket: a long one is a blocked application
	AckTimes   hist.Hist // from writing a message to its ack
	Dials      hist.Hist // duration of each successful connect: the start of a container
	MaxStall   []time.Duration
	LastError  string
}

// Stats returns the sums over all connections; MaxStall is each one's longest write, the one in progress included.
func (l *Load) Stats() Stats {
	st := Stats{Sent: l.Sent(), Acked: l.Acked()}
	for _, c := range l.conns {
		c.mu.Lock()
		st.Resent += c.resent
		st.BadAcks += c.badAcks
		st.Reconnects += c.reconnects
		st.DialErrors += c.dialErrors
		st.Writes.Merge(&c.writes)
		st.AckTimes.Merge(&c.ackTimes)
		st.Dials.Merge(&c.dials)
		stall := c.maxStall
		if !c.writing.IsZero() {
			stall = max(stall, time.Since(c.writing))
		}
		st.MaxStall = append(st.MaxStall, stall)
		if c.lastError != "" {
			st.LastError = c.lastError
		}
		c.mu.Unlock()
	}
	return st
}

// Longest returns the longest write of all connections.
func (s Stats) Longest() (d time.Duration) {
	for _, m := range s.MaxStall {
		d = max(d, m)
	}
	return d
}

// ResetStalls forgets the longest writes, so that the next Stats tells those of a new phase.
func (l *Load) ResetStalls() {
	for _, c := range l.conns {
		c.mu.Lock()
		c.maxStall = 0
		if !c.writing.IsZero() {
			c.writing = time.Now()
		}
		c.mu.Unlock()
	}
}

// WrittenAt returns when the event was written to the socket for the first time; false without KeepTimes.
func (l *Load) WrittenAt(stream int, seq uint64) (time.Time, bool) {
	per := 1
	if l.cfg.Mixed {
		per = len(l.cfg.Kinds)
	}
	i := (stream - l.cfg.FirstStream) / per
	if i < 0 || i >= len(l.conns) {
		return time.Time{}, false
	}
	return l.conns[i].writtenAt((stream-l.cfg.FirstStream)%per, seq)
}

// counter is an atomic number of units.
type counter = atomic.Uint64
