package config

import (
	"fmt"
	"slices"
	"strings"
)

// Check reports a time to move after, without anywhere to move to.
func (b *Buffer) Check(r *Report) {
	if b.FallbackAfter > 0 && b.Fallback == "" {
		r.Problem("fallback_after", "buffer.fallback_after needs a buffer.fallback", "name the output that the events move to, or remove it")
	}
}

// checkFallback reports fallbacks that lead nowhere, in a circle, or to a buffer that blocks: moving must never wait for
// somebody who waits for it.
func (l *loader) checkFallback(cfg *Config, root *node) {
	for _, out := range cfg.Outputs {
		if out.Buffer.Fallback == "" {
			continue
		}
		path := "outputs." + out.Name + ".buffer.fallback"
		pos := root.locate(path)
		given := root.get("outputs").get(out.Name).get("buffer").get("fallback")
		to := findOutput(cfg, out.Buffer.Fallback)
		switch {
		case to == nil:
			others := slices.DeleteFunc(outputNames(cfg), func(name string) bool { return name == out.Name })
			l.problem(pos, fmt.Sprintf("%s: there is no output %s", path, given.found()), hintNames(given.text, "outputs", others))
		case to.Name == out.Name:
			l.problem(pos, fmt.Sprintf("%s: %s is the output itself", path, out.Name), "name another output, or remove it")
		case to.Buffer.OnFull == "block":
			l.problem(pos, fmt.Sprintf("%s: the buffer of %s blocks when it is full, so it can't take what moves", path, to.Name), fmt.Sprintf("choose another output, or another on_full for %s", to.Name))
		case to.Buffer.Type == "memory":
			l.warn(pos, fmt.Sprintf("%s: the buffer of %s is in memory: what moves there and waits is lost when the process ends", path, to.Name), "choose an output with a buffer on disk")
		case out.Buffer.Type == "disk" && out.Buffer.Sync == "always" && to.Buffer.Sync != "always":
			l.warn(pos, fmt.Sprintf("%s: sync is always in %s, and %s in %s: a power cut may take what has just moved there", path, out.Name, to.Buffer.Sync, to.Name), fmt.Sprintf("give %s buffer: { sync: always }, too", to.Name))
		}
	}
	l.checkCircles(cfg, root)
}

// checkCircles reports each circle of several fallbacks once, at its first output in the file.
func (l *loader) checkCircles(cfg *Config, root *node) {
	seen := map[string]bool{}
	for _, first := range cfg.Outputs {
		var way []string
		for o := &first; o != nil && !seen[o.Name]; o = findOutput(cfg, o.Buffer.Fallback) {
			seen[o.Name] = true
			way = append(way, o.Name)
			back := slices.Index(way, o.Buffer.Fallback)
			if back < 0 || back == len(way)-1 { // that of one output is reported as itself
				continue
			}
			circle := rotateToFirst(cfg, way[back:])
			l.problem(root.locate("outputs."+circle[0]+".buffer.fallback"), "events would move in a circle: "+strings.Join(append(circle, circle[0]), " → "), "remove one of these fallbacks")
		}
	}
}

// rotateToFirst returns the circle from that output on which stands first in the file.
func rotateToFirst(cfg *Config, circle []string) []string {
	for _, o := range cfg.Outputs {
		if i := slices.Index(circle, o.Name); i >= 0 {
			return slices.Concat(circle[i:], circle[:i])
		}
	}
	return circle
}

func findOutput(cfg *Config, name string) *Output {
	for i := range cfg.Outputs {
		if cfg.Outputs[i].Name == name {
			return &cfg.Outputs[i]
		}
	}
	return nil
}

// ownOutputs returns the names of the outputs that are nobody's fallback, or of all when there is none.
func ownOutputs(cfg *Config) []string {
	names := slices.DeleteFunc(outputNames(cfg), func(name string) bool {
		return slices.ContainsFunc(cfg.Outputs, func(o Output) bool { return o.Buffer.Fallback == name })
	})
	if len(names) == 0 {
		return outputNames(cfg)
	}
	return names
}

// reached returns the names of the outputs that routes lead to, by themselves or through fallbacks.
func reached(cfg *Config) map[string]bool {
	names := map[string]bool{}
	for _, r := range cfg.Routes {
		for _, name := range r.To {
			for o := findOutput(cfg, name); o != nil && !names[o.Name]; o = findOutput(cfg, o.Buffer.Fallback) {
				names[o.Name] = true
			}
		}
	}
	return names
}
