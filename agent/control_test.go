package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/bench/load"
)

// control is a client of a router's control socket.
func control(t *testing.T, dataDir string) *http.Client {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return DialControl(ctx, dataDir) }}
	return &http.Client{Transport: tr}
}

func ask(t *testing.T, c *http.Client, method, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://control"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func awaitControl(t *testing.T, dataDir string) {
	t.Helper()
	eventually(t, func() string {
		c, err := DialControl(t.Context(), dataDir)
		if err != nil {
			return err.Error()
		}
		c.Close()
		return ""
	})
}

// The socket is there for its own user alone, also in a directory whose name is too long for a socket; one that a
// killed router has left is replaced.
func TestControlSocket(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 40))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ControlSocket), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	r := start(t, head(dir)+toNull)
	awaitControl(t, dir)
	if info, err := os.Stat(filepath.Join(dir, ControlSocket)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	c := control(t, dir)
	code, text := ask(t, c, "GET", "/status")
	var s Status
	if err := json.Unmarshal([]byte(text), &s); code != 200 || err != nil || s.Phase != "running" || s.Inputs[0].Name != "docker" {
		t.Errorf("%d %v %s", code, err, text)
	}
	if code, text := ask(t, c, "POST", "/reload"); code != 200 || !strings.Contains(text, "nothing to reload") {
		t.Errorf("%d %s", code, text)
	}
	if code, _ := ask(t, c, "GET", "/reload"); code != http.StatusMethodNotAllowed {
		t.Errorf("a reload by GET: %d", code)
	}
	r.end()
	if _, err := os.Stat(filepath.Join(dir, ControlSocket)); !os.IsNotExist(err) {
		t.Errorf("after the end: %v", err)
	}
}

// A shutdown can take long. Who looks meanwhile sees the router stop, not that none runs; a replay ends at once.
func TestControlSocketAnswersUntilTheEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := start(t, strings.Replace(head(dir), "deadline: 5s", "deadline: 20s", 1)+"routes: [ { name: all, to: [slow] } ]\n"+
		"outputs: { slow: { type: \"null\" } }\n")
	awaitControl(t, dir)
	l, err := load.New(load.Config{Addr: r.addr(), Conns: 1, Batch: 5, Rate: 1000, NoReconnect: true})
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		l.Run(t.Context())
	}()
	c := control(t, dir)
	eventually(t, func() string {
		if s := r.page(); s.Inputs[0].Received == 0 {
			return "nothing is sent"
		}
		return ""
	})
	r.stop()
	eventually(t, func() string {
		_, text := ask(t, c, "GET", "/status")
		var s Status
		if err := json.Unmarshal([]byte(text), &s); err != nil || s.Phase != "stopping" {
			return text
		}
		return ""
	})
	if _, text := ask(t, c, "POST", "/reload"); !strings.Contains(text, errStopping.Error()) {
		t.Error(text)
	}
	l.Stop()
	<-sent
	r.end()
	if _, err := os.Stat(filepath.Join(dir, ControlSocket)); !os.IsNotExist(err) {
		t.Errorf("after the end: %v", err)
	}
}

// Nothing that changes something is on the admin port.
func TestAdminPortChangesNothing(t *testing.T) {
	t.Parallel()
	r := start(t, head(t.TempDir())+toNull)
	for _, path := range []string{"/reload", "/replay", "/tap?destination=*"} {
		if code, _ := r.get(path); code != http.StatusNotFound {
			t.Errorf("%s: %d", path, code)
		}
		res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Post("http://"+r.Admin()+path, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode < 400 {
			t.Errorf("POST %s: %s", path, res.Status)
		}
	}
}

// taste reads n events of a tap.
func taste(t *testing.T, c *http.Client, query string, n int) []EventLine {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://control/tap?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var out []EventLine
	in := bufio.NewScanner(res.Body)
	in.Buffer(nil, 1<<20)
	for len(out) < n && in.Scan() {
		var l EventLine
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			t.Fatalf("%v: %s", err, in.Bytes())
		}
		out = append(out, l)
	}
	if len(out) < n {
		t.Fatalf("%s: only %d events: %v", query, len(out), in.Err())
	}
	return out
}

// A tap shows samples of a route, a destination or an input, at its rate; what it is asked for must exist.
func TestTap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	agg := aggregator(t, "127.0.0.1:0")
	r := start(t, threeRoutes(dir, [3]string{agg.Addr(), agg.Addr(), agg.Addr()}))
	awaitControl(t, dir)
	l, end := streaming(t, r.addr())
	defer end()
	c := control(t, dir)
	for _, e := range taste(t, c, "route=audit&rate=1000", 20) {
		if e.Route != "audit" || e.Destination != "audit" || !strings.HasPrefix(e.Tag, "docker.audit.") || !strings.Contains(string(e.Record), `"log"`) || e.Attrs["host"] == "" {
			t.Fatalf("%+v", e)
		}
	}
	began := time.Now()
	list := taste(t, c, "destination=*&rate=100", 30)
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("30 events at 100 a second came in %v", took)
	}
	if last := list[len(list)-1]; last.Passed < 30 {
		t.Errorf("%d have passed", last.Passed)
	}
	for _, e := range taste(t, c, "input=docker&rate=1000&raw=1", 20) {
		chunk, err := e.Chunk()
		if e.Input != "docker" || e.Route != "" || e.Record != nil || err != nil || chunk.Tag != e.Tag || len(chunk.Data) != e.Bytes {
			t.Fatalf("%v %+v", err, e)
		}
	}
	for query, says := range map[string]string{
		"":                         "name one of input, route, destination",
		"input=docker&route=audit": "name one of",
		"route=adit":               `no route is called "adit"; there are: access, audit, error`,
		"route=*":                  "no route",
		"destination=x":            "access, audit, error",
		"input=*&rate=fast":        `rate "fast"`,
		"input=*&rate=-1":          `rate "-1"`,
	} {
		if code, text := ask(t, c, "GET", "/tap?"+query); code < 400 || !strings.Contains(text, says) {
			t.Errorf("%q: %d %s", query, code, text)
		}
	}
	eventually(t, func() string {
		if r.taps.list.Load() != nil {
			return "somebody still looks"
		}
		return ""
	})
	_ = l
}

// Those who look and don't read slow nothing, and there are only so many of them.
func TestTapNeverSlows(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	agg := aggregator(t, "127.0.0.1:0")
	r := start(t, threeRoutes(dir, [3]string{agg.Addr(), agg.Addr(), agg.Addr()}))
	awaitControl(t, dir)
	c := control(t, dir)
	for range maxTaps {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://control/tap?destination=*&rate=1000", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close() // and never read
	}
	if code, text := ask(t, c, "GET", "/tap?input=*"); code != http.StatusTooManyRequests {
		t.Errorf("one too many: %d %s", code, text)
	}
	l, err := load.New(load.Config{Addr: r.addr(), Conns: 3, Events: 30000, Ack: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	l.Run(ctx)
	if st := l.Stats(); st.Acked != l.Sent() || st.Acked < 30000 {
		t.Fatalf("acked %d of %d: %s", st.Acked, l.Sent(), st.LastError)
	}
	eventually(t, func() string {
		if n := agg.Counts().Events; n != l.Sent() {
			return fmt.Sprint(n)
		}
		return ""
	})
}
