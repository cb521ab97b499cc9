package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/internal/table"
)

const twoRoutes = "routes: [ { name: health, match: { line: GET }, discard: true }, { name: all, to: [gone] } ]\noutputs: { gone: { type: \"null\" } }\n"

// tapping runs the command while events flow by.
func tapped(t *testing.T, r *liveRouter, record string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		code, stdout, stderr = call(append([]string{"tap", "--data-dir", r.dir}, args...)...)
	}()
	for {
		select {
		case <-done:
			return code, stdout, stderr
		case <-time.After(20 * time.Millisecond):
			r.send("docker.web", record)
		}
	}
}

const hostile = `{"container_name":"/web","log":"a\u001b[2J\u009b31m\tb\u202e\r\n"}`

func TestTapOfARouter(t *testing.T) {
	noLeaks(t)
	r := startRouter(t, t.TempDir(), twoRoutes)
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, `  docker.web  all→gone  a\x1b[2J\u009b31m\tb\u202e` + "\n"},
		{[]string{"--route", "all", "--wide"}, `  docker.web  all→gone  a\x1b[2J`},
		{[]string{"--destination", "gone"}, `  docker.web  all→gone  a\x1b[2J`},
		{[]string{"--input", "*"}, `  docker.web  from docker  a\x1b[2J`},
	} {
		code, stdout, stderr := tapped(t, r, hostile, append(c.args, "--count", "3", "--rate", "1000")...)
		if code != 0 || strings.Count(stdout, "\n") != 3 || !strings.Contains(stdout, c.want) {
			t.Errorf("%v: %d %q %q", c.args, code, stdout, stderr)
		}
		if !strings.HasPrefix(stderr, "showed 3 of ") || !strings.HasSuffix(stderr, " that passed\n") {
			t.Errorf("%v: %q", c.args, stderr)
		}
		for _, ch := range stdout {
			if ch != '\n' && !unicode.IsGraphic(ch) {
				t.Errorf("%v: %q", c.args, stdout)
			}
		}
	}
}

// json and raw are what others read: each line is an event, raw ones byte by byte.
func TestTapForPrograms(t *testing.T) {
	noLeaks(t)
	r := startRouter(t, t.TempDir(), twoRoutes)
	for _, output := range []string{"json", "raw"} {
		code, stdout, stderr := tapped(t, r, hostile, "--count", "2", "-o", output)
		if code != 0 {
			t.Fatal(stderr)
		}
		for line := range strings.Lines(stdout) {
			var e agent.EventLine
			if err := json.Unmarshal([]byte(line), &e); err != nil || (output == "raw") != (e.Data != "") || (output == "json") != (e.Record != nil) {
				t.Errorf("%s %v", line, err)
				continue
			}
			c, err := e.Chunk()
			if err != nil || !bytes.Contains(c.Data, []byte("a\x1b[2J\u009b31m")) {
				t.Errorf("%s: %v %q", line, err, c.Data)
			}
			if strings.ContainsFunc(line, func(r rune) bool { return r != '\n' && !unicode.IsGraphic(r) }) {
				t.Errorf("%q", line)
			}
		}
	}
}

func TestTapEnds(t *testing.T) {
	noLeaks(t)
	r := startRouter(t, t.TempDir(), twoRoutes)
	began := time.Now()
	if code, stdout, stderr := call("tap", "--data-dir", r.dir, "--for", "50ms"); code != 0 || stdout != "" || stderr != "no event passed\n" {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
	if took := time.Since(began); took < 50*time.Millisecond || took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	ctx, cancel := context.WithCancel(context.Background()) // as Ctrl-C does
	time.AfterFunc(20*time.Millisecond, cancel)
	var out, errs bytes.Buffer
	if err := tapRouter(ctx, newRouterClient(r.dir, r.dir), tapOptions{rate: 1, output: "json"}, &out, &errs); err != nil || errs.String() != "no event passed\n" {
		t.Errorf("%v %q", err, errs.String())
	}
	time.AfterFunc(50*time.Millisecond, r.stop)
	code, _, stderr := call("tap", "--data-dir", r.dir)
	if code != exitFailed || !strings.Contains(stderr, "has ended the connection: it has stopped, or is about to") {
		t.Errorf("%d %q", code, stderr)
	}
}

func TestTapRefusals(t *testing.T) {
	r := startRouter(t, t.TempDir(), twoRoutes)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--route", "al"}, 1, `no route is called "al"; there are: health, all`},
		{[]string{"--route", "health"}, 1, `route "health" discards its events`},
		{[]string{"--destination", "x"}, 1, `no destination is called "x"; there are: gone`},
		{[]string{"--input", "x"}, 1, `no input is called "x"; there are: docker`},
		{[]string{"--input", "docker", "--route", "all"}, 2, "exclude each other"},
		{[]string{"--rate", "0"}, 2, "--rate 0: above 0, and up to 1000 events per second"},
		{[]string{"--rate", "NaN"}, 2, "--rate NaN"},
		{[]string{"--rate", "2000"}, 2, "--rate 2000"},
		{[]string{"--for", "-1s"}, 2, "--for -1s"},
		{[]string{"--output", "text"}, 2, `--output "text"`},
		{[]string{"x"}, 2, `unexpected argument "x"`},
	} {
		code, stdout, stderr := call(append([]string{"tap", "--data-dir", r.dir}, c.args...)...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: %d %q %q", c.args, code, stdout, stderr)
		}
	}
}

