package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the expected messages anew")

func load(t *testing.T, src string) *Config {
	t.Helper()
	cfg, err := Load("firebreak.yaml", []byte(src), testKinds, testEnv)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	if err := validate(t, src); err != nil {
		t.Errorf("the schema doesn't allow what the parser accepts: %v\n%s", err, src)
	}
	return cfg
}

func TestWrongConfigurationsSayWhatIsWrong(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d files in testdata/bad, error %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Load(filepath.Base(file), src, testKinds, testEnv)
			var problems *Errors
			if !errors.As(err, &problems) {
				t.Fatalf("Load gave %v, want *Errors", err)
			}
			got := err.Error() + "\n"
			checkGolden(t, strings.TrimSuffix(file, ".yaml")+".txt", got)
			for _, secret := range []string{"hunter2", "s3cret"} {
				if strings.Contains(got, secret) {
					t.Errorf("the message shows the value %q", secret)
				}
			}
		})
	}
}

func TestGoodConfigurationsLoadWithoutWarning(t *testing.T) {
	files, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files in testdata/good, error %v", len(files), err)
	}
	for _, file := range append(files, "default.yaml", "default-image.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			cfg := load(t, string(src))
			for _, w := range cfg.Warnings {
				t.Errorf("warning: %v", w)
			}
		})
	}
}

func TestOddConfigurationsLoadWithAWarning(t *testing.T) {
	files, err := filepath.Glob("testdata/odd/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files in testdata/odd, error %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			src := readFile(t, file)
			cfg, err := Load(filepath.Base(file), []byte(src), testKinds, testEnv)
			if err != nil {
				t.Fatal(err)
			}
			if err := validate(t, src); err != nil {
				t.Errorf("the schema doesn't allow it: %v", err)
			}
			var got strings.Builder
			for _, w := range cfg.Warnings {
				got.WriteString(w.String() + "\n")
			}
			checkGolden(t, strings.TrimSuffix(file, ".yaml")+".txt", got.String())
		})
	}
}

// checkGolden compares got with a file, or writes it there with -update.
func checkGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(readFile(t, path), got); d != "" {
		t.Errorf("message (-want +got):\n%s", d)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(src)
}
