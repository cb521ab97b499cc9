package page

import (
	"math"
	"math/rand/v2"
	"time"
)

type obj = map[string]any

// A scene is a router with three types and four destinations, whose counters grow as time passes. sick is the
// destination that fails, "" for none.
type scene struct {
	began time.Time
	sick  string
	since time.Time // of the failure
	heals time.Time // when it delivers again; zero: not
	extra func(status obj)
}

var sceneRates = []struct {
	name   string
	events float64
	size   float64
	to     []string
}{{"access", 8200, 310, []string{"access"}}, {"error", 640, 520, []string{"error"}}, {"audit", 1900, 410, []string{"audit", "archive"}}, {"rest", 3100, 280, []string{"archive"}}}

func (sc scene) rateOf(dest string) (events, bytes float64) {
	for _, r := range sceneRates {
		for _, to := range r.to {
			if to == dest {
				events += r.events
				bytes += r.events * r.size
			}
		}
	}
	return
}

// wave makes rates move a little; its integral is what counters have grown by.
func wave(s float64) float64 { return s - 1.2*math.Cos(s/7) }

func (sc scene) status(now time.Time) any {
	s := now.Sub(sc.began).Seconds() + 86400
	n := func(rate float64) uint64 { return uint64(rate * wave(s)) }
	var total float64
	routes, by := []obj{}, obj{}
	for _, r := range sceneRates {
		total += r.events
		routes = append(routes, obj{"name": r.name, "to": r.to, "events": n(r.events), "bytes": n(r.events * r.size)})
		by[r.name] = n(r.events)
	}
	routes = append([]obj{{"name": "healthz", "to": []string{}, "discard": true, "events": n(210), "bytes": n(210 * 190)}}, routes...)
	by["healthz"] = n(210)
	var routed uint64
	for _, r := range sceneRates {
		routed += n(r.events)
	}
	st := obj{
		"version": "1.4.0", "phase": "running", "started": sc.began.Add(-30 * time.Hour), "now": now, "host": "ip-10-0-3-17", "config": "/etc/firebreak/firebreak.yaml",
		"inputs": []obj{{"name": "docker", "type": "forward", "listen": []string{"tcp://127.0.0.1:24224", "unix:///run/firebreak/fluent.sock"}, "received": routed + n(210), "routed": routed,
			"dropped": obj{}, "discarded": obj{"healthz": n(210)}, "invalid": obj{}, "connections": 42, "acks": n(3), "received_bytes": n(total * 330), "routes": by}},
		"routes": routes,
	}
	var dests []obj
	for i, name := range []string{"access", "error", "audit", "archive"} {
		events, bytes := sc.rateOf(name)
		offered := n(events)
		d := obj{"name": name, "type": []string{"forward", "forward", "forward", "s3"}[i], "breaker": "closed", "breaker_since": sc.began.Add(-30 * time.Hour), "offered": offered,
			"dead_lettered": obj{}, "shed": obj{}, "moved": obj{}, "max_bytes": int64(1) << 30, "requests": n(events / 100), "failed_requests": 3, "sent_bytes": n(bytes), "memory_bytes": 1 << 20, "disk_bytes": 1 << 22}
		buffered := uint64(40 + rand.IntN(20))
		if name == sc.sick && !sc.since.IsZero() {
			down := now.Sub(sc.since).Seconds()
			left := down * events
			if !sc.heals.IsZero() {
				left = math.Max(50, sc.heals.Sub(sc.since).Seconds()*events-now.Sub(sc.heals).Seconds()*events*3)
			} else {
				next := now.Add(time.Duration(9-int(down)%9) * time.Second)
				d["breaker"], d["breaker_since"], d["next_try"] = "open", sc.since, next
				d["error"] = "send to agg-error:24224: dial tcp 10.0.8.21:24224: connect: connection refused"
				d["hint"] = "nothing listens there: is the aggregator up, and is the port right?"
			}
			buffered = uint64(left)
			d["failed_requests"] = 12
		}
		if buffered > offered {
			buffered = offered
		}
		d["buffered"], d["delivered"] = buffered, offered-buffered
		if d["error"] != nil { // exactly what came since
			at := sc.since.Sub(sc.began).Seconds() + 86400
			d["delivered"] = uint64(events * wave(at))
			buffered = offered - uint64(events*wave(at))
			d["buffered"] = buffered
		}
		d["buffered_bytes"] = int64(float64(buffered) * bytes / events)
		d["oldest"] = now.Add(-time.Duration(float64(buffered) / events * float64(time.Second)))
		dests = append(dests, d)
	}
	st["destinations"] = dests
	if sc.extra != nil {
		sc.extra(st)
	}
	return st
}

// history is an hour of it.
func (sc scene) history(now time.Time) any {
	rng := rand.New(rand.NewPCG(1, 2))
	line := func(mean float64) []any {
		out := make([]any, 360)
		for i := range out {
			at := float64(i)
			out[i] = math.Round(mean * (1 + 0.25*math.Sin(at/37) + 0.1*math.Sin(at/9) + 0.05*rng.Float64()))
			if i < 22 {
				out[i] = nil
			}
		}
		return out
	}
	h := obj{"step_seconds": 10, "end": now}
	ins, routes, dests := obj{}, obj{}, obj{}
	ins["docker"] = obj{"received": line(13850)}
	for _, r := range sceneRates {
		routes[r.name] = obj{"events": line(r.events), "bytes": line(r.events * r.size)}
	}
	for _, name := range []string{"access", "error", "audit", "archive"} {
		events, bytes := sc.rateOf(name)
		offered, delivered, buffered := line(events), line(events), line(bytes*0.02)
		if name == sc.sick {
			for i := range offered {
				at := now.Add(-time.Duration(359-i) * 10 * time.Second)
				if at.After(sc.since) && (sc.heals.IsZero() || at.Before(sc.heals)) {
					delivered[i], buffered[i] = 0, at.Sub(sc.since).Seconds()*bytes
				}
			}
		}
		dests[name] = obj{"offered": offered, "delivered": delivered, "buffered_bytes": buffered, "buffered": buffered, "breaker": line(0)}
	}
	h["inputs"], h["routes"], h["destinations"] = ins, routes, dests
	return h
}
