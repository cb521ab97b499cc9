package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The command prints what the reference has.
func TestSchema(t *testing.T) {
	want, err := os.ReadFile("../../docs/reference/firebreak.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := run([]string{"schema"}, &out, &errs); code != 0 || errs.Len() > 0 {
		t.Fatalf("exit code %d, %s", code, errs.String())
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("(-docs +printed):\n%s", diff)
	}
}
