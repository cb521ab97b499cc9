package scenario

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/router"
	"github.com/firebreak/firebreak/bench/sink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPrintShowsRowsAndProblems(t *testing.T) {
	r := &Report{Scenario: "speed"}
	add(r, "disk", "events", uint64(1234567), "1/s")
	add(r, "disk", "share", 0.126, "share")
	r.must(true, "not shown")
	r.must(false, "%d lost", 3)
	var b strings.Builder
	if err := Print(&b, []*Report{r, {Scenario: "kill"}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1,234,567", "0.13", "PROBLEM speed: 3 lost", "ok kill"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}

func TestGroup(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", 12.345: "12.35", 1234.5: "1,234", 0.5: "0.50"} {
		if got := group(v); got != want {
			t.Errorf("group(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestAnUnknownScenarioIsAnError(t *testing.T) {
	if _, err := Run(t.Context(), "other", &Env{}); err == nil || !strings.Contains(err.Error(), "isolation") {
		t.Errorf("%v, want the names that there are", err)
	}
}

func TestPumpPassesEverythingOn(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := sink.Start(sink.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	addr, err := router.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	pumping, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- Pump(pumping, addr, s.Addr(), filepath.Join(t.TempDir(), "f")) }()
	if err := connectable(ctx, addr); err != nil {
		t.Fatal(err)
	}
	l, err := load.New(load.Config{Addr: addr, Events: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	l.Run(ctx)
	r := &Report{}
	if err := s.WaitEvents(ctx, l.Sent()); err != nil {
		t.Error(err)
	}
	if lost := r.arrivals("pump", s, l.Streams(), allSent); lost != nil || r.Problems != nil {
		t.Errorf("lost %v, %q", lost, r.Problems)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
