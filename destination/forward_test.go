package destination

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/internal/mp"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/outputs/forward"
	"github.com/firebreak/firebreak/record"
)

// A resetter is a forward server that resets every connection somewhere in the stream until it is healed, having
// acknowledged some messages or none.
type resetter struct {
	t  *testing.T
	ln net.Listener
	wg sync.WaitGroup

	mu     sync.Mutex
	rnd    *rand.Rand
	healed bool
	resets int
	seen   map[string]bool
	took   []string
}

func newResetter(t *testing.T) *resetter {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &resetter{t: t, ln: ln, rnd: rand.New(rand.NewPCG(1, 2)), seen: map[string]bool{}}
	s.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() { ln.Close(); s.wg.Wait() })
	return s
}

func (s *resetter) serve(c net.Conn) {
	defer c.Close()
	var buf []byte
	part := make([]byte, 4<<10)
	left := -1 // bytes until the reset
	s.mu.Lock()
	if !s.healed {
		left = s.rnd.IntN(20_000)
	}
	s.mu.Unlock()
	for {
		n, err := c.Read(part)
		if err != nil {
			return
		}
		if left >= 0 {
			if left -= n; left < 0 {
				s.mu.Lock()
				s.resets++
				s.mu.Unlock()
				_ = c.(*net.TCPConn).SetLinger(0)
				return
			}
		}
		buf = append(buf, part[:n]...)
		for {
			size, err := mp.Skip(buf)
			if err != nil {
				break
			}
			if _, err := c.Write(s.take(buf[:size])); err != nil {
				return
			}
			buf = buf[size:]
		}
	}
}

// take notes the events of a message [tag, entries, {"size": n, "chunk": id}] and returns the acknowledgement.
func (s *resetter) take(msg []byte) []byte {
	_, i, _ := mp.ArrayHeader(msg)
	tag, n, _ := mp.Bytes(msg[i:])
	i += n
	data, n, _ := mp.Bytes(msg[i:])
	i += n
	pairs, n, _ := mp.MapHeader(msg[i:])
	i += n
	var id []byte
	for range pairs {
		key, n, _ := mp.Bytes(msg[i:])
		i += n
		if string(key) == "chunk" {
			id, _, _ = mp.Bytes(msg[i:])
		}
		n, _ = mp.Skip(msg[i:])
		i += n
	}
	c := record.Chunk{Tag: string(tag), Data: data}
	s.mu.Lock()
	defer s.mu.Unlock()
	for it := record.Iterate(&c); it.Next(); {
		if e := textOf(it.Event()); !s.seen[e] {
			s.seen[e] = true
			s.took = append(s.took, e)
		}
	}
	return mp.AppendStr(mp.AppendStr(mp.AppendMap(nil, 1), "ack"), string(id))
}

func TestForwardToAServerThatResets(t *testing.T) {
	for _, workers := range []int{1, 4} {
		t.Run(fmt.Sprint("workers ", workers), func(t *testing.T) {
			s := newResetter(t)
			o := &forward.Options{
				Servers: []forward.Server{{Address: s.ln.Addr().String()}}, Ack: true, Compress: "none", SelfHostname: "me",
				AckTimeout: 5 * time.Second, ConnectTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, IdleTimeout: time.Minute,
			}
			out, err := o.Open(outputs.Env{Name: "d", Log: zap.NewNop()})
			if err != nil {
				t.Fatal(err)
			}
			r := start(t, newFake(nil), func(o *Options) {
				o.Output, o.Workers = out, workers
				o.Retry = Retry{Initial: 2 * time.Millisecond, Max: 20 * time.Millisecond, Timeout: 10 * time.Second}
			})
			const tags, each = 5, 400
			for i := range each {
				for tag := range tags {
					r.append(text(fmt.Sprint("t", tag), i*10, 10))
				}
				time.Sleep(time.Millisecond)
			}
			s.mu.Lock()
			s.healed = true
			resets := s.resets
			s.mu.Unlock()
			r.await(20 * time.Second)
			r.close()
			if resets < 10 {
				t.Errorf("only %d resets", resets)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.took) != tags*each*10 || ordered(s.took) != "" || len(r.dead.all()) > 0 {
				t.Errorf("server took %d of %d events, %d dead letters: %s", len(s.took), tags*each*10, len(r.dead.all()), ordered(s.took))
			}
			if st := r.d.Stats(); st.Breaker != "closed" || st.Error != "" {
				t.Errorf("%+v", st)
			}
		})
	}
}
