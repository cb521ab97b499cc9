// Package null is the output that discards: everything counts as delivered.
package null

import (
	"context"

	"github.com/firebreak/firebreak/outputs"
)

// Kind declares the output.
func Kind() outputs.Kind {
	return outputs.Kind{
		Name:    "null",
		Summary: "Discards events and counts them as delivered; for measurements and for trying out routes.",
		Options: func() outputs.Options { return &Options{} },
	}
}

// Options of the output: it has none of its own.
type Options struct{}

// Open returns the output.
func (*Options) Open(outputs.Env) (outputs.Output, error) { return output{}, nil }

type output struct{}

// Shape passes chunks through: nothing is decoded.
func (output) Shape() outputs.Shape { return outputs.Shape{MaxBytes: 4 << 20} }

func (output) Send(context.Context, outputs.Batch) outputs.Result { return outputs.Result{} }

var _ outputs.Checker = output{}

// Check implements outputs.Checker.
func (output) Check(context.Context) []outputs.Finding {
	return []outputs.Finding{{Target: "null", Note: "nothing to check: events are discarded"}}
}

func (output) Close(context.Context) error { return nil }
