package page

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, method string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, "/", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, resp *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestHandler(t *testing.T) {
	plain := get(t, http.MethodGet)
	page := body(t, plain)
	if plain.StatusCode != http.StatusOK || plain.Header.Get("Content-Type") != "text/html; charset=utf-8" || !bytes.HasPrefix(page, []byte("<!doctype html>")) {
		t.Errorf("%d %v %.80s", plain.StatusCode, plain.Header, page)
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache", "Vary": "Accept-Encoding", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"} {
		if got := plain.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	zipped := get(t, http.MethodGet, "Accept-Encoding", "br, gzip;q=0.8")
	z, err := gzip.NewReader(zipped.Body)
	if err != nil {
		t.Fatal(err)
	}
	unzipped, err := io.ReadAll(z)
	if err != nil || !bytes.Equal(unzipped, page) || zipped.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("zipped: %d bytes for %d, %v, %v", len(unzipped), len(page), zipped.Header, err)
	}
	if tag := zipped.Header.Get("ETag"); tag == plain.Header.Get("ETag") || tag == "" {
		t.Errorf("both bodies have the tag %s", tag)
	}
	if r := get(t, http.MethodGet, "Accept-Encoding", "gzip;q=0"); r.Header.Get("Content-Encoding") != "" {
		t.Error("zipped for one who refuses that")
	}
	again := get(t, http.MethodGet, "If-None-Match", `"other", W/`+plain.Header.Get("ETag"))
	if again.StatusCode != http.StatusNotModified || len(body(t, again)) > 0 {
		t.Errorf("asked with its tag: %d", again.StatusCode)
	}
	if head := get(t, http.MethodHead); head.StatusCode != http.StatusOK || len(body(t, head)) > 0 || head.Header.Get("Content-Length") == "" {
		t.Errorf("HEAD: %d %v", head.StatusCode, head.Header)
	}
	if post := get(t, http.MethodPost); post.StatusCode != http.StatusMethodNotAllowed || post.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d", post.StatusCode)
	}
}

// The page loads nothing from elsewhere, and is light.
func TestSelfContained(t *testing.T) {
	resp := get(t, http.MethodGet)
	page := string(body(t, resp))
	if len(page) > 150_000 {
		t.Errorf("the page has %d bytes, at most 150,000", len(page))
	}
	t.Logf("%d bytes, %d with gzip", len(page), len(body(t, get(t, http.MethodGet, "Accept-Encoding", "gzip"))))
	for _, url := range regexp.MustCompile(`https?://[^\s"']+`).FindAllString(page, -1) {
		if !strings.HasPrefix(url, "http://www.w3.org/2000/svg") {
			t.Errorf("the page names %s", url)
		}
	}
	for _, word := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "style=", "onclick=\"", "{{"} {
		if strings.Contains(page, word) {
			t.Errorf("the page has %q in it", word)
		}
	}
	policy := resp.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'sha256-", "style-src 'sha256-", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for 'script'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy has no %s: %s", want, policy)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
		t.Errorf("the policy is no policy: %s", policy)
	}
}

// Every part is in the page.
func TestAllScriptsAreServed(t *testing.T) {
	found, err := fs.Glob(files, "web/*.js")
	if err != nil || len(found) != len(scripts) {
		t.Errorf("%d scripts in the directory, %d in the page (%v)", len(found), len(scripts), err)
	}
}

func TestPrices(t *testing.T) {
	b, err := files.ReadFile("prices.json")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte("<")) {
		t.Error("prices.json would end its script element")
	}
	var table struct {
		AsOf    string                    `json:"as_of"`
		Note    string                    `json:"note"`
		Regions map[string]map[string]any `json:"regions"`
	}
	if err := json.Unmarshal(b, &table); err != nil {
		t.Fatal(err)
	}
	if table.AsOf == "" || !strings.Contains(table.Note, "Check them") {
		t.Errorf("as of %q: %q", table.AsOf, table.Note)
	}
	base := table.Regions["us-east-1"]
	for _, id := range []string{"us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-1", "ap-northeast-1"} {
		if table.Regions[id] == nil {
			t.Errorf("no prices for %s", id)
		}
	}
	for id, region := range table.Regions {
		for field := range base {
			switch v := region[field].(type) {
			case float64: // a slip of the decimal point would be far off the base
				if ref := base[field].(float64); v < ref/2 || v > ref*2 {
					t.Errorf("%s of %s: %v, and %v in us-east-1", field, id, v, ref)
				}
			case nil:
				t.Errorf("%s has no %s", id, field)
			}
		}
		for _, field := range region["unsure"].([]any) {
			if _, ok := region[field.(string)].(float64); !ok {
				t.Errorf("%s is unsure of %v, which it hasn't", id, field)
			}
		}
	}
}
