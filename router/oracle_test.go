package router

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/record"
)

// The oracle decodes everything and knows nothing of plans, runs or literals.

// lookup finds a path: the whole rest as one key, else the longest key that leads to something.
func lookup(v any, path string) (any, bool) {
	r, ok := v.(rec)
	if !ok {
		return nil, false
	}
	for cut := len(path); cut > 0; cut = strings.LastIndexByte(path[:cut], '.') {
		for _, p := range r {
			if p.key != path[:cut] {
				continue
			}
			if cut == len(path) {
				return p.value, true
			}
			if inner, ok := lookup(p.value, path[cut+1:]); ok {
				return inner, true
			}
		}
	}
	return nil, false
}

func textOf(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case []byte:
		return string(v), true
	}
	return "", false
}

func fromJSON(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := rec{}
	for k, inner := range m {
		out = append(out, pair{k, fromJSON(inner)})
	}
	return out
}

func slowTest(c *config.Test, tag string, attrs record.Attrs, r rec) bool {
	var value any
	exists := false
	firstText := func(keys ...string) {
		for _, k := range keys {
			if v, ok := lookup(r, k); ok && !exists {
				value, exists = textOf(v)
			}
		}
	}
	switch c.Field {
	case "tag":
		value, exists = tag, true
	case "k8s":
		value, exists = attrs.Get("k8s."+c.Path), attrs.Get("k8s."+c.Path) != ""
	case "container":
		firstText("container_name")
		if exists {
			value = strings.TrimPrefix(value.(string), "/")
		}
	case "source":
		firstText("source", "stream")
	case "line", "json":
		firstText("log", "message")
	case "record":
		value, exists = lookup(r, c.Path)
	}
	if c.Field == "json" {
		var object map[string]any
		d := json.NewDecoder(strings.NewReader(fmt.Sprint(value)))
		d.UseNumber()
		if !exists || d.Decode(&object) != nil || object == nil || d.More() {
			return false
		}
		value, exists = lookup(fromJSON(object), c.Path)
	}
	for _, p := range c.Patterns {
		if slowPattern(&p, value, exists) {
			return true
		}
	}
	return false
}

func slowPattern(p *config.Pattern, value any, exists bool) bool {
	if p.Kind == config.Present || p.Kind == config.Absent {
		return exists == (p.Kind == config.Present)
	}
	if !exists {
		return false
	}
	text, ok := textOf(value)
	if !ok {
		switch v := value.(type) {
		case int, bool, json.Number:
			text = fmt.Sprint(v)
		case float64:
			text = strconv.FormatFloat(v, 'f', -1, 64)
		default:
			return false
		}
	}
	switch p.Kind {
	case config.Glob:
		s := strings.NewReplacer(`\*`, `(?s:.*)`, `\?`, `(?s:.)`).Replace(regexp.QuoteMeta(p.Text))
		return regexp.MustCompile(`\A(?:` + s + `)\z`).MatchString(text)
	case config.Regex:
		return p.Regexp.MatchString(text)
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return false
	}
	switch p.Op {
	case "==":
		return n == p.Number
	case "!=":
		return n != p.Number
	case ">=":
		return n >= p.Number
	}
	return n < p.Number
}

func slowMatch(m *config.Match, tag string, attrs record.Attrs, r rec) bool {
	if m == nil {
		return true
	}
	for i := range m.Tests {
		if !slowTest(&m.Tests[i], tag, attrs, r) {
			return false
		}
	}
	some := m.Any == nil
	for _, k := range m.Any {
		some = some || slowMatch(k, tag, attrs, r)
	}
	for _, k := range m.Not {
		some = some && !slowMatch(k, tag, attrs, r)
	}
	return some
}

// slowProcess returns the record, whether the event is too large, and the processor that drops it.
func slowProcess(list []config.Processor, tag string, attrs record.Attrs, r rec) (_ rec, large bool, dropped string) {
	for _, p := range list {
		if !slowMatch(p.Match, tag, attrs, r) {
			continue
		}
		switch {
		case p.Drop:
			return nil, false, p.Name
		case p.SizeGuard != nil:
			large = large || len(r.append(nil)) > int(p.SizeGuard.MaxBytes)
		default:
			out := rec{}
			for _, old := range r {
				if old.key != p.Add[0].Key {
					out = append(out, old)
				}
			}
			r = append(out, pair{p.Add[0].Key, p.Add[0].Value})
		}
	}
	return r, large, ""
}

func genPattern(field string) *rapid.Generator[config.Pattern] {
	globs := rapid.Map(rapid.SampledFrom([]string{"a", "a*", "*b", "?", "app-?", "*", "5*", "true", "std*"}), glob)
	regexes := rapid.Map(rapid.SampledFrom([]string{"a", "^(GET|POST) ", "(?i)ERROR", `5\d\d`, "b$", "a.*b", "[ab]x"}), re)
	if field == "line" {
		return regexes
	}
	return rapid.OneOf(globs, regexes,
		rapid.SampledFrom([]config.Pattern{{Kind: config.Present}, {Kind: config.Absent}, compare(">=", 500), compare("<", 5), compare("==", 5), compare("!=", 5)}))
}

