package record

import (
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/firebreak/firebreak/internal/mp"
)

func parse(t testing.TB, s string) *Template {
	t.Helper()
	tmpl, err := ParseTemplate(s)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

// oneEvent returns the event of a chunk that arrived when it happened.
func oneEvent(tag string, at time.Time, rec []byte) Event {
	c := &Chunk{
		Tag: tag, Route: "access", Arrived: at, Events: 1, Data: AppendEntry(nil, at, rec),
		Attrs: NewAttrs(Attr{"ecs.cluster", "prod"}, Attr{"k8s.label.app.kubernetes.io/name", "web"}, Attr{"host", "h1"}),
	}
	it := Iterate(c)
	it.Next()
	return it.Event()
}

var templateTime = time.Date(2026, 1, 5, 3, 4, 9, 123456789, time.UTC)

func TestTemplateRendersEachVariable(t *testing.T) {
	b := mp.AppendMap(nil, 11)
	b = mp.AppendStr(mp.AppendStr(b, "log"), "text")
	b = append(mp.AppendStr(b, "a"), rec("b", "deep")...)
	b = mp.AppendStr(mp.AppendStr(b, "com.example.app"), "dotted")
	b = mp.AppendInt(mp.AppendStr(b, "int"), -7)
	b = append(mp.AppendStr(b, "big"), 0xcf, 255, 255, 255, 255, 255, 255, 255, 255)
	b = mp.AppendFloat(mp.AppendStr(b, "float"), 1.5)
	b = mp.AppendBool(mp.AppendStr(b, "yes"), true)
	b = mp.AppendNil(mp.AppendStr(b, "nil"))
	b = mp.AppendStr(mp.AppendStr(b, "empty"), "")
	b = mp.AppendStr(mp.AppendStr(b, "name"), "/web1")
	b = mp.AppendBin(mp.AppendStr(b, "bin"), []byte("bin"))
	e := oneEvent("app.web.eu", templateTime, b)
	for s, want := range map[string]string{
		"": "", "plain": "plain", "$${tag}": "${tag}", "$tag $ {}": "$tag $ {}", "$$": "$$", "a$": "a$",
		"${tag}": "app.web.eu", "${tag[0]}-${tag[2]}": "app-eu", "${tag[3]}": "none", "${tag[3]:-x}": "x",
		"${type}": "access", "${host}": "h1", "${ecs.cluster}": "prod", "${ecs.family:-f}": "f",
		"${k8s.label.app.kubernetes.io/name}": "web",
		"${record.log}":                       "text", "${record.a.b}": "deep", "${record.com.example.app}": "dotted", "${record.int}": "-7",
		"${record.big}": "18446744073709551615", "${record.float}": "1.5", "${record.yes}": "true", "${record.bin}": "bin",
		"${record.nil}": "none", "${record.a}": "none", "${record.empty}": "none", "${record.empty:-e}": "e", "${record.name}": "web1",
		"${record.absent:-a/b}": "a_b", "${record.absent:-}": "none",
		"${time:%Y-%m-%d}": "2026-01-05", "${time:%H:%M:%S}": "03:04:09", "${time:%j %y %e %b %B %a %A %p %I}": "005 26  5 Jan January Mon Monday AM 03",
		"${time:%Z%z %s %F %T %%}": "UTC+0000 1767582249 2026-01-05 03:04:09 %", "${time:%Y:-x}": "2026",
		"p/${time:%Y/%m}/${tag}.log": "p/2026/01/app.web.eu.log", "${id}": "\x00",
	} {
		var ctx RenderContext
		if got := string(parse(t, s).Append([]byte("<"), e.Chunk, &e, &ctx)); got != "<"+want {
			t.Errorf("%s: %q, want %q", s, got[1:], want)
		}
	}
	ctx := RenderContext{ID: "42", Host: "own"}
	if got := string(parse(t, "${id}/${host}/${record.x}").Append(nil, &Chunk{}, nil, &ctx)); got != "42/own/none" {
		t.Errorf("without an event: %q", got)
	}
	if got := FillID(string(parse(t, "a${id}b${id}").Append(nil, &Chunk{}, nil, &RenderContext{})), "7"); got != "a7b7" {
		t.Errorf("FillID: %q", got)
	}
}

func TestTemplateErrorsSayWhereAndWhat(t *testing.T) {
	for s, want := range map[string]struct {
		at   int
		text string
	}{
		"a/${tga}":          {4, "${tag}"},
		"${uuid}":           {2, "${id}"},
		"${container_name}": {2, "${record.key}"},
		"${namespace}":      {2, "${k8s.namespace}"},
		"${records.a}":      {2, "${record.key}"},
		"${}":               {2, "$${"},
		"${tag":             {0, "without a }"},
		"${tag[x]}":         {2, "${tag[0]}"},
		"${tag[-1]}":        {2, "${tag[0]}"},
		"${tag[100]}":       {2, "${tag[0]}"},
		"${tag[1}":          {2, "${tag[0]}"},
		"${record}":         {2, "${record.name}"},
		"${record.}":        {2, "${record.name}"},
		"${ecs}":            {2, "${ecs.name}"},
		"${time}":           {2, "${time:%Y-%m-%d}"},
		"${time:}":          {7, "without a format"},
		"x${time:%Y-%q}":    {11, `"%q"`},
		"${time:%Y%}":       {9, "ends in %"},
		"${time:%f}":        {7, "%f"},
		"${a:-${tag}}":      {5, "plain text"},
		"a\nb":              {1, "0x0a"},
		"${record.a\x00}":   {10, "0x00"},
		"${tag\x7f":         {0, "without a }"},

		strings.Repeat("x", MaxTemplate+1): {MaxTemplate, "4096"},
	} {
		_, err := ParseTemplate(s)
		var te *TemplateError
		if !errors.As(err, &te) {
			t.Errorf("%q: error %v", s, err)
			continue
		}
		if te.Offset != want.at || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%q: %v at %d, want %q at %d", s, err, te.Offset, want.text, want.at)
		}
	}
}

