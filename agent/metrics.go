package agent

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/destination"
)

// collector reads the snapshots when somebody scrapes: counting costs nothing in between.
type collector struct {
	a    *Agent
	desc map[string]*prometheus.Desc
}

func newCollector(a *Agent) *collector {
	c := &collector{a: a, desc: map[string]*prometheus.Desc{}}
	for _, m := range metricList {
		c.desc[m.name] = prometheus.NewDesc("firebreak_"+m.name, m.help, m.labels, nil)
	}
	return c
}

type metric struct {
	name, help string
	labels     []string
}

var metricList = []metric{
	{"received_events_total", "Events that an input received, invalid ones included.", []string{"input"}},
	{"received_bytes_total", "Bytes that an input read.", []string{"input"}},
	{"routed_events_total", "Events of an input that went to at least one destination.", []string{"input"}},
	{"dropped_events_total", "Events of an input that a processor dropped.", []string{"input", "processor"}},
	{"rejected_events_total", "Routed events that went straight to dead letters.", []string{"input", "processor"}},
	{"truncated_events_total", "Events that a size guard cut.", []string{"input", "processor"}},
	{"redacted_events_total", "Events in which a processor has replaced something.", []string{"input", "processor"}},
	{"discarded_events_total", "Events of an input that a route discarded.", []string{"input", "route"}},
	{"invalid_events_total", "Events of an input that could not be understood.", []string{"input", "reason"}},
	{"input_errors_total", "Messages or connections of an input that ended with an error.", []string{"input", "reason"}},
	{"connections", "Open connections of an input.", []string{"input"}},
	{"connections_total", "Connections that an input accepted.", []string{"input"}},
	{"refused_connections_total", "Connections beyond max_connections.", []string{"input"}},
	{"acks_total", "Acknowledgements that an input sent.", []string{"input"}},
	{"held_lines", "Long lines that wait for their next piece.", []string{"input"}},
	{"broken_lines_total", "Long lines passed on before their last piece.", []string{"input", "reason"}},
	{"input_memory_bytes", "Memory of an input's read buffers.", []string{"input"}},
	{"route_events_total", "Events by type.", []string{"route"}},
	{"route_bytes_total", "Bytes of events by type, as they are routed.", []string{"route"}},
	{"offered_events_total", "Events that routes gave to a destination: delivered + dead lettered + shed + moved + buffered.", []string{"destination"}},
	{"delivered_events_total", "Events that the other side has taken.", []string{"destination"}},
	{"dead_lettered_events_total", "Events given up and kept aside.", []string{"destination", "reason"}},
	{"shed_events_total", "Events discarded by declared policy.", []string{"destination", "reason"}},
	{"moved_events_total", "Events moved to another destination.", []string{"destination", "to"}},
	{"replayed_events_total", "Dead letters, and events of orphans, that were offered again since the start: part of the offered ones.", []string{"destination"}},
	{"buffered_events", "Events that wait, those in requests included.", []string{"destination"}},
	{"leased_events", "Events in requests.", []string{"destination"}},
	{"buffered_bytes", "Bytes of the events that wait.", []string{"destination"}},
	{"disk_bytes", "Size of a destination's segment files; only of buffers on disk.", []string{"destination"}},
	{"buffer_memory_bytes", "Memory of a destination's buffer.", []string{"destination"}},
	{"buffer_max_bytes", "Bound of a destination's buffer.", []string{"destination"}},
	{"buffer_full", "1 while the buffer is at its bound: shedding or blocking.", []string{"destination"}},
	{"oldest_event_age_seconds", "Age of the oldest event that waits, by arrival.", []string{"destination"}},
	{"buffer_volatile", "1 while accepted events are only in memory.", []string{"destination"}},
	{"breaker_open", "0 closed, 1 open or half-open.", []string{"destination"}},
	{"destination_moving", "1 while events move to the fallback.", []string{"destination"}},
	{"destination_limited", "1 while max_rate holds events back.", []string{"destination"}},
	{"destination_held", "1 while authentication or configuration keeps the events back: somebody has to change something.", []string{"destination"}},
	{"requests_in_flight", "Attempts at this moment.", []string{"destination"}},
	{"requests_total", "Attempts.", []string{"destination"}},
	{"failed_requests_total", "Attempts that delivered not all.", []string{"destination"}},
	{"retried_events_total", "Events in repeated attempts.", []string{"destination"}},
	{"sent_bytes_total", "Bytes of delivered batches before compression.", []string{"destination"}},
	{"dead_letter_events", "Dead letters kept on disk.", []string{"destination"}},
	{"dead_letter_bytes", "Size of the dead letters on disk.", []string{"destination"}},
	{"discarded_dead_letters_total", "Dead letters discarded since the start, to keep their bound.", []string{"destination"}},
	{"replayed_dead_letters_total", "Dead letters that were offered again, ever.", []string{"destination"}},
	{"orphan_bytes", "Size of what a destination has left behind that is not configured any more.", []string{"destination"}},
	{"config_reloads_total", "Attempts to load the configuration anew.", []string{"result"}},
	{"config_last_reload_successful", "1 unless the last reload failed.", nil},
	{"config_last_reload_time_seconds", "When the configuration was last loaded, in seconds since 1970.", nil},
	{"config_degraded", "1 while the last configuration that worked runs instead of the one given.", nil},
	{"start_time_seconds", "When the router started, in seconds since 1970.", nil},
	{"build_info", "Always 1; the label is the version.", []string{"version"}},
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.desc {
		ch <- d
	}
}

