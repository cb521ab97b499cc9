package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

// settleTime is how long a check waits for what a server says after a connection was made: one that asks for a
// handshake greets, one that refuses a client certificate says so only then.
const settleTime = 300 * time.Millisecond

// Explain implements outputs.Explainer: the server that a tag goes to now.
func (o *output) Explain(e record.Event) []outputs.Rendered {
	i := o.choose(e.Chunk.Tag, make([]bool, len(o.servers)), false)
	if i < 0 {
		return nil
	}
	return []outputs.Rendered{{Option: "servers", Value: o.servers[i].address.String()}}
}

// Check implements outputs.Checker. It looks at all servers at the same time, and leaves alone what Sends know of them.
func (o *output) Check(ctx context.Context) []outputs.Finding {
	found := make([]outputs.Finding, len(o.servers))
	var wg sync.WaitGroup
	for i, s := range o.servers {
		wg.Go(func() {
			found[i].Target = s.address.String()
			note, err := o.try(ctx, s)
			if err != nil {
				e := explain(err)
				found[i].Err = &e
				return
			}
			found[i].Note = note
		})
	}
	wg.Wait()
	return found
}

// try connects to a server as a Send does, and says what it saw.
func (o *output) try(ctx context.Context, s *server) (string, error) {
	began := time.Now()
	c, err := o.dial(ctx, s)
	if err != nil {
		return "", err
	}
	took := time.Since(began)
	defer c.leave()
	settled := time.NewTimer(settleTime + took)
	defer settled.Stop()
	select {
	case <-c.ended:
		c.mu.Lock()
		err = c.err
		c.mu.Unlock()
		if hungUp(err) {
			err = &outputs.Error{Err: fmt.Errorf("server closes the connection at once: %w", err), Hint: "check that a forward server listens there, and its log"}
		}
		return "", err
	case <-settled.C:
	case <-ctx.Done():
		return "", errors.New("not enough time to see what the server says")
	}
	return c.describe(took), nil
}

// describe says what a connection is like.
func (c *conn) describe(took time.Duration) string {
	var seen []string
	if at := c.raw.RemoteAddr(); at != nil && c.server.address.network == "tcp" && at.String() != c.server.address.text {
		seen = append(seen, at.String())
	}
	if t, ok := c.net.(*tls.Conn); ok {
		seen = append(seen, strings.ToLower(tls.VersionName(t.ConnectionState().Version)))
	} else {
		seen = append(seen, "connected")
	}
	if o := c.server.o; o.opts.SharedKey != "" || o.opts.Username != "" {
		seen = append(seen, "authenticated")
	}
	return strings.Join(append(seen, fmt.Sprintf("%d ms", took.Milliseconds())), ", ")
}
