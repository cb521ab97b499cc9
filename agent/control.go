package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// ControlSocket is the file in data_dir on which a running router takes commands: HTTP over a unix socket that only
// its own user can open. The admin port changes nothing, because in a task or a pod every container shares loopback.
const ControlSocket = "control.sock"

const (
	controlRetry       = 10 * time.Second
	controlConnections = 32
)

// DialControl connects to the control socket in a data directory, however long its path is.
func DialControl(ctx context.Context, dataDir string) (net.Conn, error) {
	dir, err := os.Open(dataDir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var d net.Dialer
	return d.DialContext(ctx, "unix", socketIn(dir))
}

// socketIn names the socket by the open directory: the system takes names of about 100 bytes only.
func socketIn(dir *os.File) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), ControlSocket)
}

// control serves the control socket until ctx ends. It is there as soon as data_dir can be used.
func (a *Agent) control(ctx context.Context) {
	for {
		ln, err := a.listenControl()
		if err == nil {
			a.serveControl(ctx, ln)
			return
		}
		if !errors.Is(err, errNotOurs) {
			a.log.Warn("can't open the control socket: status, reload, tap and replay don't work from the command line", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(controlRetry):
		}
	}
}

var errNotOurs = errors.New("data_dir is not locked by this process yet")

func (a *Agent) listenControl() (net.Listener, error) {
	if !a.lock.held() {
		return nil, errNotOurs
	}
	dir, err := os.Open(a.dataDir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	// The lock says that nobody serves a socket that is there.
	if err := os.Remove(filepath.Join(a.dataDir, ControlSocket)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// The file gets the permissions of the socket (unix(7)), so there is no moment at which others can connect.
	private := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(err, failed)
	}}
	ln, err := private.Listen(context.Background(), "unix", socketIn(dir))
	if err != nil {
		return nil, err
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	return &bounded{Listener: ln, places: make(chan struct{}, controlConnections)}, nil
}

func (a *Agent) serveControl(ctx context.Context, ln net.Listener) {
	srv := &http.Server{
		Handler: a.controlHandler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: zap.NewStdLog(a.parts.log), BaseContext: func(net.Listener) context.Context { return ctx },
	}
	unhook := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer unhook()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		a.log.Error("the control server ended", zap.Error(err))
	}
	_ = os.Remove(filepath.Join(a.dataDir, ControlSocket))
}

func (a *Agent) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, a.Status()) })
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, a.Reload()) })
	mux.HandleFunc("GET /tap", a.serveTap)
	mux.HandleFunc("POST /replay", a.serveReplay)
	return mux
}

// stream answers with one JSON value a line, each at once.
type stream struct {
	w   http.ResponseWriter
	out *http.ResponseController
	enc *json.Encoder
}

func newStream(w http.ResponseWriter) *stream {
	w.Header().Set("Content-Type", "application/jsonl")
	s := &stream{w: w, out: http.NewResponseController(w), enc: json.NewEncoder(w)}
	w.WriteHeader(http.StatusOK)
	_ = s.out.Flush()
	return s
}

func (s *stream) send(v any) error { return sendAll(s, []any{v}) }

// sendAll sends several values at once.
func sendAll[T any](s *stream, values []T) error {
	_ = s.out.SetWriteDeadline(time.Now().Add(10 * time.Second)) // who doesn't read loses the rest
	for i := range values {
		if err := s.enc.Encode(&values[i]); err != nil {
			return err
		}
	}
	return s.out.Flush()
}

func (a *Agent) serveTap(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	rate, err := strconv.ParseFloat(v.Get("rate"), 64)
	if v.Get("rate") != "" && (err != nil || !(rate > 0)) {
		http.Error(w, fmt.Sprintf("rate %q is not a number above 0", v.Get("rate")), http.StatusBadRequest)
		return
	}
	q := TapQuery{Input: v.Get("input"), Route: v.Get("route"), Destination: v.Get("destination"), Rate: rate, Raw: v.Get("raw") != ""}
	if err := a.knows(q); err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	t, err := a.taps.open(q)
	if err != nil {
		http.Error(w, err.Error(), http.StatusTooManyRequests)
		return
	}
	defer a.taps.close(t)
	s := newStream(w)
	t.run(r.Context(), func(e []EventLine) error { return sendAll(s, e) })
}

// knows says what is wrong with the names of a query.
func (a *Agent) knows(q TapQuery) error {
	s := a.now.Load()
	var ins, routes, dests []string
	for _, in := range s.ins {
		ins = append(ins, in.name)
	}
	discards := map[string]bool{}
	for _, r := range s.cfg.Routes {
		routes = append(routes, r.Name)
		discards[r.Name] = r.Discard
	}
	for _, d := range s.dests {
		dests = append(dests, d.Name())
	}
	given := 0
	for _, c := range []struct {
		kind, name string
		known      []string
	}{{"input", q.Input, ins}, {"route", q.Route, routes}, {"destination", q.Destination, dests}} {
		if c.name == "" {
			continue
		}
		given++
		if err := isOneOf(c.kind, c.name, c.known); err != nil && (c.name != "*" || c.kind == "route") {
			return err
		}
	}
	if given != 1 {
		return errors.New("name one of input, route, destination")
	}
	if discards[q.Route] {
		return fmt.Errorf("route %q discards its events: look at an input instead, or use explain", q.Route)
	}
	return nil
}
