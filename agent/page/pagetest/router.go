package pagetest

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// A Router answers /status and /history with what it is given. Its methods may be called concurrently.
type Router struct {
	Page http.Handler

	mu      sync.Mutex
	status  func(now time.Time) any
	history func(now time.Time) any
	away    bool
}

// Set changes what is answered: functions of the present time.
func (r *Router) Set(status, history func(now time.Time) any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status, r.history = status, history
}

// Away makes it answer nothing but errors.
func (r *Router) Away(yes bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = yes
}

func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	answer := map[string]func(time.Time) any{"/status": r.status, "/history": r.history}[req.URL.Path]
	away := r.away
	r.mu.Unlock()
	switch {
	case req.URL.Path == "/":
		r.Page.ServeHTTP(w, req)
	case away:
		panic(http.ErrAbortHandler)
	case answer == nil:
		http.NotFound(w, req)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer(time.Now()))
	}
}