func genMatch(depth int) *rapid.Generator[*config.Match] {
	return rapid.Custom(func(t *rapid.T) *config.Match {
		m := &config.Match{}
		for range rapid.IntRange(0, 2).Draw(t, "tests") {
			c := config.Test{Field: rapid.SampledFrom([]string{"tag", "k8s", "container", "source", "line", "line", "json", "record"}).Draw(t, "field")}
			switch c.Field {
			case "k8s":
				c.Path = rapid.SampledFrom([]string{"pod", "namespace"}).Draw(t, "path")
			case "json", "record":
				c.Path = rapid.SampledFrom([]string{"a", "a.b", "a.b.c", "b.c", "x"}).Draw(t, "path")
			}
			c.Patterns = rapid.SliceOfN(genPattern(c.Field), 1, 2).Draw(t, "patterns")
			m.Tests = append(m.Tests, c)
		}
		if depth > 0 && rapid.IntRange(0, 3).Draw(t, "any") == 0 {
			m.Any = rapid.SliceOfN(genMatch(depth-1), 1, 3).Draw(t, "any list")
		}
		if depth > 0 && rapid.IntRange(0, 3).Draw(t, "not") == 0 {
			m.Not = rapid.SliceOfN(genMatch(depth-1), 1, 2).Draw(t, "not list")
		}
		return m
	})
}

func genValue(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		switch rapid.IntRange(0, 7).Draw(t, "kind") {
		case 0:
			return rapid.SampledFrom([]int{5, 500, 503, -1}).Draw(t, "int")
		case 1:
			return rapid.Bool().Draw(t, "bool")
		case 2:
			return nil
		case 3:
			return 5.5
		case 4, 5:
			if depth > 0 {
				return rec(rapid.SliceOfNDistinct(genPair(depth-1, []string{"a", "b", "c", "b.c"}), 0, 3, func(p pair) string { return p.key }).Draw(t, "map"))
			}
		}
		return rapid.SampledFrom([]string{"a", "b", "ax b", "500", "app-1", "stderr", "GET /a", "Error 503", "/app-2"}).Draw(t, "text")
	})
}

func genPair(depth int, keys []string) *rapid.Generator[pair] {
	return rapid.Custom(func(t *rapid.T) pair {
		p := pair{key: rapid.SampledFrom(keys).Draw(t, "key")}
		p.value = genValue(depth).Draw(t, "value")
		if (p.key == "log" || p.key == "message") && rapid.Bool().Draw(t, "json") {
			r := rec(rapid.SliceOfNDistinct(genPair(1, []string{"a", "a.b", "b", "x"}), 0, 3, func(p pair) string { return p.key }).Draw(t, "object"))
			p.value = jsonOf(r)
		} else if p.key == "log" && rapid.Bool().Draw(t, "bin") {
			p.value = []byte("GET /bin")
		}
		return p
	})
}

