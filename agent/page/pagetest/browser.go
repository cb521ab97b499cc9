// Package pagetest drives a real browser for tests: Chromium without a window, over a pipe.
//
// Protocol: Chrome DevTools Protocol; with --remote-debugging-pipe the messages are JSON texts that end with a zero byte,
// read by the browser from file descriptor 3 and written to 4.
package pagetest

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// T is what is needed of a test: a [testing.TB], which packages outside of tests don't import.
type T interface {
	Helper()
	Cleanup(func())
	TempDir() string
	Skip(args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

const patience = 20 * time.Second // for one answer of the browser

// A Browser is a running Chromium.
type Browser struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *os.File

	mu      sync.Mutex
	next    int
	waiting map[int]chan answer
	tabs    map[string]*Tab // by session
	ended   error
	done    chan struct{}
}

type answer struct {
	result json.RawMessage
	err    error
}

type message struct {
	ID      int             `json:"id"`
	Session string          `json:"sessionId"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
	Result  json.RawMessage `json:"result"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// Find returns the path of Chromium or Chrome, or "".
func Find() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless_shell"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// Start starts a browser that ends with the test. Without one on this machine the test is skipped, or fails if
// FIREBREAK_E2E_BROWSER is set.
func Start(t T) *Browser {
	t.Helper()
	path := Find()
	if path == "" {
		if os.Getenv("FIREBREAK_E2E_BROWSER") != "" {
			t.Fatal("no browser: install chromium (apt-get install chromium)")
		}
		t.Skip("no browser: install chromium (apt-get install chromium) to test the status page")
	}
	hisIn, ourOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ourIn, hisOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	b := &Browser{in: ourOut, out: ourIn, waiting: map[int]chan answer{}, tabs: map[string]*Tab{}, done: make(chan struct{})}
	b.cmd = exec.Command(path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
		"--disable-extensions", "--disable-sync", "--no-first-run", "--no-default-browser-check", "--hide-scrollbars", "--force-color-profile=srgb",
		"--remote-debugging-pipe", "--user-data-dir="+t.TempDir(), "about:blank")
	b.cmd.ExtraFiles = []*os.File{hisIn, hisOut}
	if err := b.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	_ = hisIn.Close()
	_ = hisOut.Close()
	go b.read()
	t.Cleanup(b.stop)
	return b
}

func (b *Browser) stop() {
	_, _ = b.ask("", "Browser.close", nil)
	exited := make(chan struct{})
	go func() { _ = b.cmd.Wait(); close(exited) }()
	select {
	case <-exited:
	case <-time.After(5 * time.Second):
		_ = b.cmd.Process.Kill()
		<-exited
	}
	_ = b.in.Close()
	<-b.done
	_ = b.out.Close()
}

func (b *Browser) read() {
	defer close(b.done)
	r := bufio.NewReaderSize(b.out, 1<<20)
	for {
		text, err := r.ReadBytes(0)
		if err != nil {
			b.end(fmt.Errorf("the browser has ended: %w", err))
			return
		}
		var m message
		if json.Unmarshal(text[:len(text)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		if m.ID == 0 {
			if tab := b.tabs[m.Session]; tab != nil {
				tab.event(m.Method, m.Params)
			}
		} else if ch := b.waiting[m.ID]; ch != nil {
			delete(b.waiting, m.ID)
			a := answer{result: m.Result}
			if m.Error != nil {
				a.err = errors.New(m.Error.Message)
			}
			ch <- a
		}
		b.mu.Unlock()
	}
}

func (b *Browser) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = err
	for id, ch := range b.waiting {
		ch <- answer{err: err}
		delete(b.waiting, id)
	}
}

func (b *Browser) ask(session, method string, params any) (json.RawMessage, error) {
	ch := make(chan answer, 1)
	b.mu.Lock()
	if b.ended != nil {
		b.mu.Unlock()
		return nil, b.ended
	}
	b.next++
	id := b.next
	b.waiting[id] = ch
	m := map[string]any{"id": id, "method": method}
	if params != nil {
		m["params"] = params
	}
	if session != "" {
		m["sessionId"] = session
	}
	text, err := json.Marshal(m)
	if err == nil {
		_, err = b.in.Write(append(text, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	select {
	case a := <-ch:
		if a.err != nil {
			return nil, fmt.Errorf("%s: %w", method, a.err)
		}
		return a.result, nil
	case <-time.After(patience):
		return nil, fmt.Errorf("%s: no answer after %v", method, patience)
	}
}

// A View is how a page is looked at.
type View struct {
	Width, Height int  // of the window; 1280 × 900
	Dark          bool // what the reader prefers
	Still         bool // no motion
	Phone         bool // a touch screen with two pixels to one
}

// A Tab is one open page.
type Tab struct {
	t       T
	b       *Browser
	target  string
	session string
	view    View

	mu       sync.Mutex
	problems []string
}

// Open opens a page for a test, which fails when the browser does, and returns when the page is loaded.
func (b *Browser) Open(t T, url string, v View) *Tab {
	t.Helper()
	if v.Width == 0 {
		v.Width, v.Height = 1280, 900
	}
	var target struct {
		ID string `json:"targetId"`
	}
	b.must(t, "", "Target.createTarget", map[string]any{"url": "about:blank", "newWindow": true}, &target)
	var attached struct {
		Session string `json:"sessionId"`
	}
	b.must(t, "", "Target.attachToTarget", map[string]any{"targetId": target.ID, "flatten": true}, &attached)
	tab := &Tab{t: t, b: b, target: target.ID, session: attached.Session}
	b.mu.Lock()
	b.tabs[tab.session] = tab
	b.mu.Unlock()
	for _, domain := range []string{"Page", "Runtime", "Log", "Audits"} {
		b.must(t, tab.session, domain+".enable", nil, nil)
	}
	// Of several tabs all are visible, and so ask the router.
	b.must(t, tab.session, "Emulation.setFocusEmulationEnabled", map[string]any{"enabled": true}, nil)
	tab.Look(v)
	b.must(t, tab.session, "Page.navigate", map[string]any{"url": url}, nil)
	tab.Wait(`document.readyState === "complete" && location.href !== "about:blank"`, patience)
	return tab
}

func (b *Browser) must(t T, session, method string, params, into any) {
	t.Helper()
	raw, err := b.ask(session, method, params)
	if err == nil && into != nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Close closes the page.
func (t *Tab) Close() {
	t.t.Helper()
	t.b.must(t.t, "", "Target.closeTarget", map[string]any{"targetId": t.target}, nil)
}

// Look changes how the page is looked at.
func (t *Tab) Look(v View) {
	t.t.Helper()
	scale := 1.0
	if v.Phone {
		scale = 2
	}
	t.view = v
	t.b.must(t.t, t.session, "Emulation.setDeviceMetricsOverride", map[string]any{"width": v.Width, "height": v.Height, "deviceScaleFactor": scale, "mobile": v.Phone}, nil)
	scheme, motion := "light", "no-preference"
	if v.Dark {
		scheme = "dark"
	}
	if v.Still {
		motion = "reduce"
	}
	t.b.must(t.t, t.session, "Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{
		{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": motion}}}, nil)
}

// event notes what a developer would see in the console. The browser's lock is held.
func (t *Tab) event(method string, params json.RawMessage) {
	var p struct {
		Type  string `json:"type"` // of a console call
		Entry struct {
			Level, Source, Text, URL string
		} `json:"entry"`
		Args []struct {
			Value       any
			Description string
		} `json:"args"`
		Exception struct {
			Text      string
			Exception struct{ Description string }
		} `json:"exceptionDetails"`
		Issue struct{ Code string } `json:"issue"`
	}
	_ = json.Unmarshal(params, &p)
	what := ""
	switch method {
	case "Runtime.exceptionThrown":
		what = "exception: " + p.Exception.Text + " " + p.Exception.Exception.Description
	case "Runtime.consoleAPICalled":
		if p.Type == "error" || p.Type == "warning" || p.Type == "assert" {
			what = fmt.Sprintf("console.%s: %+v", p.Type, p.Args)
		}
	case "Log.entryAdded":
		if p.Entry.Level == "error" || p.Entry.Level == "warning" {
			what = fmt.Sprintf("%s %s: %s %s", p.Entry.Source, p.Entry.Level, p.Entry.Text, p.Entry.URL)
		}
	case "Audits.issueAdded":
		what = "issue: " + string(params)
	}
	if what != "" {
		t.mu.Lock()
		t.problems = append(t.problems, what)
		t.mu.Unlock()
	}
}

// Problems returns, and forgets, what the console has said: errors, warnings, violations of the policy.
func (t *Tab) Problems() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.problems
	t.problems = nil
	return p
}

// Eval runs an expression, waits for its promise, and decodes its value.
func (t *Tab) Eval(expression string, into any) error {
	raw, err := t.b.ask(t.session, "Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true})
	if err != nil {
		return err
	}
	var r struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string
			Exception struct{ Description string }
		} `json:"exceptionDetails"`
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return err
	}
	if r.Exception != nil {
		return fmt.Errorf("%s %s in %.200s", r.Exception.Text, r.Exception.Exception.Description, expression)
	}
	if into == nil || len(r.Result.Value) == 0 {
		return nil
	}
	return json.Unmarshal(r.Result.Value, into)
}

// Text returns the text of the first element that fits the selector.
func (t *Tab) Text(selector string) string {
	t.t.Helper()
	quoted, _ := json.Marshal(selector)
	var s string
	if err := t.Eval("(document.querySelector("+string(quoted)+") || {textContent: '(no such element)'}).textContent", &s); err != nil {
		t.t.Fatal(err)
	}
	return strings.Join(strings.Fields(s), " ")
}

// Wait waits until an expression is true.
func (t *Tab) Wait(expression string, timeout time.Duration) {
	t.t.Helper()
	deadline := time.Now().Add(timeout)
	for {
		var ok bool
		err := t.Eval("!!("+expression+")", &ok)
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			t.t.Fatalf("after %v still not: %s (%v); the page says: %.500s", timeout, expression, err, t.Text("body"))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Screenshot writes the whole page, as high as it is, to a PNG file.
func (t *Tab) Screenshot(file string) {
	t.t.Helper()
	var height int
	if err := t.Eval("document.documentElement.scrollHeight", &height); err != nil {
		t.t.Fatal(err)
	}
	t.shoot(file, height)
}

// ScreenshotWindow writes what fits into the window to a PNG file.
func (t *Tab) ScreenshotWindow(file string) { t.shoot(file, t.view.Height) }

func (t *Tab) shoot(file string, height int) {
	t.t.Helper()
	var shot struct {
		Data string `json:"data"`
	}
	t.b.must(t.t, t.session, "Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true,
		"clip": map[string]any{"x": 0, "y": 0, "width": t.view.Width, "height": height, "scale": 1}}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.WriteFile(file, png, 0o644)
	}
	if err != nil {
		t.t.Fatal(err)
	}
}
