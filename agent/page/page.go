// Package page is the status page: one document with everything in it, which reads /status and /history beside it.
package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

//go:embed web prices.json
var files embed.FS

// scripts are the parts of the page's one script, in the order in which they need each other.
var scripts = []string{"format", "model", "trouble", "cost", "dom", "layout", "flow", "chart", "cards", "tables", "costs", "prices", "app"}

// document is the page with what its answer's header says about it.
type document struct {
	plain, zipped []byte
	etag, policy  string
}

// Handler serves the page under every path that it is asked for. It needs /status and /history beside it.
//
// The page holds its own style and script, and nothing else may run or be loaded in it: names and errors of the router,
// which others may have written, reach it as text only.
func Handler() http.Handler {
	d, err := build()
	if err != nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "build the status page: "+err.Error(), http.StatusInternalServerError)
		})
	}
	return d
}

func build() (*document, error) {
	style, err := files.ReadFile("web/style.css")
	if err != nil {
		return nil, err
	}
	var script bytes.Buffer
	script.WriteString("\"use strict\";\n")
	for _, name := range scripts {
		b, err := files.ReadFile("web/" + name + ".js")
		if err != nil {
			return nil, err
		}
		script.Write(b)
	}
	prices, err := files.ReadFile("prices.json")
	if err != nil {
		return nil, err
	}
	frame, err := files.ReadFile("web/page.html")
	if err != nil {
		return nil, err
	}
	var table bytes.Buffer
	if err := json.Compact(&table, prices); err != nil {
		return nil, err
	}
	page := strings.NewReplacer("{{style}}", string(style), "{{script}}", script.String(), "{{prices}}", table.String()).Replace(string(frame))
	d := &document{plain: []byte(page)}
	sum := sha256.Sum256(d.plain)
	d.etag = `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	d.policy = "default-src 'none'; script-src " + hash(script.Bytes()) + "; style-src " + hash(style) +
		"; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" +
		"; require-trusted-types-for 'script'; trusted-types 'none'"
	var zipped bytes.Buffer
	z, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(d.plain); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	d.zipped = zipped.Bytes()
	return d, nil
}

// hash is what a policy calls an inline element by.
func hash(text []byte) string {
	sum := sha256.Sum256(text)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (d *document) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", d.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache") // kept, but asked for with the etag: an upgrade shows at once
	h.Add("Vary", "Accept-Encoding")
	body, etag := d.plain, d.etag
	if accepts(r.Header.Get("Accept-Encoding"), "gzip") {
		body, etag = d.zipped, strings.TrimSuffix(d.etag, `"`)+`-gzip"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", etag)
	if known(r.Header.Get("If-None-Match"), etag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body)
	}
}

// accepts reports whether a list of codings has one that isn't ruled out by q=0 (RFC 9110, 12.5.3).
func accepts(list, coding string) bool {
	for entry := range strings.SplitSeq(list, ",") {
		name, params, _ := strings.Cut(entry, ";")
		if !strings.EqualFold(strings.TrimSpace(name), coding) {
			continue
		}
		q, weighted := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(params), " ", ""), "q=")
		return !weighted || strings.Trim(q, "0.") != ""
	}
	return false
}

// known reports whether a list of entity tags has this one, or all (RFC 9110, 13.1.2).
func known(list, etag string) bool {
	for entry := range strings.SplitSeq(list, ",") {
		if tag := strings.TrimPrefix(strings.TrimSpace(entry), "W/"); tag == etag || tag == "*" {
			return true
		}
	}
	return false
}