func jsonOf(v any) string {
	r, ok := v.(rec)
	if !ok {
		b, _ := json.Marshal(v)
		return string(b)
	}
	var parts []string
	for _, p := range r {
		parts = append(parts, strconv.Quote(p.key)+": "+jsonOf(p.value))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func genProcessors(prefix string) *rapid.Generator[[]config.Processor] {
	return rapid.Custom(func(t *rapid.T) []config.Processor {
		var out []config.Processor
		for i := range rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "processors") {
			p := config.Processor{Name: fmt.Sprintf("%s%d", prefix, i), Match: genMatch(0).Draw(t, "match")}
			switch rapid.IntRange(0, 2).Draw(t, "action") {
			case 0:
				p.Drop = true
			case 1:
				p.Add = []config.Field{{Key: rapid.SampledFrom([]string{"log", "x", "env"}).Draw(t, "key"), Value: "a"}}
			case 2:
				p.SizeGuard = &config.SizeGuard{MaxBytes: config.Size(rapid.IntRange(10, 60).Draw(t, "max")), Action: "dead_letter"}
			}
			out = append(out, p)
		}
		return out
	})
}

func TestAgainstOracle(t *testing.T) {
	names := []string{"s1", "s2", "s3"}
	rapid.Check(t, func(t *rapid.T) {
		var routes []config.Route
		for i := range rapid.IntRange(0, 5).Draw(t, "routes") {
			rt := config.Route{Name: fmt.Sprintf("r%d", i), Match: genMatch(2).Draw(t, "match"), Continue: rapid.Bool().Draw(t, "continue")}
			if rt.Discard = rapid.IntRange(0, 4).Draw(t, "discard") == 0; !rt.Discard {
				rt.To = rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID).Draw(t, "to")
				rt.Processors = genProcessors(rt.Name+"-").Draw(t, "own processors")
			}
			routes = append(routes, rt)
		}
		processors := genProcessors("p").Draw(t, "processors")
		sinks, given := map[string]*memory{}, map[string]Sink{}
		for _, n := range names {
			sinks[n] = &memory{}
			given[n] = sinks[n]
		}
		r, err := New(processors, routes, given)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string][]got{}
		stats := slowStats{IntakeStats: IntakeStats{Dropped: map[string]uint64{}, Discarded: map[string]uint64{}, Routes: map[string]uint64{}}, bytes: map[string]uint64{}}
		events := uint64(0)
		var said []Explanation
		for range rapid.IntRange(1, 3).Draw(t, "calls") {
			var chunks []record.Chunk
			for range rapid.IntRange(1, 3).Draw(t, "chunks") {
				c := record.Chunk{Tag: rapid.SampledFrom([]string{"a", "app-1", "b"}).Draw(t, "tag")}
				c.Attrs = record.NewAttrs(record.Attr{Key: "k8s.pod", Value: rapid.SampledFrom([]string{"", "a", "5"}).Draw(t, "pod")})
				for range rapid.IntRange(1, 6).Draw(t, "events") {
					rc := rec(rapid.SliceOfNDistinct(genPair(2, []string{"log", "message", "container_name", "source", "stream", "a", "a.b", "b"}), 0, 5,
						func(p pair) string { return p.key }).Draw(t, "record"))
					at := time.Unix(1700000000+int64(events), 7)
					events++
					c.Data = record.AppendEntry(c.Data, at, rc.append(nil))
					c.Events++
					slowRoute(processors, routes, c.Tag, c.Attrs, at, rc, want, &stats)
				}
				chunks = append(chunks, c)
				said = append(said, r.Explain(c)...)
			}
			if err := r.Intake("in").Accept(t.Context(), chunks); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range names {
			for _, reason := range []string{"", ReasonTooLarge} {
				if diff := cmp.Diff(filter(want[n], reason), filter(sinks[n].events, reason), cmp.AllowUnexported(got{})); diff != "" {
					t.Fatalf("%s, reason %q (-want +got):\n%s", n, reason, diff)
				}
			}
		}
		s := r.Intake("in").Stats()
		checkSaid(t, said, sinks, s)
		if s.Routed != stats.Routed || events != s.Routed+sum(s.Dropped)+sum(s.Discarded) {
			t.Fatalf("%d events: %+v, want %+v", events, s, stats)
		}
		for i := range routes {
			name := routes[i].Name
			if n, size := s.Routes[name], r.Stats().Bytes[name]; n != stats.Routes[name] || size != stats.bytes[name] {
				t.Fatalf("route %q: %d events, %d bytes; want %d, %d", name, n, size, stats.Routes[name], stats.bytes[name])
			}
		}
		for name, n := range s.Dropped {
			if n != stats.Dropped[name] {
				t.Fatalf("dropped = %v, want %v", s.Dropped, stats.Dropped)
			}
		}
		for name, n := range s.Discarded {
			if n != stats.Discarded[name] {
				t.Fatalf("discarded = %v, want %v", s.Discarded, stats.Discarded)
			}
		}
	})
}

type slowStats struct {
	IntakeStats
	bytes map[string]uint64
}

// count counts an event of a route.
func (s *slowStats) count(route string, at time.Time, r rec) {
	s.Routes[route]++
	s.bytes[route] += uint64(len(record.AppendEntry(nil, at, r.append(nil))))
}

func sum(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

func filter(list []got, reason string) (out []got) {
	for _, e := range list {
		if e.reason == reason {
			out = append(out, e)
		}
	}
	return out
}

func slowRoute(processors []config.Processor, routes []config.Route, tag string, attrs record.Attrs, at time.Time, r rec, want map[string][]got, stats *slowStats) {
	r, large, dropped := slowProcess(processors, tag, attrs, r)
	if dropped != "" {
		stats.Dropped[dropped]++
		return
	}
	typ, gone, lost := "", "", ""
	reached := map[string]bool{}
	routed := false
	for _, rt := range routes {
		if !slowMatch(rt.Match, tag, attrs, r) {
			continue
		}
		if typ == "" {
			typ, gone = rt.Name, rt.Name
		}
		if rt.Discard && gone == typ {
			if first := routes[indexOf(routes, typ)]; !first.Discard {
				gone = rt.Name
			}
		}
		for _, n := range rt.To {
			if reached[n] {
				continue
			}
			reached[n] = true
			out, tooLarge, dropped := slowProcess(rt.Processors, tag, attrs, r)
			if dropped != "" {
				if lost == "" {
					lost = dropped
				}
				continue
			}
			routed = true
			e := got{tag: tag, typ: typ, raw: string(record.AppendEntry(nil, at, out.append(nil)))}
			if large || tooLarge {
				e.reason = ReasonTooLarge
			}
			want[n] = append(want[n], e)
		}
		if !rt.Continue {
			break
		}
	}
	switch {
	case routed:
		stats.Routed++
		stats.count(typ, at, r)
	case lost != "":
		stats.Dropped[lost]++
	case typ == "":
		stats.Discarded[Unmatched]++
	default:
		stats.Discarded[gone]++
		stats.count(gone, at, r)
	}
}

func indexOf(routes []config.Route, name string) int {
	for i := range routes {
		if routes[i].Name == name {
			return i
		}
	}
	return -1
}
