package main

import (
	"fmt"
	"math"
	"time"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/internal/table"
)

const (
	// trendTime is how far back the trend of a backlog looks.
	trendTime = 10 * time.Second
	// farAway is a time that says nothing.
	farAway = 30 * 24 * time.Hour
)

// A topMeter makes rates of the counters of successive looks. Counters of a router that has restarted begin anew.
type topMeter struct {
	looks []agent.Status // the oldest first, about trendTime apart; the last two give the rates
}

func (m *topMeter) add(s agent.Status) {
	if n := len(m.looks); n > 0 {
		if last := m.looks[n-1]; !last.Started.Equal(s.Started) || !s.Now.After(last.Now) {
			m.looks = nil
		}
	}
	m.looks = append(m.looks, s)
	for len(m.looks) > 2 && s.Now.Sub(m.looks[1].Now) >= trendTime {
		m.looks = m.looks[1:]
	}
}

// known says whether there are rates.
func (m *topMeter) known() bool { return len(m.looks) > 1 }

// pair returns the last look and the one before.
func (m *topMeter) pair() (last, before agent.Status, seconds float64) {
	n := len(m.looks)
	if n < 2 {
		return last, before, math.NaN()
	}
	last, before = m.looks[n-1], m.looks[n-2]
	return last, before, last.Now.Sub(before.Now).Seconds()
}

// perSecond returns the rate of a counter, or NaN when it isn't known: at the first look, and when it began anew.
func perSecond(now, before uint64, seconds float64) float64 {
	if now < before || !(seconds > 0) {
		return math.NaN()
	}
	return float64(now-before) / seconds
}

// inputRates are events and bytes per second; NaN where they aren't known.
type inputRates struct{ received, bytes, routed, dropped, discarded, invalid float64 }

func (m *topMeter) input(name string) inputRates {
	last, before, sec := m.pair()
	l, b := inputNamed(last, name), inputNamed(before, name)
	if l == nil || b == nil {
		sec, l, b = math.NaN(), &agent.InputStatus{}, &agent.InputStatus{}
	}
	return inputRates{
		received: perSecond(l.Received, b.Received, sec), bytes: perSecond(l.Bytes, b.Bytes, sec), routed: perSecond(l.Routed, b.Routed, sec),
		dropped: perSecond(total(l.Dropped), total(b.Dropped), sec), discarded: perSecond(total(l.Discarded), total(b.Discarded), sec),
		invalid: perSecond(total(l.Invalid), total(b.Invalid), sec),
	}
}

func inputNamed(s agent.Status, name string) *agent.InputStatus {
	for i := range s.Inputs {
		if s.Inputs[i].Name == name {
			return &s.Inputs[i]
		}
	}
	return nil
}

// route returns events and bytes per second.
func (m *topMeter) route(name string) (events, bytes float64) {
	last, before, sec := m.pair()
	l, b := routeNamed(last, name), routeNamed(before, name)
	if l == nil || b == nil {
		return math.NaN(), math.NaN()
	}
	return perSecond(l.Events, b.Events, sec), perSecond(l.Bytes, b.Bytes, sec)
}

func routeNamed(s agent.Status, name string) *agent.RouteStatus {
	for i := range s.Routes {
		if s.Routes[i].Name == name {
			return &s.Routes[i]
		}
	}
	return nil
}

// destinationRates are events and bytes per second; NaN where they aren't known.
type destinationRates struct{ in, out, bytes, dead, shed float64 }

func (m *topMeter) destination(name string) destinationRates {
	last, before, sec := m.pair()
	l, b := destinationNamed(last, name), destinationNamed(before, name)
	if l == nil || b == nil {
		sec, l, b = math.NaN(), &agent.DestinationStatus{}, &agent.DestinationStatus{}
	}
	return destinationRates{
		in: perSecond(l.Offered, b.Offered, sec), out: perSecond(l.Delivered, b.Delivered, sec), bytes: perSecond(l.Sent, b.Sent, sec),
		dead: perSecond(total(l.DeadLettered), total(b.DeadLettered), sec), shed: perSecond(total(l.Shed), total(b.Shed), sec),
	}
}

func destinationNamed(s agent.Status, name string) *agent.DestinationStatus {
	for i := range s.Destinations {
		if s.Destinations[i].Name == name {
			return &s.Destinations[i]
		}
	}
	return nil
}

// trend says in a few words where the backlog of a destination goes. What waits for less than a moment is no backlog.
func (m *topMeter) trend(name string) table.Cell {
	if !m.known() {
		return table.Cell{}
	}
	last, first := m.looks[len(m.looks)-1], m.looks[0]
	l, f := destinationNamed(last, name), destinationNamed(first, name)
	if l == nil || f == nil || l.Offered < f.Offered {
		return table.Cell{}
	}
	sec := last.Now.Sub(first.Now).Seconds()
	in := max(float64(l.Offered-f.Offered)/sec, 1)
	if l.Breaker == "closed" && float64(l.Buffered) <= in {
		return table.Cell{}
	}
	if l.Buffered == 0 {
		return table.Cell{}
	}
	events := (float64(l.Buffered) - float64(f.Buffered)) / sec
	const level = 0.02 // of what comes in
	switch {
	case events < -level*in:
		return table.Cell{Text: "empty in " + span(float64(l.Buffered)/-events), Colour: table.Green}
	case l.Full:
		return table.Cell{Text: "full", Colour: table.Red}
	case events <= level*in:
		return table.Cell{Text: "steady"}
	}
	grows := table.Cell{Text: "growing", Colour: table.Yellow}
	bytes, room := float64(l.Bytes-f.Bytes)/sec, float64(l.MaxBytes-max(l.Bytes, l.DiskBytes))
	if bytes > 0 && room >= 0 && room/bytes < farAway.Seconds() {
		grows.Text = "full in " + span(room/bytes)
	}
	return grows
}

// span writes an estimated time in seconds.
func span(seconds float64) string {
	if seconds < 60 {
		return fmt.Sprintf("%ds", max(int(seconds), 1))
	}
	return table.Short(time.Duration(min(seconds, 100*farAway.Seconds()) * float64(time.Second)))
}
