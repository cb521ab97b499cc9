package process

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/mp"
	"github.com/firebreak/firebreak/record"
)

func checkRecord(t *testing.T, name string, p config.Processor, in, want m) {
	t.Helper()
	out, v := apply(t, p, encode(nil, in))
	if want == nil {
		if v != Same || len(out) > 0 {
			t.Errorf("%s: verdict %d with % x, want no change", name, v, out)
		}
		return
	}
	got, err := decode(out)
	if err != nil || v != Changed || text(got) != text(want) {
		t.Errorf("%s: verdict %d, %v\n got %s\nwant %s", name, v, err, text(got), text(want))
	}
}

func TestRemove(t *testing.T) {
	wide := m{}
	for i := range 20 {
		wide = append(wide, kv{fmt.Sprint("k", i), i})
	}
	for _, c := range []struct {
		name     string
		keys     []string
		in, want m
	}{
		{"a key", []string{"b"}, m{{"a", 1}, {"b", 2}, {"c", 3}}, m{{"a", 1}, {"c", 3}}},
		{"several", []string{"c", "a"}, m{{"a", 1}, {"b", 2}, {"c", 3}}, m{{"b", 2}}},
		{"all", []string{"*"}, m{{"a", 1}, {"b", m{}}}, m{}},
		{"none", []string{"x", "a.x", "x*"}, m{{"a", m{{"b", 1}}}}, nil},
		{"duplicates", []string{"a"}, m{{"a", 1}, {"b", 2}, {"a", 3}}, m{{"b", 2}}},
		{"a path", []string{"a.b.c"}, m{{"a", m{{"b", m{{"c", 1}, {"d", 2}}}, {"c", 3}}}, {"c", 4}}, m{{"a", m{{"b", m{{"d", 2}}}, {"c", 3}}}, {"c", 4}}},
		{"the last key of a map", []string{"a.b"}, m{{"a", m{{"b", 1}}}}, m{{"a", m{}}}},
		{"a key with dots", []string{"com.x.y"}, m{{"com.x.y", 1}, {"com", m{{"x.y", 2}}}, {"com.x", m{{"y", 3}, {"z", 4}}}}, m{{"com", m{}}, {"com.x", m{{"z", 4}}}}},
		{"a glob", []string{"debug_*"}, m{{"debug_a", 1}, {"debug", 2}, {"debug_", 3}, {"xdebug_", 4}}, m{{"debug", 2}, {"xdebug_", 4}}},
		{"a glob in a path", []string{"h.x-?"}, m{{"h", m{{"x-a", 1}, {"x-", 2}, {"x-bc", 3}}}, {"h.x-z", 4}, {"x-a", 5}}, m{{"h", m{{"x-", 2}, {"x-bc", 3}}}, {"x-a", 5}}},
		{"a text in the way", []string{"a.b"}, m{{"a", "b"}}, nil},
		{"not inside lists", []string{"a.b"}, m{{"a", []any{m{{"b", 1}}}}}, nil},
		{"a wide map", []string{"k3", "k19"}, wide, slices.DeleteFunc(slices.Clone(wide), func(p kv) bool { return p.key == "k3" || p.key == "k19" })},
		{"two maps", []string{"a.x", "b.x", "x"}, m{{"x", 0}, {"a", m{{"x", 1}, {"y", 1}}}, {"b", m{{"y", 2}, {"x", 2}}}}, m{{"a", m{{"y", 1}}}, {"b", m{{"y", 2}}}}},
	} {
		checkRecord(t, c.name, config.Processor{Remove: c.keys}, c.in, c.want)
	}
}

