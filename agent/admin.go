package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/firebreak/firebreak/agent/page"
)

const (
	adminConnections = 64 // at the same time

	adminPatience = time.Second      // for the name of the address, if it is one
	adminRetry    = 10 * time.Second // while the address is taken
)

// admin serves health, metrics and status. It changes nothing: in a task or a pod every container shares loopback.
type admin struct {
	a       *Agent
	at      string // address as configured
	srv     *http.Server
	retry   time.Duration
	serving sync.WaitGroup
	ended   chan struct{} // closed by stop

	mu     sync.Mutex
	ln     net.Listener // nil: none, or not yet
	closed bool
}

// newAdmin listens. An address that is taken is a warning, and tried again while the router runs.
func newAdmin(a *Agent, at string) *admin {
	ad := &admin{a: a, at: at, retry: adminRetry, ended: make(chan struct{})}
	if at == "" || at == "off" {
		return ad
	}
	ad.srv = &http.Server{Handler: ad.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: zap.NewStdLog(a.parts.log)}
	if err := ad.listen(); err != nil {
		a.log.Warn("can't listen on the admin address: no health, metrics or status there until it is free", zap.String("admin", at), zap.Error(err))
	}
	return ad
}

func (ad *admin) listen() error {
	ctx, cancel := context.WithTimeout(context.Background(), adminPatience)
	defer cancel()
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", ad.at)
	if err != nil {
		return err
	}
	ad.mu.Lock()
	defer ad.mu.Unlock()
	if ad.closed {
		return errors.Join(net.ErrClosed, ln.Close())
	}
	ad.ln = &bounded{Listener: ln, places: make(chan struct{}, adminConnections)}
	return nil
}

// bounded has at most so many connections open; more wait to be accepted.
type bounded struct {
	net.Listener
	places chan struct{}
}

func (b *bounded) Accept() (net.Conn, error) {
	c, err := b.Listener.Accept()
	if err != nil {
		return nil, err
	}
	b.places <- struct{}{}
	return &boundedConn{Conn: c, leave: sync.OnceFunc(func() { <-b.places })}, nil
}

type boundedConn struct {
	net.Conn
	leave func()
}

func (c *boundedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

func (ad *admin) handler() http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(newCollector(ad.a), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: 2}))
	mux.HandleFunc("GET /health/live", func(w http.ResponseWriter, _ *http.Request) { answer(w, ad.a.Live) })
	mux.HandleFunc("GET /health/ready", func(w http.ResponseWriter, _ *http.Request) { answer(w, ad.a.Ready) })
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { answer(w, ad.a.Live) })
	mux.HandleFunc("GET /health/destinations/{name}", func(w http.ResponseWriter, r *http.Request) {
		ok, known, why := ad.a.Healthy(r.PathValue("name"))
		if !known {
			http.Error(w, why, http.StatusNotFound)
			return
		}
		answer(w, func() (bool, string) { return ok, why })
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, ad.a.Status()) })
	mux.HandleFunc("GET /history", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = ad.a.history.write(w)
	})
	document := page.Handler()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept")
		if strings.Contains(r.Header.Get("Accept"), "text/html") { // a browser
			document.ServeHTTP(w, r)
			return
		}
		fmt.Fprintf(w, "firebreak %s\n\n/ (in a browser: the status page)\n/health/live\n/health/ready\n/health/destinations/NAME\n/metrics\n/status\n/history\n", ad.a.opts.Version)
	})
	return mux
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v)
}

func answer(w http.ResponseWriter, ask func() (bool, string)) {
	ok, why := ask()
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintln(w, why)
}

func (ad *admin) addr() string {
	ad.mu.Lock()
	defer ad.mu.Unlock()
	if ad.ln == nil {
		return ""
	}
	return ad.ln.Addr().String()
}

// start serves until stop. While the address is taken it is tried again, until stop or the end of ctx.
func (ad *admin) start(ctx context.Context) {
	if ad.srv == nil {
		return
	}
	ad.serving.Go(func() {
		for ad.addr() == "" {
			if ad.listen() == nil { // also at once: the admin before this one may have had it
				ad.a.log.Info("the admin address is free: health, metrics and status are there", zap.String("admin", ad.addr()))
				break
			}
			select {
			case <-ctx.Done():
				return
			case <-ad.ended:
				return
			case <-time.After(ad.retry):
			}
		}
		if err := ad.srv.Serve(ad.ln); !errors.Is(err, http.ErrServerClosed) {
			ad.a.log.Error("the admin server ended", zap.Error(err))
		}
	})
}

// stop ends requests, and cuts off those that are not done by then.
func (ad *admin) stop(by time.Time) {
	if ad.srv == nil {
		return
	}
	ctx, cancel := context.WithDeadline(context.Background(), by)
	defer cancel()
	ad.mu.Lock()
	if !ad.closed {
		ad.closed = true
		close(ad.ended)
	}
	ln := ad.ln
	ad.mu.Unlock()
	if ad.srv.Shutdown(ctx) != nil {
		_ = ad.srv.Close()
	}
	if ln != nil {
		_ = ln.Close() // of a server that never started
	}
	ad.serving.Wait()
}