// A sample takes one scrape's values.
type sample struct {
	desc map[string]*prometheus.Desc
	ch   chan<- prometheus.Metric
}

func (s sample) reloads(a *Agent) {
	last, at := a.reloads.latest(), a.reloads.loadedAt(a.started)
	if last == nil {
		last = &Reloaded{OK: true}
	}
	s.count("config_reloads_total", last.Count-last.Failed, "ok")
	s.count("config_reloads_total", last.Failed, "failed")
	s.gauge("config_last_reload_successful", truth(last.OK))
	s.gauge("config_last_reload_time_seconds", float64(at.UnixMilli())/1000)
	s.gauge("config_degraded", truth(a.reloads.why() != ""))
}

func (s sample) put(kind prometheus.ValueType, name string, v float64, labels []string) {
	for i := range labels {
		labels[i] = strings.ToValidUTF8(labels[i], "?")
	}
	m, err := prometheus.NewConstMetric(s.desc[name], kind, v, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(s.desc[name], err)
	}
	s.ch <- m
}

func (s sample) count(name string, v uint64, labels ...string) {
	s.put(prometheus.CounterValue, name, float64(v), labels)
}

func (s sample) gauge(name string, v float64, labels ...string) {
	s.put(prometheus.GaugeValue, name, v, labels)
}

