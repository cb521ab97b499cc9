package agent

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/record"
)

const bigText = 200 << 10

// withDeadLetter starts a router whose output "slow" is more than half full, with a dead letter of the output "old". The
// configuration without "old" is returned, too.
func withDeadLetter(t *testing.T) (r *underTest, reload func(string) Reloaded, with, without string) {
	t.Helper()
	without = head(t.TempDir()) + `
routes: [ { name: all, to: [slow] } ]
outputs: { slow: { type: forward, servers: ["127.0.0.1:9"], buffer: { max_bytes: 1MiB } } }
`
	with = strings.Replace(without, "outputs: {", `outputs: { old: { type: "null" },`, 1)
	r, reload = reloadable(t, with)
	for range 4 {
		r.give(t, event(t, "a", `{"log":"`+strings.Repeat("x", bigText)+`"}`))
	}
	if err := r.now.Load().target("old").dead.Append(event(t, "dead", `{"log":"x"}`), "rejected", ""); err != nil {
		t.Fatal(err)
	}
	return r, reload, with, without
}

// waiting starts a replay and returns when it waits for room.
func (r *underTest) waiting(t *testing.T, q Replay) (end context.CancelFunc, done <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	waits, result := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		result <- r.Replay(ctx, q, func(p ReplayProgress) {
			if p.Waiting != "" {
				select {
				case waits <- struct{}{}:
				default:
				}
			}
		})
	}()
	select {
	case <-waits:
	case err := <-result:
		t.Fatalf("the replay has ended: %v", err)
	}
	return cancel, result
}

func ended(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(5 * time.Second):
		t.Fatal("the replay goes on")
		return nil
	}
}

func (r *underTest) hasDeadLetter(t *testing.T, name string) {
	t.Helper()
	eventually(t, func() string {
		if n := r.page().dest(name).DeadKept; n != 1 {
			return fmt.Sprintf("%d dead letters", n)
		}
		return ""
	})
}

// What an orphan has left belongs to the replay that reads it, until that has ended: an output of that name comes
// back afterwards.
func TestOutputComesBackAfterTheReplayOfWhatItLeft(t *testing.T) {
	t.Parallel()
	r, reload, with, without := withDeadLetter(t)
	if res := reload(without); !res.OK {
		t.Fatal(res.Error)
	}
	end, done := r.waiting(t, Replay{From: "old", To: "slow"})
	defer end()
	if res := reload(with); res.OK || !strings.Contains(res.Error, "is just being replayed") {
		t.Fatalf("%+v", res)
	}
	end()
	if err := ended(t, done); err == nil {
		t.Error("no error")
	}
	if res := reload(with); !res.OK {
		t.Fatal(res.Error)
	}
	r.hasDeadLetter(t, "old")
}

// A reload that removes what a replay reads, or where it goes, ends the replay and says why.
func TestReloadEndsAReplay(t *testing.T) {
	t.Parallel()
	t.Run("source", func(t *testing.T) {
		t.Parallel()
		r, reload, with, without := withDeadLetter(t)
		end, done := r.waiting(t, Replay{From: "old", To: "slow"})
		defer end()
		if res := reload(without); !res.OK {
			t.Fatal(res.Error)
		}
		if err := ended(t, done); err == nil || !strings.Contains(err.Error(), `a reload removes output "old"`) {
			t.Error(err)
		}
		if res := reload(with); !res.OK {
			t.Fatal(res.Error)
		}
		r.hasDeadLetter(t, "old")
	})
	t.Run("target", func(t *testing.T) {
		t.Parallel()
		r, reload, _, without := withDeadLetter(t)
		end, done := r.waiting(t, Replay{From: "old", To: "slow"})
		defer end()
		text := strings.NewReplacer("[slow]", "[old]", `slow: { type: forward, servers: ["127.0.0.1:9"], buffer: { max_bytes: 1MiB } }`, `old: { type: "null" }`).Replace(without)
		if res := reload(text); !res.OK {
			t.Fatal(res.Error)
		}
		if err := ended(t, done); err == nil || !strings.Contains(err.Error(), "a reload has removed it") {
			t.Error(err)
		}
	})
}

