package forward

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

func TestProbeAsksForAnAcknowledgementWithoutEvents(t *testing.T) {
	p := newPeer(t)
	o := open(t, options(p.addr))
	if err := o.Probe(deadline(t, 5*time.Second), "a", 5000); err != nil {
		t.Fatal(err)
	}
	got := p.messages()
	if len(got) != 1 || got[0].tag != "a" || len(got[0].data) != 0 || got[0].size != 0 || len(got[0].id) != idSize {
		t.Errorf("probe: %+v", got)
	}
}

func TestProbeFailsOnAServerThatHangsUp(t *testing.T) {
	p := newPeer(t, func(p *peer) {
		p.answer = func(net.Conn, received) error { return errors.New("no") }
	})
	o := open(t, options(p.addr))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := o.Probe(ctx, "a", 100); err == nil {
		t.Error("a server that never answers passed the probe")
	}
}
