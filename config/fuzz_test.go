package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) > 16<<10 {
			t.Skip()
		}
		start := time.Now()
		cfg, err := Load("fuzz.yaml", src, testKinds, testEnv)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("Load took %v for %d bytes", took, len(src))
		}
		var problems *Errors
		switch {
		case err == nil:
			if len(cfg.Inputs) == 0 || len(cfg.Outputs) == 0 || len(cfg.Routes) == 0 {
				t.Errorf("loaded without inputs, outputs or routes: %+v", cfg)
			}
		case !errors.As(err, &problems) || len(problems.Problems) == 0 || cfg != nil:
			t.Errorf("Load = %v, %v", cfg, err)
		default:
			if text := err.Error(); strings.Contains(text, "hunter2") && !strings.Contains(string(src), "hunter2") {
				t.Errorf("message shows a value of the environment: %s", text)
			}
		}
	})
}

// Files that are small but ask for much must be refused soon.
func TestHostileFilesAreRefusedInTime(t *testing.T) {
	bomb := "x-a: &a {" + strings.Repeat("k%: 1, ", 1000) + "}\n"
	for i := strings.Count(bomb, "%"); i > 0; i-- {
		bomb = strings.Replace(bomb, "%", string(rune('a'+i%26))+string(rune('a'+i/26%26))+string(rune('a'+i/676)), 1)
	}
	path := ""
	for i := range 30 {
		path += strings.Repeat(" ", i) + strings.Repeat("k", 250) + ":\n"
	}
	for name, src := range map[string]string{
		"too large":       strings.Repeat("# x\n", MaxFile/4+1),
		"brackets":        strings.Repeat("[", MaxFile/4),
		"braces":          strings.Repeat("{a: ", MaxFile/16),
		"dashes":          strings.Repeat("- ", MaxFile/8),
		"questions":       strings.Repeat("? ", MaxFile/8),
		"anchors":         "a: " + strings.Repeat("&a ", 100_000) + "x",
		"tags":            "a: " + strings.Repeat("!a ", 100_000) + "x",
		"stairs":          stairs(1500),
		"dash stairs":     strings.ReplaceAll(stairs(1500), "a:", "-"),
		"many keys":       strings.Repeat("a: b\n", 16_000),
		"many entries":    "inputs: [" + strings.Repeat("a,", 24_000) + "]\n",
		"merges":          bomb + "x-b:\n" + strings.Repeat("  - { <<: *a }\n", 20_000),
		"long paths":      path + strings.Repeat(" ", 30) + "[" + strings.Repeat("a,", 24_000) + "]\n",
		"quotes":          strings.Repeat("\"", MaxFile/4),
		"one long scalar": "a: " + strings.Repeat("x", MaxFile-10),
		"references":      "a: \"" + strings.Repeat("${env:KEY}", 100_000) + "\"",
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			if _, err := Load("f.yaml", []byte(src), testKinds, testEnv); err == nil {
				t.Error("no error")
			} else if text := err.Error(); len(text) > 200<<10 {
				t.Errorf("message of %d bytes", len(text))
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			} else {
				t.Logf("took %v", took)
			}
		})
	}
}

func stairs(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}
