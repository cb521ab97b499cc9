package scenario

import "strings"

// A shape is one of the configurations that take turns. What it doesn't name stays as it is.
type shape struct {
	name     string
	options  bool   // main has other options, of the output, its buffer and its workers
	extra    bool   // there is one more destination, and errors go there
	routes   bool   // other routes, and a processor
	listener bool   // one more address
	bad      string // what is wrong with the file: nothing may change
}

// shapes returns the configurations in the order in which they follow each other, again and again. Between neighbours
// everything changes that can change while the router runs, back and forth; the bad ones change nothing.
func shapes() []shape {
	return []shape{
		{name: "as before"},
		{name: "other options", options: true},
		{name: "not YAML", bad: "syntax"},
		{name: "a destination more", extra: true},
		{name: "other routes", extra: true, routes: true},
		{name: "an unknown key", bad: "key"},
		{name: "an address more", extra: true, listener: true},
		{name: "one destination less, other options", options: true, listener: true},
		{name: "another data_dir", bad: "restart"},
		{name: "the destination again", extra: true, options: true, routes: true},
		{name: "an address that is taken", bad: "taken"},
		{name: "one address and one destination less", routes: true},
	}
}

// yaml writes the configuration of a shape. side gets the audit events in all of them: nothing of it ever changes.
func (l *reloading) yaml(v shape) string {
	listen := []string{l.cfg.Listen}
	if v.listener || v.bad != "" {
		listen = append(listen, l.listener)
	}
	if v.bad == "taken" {
		listen = append(listen, l.side.Addr())
	}
	y := l.head(listen...)
	if v.bad == "restart" {
		y = strings.Replace(y, "data_dir: ", "data_dir: /nowhere", 1)
	}
	if v.routes {
		y += "processors: [ { name: nothing, match: { tag: \"nobody.*\" }, add: { env: prod } } ]\n"
	}
	y += "routes:\n"
	if v.routes {
		y += "  - { name: none, match: { tag: \"nobody.*\" }, discard: true }\n"
	}
	y += "  - { name: audit, match: { tag: \"docker.audit.*\" }, to: [side] }\n"
	if v.extra || v.bad != "" {
		y += "  - { name: error, match: { tag: \"docker.error.*\" }, to: [extra] }\n"
	}
	y += "  - { name: rest, to: [main] }\noutputs:\n"
	y += l.e.output("side", l.side.Addr(), "max_bytes: 16GiB")
	if v.options {
		y += strings.Replace(l.e.output("main", l.main.Addr(), "max_bytes: 15GiB"), "ack_timeout: 3s", "ack_timeout: 4s\n    workers: 2", 1)
	} else {
		y += l.e.output("main", l.main.Addr(), "max_bytes: 16GiB")
	}
	if v.extra || v.bad != "" {
		y += l.e.output("extra", l.extra.Addr(), "max_bytes: 16GiB")
	}
	switch v.bad {
	case "key":
		y += "    sevrers: [ \"127.0.0.1:1\" ]\n"
	case "syntax":
		y += "  broken: { type: forward, servers: [\n"
	}
	return y
}