func TestTemplateSaysWhatItNeeds(t *testing.T) {
	for s, want := range map[string]struct {
		perEvent, perChunk, id bool
		prefix, suffix         string
	}{
		"a/b":               {false, false, false, "a/b", "a/b"},
		"a/${id}.x":         {false, false, true, "a/", ".x"},
		"${tag}":            {false, true, false, "", ""},
		"a${k8s.pod}b":      {false, true, false, "a", "b"},
		"a${time:%Y}${tag}": {true, true, false, "a", ""},
		"${record.x}/y":     {true, true, false, "", "/y"},
	} {
		tm := parse(t, s)
		if tm.PerEvent() != want.perEvent || tm.PerChunk() != want.perChunk || tm.HasID() != want.id || tm.Prefix() != want.prefix || tm.Suffix() != want.suffix || tm.String() != s {
			t.Errorf("%s: %v %v %v %q %q", s, tm.PerEvent(), tm.PerChunk(), tm.HasID(), tm.Prefix(), tm.Suffix())
		}
	}
	tm := parse(t, "${tag[1]}${ecs.x}${time:%Y}")
	for _, field := range []string{"tag", "ecs", "time", "type", "record", "k8s", "host", "id", ""} {
		if want := field == "tag" || field == "ecs" || field == "time"; tm.Uses(field) != want {
			t.Errorf("Uses(%q) = %v", field, !want)
		}
	}
}

func TestTemplateTimeOutOfRangeIsTheArrival(t *testing.T) {
	k := NewKeyer(parse(t, "${time:%Y-%m-%d} ${time:%H}"), RenderContext{})
	if !k.PerEvent() {
		t.Error("a time is a matter of each event")
	}
	var replaced uint64
	for shift, kept := range map[time.Duration]bool{
		0: true, -30 * 24 * time.Hour: true, -32 * 24 * time.Hour: false, 23 * time.Hour: true, 25 * time.Hour: false,
		-50 * 365 * 24 * time.Hour: false, 70 * 365 * 24 * time.Hour: false,
	} {
		e := oneEvent("t", templateTime.Add(shift), rec())
		e.Chunk.Arrived = templateTime
		want := templateTime
		if kept {
			want = want.Add(shift)
		} else {
			replaced++
		}
		if got := string(k.AppendKey(nil, e)); got != want.Format("2006-01-02 15") {
			t.Errorf("%v from the arrival: %q, want %v", shift, got, want)
		}
		if k.Replaced() != replaced {
			t.Errorf("%v: %d counted, want %d", shift, k.Replaced(), replaced)
		}
	}
}

// The rendered time is kept as long as it is good, so every order of times must give what a fresh context gives.
func TestTemplateTimeCacheIsNeverStale(t *testing.T) {
	zones := []*time.Location{nil, time.UTC, time.FixedZone("half", 5*3600+1800), time.FixedZone("west", -9*3600-1800)}
	if berlin, err := time.LoadLocation("Europe/Berlin"); err == nil {
		zones = append(zones, berlin)
	}
	start := time.Date(2026, 3, 28, 22, 0, 0, 0, time.UTC) // the day before summer time starts
	for _, zone := range zones {
		for _, f := range []string{"%Y-%m-%d", "%H", "%M", "%S", "%z", "%j%p", "%s", "%F %T"} {
			tm := parse(t, "${time:"+f+"}")
			kept := RenderContext{Location: zone}
			for i := range 400 {
				at := start.Add(time.Duration(i*i*7919%(48*3600)) * time.Second)
				e := oneEvent("t", at, rec())
				got := string(tm.Append(nil, e.Chunk, &e, &kept))
				want := string(tm.Append(nil, e.Chunk, &e, &RenderContext{Location: zone}))
				if got != want {
					t.Fatalf("%s in %v at %v: %q, want %q", f, zone, at, got, want)
				}
			}
		}
	}
	var ctx RenderContext
	e := oneEvent("t", templateTime, rec())
	a, b := parse(t, "${time:%Y}"), parse(t, "${time:%m}")
	got := string(b.Append(a.Append(b.Append(a.Append(nil, e.Chunk, &e, &ctx), e.Chunk, &e, &ctx), e.Chunk, &e, &ctx), e.Chunk, &e, &ctx))
	if got != "202601202601" {
		t.Errorf("two templates in one context: %q", got)
	}
}

