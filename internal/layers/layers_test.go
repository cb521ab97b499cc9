// Package layers holds the test of the import directions.
package layers

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/firebreak/firebreak/"

// layer gives each folder its height: imports only go down, and siblings don't import each other. A longer path has
// its own height.
var layer = map[string]int{
	"cmd": 50, "plugin": 50, "bench": 50, "e2e": 50,
	"agent":  40,
	"inputs": 30, "router": 30, "destination": 30, "outputs": 30,
	"internal/tlsconf": 25, // declares options, as inputs and outputs do
	"record":           20, "buffer": 20, "config": 20,
	"internal": 10,
}

// siblings are the imports inside one layer that the design allows.
var siblings = map[string]bool{
	"destination>outputs": true, // a destination drives an output
	"buffer>record":       true, // a buffer holds chunks
	"e2e>bench":           true, // the tests from the outside use its load and its aggregator
}

// heavy are libraries that only some folders may import.
var heavy = []struct {
	prefix string
	only   []string
	why    string
}{
	{"github.com/aws/", []string{"outputs"}, "the AWS SDK belongs to the AWS outputs"},
	{"k8s.io/", []string{"inputs/kubernetes"}, "client-go belongs to the Kubernetes metadata"},
	{"C", []string{"plugin"}, "only the plugin uses cgo"},
	{"github.com/prometheus/", []string{"agent"}, "give snapshots, the agent makes metrics of them"},
	{"github.com/spf13/", []string{"cmd"}, "only the command line knows its library"},
	{"github.com/goccy/go-yaml", []string{"config"}, "only config reads YAML"},
	{"testing", []string{"internal/tlsconf/tlstest"}, "the product has no test code"},
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func TestImportsOnlyGoDown(t *testing.T) {
	for _, wrong := range violations(list(t)) {
		t.Error(wrong)
	}
}

// The rules find what they are there for.
func TestWrongImportsAreFound(t *testing.T) {
	one := func(from, to string) []pkg { return []pkg{{module + from, []string{"fmt", to}}} }
	for _, c := range []struct {
		from, to string
		wrong    bool
	}{
		{"agent", module + "router", false},
		{"router", module + "agent", true},
		{"router/match", module + "router", false},
		{"inputs/forward", module + "inputs", false},
		{"inputs/forward", module + "outputs/forward", true},
		{"outputs/file", module + "destination", true},
		{"destination", module + "outputs", false},
		{"outputs", module + "internal/tlsconf", false},
		{"config", module + "outputs", true},
		{"config", module + "internal/tlsconf", true},
		{"record", module + "config", true},
		{"internal/mp", module + "record", true},
		{"internal/tlsconf", module + "config", false},
		{"bench", module + "e2e", true},
		{"agent", module + "cmd/firebreak", true},
		{"stuff", "os", true},
		{"outputs/s3", "github.com/aws/aws-sdk-go-v2/service/s3", false},
		{"agent", "github.com/aws/aws-sdk-go-v2/aws", true},
		{"buffer", "github.com/prometheus/client_golang/prometheus", true},
		{"plugin", "C", false},
		{"record", "C", true},
		{"buffer", "testing", true},
	} {
		if got := len(violations(one(c.from, c.to))) > 0; got != c.wrong {
			t.Errorf("%s imports %s: wrong is %v, want %v", c.from, c.to, got, c.wrong)
		}
	}
	want := []string{module + "a has no layer: give it one"}
	if diff := cmp.Diff(want, violations([]pkg{{module + "a", nil}})); diff != "" {
		t.Error(diff)
	}
}

func violations(pkgs []pkg) []string {
	var out []string
	for _, p := range pkgs {
		from, height := place(p.ImportPath)
		if height == 0 {
			out = append(out, p.ImportPath+" has no layer: give it one")
			continue
		}
		for _, imp := range p.Imports {
			for _, h := range heavy {
				if (imp == h.prefix || strings.HasPrefix(imp, h.prefix) && len(h.prefix) > 1) && !slices.ContainsFunc(h.only, func(dir string) bool { return within(p.ImportPath, dir) }) {
					out = append(out, p.ImportPath+" imports "+imp+": "+h.why)
				}
			}
			if !strings.HasPrefix(imp, module) {
				continue
			}
			to, below := place(imp)
			if to != from && below >= height && !siblings[from+">"+to] {
				out = append(out, p.ImportPath+" imports "+imp+": imports only go down")
			}
		}
	}
	return out
}

// within reports whether a package of this module is dir, or below it.
func within(path, dir string) bool {
	return strings.HasPrefix(strings.TrimPrefix(path, module)+"/", dir+"/")
}

// place returns the folder that a package counts to, and its height.
func place(path string) (string, int) {
	best := ""
	for dir := range layer {
		if within(path, dir) && len(dir) > len(best) {
			best = dir
		}
	}
	return best, layer[best]
}

func list(t *testing.T) []pkg {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list the packages: %v", err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if len(pkgs) < 10 {
		t.Fatalf("only %d packages found", len(pkgs))
	}
	return pkgs
}
