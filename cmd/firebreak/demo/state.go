package demo

import (
	"time"

	"github.com/firebreak/firebreak/agent"
)

// rateWindow is the time that a rate per second is measured over.
const rateWindow = time.Second

// A state is what the table shows.
type state struct {
	At, End      time.Duration // since the start; when the containers stop
	Containers   []containerRow
	Destinations []destinationRow
}

type containerRow struct {
	Name    string
	Sent    uint64
	Rate    float64 // lines per second
	Failed  uint64
	Slowest time.Duration
}

type destinationRow struct {
	Name    string
	Dead    bool // its aggregator
	In, Out float64
	Backlog uint64
	Bytes   int64
	Breaker string
	Oldest  time.Duration
	Lost    uint64 // shed or given up, by the router's ledger
}

// A meter turns counters into rates.
type meter struct{ samples []sample }

type sample struct {
	at      time.Time
	sent    []uint64
	in, out [len(kinds)]uint64
}

// add takes a sample and returns the one to compare it with: about rateWindow older.
func (m *meter) add(s sample) (old sample) {
	m.samples = append(m.samples, s)
	for len(m.samples) > 2 && s.at.Sub(m.samples[1].at) >= rateWindow {
		m.samples = m.samples[1:]
	}
	return m.samples[0]
}

func perSecond(now, before uint64, took time.Duration) float64 {
	if took <= 0 || now < before {
		return 0
	}
	return float64(now-before) / took.Seconds()
}

// look reads all counters.
func (s *story) look() state {
	now := time.Now()
	st := state{At: s.since(now), End: s.pace.stop}
	status := s.router.Status()
	smp := sample{at: now}
	for _, c := range s.containers {
		smp.sent = append(smp.sent, c.total())
	}
	for i := range kinds {
		d := destination(status, kinds[i])
		smp.in[i], smp.out[i] = d.Offered, d.Delivered
	}
	old := s.meter.add(smp)
	took := now.Sub(old.at)
	for i, c := range s.containers {
		if c.late && smp.sent[i] == 0 && !c.running.Load() {
			continue
		}
		st.Containers = append(st.Containers, containerRow{
			Name: c.name, Sent: smp.sent[i], Rate: perSecond(smp.sent[i], old.sent[i], took), Failed: c.failed.Load(), Slowest: time.Duration(c.slowest.Load()),
		})
	}
	for i, kind := range kinds {
		d := destination(status, kind)
		row := destinationRow{
			Name: kind, Dead: kind == killed && s.phase == outage, Backlog: d.Buffered, Bytes: d.Bytes, Breaker: d.Breaker, Lost: sum(d.Shed) + sum(d.DeadLettered),
			In: perSecond(smp.in[i], old.in[i], took), Out: perSecond(smp.out[i], old.out[i], took),
		}
		if d.Oldest != nil && d.Buffered > 0 {
			row.Oldest = max(0, now.Sub(*d.Oldest))
		}
		st.Destinations = append(st.Destinations, row)
	}
	return st
}

func destination(s agent.Status, name string) agent.DestinationStatus {
	for _, d := range s.Destinations {
		if d.Name == name {
			return d
		}
	}
	return agent.DestinationStatus{}
}