func TestPathElement(t *testing.T) {
	for v, want := range map[string]string{
		"web": "web", "/web1": "web1", "a/b": "a_b", `a\b`: "a_b", "..": "_.", ".": "_", "../../etc/passwd": "_.__.__etc_passwd",
		"a..b": "a._b", "a.b.c": "a.b.c", "\x00\n\x1b": "___", "\xff\xfe": "__", "\u0085x": "_x", "日本": "日本", "": "", "///": "", ".ssh": "_ssh",
	} {
		if got := string(PathElement([]byte("<"), []byte(v))); got != "<"+want {
			if !strings.Contains(v, "../") { // its exact form doesn't matter
				t.Errorf("%q: %q, want %q", v, got[1:], want)
			}
		}
	}
	if got := string(PlainText(nil, []byte("/a/../b\n\xff日"))); got != "/a/../b__日" {
		t.Errorf("PlainText: %q", got)
	}
}

func TestLongValuesAreCutAtACharacter(t *testing.T) {
	for _, c := range []string{"x", "é", "日", "😀", "\xbf"} {
		e := oneEvent(strings.Repeat(c, 1000), templateTime, rec("v", strings.Repeat(c, 10_000)))
		for _, s := range []string{"${tag}", "${record.v}"} {
			got := parse(t, s).Append(nil, e.Chunk, &e, &RenderContext{})
			if len(got) > MaxValue || len(got) < MaxValue-3 || !utf8.Valid(got) {
				t.Errorf("%s of %q: %d bytes, valid %v", s, c, len(got), utf8.Valid(got))
			}
		}
	}
}

func TestRenderingAllocatesNothing(t *testing.T) {
	e := oneEvent("app.web.with.a.tag.that.is.longer.than.32.bytes", templateTime, rec("log", "x", "name", "/web1"))
	tm := parse(t, "type=${type}/${tag}/${tag[1]}/${record.name}/${record.none:-default}/dt=${time:%Y-%m-%d}/${host}-${id}")
	var ctx RenderContext
	var dst []byte
	if n := testing.AllocsPerRun(1000, func() { dst = tm.Append(dst[:0], e.Chunk, &e, &ctx) }); n != 0 {
		t.Errorf("%v allocations for each event", n)
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("logs/${tag}/${record.a:-x}.log", "app.web", "../../etc/passwd", int64(1767582249))
	f.Add("/var/log/${tag[1]}${record.a}-${time:%Y-%m-%d}.log", "..", "a/b\x00", int64(math.MaxInt32))
	f.Add("$${x}${type}/${host}.${record.a}", "", ".", int64(0))
	f.Fuzz(func(t *testing.T, source, tag, value string, sec int64) {
		tm, err := ParseTemplate(source)
		if err != nil {
			var te *TemplateError
			if !errors.As(err, &te) || te.Offset < 0 || te.Offset > len(source) || te.Message == "" {
				t.Fatalf("%v", err)
			}
			return
		}
		e := oneEvent(tag, time.Unix(sec, 0), rec("a", value))
		e.Chunk.Route, e.Chunk.Attrs = value, Attrs{{"host", tag}}
		ctx := RenderContext{ID: "i"}
		got := string(tm.Append(nil, e.Chunk, &e, &ctx))
		if strings.ContainsAny(got, "\x00\n") || !strings.HasPrefix(got, tm.Prefix()) || !strings.HasSuffix(got, tm.Suffix()) {
			t.Fatalf("%q rendered %q", source, got)
		}
		// Values must not add elements to the path or leave the directory in front of the first variable.
		plain := ctx
		plain.Sanitize = func(dst, _ []byte) []byte { return append(dst, 'x') }
		sample := string(tm.Append(nil, e.Chunk, &e, &plain))
		if strings.Count(got, "/") != strings.Count(sample, "/") {
			t.Fatalf("%q rendered %q: other elements than %q", source, got, sample)
		}
		dir := filepath.Join("/base", tm.Prefix()[:strings.LastIndexByte(tm.Prefix(), '/')+1])
		if inside(dir, filepath.Join("/base", sample)) && !inside(dir, filepath.Join("/base", got)) {
			t.Fatalf("%q rendered %q: not below %q", source, got, dir)
		}
	})
}

func inside(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

func BenchmarkTemplate(b *testing.B) {
	e := oneEvent("docker.web", templateTime, rec("container_id", strings.Repeat("f", 64), "container_name", "/web1", "source", "stdout", "log", strings.Repeat("x", 200)))
	for name, s := range map[string]string{
		"type and hour":  "type=${type}/dt=${time:%Y-%m-%d}/hour=${time:%H}/${host}-${id}.jsonl.zst",
		"container name": "/var/log/apps/${record.container_name:-unknown}.log",
	} {
		b.Run(name, func(b *testing.B) {
			k := NewKeyer(parse(b, s), RenderContext{})
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst = k.AppendKey(dst[:0], e)
			}
		})
	}
}
