package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// admin serves health, metrics and status. It changes nothing: in a task or a pod every container shares loopback.
type admin struct {
	a   *Agent
	ln  net.Listener
	srv *http.Server
}

func newAdmin(a *Agent) *admin {
	ad := &admin{a: a}
	if a.cfg.Admin == "" || a.cfg.Admin == "off" {
		return ad
	}
	ln, err := net.Listen("tcp", a.cfg.Admin)
	if err != nil {
		a.log.Warn("can't listen on the admin address: no health, metrics or status there", zap.String("admin", a.cfg.Admin), zap.Error(err))
		return ad
	}
	ad.ln = ln
	ad.srv = &http.Server{Handler: ad.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: zap.NewStdLog(a.log)}
	return ad
}

func (ad *admin) handler() http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(newCollector(ad.a), prometheus.NewGoCollector(), prometheus.NewProcessCollector(prometheus.ProcessCollectorOpts{}))
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
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(ad.a.Status())
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "firebreak %s\n\n/health/live\n/health/ready\n/health/destinations/NAME\n/metrics\n/status\n", ad.a.version)
	})
	return mux
}

func answer(w http.ResponseWriter, ask func() (bool, string)) {
	ok, why := ask()
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintln(w, why)
}

func (ad *admin) addr() string {
	if ad.ln == nil {
		return ""
	}
	return ad.ln.Addr().String()
}

func (ad *admin) start() {
	if ad.ln != nil {
		go func() { _ = ad.srv.Serve(ad.ln) }()
	}
}

func (ad *admin) stop(ctx context.Context) {
	if ad.ln != nil {
		_ = ad.srv.Shutdown(ctx)
	}
}
