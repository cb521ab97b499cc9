package agent

import (
	"context"
	"encoding/json"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/destination"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
	"github.com/firebreak/firebreak/router"
)

// An Explained is what becomes of one event under a configuration.
type Explained struct {
	router.Explanation
	Record     json.RawMessage `json:"record"` // as the input gave it
	Processors []Effect        `json:"processors"`
	Routes     []Verdict       `json:"routes"`
	Deliveries []Delivery      `json:"deliveries"`
}

// An Effect is what a processor does, with the record after it when that changes.
type Effect struct {
	router.Effect
	After json.RawMessage `json:"after,omitempty"`
}

// A Verdict says whether a route takes an event.
type Verdict struct {
	router.Verdict
	Processors []Effect `json:"processors,omitempty"`
}

// A Delivery is an event as one destination gets it, and what its options render to.
type Delivery struct {
	router.Delivery
	Type     string             `json:"output_type"`
	Record   json.RawMessage    `json:"record"`
	Rendered []outputs.Rendered `json:"rendered,omitempty"`
}

// An Explainer says what a configuration does with events, without running it.
type Explainer struct {
	cfg    *config.Config
	router *router.Router
	outs   map[string]outputs.Output
}

// NewExplainer builds what a configuration names, as far as that needs no network, no disk and no listening.
func NewExplainer(cfg *config.Config) (*Explainer, error) {
	x := &Explainer{cfg: cfg, outs: map[string]outputs.Output{}}
	p := parts{pool: destination.NewPool(), log: zap.NewNop(), host: hostName()}
	sinks := map[string]router.Sink{}
	for i := range cfg.Outputs {
		c := &cfg.Outputs[i]
		sinks[c.Name] = nil
		out, err := p.output(c)
		if err != nil {
			return nil, err
		}
		x.outs[c.Name] = out
	}
	var err error
	x.router, err = router.New(cfg.Processors, cfg.Routes, sinks)
	return x, err
}

// Close ends the outputs.
func (x *Explainer) Close() {
	for _, out := range x.outs {
		_ = out.Close(context.Background()) // it has done nothing
	}
}

// Host is the attribute that inputs give every event.
func (x *Explainer) Host() record.Attr { return record.Attr{Key: "host", Value: hostName()} }

// Explain says for each event of a chunk, as an input would give it, what becomes of it and why.
func (x *Explainer) Explain(c record.Chunk) []Explained {
	var out []Explained
	for _, e := range x.router.Explain(c) {
		one := Explained{Explanation: e, Record: record.AppendJSON(nil, e.Record), Processors: effects(e.Processors), Routes: []Verdict{}, Deliveries: []Delivery{}}
		for _, v := range e.Routes {
			one.Routes = append(one.Routes, Verdict{Verdict: v, Processors: effects(v.Processors)})
		}
		for _, d := range e.Deliveries {
			one.Deliveries = append(one.Deliveries, x.delivery(d))
		}
		out = append(out, one)
	}
	return out
}

func effects(list []router.Effect) []Effect {
	out := []Effect{}
	for _, e := range list {
		one := Effect{Effect: e}
		if e.After != nil {
			one.After = record.AppendJSON(nil, e.After)
		}
		out = append(out, one)
	}
	return out
}

func (x *Explainer) delivery(d router.Delivery) Delivery {
	out := Delivery{Delivery: d}
	for i := range x.cfg.Outputs {
		if x.cfg.Outputs[i].Name == d.Destination {
			out.Type = x.cfg.Outputs[i].Type
		}
	}
	it := record.Iterate(&d.Event)
	if !it.Next() {
		return out
	}
	out.Record = record.AppendJSON(nil, it.Event().Record)
	if e, ok := x.outs[d.Destination].(outputs.Explainer); ok && d.DeadLetter == "" {
		out.Rendered = e.Explain(it.Event())
	}
	return out
}
