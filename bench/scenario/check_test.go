package scenario

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/firebreak/firebreak/bench/line"
	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/sink"
)

func TestWhatIsInOneOfTwoPlacesIsNotMissing(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var places []*sink.Sink
	for _, n := range []uint64{10, 30} { // the same stream, less and more of it
		s, err := sink.Start(sink.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		l, err := load.New(load.Config{Addr: s.Addr(), Conns: 1, Events: n, Ack: true})
		if err != nil {
			t.Fatal(err)
		}
		l.Run(ctx)
		places = append(places, s)
	}
	streams := []load.Stream{{Sent: 32}, {Number: 1, Sent: 2}}
	want := []Lost{{0, line.Range{From: 30, To: 32}}, {1, line.Range{To: 2}}}
	if got := missingInBoth(places[0], places[1], streams); !slices.Equal(got, want) {
		t.Errorf("missing %v, want %v", got, want)
	}
}

func TestNeighboursAmongTheConfigurationsDiffer(t *testing.T) {
	l := &reloading{setup: &setup{e: &Env{}}, listener: "127.0.0.1:1"}
	for _, s := range []**sink.Sink{&l.side, &l.main, &l.extra} {
		var err error
		if *s, err = sink.Start(sink.Config{}); err != nil {
			t.Fatal(err)
		}
		defer (*s).Close()
	}
	all := shapes()
	for i, v := range all {
		next := all[(i+1)%len(all)]
		if l.yaml(v) == l.yaml(next) {
			t.Errorf("%q and %q are the same", v.name, next.name)
		}
	}
	if all[0] != (shape{name: all[0].name}) {
		t.Errorf("%+v is not what the router starts with", all[0])
	}
}
