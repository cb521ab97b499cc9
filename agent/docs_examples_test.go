package agent

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/firebreak/firebreak/config"
)

var fenced = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// pages returns every page of documentation of the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../docs/*/*.md", "../deploy/*.md", "../deploy/*/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			out[f] = string(b)
		}
	}
	if len(out) < 5 {
		t.Fatalf("%d pages found", len(out))
	}
	return out
}

// examples returns the configurations and parts of one in the pages, by their place.
func examples(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for file, page := range pages(t) {
		for _, at := range fenced.FindAllStringSubmatchIndex(page, -1) {
			src := page[at[2]:at[3]]
			var top map[string]any
			if err := yaml.Unmarshal([]byte(src), &top); err != nil {
				t.Errorf("%s: %v\n%s", file, err, src)
				continue
			}
			for _, section := range []string{"inputs", "processors", "routes", "outputs"} {
				if top[section] != nil && top["services"] == nil {
					out[fmt.Sprintf("%s:%d", file, 1+strings.Count(page[:at[0]], "\n"))] = src
				}
			}
		}
	}
	return out
}

// complete adds what a part of a configuration lacks to be a whole one.
func complete(t *testing.T, src string) string {
	t.Helper()
	var top map[string]any
	if err := yaml.Unmarshal([]byte(src), &top); err != nil {
		t.Fatal(err)
	}
	if top["inputs"] == nil {
		src += "\ninputs: { example: { type: forward } }\n"
	}
	outputs, _ := top["outputs"].(map[string]any)
	if outputs == nil {
		src += "\noutputs: { example: { type: \"null\" } }\n"
	}
	if top["routes"] == nil && len(outputs) > 1 {
		var names []string
		for name := range outputs {
			names = append(names, name)
		}
		slices.Sort(names)
		src += "\nroutes: [ { name: rest, to: [" + strings.Join(names, ", ") + "] } ]\n"
	}
	return src
}

// certificate returns a directory with the files that examples look for below /etc/firebreak.
func certificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{
		"ca.pem": {Type: "CERTIFICATE", Bytes: cert}, "server.pem": {Type: "CERTIFICATE", Bytes: cert}, "server.key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestExamplesOfTheDocsLoad(t *testing.T) {
	lookup := config.Lookup{
		LookupEnv: func(string) (string, bool) { return "value", true },
		ReadFile:  func(string) ([]byte, error) { return []byte("secret"), nil },
	}
	certs := certificate(t)
	list := examples(t)
	for place, src := range list {
		src = strings.ReplaceAll(complete(t, src), "/etc/firebreak", certs)
		cfg, err := config.Load(place, []byte(src), Kinds(), lookup)
		if err == nil {
			err = Check(cfg)
		}
		if err != nil {
			t.Errorf("%s: %v", place, err)
			continue
		}
		for _, w := range cfg.Warnings {
			t.Errorf("%s: warning: %v", place, w)
		}
	}
	if len(list) < 10 {
		t.Errorf("%d examples found", len(list))
	}
}

func TestEachTypeAndActionHasAnExample(t *testing.T) {
	has := func(page, heading, text string) {
		_, section, found := strings.Cut(readDoc(t, page), "\n## "+heading+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		example := fenced.FindString(section)
		if !found || !strings.Contains(example, text) {
			t.Errorf("docs/reference/%s has no example with %q below the heading %q", page, text, "## "+heading)
		}
	}
	for _, k := range Kinds().Inputs {
		has("inputs.md", "type: "+k.Name, "type: "+k.Name)
	}
	for _, k := range Kinds().Outputs {
		text := "type: " + k.Name
		if k.Name == "null" {
			text = `type: "null"`
		}
		has("outputs.md", "type: "+k.Name, text)
	}
	b, err := config.Schema(Kinds())
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Defs struct {
			Processor struct{ OneOf []struct{ Required []string } }
		} `json:"$defs"`
	}
	if err := json.Unmarshal(b, &s); err != nil || len(s.Defs.Processor.OneOf) < 4 {
		t.Fatal(s, err)
	}
	for _, action := range s.Defs.Processor.OneOf {
		has("processors.md", action.Required[0], action.Required[0]+":")
	}
}

func TestTheSchemaAllowsEveryExample(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(readDoc(t, "firebreak.schema.json")))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("firebreak.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("firebreak.json")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for place, src := range examples(t) {
		all[place] = complete(t, src)
	}
	for _, pattern := range []string{"../deploy/*.yaml", "../deploy/*/firebreak*.yaml", "../config/default*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			all[f] = string(b)
		}
	}
	for place, src := range all {
		b, err := yaml.YAMLToJSON([]byte(src))
		if err != nil {
			t.Fatal(place, err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(place, err)
		}
		if err := s.Validate(v); err != nil {
			t.Errorf("%s: %v", place, err)
		}
	}
	if len(all) < 15 {
		t.Errorf("%d examples found", len(all))
	}
}

var link = regexp.MustCompile(`\]\(([^)#:\s]+)?(#[^)\s]+)?\)`)

func TestLinksOfTheDocsLeadSomewhere(t *testing.T) {
	for file, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(fencedAll.ReplaceAllString(page, ""), -1) {
			target := file
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(file), m[1])
			}
			b, err := os.ReadFile(target)
			if err != nil {
				if _, err := os.Stat(target); err != nil {
					t.Errorf("%s: the link to %s leads nowhere", file, m[1])
				}
				continue
			}
			if m[2] != "" && !slices.Contains(anchors(string(b)), m[2]) {
				t.Errorf("%s: the link to %s%s leads to no heading", file, m[1], m[2])
			}
		}
	}
}

var fencedAll = regexp.MustCompile("(?s)```.*?```")

var heading = regexp.MustCompile(`(?m)^#+ (.+)$`)

// anchors returns the names that GitHub gives to the headings of a page.
func anchors(page string) []string {
	var out []string
	for _, m := range heading.FindAllStringSubmatch(fencedAll.ReplaceAllString(page, ""), -1) {
		name := regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		out = append(out, "#"+strings.ReplaceAll(name, " ", "-"))
	}
	return out
}
