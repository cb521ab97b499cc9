package forward

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAckFollowsAccept(t *testing.T) {
	s := newSink()
	s.gate = make(chan struct{})
	srv := start(t, testOptions(), Env{}, s)
	c := srv.dial(t)
	write(t, c, docker("app", "one", chunkOpt("bmV3bGluZQ==\n")))
	close(s.gate)
	expect(t, c, ackOf("bmV3bGluZQ==\n"))
	if got := s.waitFor(t, 1); len(got) != 1 {
		t.Errorf("events: %q", got)
	}
}
