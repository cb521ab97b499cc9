package agent

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Who connects and says nothing takes neither memory without bound nor time at the end.
func TestAdminConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	r := start(t, head(t.TempDir())+toNull)
	var idle []net.Conn
	for range adminConnections + 10 {
		c, err := net.Dial("tcp", r.Admin())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		idle = append(idle, c)
	}
	asked := make(chan error, 1)
	go func() {
		resp, err := http.Get("http://" + r.Admin() + "/health/live")
		if err == nil {
			_ = resp.Body.Close()
		}
		asked <- err
	}()
	select {
	case err := <-asked:
		t.Errorf("one more than the bound was served: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	for _, c := range idle[:20] {
		_ = c.Close()
	}
	select {
	case err := <-asked:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("nobody answers when there is room again")
	}
	if took := r.end(); took > 2*time.Second {
		t.Errorf("stopping took %v", took)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestAdminPages(t *testing.T) {
	r := start(t, head(t.TempDir())+toNull)
	code, text := r.get("/")
	for _, path := range []string{"/health/live", "/health/ready", "/metrics", "/status"} {
		if code != 200 || !strings.Contains(text, path) {
			t.Errorf("the first page doesn't name %s: %d %s", path, code, text)
		}
		if code, text := r.get(path); code != 200 {
			t.Errorf("%s: %d %s", path, code, text)
		}
		resp, err := http.Post(fmt.Sprintf("http://%s%s", r.Admin(), path), "text/plain", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d: the admin port changes nothing", path, resp.StatusCode)
		}
	}
	if code, _ := r.get("/debug/pprof/"); code != 404 {
		t.Errorf("an unknown page: %d", code)
	}
	http.DefaultClient.CloseIdleConnections()
}

// A browser gets the status page, which may run nothing but its own script; others get a list.
func TestRootOfTheAdminPort(t *testing.T) {
	t.Parallel()
	r := start(t, head(t.TempDir())+toNull)
	if code, text := r.get("/"); code != http.StatusOK || !strings.Contains(text, "/status") || strings.Contains(text, "<html") {
		t.Errorf("%d %s", code, text)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.Admin()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(body), "<html") || !strings.Contains(res.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%v %v %.100s", err, res.Header, body)
	}
	if code, text := r.get("/history"); code != http.StatusOK || !strings.Contains(text, `"step_seconds"`) {
		t.Errorf("%d %s", code, text)
	}
}
