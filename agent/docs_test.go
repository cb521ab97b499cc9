package agent

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/firebreak/firebreak/config"
)

var update = flag.Bool("update", false, "write the generated parts of docs/CONFIGURATION.md and docs/METRICS.md anew")

// generated replaces what stands between <!-- NAME: made by go test ./agent -update --> and <!-- end --> in a page.
func generated(t *testing.T, path string, parts map[string]string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	seen := map[string]bool{}
	re := regexp.MustCompile(`(?s)(<!-- ([a-z: _]+?): made by go test \./agent -update -->\n).*?(<!-- end -->)`)
	got := re.ReplaceAllStringFunc(page, func(s string) string {
		m := re.FindStringSubmatch(s)
		text, ok := parts[m[2]]
		if !ok {
			t.Errorf("%s: nothing makes the part %q", path, m[2])
		}
		seen[m[2]] = true
		return m[1] + "\n" + text + "\n" + m[3]
	})
	for name := range parts {
		if !seen[name] {
			t.Errorf("%s lacks the part %q", path, name)
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := gocmp.Diff(page, got); diff != "" {
		t.Errorf("%s is not what the code says; go test ./agent -update makes it anew:\n%s", path, diff)
	}
	return got
}

func TestConfigurationDocs(t *testing.T) {
	kinds := Kinds()
	parts := map[string]string{}
	add := func(name, prefix, kind string) {
		text := ""
		for _, o := range config.Describe(kinds) {
			if rest, ok := strings.CutPrefix(o.Path, prefix); ok && o.Kind == kind && (prefix != "" || !regexp.MustCompile(`^(inputs|outputs|processors)\b`).MatchString(rest)) {
				o.Path = rest
				text += row(o)
			}
		}
		if text == "" {
			text = "No options of its own.\n"
		} else {
			text = "| option | type | default | |\n|---|---|---|---|\n" + text
		}
		parts[name] = text
	}
	add("general", "", "")
	for _, k := range kinds.Inputs {
		add("input "+k.Name, "inputs.NAME.", k.Name)
		parts["input "+k.Name] = k.Summary + "\n\n" + parts["input "+k.Name]
	}
	add("outputs", "outputs.NAME.", "")
	for _, k := range kinds.Outputs {
		add("output "+k.Name, "outputs.NAME.", k.Name)
		parts["output "+k.Name] = k.Summary + "\n\n" + parts["output "+k.Name]
	}
	add("parse_json", "processors[].parse_json.", "")
	add("size_guard", "processors[].size_guard.", "")
	page := generated(t, "../docs/CONFIGURATION.md", parts)
	checkExamples(t, page)
}

// checkExamples loads every whole configuration of a page.
func checkExamples(t *testing.T, page string) {
	t.Helper()
	files := func(path string) ([]byte, error) { return []byte("secret"), nil }
	env := func(string) (string, bool) { return "value", true }
	n := 0
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(page, -1) {
		if !strings.Contains(m[1], "outputs:") {
			continue
		}
		n++
		cfg, err := config.Load("example", []byte(m[1]), Kinds(), config.Lookup{LookupEnv: env, ReadFile: files})
		if err == nil {
			err = Check(cfg)
		}
		if err != nil {
			t.Errorf("an example is wrong: %v\n%s", err, m[1])
		}
	}
	if n == 0 {
		t.Error("no whole configuration is in the page")
	}
}

func row(o config.Option) string {
	def := "–"
	switch {
	case o.Required:
		def = "required"
	case o.Default != "":
		def = "`" + strings.NewReplacer(`["`, "", `"]`, "", `", "`, ", ").Replace(o.Default) + "`"
	}
	typ := o.Type
	if strings.HasSuffix(o.Path, "[]") {
		typ = "list"
		o.Path = strings.TrimSuffix(o.Path, "[]")
	}
	if len(o.Enum) > 0 {
		typ = "`" + strings.Join(o.Enum, "`, `") + "`"
	}
	if o.Template {
		typ = "template"
	}
	doc := o.Doc
	switch {
	case o.Min != "" && o.Max != "":
		doc += fmt.Sprintf(" %s to %s.", o.Min, o.Max)
	case o.Min != "":
		doc += fmt.Sprintf(" At least %s.", o.Min)
	case o.Max != "":
		doc += fmt.Sprintf(" At most %s.", o.Max)
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |\n", o.Path, typ, def, strings.ReplaceAll(doc, "|", `\|`))
}

func TestMetricsDocs(t *testing.T) {
	parts := map[string]string{}
	for _, m := range metricList {
		part := "process"
		if len(m.labels) > 0 && m.labels[0] != "version" {
			part = m.labels[0]
		}
		kind := "gauge"
		if strings.HasSuffix(m.name, "_total") {
			kind = "counter"
		}
		if parts[part] == "" {
			parts[part] = "| metric | type | labels | |\n|---|---|---|---|\n"
		}
		parts[part] += fmt.Sprintf("| `firebreak_%s` | %s | %s | %s |\n", m.name, kind, cmp.Or(strings.Join(m.labels, ", "), "–"), m.help)
	}
	generated(t, "../docs/METRICS.md", parts)
	names := slices.Clone(metricList)
	slices.SortFunc(names, func(a, b metric) int { return cmp.Compare(a.name, b.name) })
	if d := slices.CompactFunc(names, func(a, b metric) bool { return a.name == b.name }); len(d) != len(metricList) {
		t.Error("a metric is listed twice")
	}
}
