package main

import (
	"io"
	"slices"
	"strings"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/table"
	"github.com/firebreak/firebreak/router/match"
)

// A tagExplained is what the tag alone decides.
type tagExplained struct {
	Tag        string       `json:"tag"`
	Processors []tagVerdict `json:"processors"`
	Routes     []tagVerdict `json:"routes"`
}

// A tagVerdict says whether a processor or a route takes the events of a tag.
type tagVerdict struct {
	Name      string   `json:"name"`
	Takes     string   `json:"takes"`                // yes, no, depends; or not_reached
	Because   string   `json:"because,omitempty"`    // why yes or no
	DependsOn []string `json:"depends_on,omitempty"` // what else is looked at
	Drop      bool     `json:"drop,omitempty"`       // of a processor
	Continue  bool     `json:"continue,omitempty"`   // of a route, as the others below
	Discard   bool     `json:"discard,omitempty"`
	To        []string `json:"to,omitempty"`
}

// Answers of a tagVerdict.
const (
	takesYes     = "yes"
	takesNo      = "no"
	takesDepends = "depends"
	notReached   = "not_reached"
)

func explainTag(cfg *config.Config, tag string) tagExplained {
	out := tagExplained{Tag: tag, Processors: []tagVerdict{}, Routes: []tagVerdict{}}
	ended := false
	for i := range cfg.Processors {
		p := &cfg.Processors[i]
		v := tagVerdict{Name: p.Name, Takes: notReached, Drop: p.Drop}
		if !ended {
			v.decide(tag, p.Match)
			ended = p.Drop && v.Takes == takesYes
		}
		out.Processors = append(out.Processors, v)
	}
	for i := range cfg.Routes {
		r := &cfg.Routes[i]
		v := tagVerdict{Name: r.Name, Takes: notReached, Continue: r.Continue, Discard: r.Discard, To: r.To}
		if !ended {
			v.decide(tag, r.Match)
			ended = v.Takes == takesYes && !r.Continue
		}
		out.Routes = append(out.Routes, v)
	}
	return out
}

func (v *tagVerdict) decide(tag string, m *config.Match) {
	d := decideTag(tag, m)
	v.Takes, v.Because = d.takes, d.because
	if d.takes == takesDepends {
		v.DependsOn = d.fields
	}
}

// A tagDecision is how far the tag decides a condition.
type tagDecision struct {
	takes   string
	because string   // of yes and no
	fields  []string // of depends: what else decides
}

// decideTag decides a condition as far as the tag does: all of its tests, one of any, none of not.
func decideTag(tag string, m *config.Match) tagDecision {
	if m == nil {
		return tagDecision{takes: takesYes}
	}
	var parts []tagDecision
	for i := range m.Tests {
		parts = append(parts, decideTest(tag, &m.Tests[i]))
	}
	if m.Any != nil {
		parts = append(parts, combine(takesYes, tag, m.Any))
	}
	if len(m.Not) > 0 {
		d := combine(takesYes, tag, m.Not)
		switch d.takes {
		case takesYes:
			d = tagDecision{takes: takesNo, because: "not: " + d.because}
		case takesNo:
			d.takes = takesYes
		}
		parts = append(parts, d)
	}
	return fold(takesNo, parts)
}

func combine(decisive, tag string, list []*config.Match) tagDecision {
	var parts []tagDecision
	for _, m := range list {
		parts = append(parts, decideTag(tag, m))
	}
	return fold(decisive, parts)
}

// fold joins decisions, of which one that is decisive is enough.
func fold(decisive string, parts []tagDecision) tagDecision {
	out := tagDecision{takes: takesYes}
	if decisive == takesYes {
		out.takes = takesNo
	}
	var reasons []string
	for _, p := range parts {
		switch p.takes {
		case decisive:
			return p
		case takesDepends:
			out.takes = takesDepends
			for _, f := range p.fields {
				if !slices.Contains(out.fields, f) {
					out.fields = append(out.fields, f)
				}
			}
		default:
			if p.because != "" {
				reasons = append(reasons, p.because)
			}
		}
	}
	if out.takes != takesDepends {
		out.because = strings.Join(reasons, "; ")
	}
	return out
}

func decideTest(tag string, t *config.Test) tagDecision {
	if t.Field != "tag" {
		name := t.Field
		if t.Path != "" {
			name += "." + t.Path
		}
		return tagDecision{takes: takesDepends, fields: []string{name}}
	}
	var table match.Table
	c, err := table.Compile(&config.Match{Tests: []config.Test{*t}})
	if err != nil {
		return tagDecision{takes: takesDepends, fields: []string{t.Field}}
	}
	why := table.Reasons(tag, nil, c)
	if because := why.Because(c); because != "" {
		return tagDecision{takes: takesYes, because: because}
	}
	return tagDecision{takes: takesNo, because: why.Why(c)}
}

func (t *explainText) tag(e tagExplained) error {
	k := block{style: t.style}
	for _, list := range [][]tagVerdict{e.Processors, e.Routes} {
		for _, v := range list {
			k.width = max(k.width, min(table.Width(v.Name), maxNameWidth))
		}
	}
	k.title = "processors"
	for _, v := range e.Processors {
		effect := "applies"
		if v.Drop {
			effect = "DROPS the events"
		}
		k.tagRow(v, effect, "")
	}
	k.title = "routes"
	above := ""
	for _, v := range e.Routes {
		target := " -> " + routeTarget(v.Discard, v.To)
		if v.Continue {
			target += ", and goes on"
		}
		k.tagRow(v, "MATCHES"+above, target)
		if v.Takes == takesDepends && !v.Continue {
			above = " what none above takes"
		}
	}
	head := t.style.Paint(table.Bold, "tag "+table.Clean(e.Tag)) + "  what it alone decides; log lines show the rest\n"
	_, err := io.WriteString(t.out, head+k.b.String())
	return err
}

func (k *block) tagRow(v tagVerdict, effect, target string) {
	switch v.Takes {
	case takesYes:
		if v.Because != "" {
			effect += ": " + v.Because
		}
		k.row(v.Name, table.Green, effect+target)
	case takesNo:
		k.row(v.Name, table.Dim, "no: "+v.Because)
	case takesDepends:
		k.row(v.Name, "", "depends on "+strings.Join(v.DependsOn, ", ")+target)
	default:
		k.row(v.Name, table.Dim, "not reached")
	}
}
