// Package layers holds the test of the import directions.
package layers

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/firebreak/firebreak/"

// layer gives each top-level folder its height: imports only go down, and siblings don't import each other.
var layer = map[string]int{
	"cmd": 50, "plugin": 50, "bench": 50, "e2e": 50,
	"agent":  40,
	"inputs": 30, "router": 30, "destination": 30, "outputs": 30,
	"record": 20, "buffer": 20, "config": 20,
	"internal": 10,
}

// siblings are the imports inside one layer that the design allows.
var siblings = map[string]bool{
	"destination>outputs": true, // a destination drives an output
	"buffer>record":       true, // a buffer holds chunks
	"config>record":       true, // a configuration holds templates
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func TestImportsOnlyGoDown(t *testing.T) {
	for _, p := range list(t) {
		from := top(p.ImportPath)
		if _, known := layer[from]; !known {
			t.Errorf("package %s has no layer", p.ImportPath)
		}
		for _, imp := range p.Imports {
			to := top(imp)
			if !strings.HasPrefix(imp, module) || to == from || siblings[from+">"+to] {
				continue
			}
			if layer[to] >= layer[from] {
				t.Errorf("%s imports %s", p.ImportPath, imp)
			}
		}
	}
}

func TestHeavyImportsStayWhereTheyBelong(t *testing.T) {
	for _, p := range list(t) {
		for _, imp := range p.Imports {
			switch {
			case strings.HasPrefix(imp, "github.com/aws/") && top(p.ImportPath) != "outputs":
				t.Errorf("%s imports the AWS SDK", p.ImportPath)
			case imp == "C" && top(p.ImportPath) != "plugin":
				t.Errorf("%s uses cgo", p.ImportPath)
			case strings.HasPrefix(imp, "github.com/prometheus/") && top(p.ImportPath) != "agent":
				t.Errorf("%s imports the metrics library: give snapshots, the agent collects them", p.ImportPath)
			}
		}
	}
}

func top(path string) string {
	dir, _, _ := strings.Cut(strings.TrimPrefix(path, module), "/")
	return dir
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
