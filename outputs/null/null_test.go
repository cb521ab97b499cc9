package null

import (
	"testing"

	"github.com/firebreak/firebreak/outputs"
)

func TestEverythingIsDelivered(t *testing.T) {
	out, err := Kind().Options().Open(outputs.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if out.Shape().Encode != nil || out.Shape().MaxBytes <= 0 {
		t.Errorf("shape %+v: want chunks passed through, with a bound", out.Shape())
	}
	res := out.Send(t.Context(), outputs.Batch{Events: 3})
	if res.Err != nil || res.Retry != nil || res.Dead != nil {
		t.Errorf("Send = %+v, want everything delivered", res)
	}
	if f := out.(outputs.Checker).Check(t.Context()); len(f) != 1 || f[0].Err != nil || f[0].Note == "" {
		t.Errorf("check: %+v", f)
	}
	if err := out.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
