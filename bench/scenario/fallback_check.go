package scenario

import (
	"context"
	"time"

	"github.com/firebreak/firebreak/bench/line"
	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/router"
	"github.com/firebreak/firebreak/bench/sink"
)

// audit checks that at this moment everything is accounted for, and nothing is lost.
func (s *spill) audit(name string, st router.Status) {
	for _, d := range st.Destinations {
		s.r.must(d.Balanced(), "%s: the ledger of %q doesn't balance: %+v", name, d.Name, d)
		s.r.must(total(d.Shed)+total(d.DeadLettered) == 0, "%s: %q has given up events: %+v", name, d.Name, d)
	}
}

// settle waits until everything has arrived, and compares both places and both ledgers with what was sent.
func (s *spill) settle(ctx context.Context) error {
	s.l.finish(30 * time.Second)
	limit, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	st, err := s.drained(limit)
	if err != nil {
		return err
	}
	r, sent, stats := s.r, s.l.Sent(), s.l.Stats()
	r.must(stats.Acked == sent && stats.BadAcks == 0, "%s: %d events were sent, %d acked; %d acks that nobody waited for", s.name, sent, stats.Acked, stats.BadAcks)
	lost := missingInBoth(s.first, s.second, s.l.Streams())
	var n uint64
	for _, m := range lost {
		n += m.Len()
	}
	first, second := s.first.Counts(), s.second.Counts()
	add(r, s.name, "sent", sent, "events")
	add(r, s.name, "missing in both places", n, "events")
	add(r, s.name, "at the first", first.Events, "events")
	add(r, s.name, "at the fallback", second.Events, "events")
	add(r, s.name, "in both places", first.Events+second.Events-(sent-n), "events")
	add(r, s.name, "twice at the first", first.Duplicates, "events")
	add(r, s.name, "twice at the fallback", second.Duplicates, "events")
	r.must(n == 0, "%s: events are missing: %v", s.name, lost[:min(len(lost), 5)])
	for place, c := range map[string]sink.Counts{"the first": first, "the fallback": second} {
		r.must(c.Disorder == 0, "%s: %d first arrivals at %s out of order: %s", s.name, c.Disorder, place, c.FirstDisorder)
		r.must(c.Invalid == 0 && c.Foreign == 0, "%s: %d invalid messages at %s, %d events that nobody sent: %s", s.name, c.Invalid, place, c.Foreign, c.FirstInvalid)
	}
	r.must(second.Duplicates == 0, "%s: %d events came twice to the fallback, which never failed", s.name, second.Duplicates)
	s.audit(s.name, st)
	a, _ := st.Destination("first")
	b, _ := st.Destination("second")
	r.must(a.Offered == sent && a.Moved["second"] == a.Given() && a.Delivered+a.Moved["second"] == sent, "%s: %d events were sent, the ledger of the first says %+v", s.name, sent, a)
	r.must(b.Offered == a.Moved["second"] && b.Delivered == b.Offered && b.Delivered == second.Events, "%s: %d events have moved, %d are at the fallback, its ledger says %+v",
		s.name, a.Moved["second"], second.Events, b)
	r.must(a.Delivered <= first.Events, "%s: %d events are at the first, its ledger has delivered %d", s.name, first.Events, a.Delivered)
	return nil
}

func total(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

// missingInBoth returns what of the streams is in neither place.
func missingInBoth(a, b *sink.Sink, streams []load.Stream) (out []Lost) {
	for _, st := range streams {
		for _, m := range a.Missing(st.Number, line.Range{To: st.Sent}) {
			for _, both := range b.Missing(st.Number, m) {
				out = append(out, Lost{st.Number, both})
			}
		}
	}
	return out
}
