package config

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

var (
	routeName = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)
	routeKeys = []string{"name", "match", "to", "discard", "continue", "processors"}
)

// reservedRoutes are what the counters of discarded events use beside the names of routes.
var reservedRoutes = []string{"unmatched", "malformed"}

// otherRouteKeys are names that other tools use, and what they are here.
var otherRouteKeys = map[string]string{
	"output": "to", "outputs": "to", "destination": "to", "destinations": "to", "sink": "to", "send_to": "to", "drop": "discard", "if": "match", "when": "match",
	"condition": "match", "conditions": "match", "where": "match", "type": "name", "filters": "processors",
}

// routes reads the routes, and checks that every event has one and every destination is reached.
func (l *loader) routes(cfg *Config, root *node, lineKey string) {
	n := root.get("routes")
	switch {
	case n == nil && len(cfg.Outputs) == 1:
		out := cfg.Outputs[0]
		cfg.Routes = []Route{{Name: out.Name, To: []string{out.Name}, Pos: out.Pos}}
		return
	case n == nil && len(cfg.Outputs) == 0: // reported before
		return
	case n == nil:
		l.problem(root.placeOf("routes"), fmt.Sprintf("there are %d outputs and no routes that say which events go where", len(cfg.Outputs)), "add routes: [ { name: rest, to: ["+strings.Join(ownOutputs(cfg), ", ")+"] } ]")
		return
	case n.kind != sequenceNode:
		l.problem(n.pos, "routes: expected a list such as [ { name: rest, to: [archive] } ], found "+n.found(), "the order counts: the first route that matches takes the event")
		return
	}
	readable := true
	for i, item := range n.items {
		at := fmt.Sprintf("routes[%d]", i)
		if item.kind != mappingNode {
			l.problem(item.pos, fmt.Sprintf("%s: expected a mapping such as { name: rest, to: [archive] }, found %s", at, item.found()), "")
			readable = false
			continue
		}
		readable = readable && !slices.ContainsFunc(item.pairs, func(p pair) bool { return !slices.Contains(routeKeys, p.key) })
		cfg.Routes = append(cfg.Routes, l.route(cfg, item, at, lineKey))
	}
	if readable { // else it isn't known what the routes match
		l.checkOrder(cfg, n)
	}
	l.checkSupplied(cfg)
	l.checkReached(cfg)
}

func (l *loader) route(cfg *Config, n *node, at, lineKey string) Route {
	r := Route{Pos: n.pos}
	known := true
	for _, p := range n.pairs {
		if !slices.Contains(routeKeys, p.key) {
			l.problem(p.keyPos, "unknown key "+quote(p.key)+in(at), routeKeyHint(p.key))
			known = false
		}
	}
	if name := n.get("name"); name == nil {
		l.problem(n.pos, at+".name is missing", "the name of a route is the type of its events")
	} else if text, ok := l.plainText(name, at+".name"); ok {
		r.Name = text
		if !routeName.MatchString(text) {
			l.problem(name.pos, fmt.Sprintf("%s.name: %s is not a name of a route", at, name.found()), "names hold 1 to 64 of the characters a-z 0-9 _ -")
		} else if slices.Contains(reservedRoutes, text) {
			l.problem(name.pos, fmt.Sprintf("%s.name: the counters use the name %q for something else", at, text), "choose another name")
		} else if slices.ContainsFunc(cfg.Routes, func(o Route) bool { return o.Name == text }) {
			l.problem(name.pos, fmt.Sprintf("two routes are called %q", text), "for one type from several conditions write match: { any: [ … ] }")
		}
		if text != "" {
			at = "route " + text
		}
	}
	r.Match = l.match(n.get("match"), at+": match", lineKey)
	r.To = l.destinations(cfg, n.get("to"), at)
	before := len(l.problems)
	r.Discard = l.flag(n, "discard", at)
	flagsRead := len(l.problems) == before
	r.Continue = l.flag(n, "continue", at)
	r.Processors = l.processors(n.get("processors"), at+": processors", r.Name, lineKey)
	if r.Discard && len(r.Processors) > 0 {
		l.problem(n.locate("processors"), at+" has processors for events that it discards", "remove them; processors for all events stand before the routes")
	}
	switch {
	case r.Discard && n.get("to") != nil:
		l.problem(n.locate("discard"), at+" has both to and discard", "remove one of them")
	case r.Discard && r.Continue:
		l.problem(n.locate("continue"), at+" has both discard and continue", "a discarded event ends there; remove one of them")
	case !r.Discard && n.get("to") == nil && flagsRead && known:
		l.problem(n.pos, at+" leads nowhere", "give it to: [OUTPUT], or discard: true")
	}
	return r
}

func routeKeyHint(key string) string {
	switch other := otherRouteKeys[key]; {
	case other != "":
		return fmt.Sprintf("write %s", other)
	case slices.Contains(matchKeys, key):
		return fmt.Sprintf("it belongs into match: { %s: … }", key)
	}
	return hintNames(key, "known keys", routeKeys)
}

