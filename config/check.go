package config

import (
	"fmt"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Check reports an admin address that can't be listened on, and bounds of the shutdown that contradict each other.
func (c *Config) Check(r *Report) {
	if c.DataDir == "" {
		r.Problem("data_dir", "data_dir is empty", "name a directory that the router may write to")
	}
	if strings.HasPrefix(c.DataDir, "~") {
		r.Problem("data_dir", "data_dir: ~ is not the home directory here", "write ${env:HOME}")
	}
	if c.Admin != "off" {
		if err := checkAddress(c.Admin); err != "" {
			r.Problem("admin", "admin: "+err, "write an address such as 127.0.0.1:24220, or off")
		}
	}
}

// Check reports a quiet time that leaves no time for anything else.
func (s *Shutdown) Check(r *Report) {
	if s.Quiet >= s.Deadline {
		r.Problem("quiet", fmt.Sprintf("shutdown.quiet of %v is not below shutdown.deadline of %v", s.Quiet, s.Deadline), "after the quiet time the outputs need the rest to send what waits")
	}
}

// Check reports waits that contradict each other.
func (t *Retry) Check(r *Report) {
	if t.Initial > t.Max {
		r.Problem("initial", fmt.Sprintf("retry.initial of %v is more than retry.max of %v", t.Initial, t.Max), "")
	}
}

// checkAddress says what is wrong with HOST:PORT, without resolving anything.
func checkAddress(s string) string {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return quote(s) + " is not an address with a port"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 && port != "0" {
		return quote(port) + " is not a port"
	}
	if strings.ContainsAny(host, " /") {
		return quote(host) + " is not a host"
	}
	return ""
}

// A listener is one address that something of the configuration listens on.
type listener struct {
	network, host, port string
	owner               string
	line                int
}

// overlaps reports whether the system refuses to listen on both.
func (a listener) overlaps(b listener) bool {
	if a.network != b.network || a.port != b.port || a.port == "0" {
		return false
	}
	return a.host == b.host || a.network != "unix" && (anyHost(a.host) || anyHost(b.host))
}

func anyHost(h string) bool { return h == "" || h == "0.0.0.0" || h == "::" }

// checkListen reports addresses that two inputs, or an input and the admin server, listen on. By convention the
// option is called listen.
func (l *loader) checkListen(cfg *Config, root *node) {
	var seen []listener
	if cfg.Admin != "" && cfg.Admin != "off" {
		seen = append(seen, parseListener(cfg.Admin, "admin", root.placeOf("admin").Line))
	}
	for _, in := range cfg.Inputs {
		n := root.get("inputs").get(in.Name)
		for i, address := range listenOption(in.Options) {
			pos, shown := in.Pos, quote(address)
			if given := n.get("listen"); given != nil {
				pos = given.locate(fmt.Sprintf("[%d]", i))
				shown = given.textAt(i, shown)
			}
			this := parseListener(address, "inputs."+in.Name, pos.Line)
			if j := slices.IndexFunc(seen, this.overlaps); j >= 0 {
				l.problem(pos, fmt.Sprintf("%s listens on %s, as %s does", this.owner, shown, seen[j].where()), "give one of them another address")
			}
			seen = append(seen, this)
		}
	}
}

func (a listener) where() string {
	if a.line == 0 {
		return a.owner
	}
	return fmt.Sprintf("%s in line %d", a.owner, a.line)
}

// listenOption returns the addresses of an input's listen option, defaults included.
func listenOption(options any) []string {
	v := reflect.ValueOf(options)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return nil
	}
	for _, f := range fieldsOf(v.Elem().Type()) {
		if f.key != "listen" {
			continue
		}
		switch x := v.Elem().FieldByIndex(f.index).Interface().(type) {
		case string:
			return []string{x}
		case []string:
			return x
		}
	}
	return nil
}

func parseListener(address, owner string, line int) listener {
	network, rest, ok := strings.Cut(address, "://")
	if !ok {
		network, rest = "tcp", address
	}
	if network == "tls" {
		network = "tcp" // to the system they are the same
	}
	a := listener{network: network, host: rest, owner: owner, line: line}
	if host, port, err := net.SplitHostPort(rest); err == nil && network != "unix" {
		a.host, a.port = host, port
	}
	return a
}

// checkBlock warns of what else waits for a destination whose buffer blocks.
func (l *loader) checkBlock(cfg *Config, root *node) {
	var inputs []string
	for _, in := range cfg.Inputs {
		inputs = append(inputs, in.Name)
	}
	for _, out := range cfg.Outputs {
		if out.Buffer.OnFull != "block" {
			continue
		}
		var own, others []string
		for _, r := range cfg.Routes {
			if slices.Contains(r.To, out.Name) {
				own = append(own, r.Name)
			} else {
				others = append(others, r.Name)
			}
		}
		if len(own) == 0 {
			continue
		}
		full := "is full"
		if to := out.Buffer.Fallback; to != "" {
			full = "is full and its events can't move to " + to + " fast enough"
		}
		message := fmt.Sprintf("when the buffer of %s %s, the inputs that feed the route%s %s wait: %s", out.Name, full, plural(own), strings.Join(own, ", "), strings.Join(inputs, ", "))
		if len(others) > 0 {
			message += fmt.Sprintf("; the route%s %s wait%s with them", plural(others), strings.Join(others, ", "), verb(others))
		}
		l.warn(root.locate("outputs."+out.Name+".buffer.on_full"), message, "on_full: shed_oldest keeps the other types going")
	}
}

func plural(list []string) string {
	if len(list) == 1 {
		return ""
	}
	return "s"
}

func verb(list []string) string {
	if len(list) == 1 {
		return "s"
	}
	return ""
}