// Dead letters that can't be noted as replayed aren't offered: each is replayed once, however often one asks.
func TestReplayOffersNothingThatItCannotNote(t *testing.T) {
	t.Parallel()
	r := start(t, head(t.TempDir())+toNull)
	d := r.now.Load().target("gone").dead
	for i := range 2100 {
		if err := d.Append(event(t, "a", `{"log":"x"}`), []string{"one", "two"}[i%2], ""); err != nil {
			t.Fatal(err)
		}
	}
	replay := func(reasons ...string) error {
		return r.Replay(t.Context(), Replay{From: "gone", Reasons: reasons}, func(ReplayProgress) {})
	}
	for i, want := range []uint64{1024, 1024} {
		if err := replay("two"); err == nil || !strings.Contains(err.Error(), "replay in order") || r.page().dest("gone").Replayed != want {
			t.Fatalf("%d: %v, %d replayed", i, err, r.page().dest("gone").Replayed)
		}
	}
	for _, reason := range []string{"one", "two"} {
		if err := replay(reason); err != nil {
			t.Fatal(err)
		}
	}
	if s := r.page().dest("gone"); s.Replayed != 2100 || s.Offered != 2100 || s.DeadKept != 0 {
		t.Errorf("%+v", s)
	}
}

// What is replayed is never shed, however small the buffer is that it goes to.
func TestReplayIntoASmallBuffer(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1 << 10, 100 << 10, 450 << 10, 700 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			r := start(t, head(t.TempDir())+`
routes: [ { name: all, to: [slow] } ]
outputs: { slow: { type: forward, servers: ["127.0.0.1:9"], buffer: { max_bytes: 1MiB } }, old: { type: "null" } }
`)
			for range 3 << 20 / size {
				if err := r.now.Load().target("old").dead.Append(event(t, "dead", `{"log":"`+strings.Repeat("x", size)+`"}`), "rejected", ""); err != nil {
					t.Fatal(err)
				}
			}
			if size > 512<<10 {
				err := r.Replay(t.Context(), Replay{From: "old", To: "slow"}, func(ReplayProgress) {})
				if err == nil || !strings.Contains(err.Error(), "raise buffer.max_bytes") {
					t.Error(err)
				}
			} else {
				end, done := r.waiting(t, Replay{From: "old", To: "slow"})
				end()
				_ = ended(t, done)
			}
			s := r.page()
			if d := s.dest("slow"); sum(d.Shed) > 0 || d.Offered != d.Replayed || d.Replayed+s.dest("old").DeadKept != uint64(3<<20/size) {
				t.Errorf("%+v, %d left", d, s.dest("old").DeadKept)
			}
		})
	}
}

// However rarely somebody wants to see an event, it isn't at every one.
func TestTapWithATinyRate(t *testing.T) {
	t.Parallel()
	var ts taps
	for _, rate := range []float64{1e-300, 1e-12, 1e-6} {
		tp, err := ts.open(TapQuery{Input: "*", Rate: rate})
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			ts.see(tapInput, "x", []record.Chunk{event(t, "a", `{}`)})
		}
		if n := len(tp.out); n != 1 {
			t.Errorf("rate %g: %d events", rate, n)
		}
		ts.close(tp)
	}
}

// An exact event is taken only in the form that everything behind relies on, and an arrival only from our times.
func TestRepairedEventsAreChecked(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"ks4AAAABwA==", "ks4AAAABkQE="} { // [1, nil] and [1, [1]]
		l := EventLine{Tag: "a", Data: data}
		if _, err := l.Chunk(); err == nil || !strings.Contains(err.Error(), "not a map") {
			t.Errorf("%s: %v", data, err)
		}
	}
	for _, year := range []int{1, 1969, 9999} {
		at := time.Date(year, 1, 2, 3, 4, 5, 6, time.UTC)
		l := EventLine{Tag: "a", Arrived: &at, Time: at, Record: []byte(`{}`)}
		if c, err := l.Chunk(); err != nil || time.Since(c.Arrived) > time.Minute {
			t.Errorf("%d: arrived %v, %v", year, c.Arrived, err)
		}
	}
}
