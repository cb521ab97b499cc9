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

var update = flag.Bool("update", false, "write the generated parts of docs/reference anew")

const reference = "../docs/reference/"

// generated compares a file of the reference with what the code says, or writes it with -update.
func generated(t *testing.T, name, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(reference+name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := gocmp.Diff(readDoc(t, name), want); diff != "" {
		t.Errorf("docs/reference/%s is not what the code says; go test ./agent -update makes it anew:\n%s", name, diff)
	}
}

func readDoc(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(reference + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var part = regexp.MustCompile(`(?s)(<!-- ([a-z0-9:_ -]+?): made by go test \./agent -update -->\n).*?(<!-- end -->)`)

// fill replaces what stands between <!-- NAME: made by go test ./agent -update --> and <!-- end --> in a page. A type
// that has no such part gets a section at the end, which lacks an example.
func fill(t *testing.T, name string, parts map[string]string) {
	t.Helper()
	page := readDoc(t, name)
	for _, p := range slices.Sorted(mapKeys(parts)) {
		if strings.Contains(page, "<!-- "+p+": made by") {
			continue
		}
		_, typ, ok := strings.Cut(p, " ")
		if !ok || !*update {
			t.Errorf("docs/reference/%s lacks the part %q", name, p)
			continue
		}
		page += fmt.Sprintf("\n## type: %s\n\n<!-- %s: made by go test ./agent -update -->\n<!-- end -->\n", typ, p)
	}
	page = part.ReplaceAllStringFunc(page, func(s string) string {
		m := part.FindStringSubmatch(s)
		text, ok := parts[m[2]]
		if !ok {
			t.Errorf("docs/reference/%s: nothing makes the part %q", name, m[2])
		}
		return m[1] + "\n" + text + "\n" + m[3]
	})
	generated(t, name, page)
}

func mapKeys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// options is the table of the options below a prefix.
func options(t *testing.T, kind, prefix string) string {
	t.Helper()
	text := ""
	for _, o := range config.Describe(Kinds()) {
		rest, ok := strings.CutPrefix(o.Path, prefix)
		if !ok || o.Kind != kind || prefix == "" && topSection.MatchString(rest) {
			continue
		}
		if o.Doc == "" && o.Type != "mapping" {
			t.Errorf("the option %s of %s has no doc", o.Path, kind)
		}
		o.Path = rest
		text += row(o)
	}
	if text == "" {
		return "No options of its own.\n"
	}
	return "| option | type | default | |\n|---|---|---|---|\n" + text
}

var topSection = regexp.MustCompile(`^(inputs|outputs|processors)\b`)

func row(o config.Option) string {
	def := "–"
	switch {
	case o.Required:
		def = "required"
	case o.Default != "":
		def = "`" + strings.NewReplacer(`["`, "", `"]`, "", `", "`, ", ").Replace(o.Default) + "`"
	}
	typ := o.Type
	if len(o.Enum) > 0 {
		typ = "`" + strings.Join(o.Enum, "`, `") + "`"
	}
	if o.Template {
		typ, o.Template = "[template](configuration.md#templates)", false
	}
	if strings.HasSuffix(o.Path, "[]") {
		o.Path = strings.TrimSuffix(o.Path, "[]")
		if typ = "list of " + typ; o.Type == "text" && len(o.Enum) == 0 || o.Type == "mapping" {
			typ = "list"
		}
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |\n", o.Path, typ, def, strings.ReplaceAll(o.Text(), "|", `\|`))
}

func TestReferenceOfTheWhole(t *testing.T) {
	fill(t, "configuration.md", map[string]string{"general": options(t, "", "")})
	list := func(title, page string, kinds []config.Kind) string {
		text := "| " + title + " | |\n|---|---|\n"
		for _, k := range kinds {
			text += fmt.Sprintf("| [%s](%s#type-%s) | %s |\n", k.Name, page, k.Name, k.Summary)
		}
		return text
	}
	k := Kinds()
	fill(t, "README.md", map[string]string{"types": list("input", "inputs.md", k.Inputs) + "\n" + list("output", "outputs.md", k.Outputs)})
}

func TestReferenceOfInputsAndOutputs(t *testing.T) {
	kinds := func(what, prefix string, list []config.Kind) map[string]string {
		parts := map[string]string{}
		for _, k := range list {
			parts[what+" "+k.Name] = k.Summary + "\n\n" + options(t, k.Name, prefix)
		}
		return parts
	}
	fill(t, "inputs.md", kinds("input", "inputs.NAME.", Kinds().Inputs))
	outputs := kinds("output", "outputs.NAME.", Kinds().Outputs)
	outputs["outputs"] = options(t, "", "outputs.NAME.")
	fill(t, "outputs.md", outputs)
}

func TestReferenceOfProcessors(t *testing.T) {
	parts := map[string]string{}
	for _, o := range config.Describe(Kinds()) {
		if rest, ok := strings.CutPrefix(o.Path, "processors[]."); ok {
			action, _, _ := strings.Cut(rest, ".")
			parts["processor "+action] = options(t, "", "processors[]."+action+".")
		}
	}
	fill(t, "processors.md", parts)
}

func TestReferenceOfMetrics(t *testing.T) {
	parts := map[string]string{}
	seen := map[string]bool{}
	for _, m := range metricList {
		if seen[m.name] {
			t.Errorf("the metric %s is listed twice", m.name)
		}
		seen[m.name] = true
		part := "process"
		if len(m.labels) > 0 && slices.Contains([]string{"input", "route", "destination"}, m.labels[0]) {
			part = m.labels[0]
		}
		if parts[part] == "" {
			parts[part] = "| metric | type | labels | |\n|---|---|---|---|\n"
		}
		parts[part] += fmt.Sprintf("| `firebreak_%s` | %s | %s | %s |\n", m.name, metricType(m), cmp.Or(strings.Join(m.labels, ", "), "–"), m.help)
	}
	fill(t, "metrics.md", parts)
}

func metricType(m metric) string {
	if strings.HasSuffix(m.name, "_total") {
		return "counter"
	}
	return "gauge"
}

func TestTheSchemaIsShipped(t *testing.T) {
	b, err := config.Schema(Kinds())
	if err != nil {
		t.Fatal(err)
	}
	generated(t, "firebreak.schema.json", string(b))
}