func TestRename(t *testing.T) {
	fifteen := m{}
	for i := range 15 {
		fifteen = append(fifteen, kv{fmt.Sprint("k", i), i})
	}
	for _, c := range []struct {
		name     string
		moves    []string // old, new, …
		in, want m
	}{
		{"keeps its place", []string{"a", "z"}, m{{"a", 1}, {"b", 2}}, m{{"z", 1}, {"b", 2}}},
		{"missing", []string{"x", "y", "a.b", "c"}, m{{"a", 1}}, nil},
		{"replaces", []string{"a", "b"}, m{{"b", 2}, {"a", 1}, {"c", 3}}, m{{"b", 1}, {"c", 3}}},
		{"the last duplicate counts", []string{"a", "z"}, m{{"a", 1}, {"b", 2}, {"a", 3}}, m{{"b", 2}, {"z", 3}}},
		{"in order", []string{"a", "b", "b", "c"}, m{{"a", 1}, {"x", 0}}, m{{"c", 1}, {"x", 0}}},
		{"inside a map", []string{"a.b", "a.c"}, m{{"a", m{{"b", 1}, {"d", 2}}}}, m{{"a", m{{"c", 1}, {"d", 2}}}}},
		{"out of a map", []string{"a.b", "b"}, m{{"a", m{{"b", 1}}}, {"c", 2}}, m{{"a", m{}}, {"c", 2}, {"b", 1}}},
		{"into a map", []string{"b", "a.b"}, m{{"b", 1}, {"a", m{{"c", 2}}}, {"d", 3}}, m{{"a", m{{"c", 2}, {"b", 1}}}, {"d", 3}}},
		{"into a new map", []string{"b", "a.b.c"}, m{{"b", 1}, {"d", 3}}, m{{"d", 3}, {"a", m{{"b", m{{"c", 1}}}}}}},
		{"into a new map in a map", []string{"b", "a.x.c"}, m{{"b", 1}, {"a", m{{"d", 3}}}}, m{{"a", m{{"d", 3}, {"x", m{{"c", 1}}}}}}},
		{"into itself", []string{"a", "a.b"}, m{{"a", m{{"b", 1}, {"c", 2}}}}, m{{"a", m{{"b", m{{"b", 1}, {"c", 2}}}}}}},
		{"out of itself", []string{"a.b", "a"}, m{{"a", m{{"b", 1}, {"c", 2}}}}, m{{"a", 1}}},
		{"a text in the way", []string{"b", "a.b"}, m{{"a", "x"}, {"b", 1}}, nil},
		{"a key with dots", []string{"com.x", "x"}, m{{"com.x", 1}, {"y", 2}}, m{{"x", 1}, {"y", 2}}},
		{"to a key with dots that is there", []string{"x", "com.x"}, m{{"com.x", 1}, {"x", 2}}, m{{"com.x", 2}}},
		{"a map", []string{"a", "z"}, m{{"a", m{{"b", []any{1, "x"}}}}}, m{{"z", m{{"b", []any{1, "x"}}}}}},
		{"the sixteenth key", []string{"k0", "k1.x"}, append(slices.Clone(fifteen[:1]), kv{"k1", append(m{}, fifteen...)}), m{{"k1", append(append(m{}, fifteen...), kv{"x", 0})}}},
	} {
		var p config.Processor
		for i := 0; i < len(c.moves); i += 2 {
			p.Rename = append(p.Rename, config.Field{Key: c.moves[i], Value: c.moves[i+1]})
		}
		checkRecord(t, c.name, p, c.in, c.want)
	}
}

func TestRenameNestsNoDeeperThanARecordMayBe(t *testing.T) {
	deep := any("x")
	for range mp.MaxDepth - 2 {
		deep = []any{deep}
	}
	in := m{{"a", deep}, {"m", m{}}}
	checkRecord(t, "as deep as before", config.Processor{Rename: []config.Field{{Key: "a", Value: "b"}}}, in, m{{"b", deep}, {"m", m{}}})
	checkRecord(t, "as deep as can be", config.Processor{Rename: []config.Field{{Key: "a", Value: "m.b"}}}, in, m{{"m", m{{"b", deep}}}})
	checkRecord(t, "too deep", config.Processor{Rename: []config.Field{{Key: "a", Value: "m.b.c"}}}, in, nil)
	checkRecord(t, "too deep for new maps", config.Processor{Rename: []config.Field{{Key: "a", Value: "x.b.c"}}}, in, nil)
}

// The reference decodes, changes and encodes.

// slowFind returns the value that a path leads to: the whole rest as one key, else the longest key that leads to one;
// of equal keys the last.
func slowFind(r m, path string) (any, bool) {
	for cut := len(path); cut > 0; cut = strings.LastIndexByte(path[:cut], '.') {
		for _, p := range slices.Backward(r) {
			if p.key != path[:cut] {
				continue
			}
			if cut == len(path) {
				return p.value, true
			}
			if inner, ok := p.value.(m); ok {
				if v, ok := slowFind(inner, path[cut+1:]); ok {
					return v, true
				}
			}
		}
	}
	return nil, false
}

func slowRemove(r m, path string) m {
	out := m{}
	for _, p := range r {
		if fits(path, p.key) {
			continue
		}
		if inner, ok := p.value.(m); ok {
			for cut := range path {
				if path[cut] == '.' && path[:cut] == p.key {
					inner = slowRemove(inner, path[cut+1:])
				}
			}
			p.value = inner
		}
		out = append(out, p)
	}
	return out
}

// fits is a glob by trying everything.
func fits(pattern, s string) bool {
	switch {
	case pattern == "":
		return s == ""
	case pattern[0] == '*':
		return fits(pattern[1:], s) || s != "" && fits(pattern, s[1:])
	case s == "":
		return false
	}
	return (pattern[0] == '?' || pattern[0] == s[0]) && fits(pattern[1:], s[1:])
}

// sorted returns the pairs of all maps in the order of their keys, as the order is left to the action.
func sorted(v any) any {
	switch v := v.(type) {
	case m:
		out := m{}
		for _, p := range v {
			out = append(out, kv{p.key, sorted(p.value)})
		}
		slices.SortStableFunc(out, func(a, b kv) int { return strings.Compare(a.key, b.key) })
		return out
	case []any:
		out := []any{}
		for _, e := range v {
			out = append(out, sorted(e))
		}
		return out
	}
	return v
}

