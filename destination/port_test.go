package destination

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/firebreak/firebreak/outputs"
)

// A port is an output that delivers to a fake which other ports may share, and watches over its own end.
type port struct {
	*fake
	own   outputs.Shape
	delay func() time.Duration // of each request, unless ctx ends first

	mu     sync.Mutex
	flying int
	sent   int
	closes int
	wrong  string
}

func (p *port) Shape() outputs.Shape { return p.own }

func (p *port) Send(ctx context.Context, b outputs.Batch) outputs.Result {
	p.mu.Lock()
	p.flying++
	p.sent++
	if p.closes > 0 {
		p.wrong = "a request after Close"
	}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.flying--
		p.mu.Unlock()
	}()
	if p.delay != nil {
		select {
		case <-time.After(p.delay()):
		case <-ctx.Done():
			return outputs.Result{Err: ctx.Err()}
		}
	}
	return p.fake.Send(ctx, b)
}

func (p *port) Close(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closes++; p.flying > 0 {
		p.wrong = fmt.Sprintf("closed with %d requests under way", p.flying)
	}
	return nil
}

// check reports what is wrong with the end of a port.
func (p *port) check(t testing.TB, closes int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closes != closes || p.wrong != "" {
		t.Errorf("closed %d times, want %d; %s", p.closes, closes, p.wrong)
	}
}

func newPort(f *fake) *port { return &port{fake: f, own: f.shape} }
