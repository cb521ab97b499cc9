package forward

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firebreak/firebreak/config"
)

// Whatever changes, connections stay open, nothing is lost, and the order within each is kept.
func TestHundredChangesUnderLoad(t *testing.T) {
	dir, port := t.TempDir(), freePort(t)
	kept, other := filepath.Join(dir, "kept"), filepath.Join(dir, "other")
	addr := freePort(t)
	opts := testOptions()
	opts.Listen = []string{"tcp://" + addr, "unix://" + kept}
	s := newSink()
	srv := start(t, opts, Env{}, s)

	var sent atomic.Int64
	var clients sync.WaitGroup
	stop := make(chan struct{})
	going := func() bool {
		select {
		case <-stop:
			return false
		default:
			return true
		}
	}
	count := map[string]*int{} // events by tag
	client := func(tag string, run func(n *int)) {
		n := new(int)
		count[tag] = n
		clients.Go(func() {
			run(n)
			sent.Add(int64(*n))
		})
	}
	lasting := func(tag, network, addr string, ack bool) {
		c := dialAt(t, network, addr)
		client(tag, func(n *int) {
			for going() {
				option := kv()
				if ack {
					option = chunkOpt(fmt.Sprint(*n))
				}
				if _, err := c.Write(docker(tag, fmt.Sprint(*n), option)); err != nil {
					t.Errorf("%s: %v", tag, err)
					return
				}
				if ack {
					want := ackOf(fmt.Sprint(*n))
					got := make([]byte, len(want))
					if _, err := readFull(c, got); err != nil || string(got) != string(want) {
						t.Errorf("%s: read %q, %v", tag, got, err)
						return
					}
				}
				if *n++; *n%100 == 0 {
					time.Sleep(time.Millisecond) // leave some of the machine to the others
				}
			}
			c.(interface{ CloseWrite() error }).CloseWrite()
			expectEnd(t, c)
		})
	}
	for _, at := range [][2]string{{"tcp", addr}, {"unix", kept}} {
		lasting(at[0]+"-ack", at[0], at[1], true)
		lasting(at[0]+"-plain", at[0], at[1], false)
		client(at[0]+"-short", func(n *int) { // a connection for each event
			for ; going(); *n++ {
				c, err := net.Dial(at[0], at[1])
				if err != nil {
					t.Errorf("connect: %v", err)
					return
				}
				c.SetDeadline(time.Now().Add(10 * time.Second))
				id := fmt.Sprint(*n)
				c.Write(docker(at[0]+"-short", id, chunkOpt(id)))
				want := ackOf(id)
				got := make([]byte, len(want))
				if _, err := readFull(c, got); err != nil || string(got) != string(want) {
					t.Errorf("short: read %q, %v", got, err)
				}
				c.Close()
			}
		})
	}
	for i := range 100 {
		next := opts
		next.Memory = config.Size(1+i%3) << 20
		next.JoinTimeout = time.Duration(1+i%5) * time.Second
		next.MaxConnections = 5000 + i
		next.UnixMode = []string{"0600", "0660"}[i%2]
		if i%2 == 0 {
			next.Listen = []string{"unix://" + other, "unix://" + kept, "tcp://" + port, "tcp://" + addr}
		}
		c := prepare(t, srv.Input, next)
		if i%7 == 3 {
			c.Abort()
			continue
		}
		c.Commit()
		received := srv.Stats().Received
		wait(t, "more load", func() bool { return srv.Stats().Received > received+200 })
		if i%10 == 0 { // these outlive their listeners
			lasting(fmt.Sprintf("port-%d", i), "tcp", port, true)
			lasting(fmt.Sprintf("other-%d", i), "unix", other, false)
		}
	}
	if _, err := os.Lstat(other); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a path that is gone: %v", err)
	}
	close(stop)
	clients.Wait()
	wait(t, "all events", func() bool { return srv.Stats().Received == uint64(sent.Load()) })
	if st := srv.Stats(); len(st.Errors) > 0 || st.Refused > 0 || len(st.Invalid) > 0 || st.Connections > 0 && st.Buffer > 0 {
		t.Errorf("%+v", st)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for tag, n := range count {
		if *n == 0 || len(s.tags[tag]) != *n {
			t.Errorf("%s: sent %d, got %d", tag, *n, len(s.tags[tag]))
			continue
		}
		for i, e := range s.tags[tag] {
			if !strings.HasSuffix(e, fmt.Sprintf("log=%d", i)) {
				t.Errorf("%s: event %d is %s", tag, i, e)
				break
			}
		}
	}
	t.Logf("%d events, %d connections", sent.Load(), srv.Stats().ConnectionsTotal)
}
