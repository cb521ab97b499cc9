package scenario

import (
	"context"
	"slices"
	"time"

	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/proc"
	"github.com/firebreak/firebreak/bench/router"
)

// A held is what the router holds at one time.
type held struct{ files, goroutines, rss float64 }

// sample looks several times and takes the least: segments, retries and garbage come and go.
func (l *reloading) sample(ctx context.Context) (held, error) {
	var least held
	for i := range 10 {
		pause(ctx, l.e.span(500*time.Millisecond, 30*time.Millisecond))
		m, err := l.router.Metrics(ctx)
		if err != nil {
			return least, err
		}
		u, err := proc.Read(l.router.PID())
		if err != nil {
			return least, err
		}
		now := held{m["process_open_fds"], m["go_goroutines"], float64(u.RSSAnon) / (1 << 20)}
		if i == 0 {
			least = now
		}
		least = held{min(least.files, now.files), min(least.goroutines, now.goroutines), min(least.rss, now.rss)}
	}
	return least, nil
}

func (l *reloading) compare(before, after held) {
	for _, c := range []struct {
		name string
		held
	}{{"held before", before}, {"held after", after}} {
		add(l.r, c.name, "open files", c.files, "")
		add(l.r, c.name, "goroutines", c.goroutines, "")
		add(l.r, c.name, "RssAnon, least", c.rss, "MiB")
	}
	l.r.must(before.files > 0 && before.goroutines > 0, "the metrics don't tell files and goroutines: %+v", before)
	l.r.must(after.files <= before.files+leakSlack, "%.0f files were open, and after %d reloads %.0f", before.files, l.done, after.files)
	l.r.must(after.goroutines <= before.goroutines+leakSlack, "there were %.0f goroutines, and after %d reloads %.0f", before.goroutines, l.done, after.goroutines)
	l.r.must(after.rss <= 1.5*before.rss+16, "RssAnon was %.1f MiB, and after %d reloads %.1f MiB", before.rss, l.done, after.rss)
}

// arrived compares what was sent with the three places.
func (l *reloading) arrived(name string, senders []*sender) {
	r := l.r
	var lost []Lost
	for _, s := range senders {
		lost = append(lost, missingInBoth(l.main, l.extra, except(s.Streams(), load.Audit))...)
		lost = append(lost, missingInBoth(l.side, l.side, only(s.Streams(), load.Audit))...)
	}
	var n uint64
	for _, m := range lost {
		n += m.Len()
	}
	add(r, name, "lost", n, "events")
	r.must(n == 0, "%s: events are missing: %v", name, first(lost))
	for i, s := range l.sinks() {
		c, place := s.Counts(), []string{"side", "main", "extra"}[i]
		add(r, name, "at "+place, c.Events, "events")
		add(r, name, "twice at "+place, c.Duplicates, "events")
		add(r, name, "connections to "+place, c.Conns, "")
		r.must(c.Disorder == 0, "%s: %d first arrivals at %s out of order: %s", name, c.Disorder, place, c.FirstDisorder)
		r.must(c.Invalid == 0 && c.Foreign == 0, "%s: %d invalid messages at %s, %d events that nobody sent: %s", name, c.Invalid, place, c.Foreign, c.FirstInvalid)
	}
	r.must(l.side.Counts().Duplicates == 0, "%s: %d events came twice to what no configuration touches", name, l.side.Counts().Duplicates)
}

// ledgers compares what was sent with what the router says. Its counters go on over reloads.
func (l *reloading) ledgers(name string, st router.Status, sent uint64) {
	var received, routed, offered uint64
	for _, in := range st.Inputs {
		received, routed = received+in.Received, routed+in.Routed
	}
	l.r.must(received == sent && routed == sent, "%s: %d events were sent, %d received, %d routed", name, sent, received, routed)
	for i, d := range []string{"side", "main", "extra"} {
		is, _ := st.Destination(d)
		offered += is.Offered
		n := l.sinks()[i].Counts().Events
		l.r.must(is.Balanced() && is.Given() == 0 && is.Delivered == n, "%s: %d events are at %s, its ledger says %+v", name, n, d, is)
	}
	l.r.must(offered == sent, "%s: %d events were sent, %d offered", name, sent, offered)
}

// except keeps the streams of the other kinds.
func except(streams []load.Stream, k load.Kind) []load.Stream {
	return slices.DeleteFunc(slices.Clone(streams), func(s load.Stream) bool { return s.Kind == k })
}
