package agent

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

const (
	alertsFile    = "../deploy/prometheus/alerts.yaml"
	alertTests    = "../deploy/prometheus/alerts_test.yaml"
	dashboardFile = "../deploy/grafana/firebreak.json"
)

type alert struct {
	Alert, Expr string
	Labels      map[string]string
	Annotations map[string]string
}

func alerts(t *testing.T) []alert {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []alert }
	}
	readYAML(t, alertsFile, &file)
	var out []alert
	for _, g := range file.Groups {
		out = append(out, g.Rules...)
	}
	if len(out) < 10 {
		t.Fatalf("%d alerts", len(out))
	}
	return out
}

func readYAML(t *testing.T, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// A query is an expression of the dashboard, and the text that shows its series.
type query struct{ expr, legend string }

func dashboard(t *testing.T) (panels map[string]bool, queries []query) {
	t.Helper()
	b, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	panels = map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if title, ok := v["title"].(string); ok && v["gridPos"] != nil {
				panels[title] = true
			}
			if expr, ok := v["expr"].(string); ok {
				legend, _ := v["legendFormat"].(string)
				queries = append(queries, query{expr, legend})
			}
			if def, ok := v["definition"].(string); ok {
				queries = append(queries, query{expr: def})
			}
			for _, x := range v {
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(doc)
	if len(queries) < 30 {
		t.Fatalf("%d queries in the dashboard", len(queries))
	}
	return panels, queries
}

var (
	metricName = regexp.MustCompile(`\b((?:firebreak|process|go)_[a-z0-9_]+|up)\b(\{[^}]*\})?`)
	matcher    = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*"`)
	grouping   = regexp.MustCompile(`\b(?:by|without)\s*\(([^)]*)\)`)
	shownLabel = regexp.MustCompile(`\{\{\s*(?:\$labels\.)?([a-z_]+)\s*\}\}`)
)

// checkQuery reports metrics and labels that are nowhere.
func checkQuery(t *testing.T, where, expr string, shown ...string) {
	t.Helper()
	known := map[string][]string{"up": nil}
	for _, m := range metricList {
		known["firebreak_"+m.name] = m.labels
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		known[f.GetName()] = nil
	}
	target := []string{"instance", "job"} // what the scrape adds
	all := slices.Clone(target)
	found := metricName.FindAllStringSubmatch(expr, -1)
	if len(found) == 0 {
		t.Errorf("%s: no metric in %s", where, expr)
	}
	for _, m := range found {
		labels, ok := known[m[1]]
		if !ok {
			t.Errorf("%s: there is no metric %s: %s", where, m[1], expr)
			continue
		}
		all = append(all, labels...)
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(labels, l[1]) && !slices.Contains(target, l[1]) {
				t.Errorf("%s: %s has no label %s: %s", where, m[1], l[1], expr)
			}
		}
	}
	for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
		for l := range strings.SplitSeq(g[1], ",") {
			if l = strings.TrimSpace(l); !slices.Contains(all, l) {
				t.Errorf("%s: none of the metrics has the label %s: %s", where, l, expr)
			}
		}
	}
	for _, text := range shown {
		for _, l := range shownLabel.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(all, l[1]) {
				t.Errorf("%s: none of the metrics has the label %s, which %q shows", where, l[1], text)
			}
		}
	}
}

func TestTheDashboardAsksForMetricsThatExist(t *testing.T) {
	panels, queries := dashboard(t)
	for _, q := range queries {
		checkQuery(t, "dashboard", q.expr, q.legend)
	}
	if len(panels) < 20 {
		t.Errorf("%d panels", len(panels))
	}
}

func TestAlertsAskForMetricsThatExist(t *testing.T) {
	readme, err := os.ReadFile("../deploy/prometheus/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var tests struct {
		Tests []struct {
			AlertRuleTest []struct {
				Alertname string
				ExpAlerts []any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	readYAML(t, alertTests, &tests)
	fires, rests := map[string]bool{}, map[string]bool{}
	for _, x := range tests.Tests {
		for _, c := range x.AlertRuleTest {
			fires[c.Alertname] = fires[c.Alertname] || len(c.ExpAlerts) > 0
			rests[c.Alertname] = rests[c.Alertname] || len(c.ExpAlerts) == 0
		}
	}
	for _, a := range alerts(t) {
		checkQuery(t, a.Alert, a.Expr, a.Annotations["summary"], a.Annotations["description"])
		if !slices.Contains([]string{"critical", "warning", "info"}, a.Labels["severity"]) || a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			t.Errorf("%s lacks a severity, a summary or a description", a.Alert)
		}
		if !strings.Contains(string(readme), "| "+a.Alert+" | "+a.Labels["severity"]+" |") {
			t.Errorf("deploy/prometheus/README.md doesn't list %s as %s", a.Alert, a.Labels["severity"])
		}
		if !fires[a.Alert] || !rests[a.Alert] {
			t.Errorf("alerts_test.yaml doesn't show when %s fires, and when not", a.Alert)
		}
	}
}

func TestPromtoolAcceptsWhatIsShipped(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian: apt-get install prometheus)")
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run("check", "rules", alertsFile)
	run("test", "rules", alertTests)

	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	variables := strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h")
	_, queries := dashboard(t)
	for _, q := range queries {
		if !strings.HasPrefix(q.expr, "label_values(") {
			rules = append(rules, rule{"x", variables.Replace(q.expr)})
		}
	}
	b, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dashboard.yaml") // YAML reads JSON
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	run("check", "rules", "--lint=none", file)
}