func (l *loader) flag(n *node, key, at string) (value bool) {
	v := n.get(key)
	if v == nil {
		return false
	}
	ok := false
	if v.kind == scalarNode {
		text, expanded := l.expand(v, false)
		if !expanded {
			return false
		}
		value, ok = parseBool(text)
	}
	if !ok {
		l.problem(v.pos, fmt.Sprintf("%s: %s: expected true or false, found %s", at, key, v.found()), "")
	}
	return value
}

// destinations reads `to`: one name or a list.
func (l *loader) destinations(cfg *Config, n *node, at string) []string {
	if n == nil {
		return nil
	}
	items := n.items
	switch {
	case n.kind == scalarNode:
		items = []*node{n}
	case n.kind == sequenceNode && len(items) > 0:
	default:
		l.problem(n.pos, fmt.Sprintf("%s: to: expected a list of outputs, found %s", at, emptyOr(n)), "to drop the events write discard: true")
		return nil
	}
	known := outputNames(cfg)
	var out []string
	for _, item := range items {
		text, ok := l.plainText(item, at+": to")
		switch {
		case !ok:
		case !slices.Contains(known, text):
			l.problem(item.pos, fmt.Sprintf("%s: there is no output %s", at, item.found()), hintNames(item.text, "outputs", known))
		case slices.Contains(out, text):
			l.problem(item.pos, fmt.Sprintf("%s: to names %s twice", at, item.found()), "an event reaches a destination once")
		default:
			out = append(out, text)
		}
	}
	return out
}

func emptyOr(n *node) string {
	if n.kind == sequenceNode {
		return "an empty list"
	}
	return n.found()
}

func outputNames(cfg *Config) []string {
	var names []string
	for _, o := range cfg.Outputs {
		names = append(names, o.Name)
	}
	return names
}

// checkOrder reports routes behind one that takes everything, and events that no route takes.
func (l *loader) checkOrder(cfg *Config, n *node) {
	caught := ""
	for _, r := range cfg.Routes {
		if caught != "" {
			l.problem(r.Pos, fmt.Sprintf("route %s is never reached: route %s before it takes every event", r.Name, caught), fmt.Sprintf("move %s to the end, or give it continue: true", caught))
			return
		}
		if matchesAll(r.Match) && !r.Continue {
			caught = r.Name
		}
	}
	if !slices.ContainsFunc(cfg.Routes, func(r Route) bool { return matchesAll(r.Match) }) {
		pos := n.pos
		if len(cfg.Routes) > 0 {
			pos = cfg.Routes[len(cfg.Routes)-1].Pos
		}
		l.problem(pos, "events that match none of the routes have nowhere to go", "add a last route { name: rest, to: ["+strings.Join(outputNames(cfg)[:min(1, len(cfg.Outputs))], "")+"] }, or { name: rest, discard: true }")
	}
}

// matchesAll reports whether a condition holds for every event.
func matchesAll(m *Match) bool {
	if m == nil {
		return true
	}
	if m.Any != nil || m.Not != nil || len(m.Tests) == 0 {
		return false
	}
	for _, t := range m.Tests {
		if t.Field != "tag" || !slices.ContainsFunc(t.Patterns, func(p Pattern) bool {
			return p.Kind == Present || p.Kind == Glob && p.Text != "" && strings.Trim(p.Text, "*") == ""
		}) {
			return false
		}
	}
	return true
}

// checkReached warns of outputs that no route leads to, by their name or as the fallback of one that it names.
func (l *loader) checkReached(cfg *Config) {
	names := reached(cfg)
	for _, o := range cfg.Outputs {
		if !names[o.Name] {
			l.warn(o.Pos, fmt.Sprintf("no route leads to output %s", o.Name), "it stays idle; name it in the to of a route, or remove it")
		}
	}
}

// checkSupplied reports conditions on facts that no configured input knows.
func (l *loader) checkSupplied(cfg *Config) {
	var supplied []string
	for _, in := range cfg.Inputs {
		for _, k := range l.kinds.Inputs {
			if k.Name == in.Type {
				supplied = append(supplied, k.Supplies...)
			}
		}
		if in.Type == "" {
			return // of an unknown type, reported before
		}
	}
	for _, p := range cfg.Processors {
		l.supplied(p.Match, cfg, supplied)
	}
	for _, r := range cfg.Routes {
		l.supplied(r.Match, cfg, supplied)
		for _, p := range r.Processors {
			l.supplied(p.Match, cfg, supplied)
		}
	}
}

func (l *loader) supplied(m *Match, cfg *Config, supplied []string) {
	if m == nil {
		return
	}
	for _, t := range m.Tests {
		if t.Field != "k8s" && t.Field != "ecs" {
			continue
		}
		name := t.Field + "." + t.Path
		if slices.ContainsFunc(supplied, func(s string) bool {
			ok, err := path.Match(s, name)
			return s == t.Field || err == nil && ok
		}) {
			continue
		}
		l.problem(t.Pos, fmt.Sprintf("no input knows %s", name), "inputs of the types configured here: "+inputTypes(cfg)+"; match container, tag or record instead")
	}
	for _, m := range slices.Concat(m.Any, m.Not) {
		l.supplied(m, cfg, supplied)
	}
}

func inputTypes(cfg *Config) string {
	var types []string
	for _, in := range cfg.Inputs {
		if !slices.Contains(types, in.Type) {
			types = append(types, in.Type)
		}
	}
	return strings.Join(types, ", ")
}