// by counts what is told apart by a second label. Values that are known beforehand are there from the start, at
// zero: a rate needs a value before the first event.
func (s sample) by(name string, m map[string]uint64, first string, known ...string) {
	for k, v := range m {
		s.count(name, v, first, k)
	}
	for _, k := range known {
		if _, there := m[k]; !there {
			s.count(name, 0, first, k)
		}
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := sample{c.desc, ch}
	for _, in := range c.a.now.Load().ins {
		s.input(c.a, in)
	}
	routed := c.a.routed()
	for route, n := range routed.Routes {
		s.count("route_events_total", n, route)
	}
	for route, n := range routed.Bytes {
		s.count("route_bytes_total", n, route)
	}
	for _, d := range c.a.now.Load().dests {
		s.destination(d)
	}
	c.a.mu.Lock()
	orphans := c.a.orphans
	c.a.mu.Unlock()
	for _, o := range orphans {
		s.gauge("orphan_bytes", float64(o.Bytes+o.DeadBytes), o.Name)
	}
	s.reloads(c.a)
	s.gauge("start_time_seconds", float64(c.a.started.UnixMilli())/1000)
	s.gauge("build_info", 1, c.a.opts.Version)
}

func (s sample) input(a *Agent, in *input) {
	st, rt := a.inputStats(in)
	s.count("received_events_total", st.Received, in.name)
	s.count("received_bytes_total", st.Bytes, in.name)
	s.count("routed_events_total", rt.Routed, in.name)
	s.by("dropped_events_total", rt.Dropped, in.name)
	s.by("rejected_events_total", rt.Rejected, in.name)
	s.by("truncated_events_total", rt.Truncated, in.name)
	s.by("redacted_events_total", rt.Redacted, in.name)
	s.by("discarded_events_total", rt.Discarded, in.name)
	s.by("invalid_events_total", st.Invalid, in.name)
	s.by("input_errors_total", st.Errors, in.name)
	s.gauge("connections", float64(st.Connections), in.name)
	s.count("connections_total", st.Accepted, in.name)
	s.count("refused_connections_total", st.Refused, in.name)
	s.count("acks_total", st.Acks, in.name)
	s.gauge("held_lines", float64(st.Held), in.name)
	s.by("broken_lines_total", st.Broken, in.name)
	s.gauge("input_memory_bytes", float64(st.Memory), in.name)
}

// sheds are the reasons of a buffer's own.
var sheds = []string{
	buffer.ReasonFull, buffer.ReasonNoSpace, buffer.ReasonCorrupt, buffer.ReasonLost, buffer.ReasonMaxAge, buffer.ReasonShutdown,
	buffer.ReasonTooLarge,
}

func (s sample) destination(d *target) {
	st, dead := d.Stats(), d.dead.Stats()
	b := st.Buffer
	s.count("offered_events_total", b.Offered, st.Name)
	s.count("delivered_events_total", b.Delivered, st.Name)
	s.by("dead_lettered_events_total", b.DeadLettered, st.Name, destination.ReasonEncode, destination.ReasonRejected)
	s.by("shed_events_total", b.Shed, st.Name, sheds...)
	if to := d.cfg.Buffer.Fallback; to != "" {
		s.by("moved_events_total", b.Moved, st.Name, to)
	} else {
		s.by("moved_events_total", b.Moved, st.Name)
	}
	s.gauge("buffered_events", float64(b.Buffered), st.Name)
	s.gauge("leased_events", float64(b.Leased), st.Name)
	s.gauge("buffered_bytes", float64(b.Bytes), st.Name)
	if d.cfg.Buffer.Type != "memory" {
		s.gauge("disk_bytes", float64(b.DiskBytes), st.Name)
	}
	s.gauge("buffer_memory_bytes", float64(b.MemoryBytes), st.Name)
	s.gauge("buffer_max_bytes", float64(b.MaxBytes), st.Name)
	s.gauge("buffer_full", truth(b.Full), st.Name)
	age := 0.0
	if !b.Oldest.IsZero() {
		age = max(0, time.Since(b.Oldest).Seconds())
	}
	s.gauge("oldest_event_age_seconds", age, st.Name)
	s.gauge("buffer_volatile", truth(b.Volatile), st.Name)
	s.gauge("breaker_open", truth(st.Breaker != "closed"), st.Name)
	s.gauge("destination_held", truth(st.Held), st.Name)
	s.gauge("requests_in_flight", float64(st.InFlight), st.Name)
	s.count("requests_total", st.Requests, st.Name)
	s.count("failed_requests_total", st.Failed, st.Name)
	s.count("retried_events_total", st.Retried, st.Name)
	s.count("sent_bytes_total", st.Sent, st.Name)
	s.gauge("dead_letter_events", float64(dead.Events), st.Name)
	s.gauge("dead_letter_bytes", float64(dead.Bytes), st.Name)
	s.count("discarded_dead_letters_total", dead.Discarded, st.Name)
	s.count("replayed_dead_letters_total", dead.Replayed, st.Name)
	s.count("replayed_events_total", d.replayed.Load(), st.Name)
	s.gauge("destination_moving", truth(st.Moving), st.Name)
	s.gauge("destination_limited", truth(st.Limited), st.Name)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
