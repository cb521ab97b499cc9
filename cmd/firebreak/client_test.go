package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/config"
)

// Whatever answers on the socket, the error says what is wrong, and it comes in time.
func TestOddAnswers(t *testing.T) {
	says := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
	}
	for name, c := range map[string]struct {
		h    http.HandlerFunc
		want string
	}{
		"html":         {says("<html>\x1b[31m"), `in a form that this firebreak (dev) doesn't know`},
		"no object":    {says("[]"), `in a form that this firebreak (dev) doesn't know`},
		"null":         {says("null"), `phase, inputs, routes or destinations are missing`},
		"empty object": {says("{}"), `phase, inputs, routes or destinations are missing`},
		"nothing":      {says(""), `unexpected end of JSON input: ""`},
		"other types":  {says(`{"phase":"running","inputs":{},"routes":7,"destinations":[]}`), `in a form that`},
		"unknown":      {http.NotFound, `doesn't know GET /status: is it of another version than this firebreak (dev)?`},
		"refuses":      {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "too many", http.StatusTooManyRequests) }, "too many"},
		"fails":        {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "oh no", http.StatusInternalServerError) }, "answers 500 Internal Server Error: oh no"},
		"hangs":        {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "doesn't answer within 100ms"},
		"ends":         {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "ended the connection without an answer to GET /status: has it stopped?"},
		"hangs halfway": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("{"))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, "doesn't answer within 100ms"},
		"ends halfway": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("{"))
		}, "has it stopped?"},
		"never ends": {func(w http.ResponseWriter, _ *http.Request) {
			for zeros := make([]byte, 1<<20); ; {
				if _, err := w.Write(zeros); err != nil {
					return
				}
			}
		}, "with more than 64 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			dir := fakeRouter(t, c.h)
			limit := 100 * time.Millisecond
			if name == "never ends" {
				limit = time.Minute
			}
			_, _, err := newRouterClient(dir, dir).status(context.Background(), limit)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\nwant: %s", err, c.want)
			}
		})
	}
}

func TestWhatSpeaksNoHTTP(t *testing.T) {
	dir := t.TempDir()
	ln := listenIn(t, dir)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = conn.Write([]byte("220 mail.example.com ESMTP\r\n"))
			_ = conn.Close()
		}
	}()
	code, stdout, stderr := call("status", "--data-dir", dir)
	if code != exitFailed || stdout != "" || stderr != "firebreak: what answers on "+dir+"/control.sock is no firebreak router\n" {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
}

// Where no router can be reached, the error says what to do.
func TestNoRouter(t *testing.T) {
	empty, stale, file := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "f")
	_ = listenIn(t, stale).Close()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		empty:                          "firebreak: no router runs on " + empty + ": start one with `firebreak run`, or name its directory with --data-dir\n",
		filepath.Join(empty, "a", "b"): "firebreak: no router runs on " + filepath.Join(empty, "a", "b") + ": start one with `firebreak run`, or name its directory with --data-dir; one that can't write there answers only on its admin address\n",
		stale:                          "firebreak: no router runs on " + stale + " any more: it was killed, or is starting again; start one with `firebreak run`\n",
		file:                           "firebreak: ask the router on " + file + ": this is no directory; --data-dir names what the configuration calls data_dir\n",
	} {
		for _, command := range []string{"status", "top", "tap", "reload"} {
			code, stdout, stderr := call(command, "--data-dir", dir)
			if code != exitFailed || stdout != "" || stderr != want {
				t.Errorf("%s: %d %q\n%s\nwant: %s", command, code, stdout, stderr, want)
			}
		}
	}
}

func TestNoPermission(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may do everything")
	}
	dir := fakeRouter(t, http.NotFound)
	if err := os.Chmod(filepath.Join(dir, "control.sock"), 0); err != nil {
		t.Fatal(err)
	}
	_, _, stderr := call("status", "--data-dir", dir)
	if !strings.Contains(stderr, "permission denied: run this as the router's user: sudo -u '#") {
		t.Error(stderr)
	}
}

// A long path is no trouble for a socket.
func TestLongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r := startRouter(t, dir, `outputs: { gone: { type: "null" } }`)
	if code, _, stderr := call("status", "--data-dir", r.dir); code != 0 {
		t.Error(stderr)
	}
}

// The data directory is the one that the flag, the configuration or the usual places name, also when the
// configuration is bad.
func TestDataDirIsFound(t *testing.T) {
	if _, err := os.Stat(config.SystemPath); err == nil {
		t.Skip("this machine has a configuration")
	}
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"good.yaml":   "data_dir: /data/good\ninputs: { i: { type: forward } }\noutputs: { o: { type: \"null\" } }\n",
		"plain.yaml":  "inputs: { i: { type: forward } }\noutputs: { o: { type: \"null\" } }\n",
		"bad.yaml":    "data_dir: \"/data/bad\" # here\ninputs: 7\n",
		"secret.yaml": "data_dir: /data/secret\ninputs: { i: { type: forward, shared_key: \"${env:NOT_SET_HERE}\" } }\noutputs: { o: { type: \"null\" } }\n",
		"hidden.yaml": "data_dir: \"${env:NOT_SET_HERE}\"\ninputs: { i: { type: forward } }\noutputs: { o: { type: \"null\" } }\n",
		"none.yaml":   "inputs: [\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		flags routerFlags
		env   string
		want  string
	}{
		{flags: routerFlags{dataDir: "/x", config: "nothing.yaml"}, want: "/x"},
		{flags: routerFlags{config: "good.yaml"}, want: "/data/good"},
		{env: "good.yaml", want: "/data/good"},
		{flags: routerFlags{config: "plain.yaml"}, env: "good.yaml", want: config.DefaultDataDir},
		{flags: routerFlags{config: "bad.yaml"}, want: "/data/bad"},
		{flags: routerFlags{config: "secret.yaml"}, want: "/data/secret"},
		{flags: routerFlags{config: "none.yaml"}, want: config.DefaultDataDir},
		{flags: routerFlags{config: "hidden.yaml"}, want: "hidden.yaml doesn't say plainly what data_dir is"},
		{flags: routerFlags{config: "nothing.yaml"}, want: "no such file or directory; or name the router's data_dir with --data-dir"},
		{env: "nothing.yaml", want: "$FIREBREAK_CONFIG names"},
		{want: "./firebreak-data " + config.DefaultDataDir},
	} {
		t.Setenv("FIREBREAK_CONFIG", c.env)
		dirs, err := c.flags.dirs()
		got := strings.Join(dirs, " ")
		if err != nil {
			got = err.Error()
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%+v with %q: %s, want %s", c.flags, c.env, got, c.want)
		}
	}
}

// Without a configuration the router may be the one of the embedded default here, or the host's.
func TestRouterOfTheEmbeddedDefaultIsFound(t *testing.T) {
	if _, err := os.Stat(config.SystemPath); err == nil {
		t.Skip("this machine has a configuration")
	}
	t.Setenv("FIREBREAK_CONFIG", "")
	t.Chdir(t.TempDir())
	if err := os.Mkdir("firebreak-data", 0o700); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", "firebreak-data/control.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := (&routerFlags{}).router()
	if err != nil || c.dir != "./firebreak-data" {
		t.Errorf("%+v %v", c, err)
	}
}
