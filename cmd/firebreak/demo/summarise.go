package demo

import (
	"math"
	"time"
)

// summarise counts, now that nothing moves any more.
func (s *story) summarise() {
	status := s.router.Status()
	m := &s.sum
	m.Killed, m.Hiccup = killed, inSeconds(time.Duration(s.hiccup.Load()))
	m.Limit = inSeconds(s.pace.limit + time.Duration(s.hiccup.Load()))
	m.Problems = []string{}
	m.KilledAt, m.BackAt = inSeconds(s.since(s.atKill.at)), inSeconds(s.since(s.backAt))
	for _, in := range status.Inputs {
		m.Router = Router{Received: in.Received, Discarded: sum(in.Discarded), Invalid: sum(in.Invalid)}
	}
	for i, a := range s.aggs {
		sent, c, d := sentBy(s.containers, i), a.tally.counts(), destination(status, a.kind)
		well, ill := s.atKill.at.Sub(s.began), s.back.at.Sub(s.atKill.at)
		m.Aggregators = append(m.Aggregators, Aggregator{
			Kind: a.kind, Sent: sum(sent), Received: c.received, Lost: a.tally.missing(sent), Duplicates: c.again, OutOfOrder: c.disordered, Strange: c.strange,
			Late: c.late, LateLost: c.lateLeft, PauseBefore: inSeconds(c.pauses[before]), PauseOutage: inSeconds(c.pauses[outage]), PauseAfter: inSeconds(c.pauses[after]),
			Behind:     s.back.sent[i] - min(s.back.sent[i], s.back.received[i]),
			RateBefore: tenths(perSecond(s.atKill.received[i], 0, well)),
			RateOutage: tenths(perSecond(s.back.received[i], s.atKill.received[i], ill)), SentOutage: tenths(perSecond(s.back.sent[i], s.atKill.sent[i], ill)),
			Offered: d.Offered, Delivered: d.Delivered, DeadLettered: sum(d.DeadLettered), Shed: sum(d.Shed), Moved: sum(d.Moved), Buffered: d.Buffered,
		})
	}
	for _, c := range s.containers {
		why, _ := c.err.Load().(string)
		m.Containers = append(m.Containers, Container{
			Name: c.name, Sent: c.total(), Failed: c.failed.Load(), Error: why, InOutage: c.late,
			LongestSend: inSeconds(time.Duration(c.slowest.Load())), Connect: inSeconds(c.connect),
		})
	}
	m.judge()
}

// inSeconds and tenths leave out digits that mean nothing.
func inSeconds(d time.Duration) float64 { return d.Round(time.Microsecond).Seconds() }

func tenths(perSecond float64) float64 { return math.Round(perSecond*10) / 10 }
