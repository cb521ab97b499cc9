package main

import (
	"encoding/json"
	"io"

	"github.com/firebreak/firebreak/agent"
)

// explainJSON prints one JSON object a line.
type explainJSON struct{ enc *json.Encoder }

func newExplainJSON(w io.Writer) *explainJSON {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return &explainJSON{enc}
}

func (j *explainJSON) event(s sample, e agent.Explained) error {
	return j.enc.Encode(struct {
		Number int `json:"number"`
		agent.Explained
	}{s.number, e})
}

func (j *explainJSON) tag(t tagExplained) error { return j.enc.Encode(t) }

func (j *explainJSON) end() error { return nil }
