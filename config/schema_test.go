package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

var compiled = sync.OnceValues(func() (*jsonschema.Schema, error) {
	b, err := Schema(testKinds)
	if err != nil {
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("firebreak.json", doc); err != nil {
		return nil, err
	}
	return c.Compile("firebreak.json") // against the meta-schema of the draft, too
})

// validate asks the schema of the kinds of the tests, as an editor does.
func validate(t testing.TB, src string) error {
	t.Helper()
	s, err := compiled()
	if err != nil {
		t.Fatalf("the schema itself: %v", err)
	}
	l := &loader{kinds: testKinds, env: testEnv, names: map[string]bool{}, broken: map[Pos]bool{}}
	root := l.parse([]byte(src))
	if root == nil || len(l.problems) > 0 {
		return errNoYAML
	}
	return s.Validate(asJSON(root))
}

var errNoYAML = errors.New("no YAML that can be read")

var yamlNumber = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)

// asJSON gives the values in a tree the types that YAML 1.2 gives them (section 10.3 of its specification).
func asJSON(n *node) any {
	switch n.kind {
	case mappingNode:
		m := map[string]any{}
		for _, p := range n.pairs {
			m[p.key] = asJSON(p.value)
		}
		return m
	case sequenceNode:
		list := []any{}
		for _, item := range n.items {
			list = append(list, asJSON(item))
		}
		return list
	case scalarNode:
		if b, ok := parseBool(n.text); ok && n.plain {
			return b
		}
		if x, err := strconv.ParseFloat(n.text, 64); err == nil && n.plain && yamlNumber.MatchString(n.text) {
			return x
		}
		return n.text
	}
	return nil
}

// structural fits messages about the form of one value, which a schema can tell.
var structural = regexp.MustCompile(`unknown key|unknown condition|expected |is not one of its values|is not a known type|is missing|has \d+ actions|is not a name`)

// What only the parser knows.
var beyondSchema = []string{
	`\$\{`,                            // what an environment variable holds
	`expected a key and a colon`,      // YAML itself
	"expected the key that holds",     // a short form
	"tls-true-lacks",                  // required options below a value that is there
	`there are \d+ outputs`,           // two values
	"merge key",                       // YAML itself
	`drop: expected true, found "`,    // quotes around a boolean
	`discard: expected true or false`, // quotes around a boolean
}

func TestTheSchemaKnowsStructuralMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d files in testdata/bad, error %v", len(files), err)
	}
	beyond := regexp.MustCompile(strings.Join(beyondSchema, "|"))
	n := 0
	for _, file := range files {
		src := readFile(t, file)
		message, err := os.ReadFile(strings.TrimSuffix(file, ".yaml") + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(message), "\n")
		if !structural.MatchString(first) || beyond.MatchString(first) {
			continue
		}
		if n++; validate(t, src) == errNoYAML {
			t.Errorf("%s is no YAML", file)
		}
		if err := validate(t, src); err == nil {
			t.Errorf("the schema allows %s: %s", file, first)
		}
	}
	if n < 50 {
		t.Errorf("%d mistakes of structure were tried, want 50 at least", n)
	}
}

// load compares with the schema.
func TestUnusualFormsAreInTheSchema(t *testing.T) {
	load(t, `
inputs: { d: { type: forward, max_message: 1.5 MiB, idle_timeout: 1d2h, tls: } }
outputs: { a: { type: s3, bucket: 5, key: true, sample: 1e-1, workers: '4', retry: , columns: x, max_rate: 1Gi/s, buffer: { min_free: +5.%, max_age: 0 } } }
`)
	load(t, `
inputs: { d: { type: '${env:EMPTY:-forward}', tls: false } }
outputs:
  a:
    type: forward
    servers: [ 'a:1', { address: b, weight: '${env:N:-3}' } ]
    headers: { a: 1, b: }
    max_rate: .5kb
    retry: { initial: "1.5s", max: '1m.5s' }
    tls: { cert_file: a, key_file: b, min_version: 1.3 }
  b: { type: forward, servers: a:1, workers: +2, buffer: { type: '${env:T:-disk}', max_bytes: 2000000, max_age: 0.5d } }
processors: [ { parse_json: }, { parse_json: true, name: 404 }, { name: x, parse_json: { key: "${env:K:-log}", keep: "TRUE" } } ]
routes: [ { name: 1, discard: 'False', continue: , to: [ a, b ], match: , processors: } ]
line_key:
log: { level: }
shutdown:
x-any: [ { thing: 1 } ]
`)
}

func FuzzTheSchemaAllowsWhatTheParserAccepts(f *testing.F) {
	for _, dir := range []string{"good", "odd"} {
		files, err := filepath.Glob("testdata/" + dir + "/*.yaml")
		if err != nil || len(files) == 0 {
			f.Fatal(files, err)
		}
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(src))
		}
	}
	f.Fuzz(func(t *testing.T, src string) {
		if _, err := Load("x", []byte(src), testKinds, testEnv); err != nil {
			return
		}
		if err := validate(t, src); err != nil {
			t.Errorf("the parser accepts what the schema doesn't: %v\n%s", err, src)
		}
	})
}