func TestTapOfWhatIsNoRouter(t *testing.T) {
	for answer, want := range map[string]string{
		"hello\n":                          "answers tap in a form that this firebreak (dev) doesn't know",
		"{\"a\":1}\n":                      "it is no event",
		"[1]\n":                            "answers tap in a form",
		"":                                 "has ended the connection",
		"{\"tag\":\"x":                     "answers tap in a form",
		strings.Repeat("x", maxTapLine+10): "shows an event of more than 8 MiB",
	} {
		dir := fakeRouter(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) })
		code, stdout, stderr := call("tap", "--data-dir", dir)
		if code != exitFailed || stdout != "" || !strings.Contains(stderr, want) || len(stderr) > 1000 {
			t.Errorf("%.20q: %d %q %.300q", answer, code, stdout, stderr)
		}
	}
}

func TestTapLines(t *testing.T) {
	var out bytes.Buffer
	width := 0
	v := tapView{out: &out, size: func() int { return width }, zone: time.UTC}
	event := func(tag, record string) agent.EventLine {
		return agent.EventLine{Time: at(0), Tag: tag, Route: "access", Destination: "agg", Record: json.RawMessage(record)}
	}
	show := func(e agent.EventLine) {
		t.Helper()
		if err := v.show(e, at(1)); err != nil {
			t.Fatal(err)
		}
	}
	show(event("app", `{"log":"GET / 200\n","message":"other"}`))
	show(event("longer.tag", `{"message":"hello"}`))
	show(event("app", `{"log":7,"a":"b"}`))
	show(event("app", `{"log":"","a":1}`))
	show(event("app", ``))
	old := event("app\x1b", `{"log":"old"}`)
	old.Time = at(-86400 * 3)
	show(old)
	width = 60
	show(event("a.tag.that.is.much.too.long.to.be.shown", `{"log":"日本語日本語日本語日本語日本語"}`))
	exact := event("app", `{"log":"x"}`)
	exact.Time, exact.Input = at(0.25), "docker"
	show(exact)
	want := strings.Join([]string{
		`12:00:00  app  access→agg  GET / 200`,
		`12:00:00  longer.tag  access→agg  hello`,
		`12:00:00  app         access→agg  {"log":7,"a":"b"}`,
		`12:00:00  app         access→agg  {"log":"","a":1}`,
		`12:00:00  app         access→agg  `,
		`2026-05-01 12:00:00  app\x1b     access→agg  old`,
		`12:00:00             a.tag.that.is.much.too.…  access→agg  日本語日…`,
		`12:00:00.250         app                       from docker  x`,
		"",
	}, "\n")
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func FuzzTapLine(f *testing.F) {
	f.Add("tag", `{"log":"x\u001b[31m"}`, 80)
	f.Add("\x1b", "\xff{", 3)
	f.Fuzz(func(t *testing.T, tag, record string, width int) {
		width = max(0, width%200)
		v := tapView{size: func() int { return width }, zone: time.UTC}
		line := v.line(agent.EventLine{Tag: tag, Route: tag, Record: json.RawMessage(record)}, at(0))
		if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsGraphic(r) }) {
			t.Errorf("%q", line)
		}
		if width > 100 && table.Width(line) > width {
			t.Errorf("%d wide: %q", table.Width(line), line)
		}
	})
}

// Names are completed by asking the router; without one there are none, and no error in the prompt.
func TestCompletion(t *testing.T) {
	noLeaks(t)
	r := startRouter(t, t.TempDir(), twoRoutes)
	for _, c := range []struct{ dir, flag, begun, want string }{
		{r.dir, "--route", "", "all"}, {r.dir, "--destination", "", "gone"}, {r.dir, "--destination", "x", ""}, {r.dir, "--input", "do", "docker"},
		{r.dir, "--output", "", "table json raw"}, {t.TempDir(), "--route", "", ""},
	} {
		code, stdout, _ := call("__complete", "tap", "--data-dir", c.dir, c.flag, c.begun)
		if got := strings.Join(strings.Fields(stdout), " "); code != 0 || got != strings.TrimSpace(c.want+" :4") {
			t.Errorf("%+v: %d %q", c, code, stdout)
		}
	}
	file := filepath.Join(t.TempDir(), "firebreak.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "data_dir: %q\n", r.dir), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ := call("__complete", "health", "-c", file, "--destination", ""); code != 0 || stdout != "gone\n:4\n" {
		t.Errorf("health: %d %q", code, stdout)
	}
}

func TestFooter(t *testing.T) {
	for _, c := range []struct {
		shown, passed uint64
		want          string
	}{{0, 0, "no event passed"}, {1, 1, "showed 1 of 1 event that passed"}, {100, 12345, "showed 100 of 12,345 events that passed"}} {
		if got := fmt.Sprint((&tapping{shown: c.shown, passed: c.passed}).footer()); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
