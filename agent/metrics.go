package agent

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
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
	{"offered_events_total", "Events that routes gave to a destination: delivered + dead lettered + shed + moved + buffered.", []string{"destination"}},
	{"delivered_events_total", "Events that the other side has taken.", []string{"destination"}},
	{"dead_lettered_events_total", "Events given up and kept aside.", []string{"destination", "reason"}},
	{"shed_events_total", "Events discarded by declared policy.", []string{"destination", "reason"}},
	{"moved_events_total", "Events moved to another destination.", []string{"destination", "to"}},
	{"buffered_events", "Events that wait, those in requests included.", []string{"destination"}},
	{"leased_events", "Events in requests.", []string{"destination"}},
	{"buffered_bytes", "Bytes of the events that wait.", []string{"destination"}},
	{"disk_bytes", "Size of a destination's segment files.", []string{"destination"}},
	{"buffer_memory_bytes", "Memory of a destination's buffer.", []string{"destination"}},
	{"buffer_max_bytes", "Bound of a destination's buffer.", []string{"destination"}},
	{"oldest_event_age_seconds", "Age of the oldest event that waits, by arrival.", []string{"destination"}},
	{"buffer_volatile", "1 while accepted events are only in memory.", []string{"destination"}},
	{"breaker_open", "0 closed, 1 open or half-open.", []string{"destination"}},
	{"requests_total", "Attempts.", []string{"destination"}},
	{"failed_requests_total", "Attempts that delivered not all.", []string{"destination"}},
	{"retried_events_total", "Events in repeated attempts.", []string{"destination"}},
	{"sent_bytes_total", "Bytes of delivered batches before compression.", []string{"destination"}},
	{"config_degraded", "1 while the last configuration that worked runs instead of the one given.", nil},
	{"start_time_seconds", "When the router started.", nil},
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.desc {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	count := func(name string, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(c.desc[name], prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(name string, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(c.desc[name], prometheus.GaugeValue, v, labels...)
	}
	byLabel := func(name string, m map[string]uint64, first string) {
		for k, v := range m {
			count(name, v, first, k)
		}
	}
	for _, in := range c.a.ins {
		st, rt := in.in.Stats(), in.intake.Stats()
		count("received_events_total", st.Received, in.name)
		count("received_bytes_total", st.Bytes, in.name)
		count("routed_events_total", rt.Routed, in.name)
		byLabel("dropped_events_total", rt.Dropped, in.name)
		byLabel("rejected_events_total", rt.Rejected, in.name)
		byLabel("truncated_events_total", rt.Truncated, in.name)
		byLabel("discarded_events_total", rt.Discarded, in.name)
		byLabel("invalid_events_total", st.Invalid, in.name)
		byLabel("input_errors_total", st.Errors, in.name)
		gauge("connections", float64(st.Connections), in.name)
		count("connections_total", st.Accepted, in.name)
		count("refused_connections_total", st.Refused, in.name)
		count("acks_total", st.Acks, in.name)
		gauge("held_lines", float64(st.Held), in.name)
		byLabel("broken_lines_total", st.Broken, in.name)
		gauge("input_memory_bytes", float64(st.Memory), in.name)
	}
	for route, n := range c.a.router.Stats().Routes {
		count("route_events_total", n, route)
	}
	for _, d := range c.a.dests {
		s := d.Stats()
		b := s.Buffer
		count("offered_events_total", b.Offered, s.Name)
		count("delivered_events_total", b.Delivered, s.Name)
		byLabel("dead_lettered_events_total", b.DeadLettered, s.Name)
		byLabel("shed_events_total", b.Shed, s.Name)
		byLabel("moved_events_total", b.Moved, s.Name)
		gauge("buffered_events", float64(b.Buffered), s.Name)
		gauge("leased_events", float64(b.Leased), s.Name)
		gauge("buffered_bytes", float64(b.Bytes), s.Name)
		gauge("disk_bytes", float64(b.DiskBytes), s.Name)
		gauge("buffer_memory_bytes", float64(b.MemoryBytes), s.Name)
		gauge("buffer_max_bytes", float64(b.MaxBytes), s.Name)
		age := 0.0
		if !b.Oldest.IsZero() {
			age = time.Since(b.Oldest).Seconds()
		}
		gauge("oldest_event_age_seconds", age, s.Name)
		gauge("buffer_volatile", truth(b.Volatile), s.Name)
		gauge("breaker_open", truth(s.Breaker != "closed"), s.Name)
		count("requests_total", s.Requests, s.Name)
		count("failed_requests_total", s.Failed, s.Name)
		count("retried_events_total", s.Retried, s.Name)
		count("sent_bytes_total", s.Sent, s.Name)
	}
	gauge("config_degraded", truth(c.a.degraded != ""))
	gauge("start_time_seconds", float64(c.a.started.UnixMilli())/1000)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
