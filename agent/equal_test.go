package agent

import (
	"reflect"
	"regexp"
	"testing"

	"github.com/firebreak/firebreak/config"
)

// A reload sees every change: whatever a configuration is made of can be compared, and nothing of it is hidden.
func TestEverythingInAConfigurationIsCompared(t *testing.T) {
	t.Parallel()
	seen := map[reflect.Type]bool{reflect.TypeFor[regexp.Regexp](): true, reflect.TypeFor[config.Problem](): true}
	var walk func(where string, typ reflect.Type)
	walk = func(where string, typ reflect.Type) {
		if seen[typ] {
			return
		}
		seen[typ] = true
		switch typ.Kind() {
		case reflect.Func, reflect.Chan, reflect.UnsafePointer:
			t.Errorf("%s: a %s can't be compared", where, typ)
		case reflect.Pointer, reflect.Slice, reflect.Array:
			walk(where, typ.Elem())
		case reflect.Map:
			walk(where, typ.Key())
			walk(where, typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				f := typ.Field(i)
				if !f.IsExported() {
					t.Errorf("%s.%s is not compared", where, f.Name)
				}
				walk(where+"."+f.Name, f.Type)
			}
		}
	}
	walk("config", reflect.TypeFor[config.Config]())
	kinds := Kinds()
	for _, list := range [][]config.Kind{kinds.Inputs, kinds.Outputs} {
		for _, k := range list {
			walk(k.Name, reflect.TypeOf(k.Options()))
		}
	}
}

// Places in the file and the way that a value is written are no change; a secret with another value is one.
func TestWhatIsAChange(t *testing.T) {
	t.Parallel()
	yaml := head(t.TempDir()) + `
processors: [ { match: { line: "a+", tag: [x, "y*"] }, redact: [email] } ]
outputs: { agg: { type: forward, servers: ["127.0.0.1:9"], shared_key: "${env:KEY}", buffer: { max_bytes: 1GiB } } }
`
	a := parse(t, yaml, map[string]string{"KEY": "one"})
	if b := parse(t, "\n# moved\n"+yaml, map[string]string{"KEY": "one"}); !same(a, b) {
		t.Error("another place is a change")
	}
	b := parse(t, yaml, map[string]string{"KEY": "two"})
	if same(a.Outputs, b.Outputs) || !same(a.Inputs, b.Inputs) || !same(a.Processors, b.Processors) {
		t.Error("another secret is no change, or more than one")
	}
	if keys := differing(&a.Outputs[0], &b.Outputs[0]); len(keys) != 1 || keys[0] != "shared_key" {
		t.Errorf("%v", keys)
	}
	for _, c := range []struct {
		a, b any
		same bool
	}{
		{[]string(nil), []string{}, true}, {map[string]int(nil), map[string]int{}, true},
		{map[string]int{"a": 0}, map[string]int{"b": 0}, false}, {(*int)(nil), new(int), false}, {nil, 1, false}, {1, int64(1), false},
		{regexp.MustCompile("a"), regexp.MustCompile("a"), true}, {regexp.MustCompile("a"), regexp.MustCompile("b"), false},
		{[]any{1, "a"}, []any{1, "a"}, true}, {[]any{1, "a"}, []any{"a", 1}, false},
	} {
		if same(c.a, c.b) != c.same || same(c.b, c.a) != c.same {
			t.Errorf("%#v and %#v: same %v", c.a, c.b, !c.same)
		}
	}
}