func genMap(depth int) *rapid.Generator[m] {
	return rapid.Custom(func(t *rapid.T) m {
		pairs := rapid.Custom(func(t *rapid.T) kv {
			p := kv{key: rapid.SampledFrom([]string{"a", "b", "c", "a.b", "b.c", "ab", "a.b.c", ""}).Draw(t, "key")}
			kinds := 6
			if depth == 0 {
				kinds = 3
			}
			switch rapid.IntRange(0, kinds).Draw(t, "kind") {
			case 0:
				p.value = rapid.SampledFrom([]int{0, 1, 200, 70000, -5}).Draw(t, "int")
			case 1:
				p.value = []byte("bin")
			case 2:
				p.value = rapid.SampledFrom([]string{"", "x", strings.Repeat("long", 20)}).Draw(t, "text")
			case 3:
			case 4:
				p.value = []any{genMap(depth-1).Draw(t, "in a list"), "x"}
			default:
				p.value = genMap(depth-1).Draw(t, "map")
			}
			return p
		})
		return rapid.SliceOfN(pairs, 0, 6).Draw(t, "pairs")
	})
}

var genPath = rapid.SampledFrom([]string{"a", "b", "c", "ab", "x", "a.b", "a.b.c", "b.c", "a.x", "x.y", "a.b.x", "c.c.c"})

func TestRemoveAgainstTheReference(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		in := genMap(3).Draw(rt, "record")
		paths := rapid.SliceOfN(rapid.OneOf(genPath, rapid.SampledFrom([]string{"*", "a*", "a.*", "?", "b.?", "a.b.*c"})), 1, 3).Draw(rt, "paths")
		want := in
		for _, p := range paths {
			want = slowRemove(want, p)
		}
		rec := encode(nil, in)
		out, v := apply(t, config.Processor{Remove: paths}, rec)
		if v == Same {
			out = rec
		}
		got, err := decode(out)
		if err != nil || text(got) != text(want) || (v == Same) != (text(in) == text(want)) {
			rt.Fatalf("remove %q from %s: verdict %d, %v\n got %s\nwant %s", paths, text(in), v, err, text(got), text(want))
		}
		for _, p := range paths {
			if record.ParsePath(p).Lookup(out) != nil {
				rt.Fatalf("remove %q from %s: %q is still found in %s", paths, text(in), p, text(got))
			}
		}
	})
}

func TestRenameAgainstTheReference(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		in := genMap(3).Draw(rt, "record")
		from, to := genPath.Draw(rt, "from"), genPath.Draw(rt, "to")
		if from == to {
			return
		}
		rec := encode(nil, in)
		out, v := apply(t, config.Processor{Rename: []config.Field{{Key: from, Value: to}}}, rec)
		value, there := slowFind(in, from)
		if v == Same {
			if there && !inTheWay(slowRemove(in, from), to) {
				rt.Fatalf("rename %s to %s in %s: nothing happened", from, to, text(in))
			}
			return
		}
		got, err := decode(out)
		if err != nil || !there || v != Changed {
			rt.Fatalf("rename %s to %s in %s: verdict %d, %v, value there: %v", from, to, text(in), v, err, there)
		}
		found, ok := slowFind(got.(m), to)
		if !ok || text(found) != text(value) {
			rt.Fatalf("rename %s to %s in %s: the value is %s, want %s", from, to, text(in), text(found), text(value))
		}
		// Everything else is as it was.
		if a, b := text(sorted(pruned(slowRemove(slowRemove(in, from), to)))), text(sorted(pruned(slowRemove(got.(m), to)))); a != b {
			rt.Fatalf("rename %s to %s in %s gave %s: besides, %s became %s", from, to, text(in), text(got), a, b)
		}
	})
}

// inTheWay reports whether a part of the path leads to something else than a map.
func inTheWay(r m, path string) bool {
	if _, ok := slowFind(r, path); ok {
		return false
	}
	part, after, dotted := strings.Cut(path, ".")
	for _, p := range slices.Backward(r) {
		if dotted && p.key == part {
			inner, ok := p.value.(m)
			return !ok || inTheWay(inner, after)
		}
	}
	return false
}

// pruned leaves out empty maps: those that a move leaves behind or makes.
func pruned(r m) m {
	out := m{}
	for _, p := range r {
		if inner, ok := p.value.(m); ok {
			if inner = pruned(inner); len(inner) == 0 {
				continue
			}
			p.value = inner
		}
		out = append(out, p)
	}
	return out
}

func TestLocateFindsWhatPathsFind(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rec := encode(nil, genMap(3).Draw(rt, "record"))
		path := genPath.Draw(rt, "path")
		want := record.ParsePath(path).Lookup(rec)
		p, ok := locate(rec, 0, path)
		if ok != (want != nil) || ok && !bytes.Equal(rec[p.value:p.end], want) {
			rt.Fatalf("%s in % x: %v, % x; want % x", path, rec, ok, rec[p.value:p.end], want)
		}
	})
}
