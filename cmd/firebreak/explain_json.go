package main

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/internal/table"
)

// explainJSON prints one JSON object a line.
type explainJSON struct {
	out  io.Writer
	line bytes.Buffer
}

func (j *explainJSON) print(v any) error {
	j.line.Reset()
	enc := json.NewEncoder(&j.line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := j.out.Write(append(table.CleanJSON(bytes.TrimSpace(j.line.Bytes())), '\n'))
	return err
}

func (j *explainJSON) event(s sample, e agent.Explained) error {
	return j.print(struct {
		Number int `json:"number"`
		agent.Explained
	}{s.number, e})
}

func (j *explainJSON) tag(t tagExplained) error { return j.print(t) }

func (j *explainJSON) end() error { return nil }
