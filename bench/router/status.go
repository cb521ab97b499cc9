package router

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Status is the part of /status that tests look at.
type Status struct {
	Phase        string        `json:"phase"`
	Inputs       []Input       `json:"inputs"`
	Destinations []Destination `json:"destinations"`
	Reload       *Reloaded     `json:"reload"` // the last one; nil: none yet
}

// Reloaded is what became of the last attempt to load the configuration anew.
type Reloaded struct {
	OK      bool     `json:"ok"`
	Error   string   `json:"error"`
	Changes []string `json:"changes"`
	Count   uint64   `json:"count"`  // attempts since the start
	Failed  uint64   `json:"failed"` // of them
}

// Input is the ledger of an input.
type Input struct {
	Name      string            `json:"name"`
	Received  uint64            `json:"received"`
	Routed    uint64            `json:"routed"`
	Dropped   map[string]uint64 `json:"dropped"`
	Discarded map[string]uint64 `json:"discarded"`
	Invalid   map[string]uint64 `json:"invalid"`
}

// Destination is the ledger of a destination, and its state.
type Destination struct {
	Name         string            `json:"name"`
	Breaker      string            `json:"breaker"`
	Error        string            `json:"error"`
	Problem      string            `json:"problem"`
	Volatile     bool              `json:"volatile"`
	Offered      uint64            `json:"offered"`
	Delivered    uint64            `json:"delivered"`
	DeadLettered map[string]uint64 `json:"dead_lettered"`
	Shed         map[string]uint64 `json:"shed"`
	Moved        map[string]uint64 `json:"moved"`
	Buffered     uint64            `json:"buffered"`
	Bytes        int64             `json:"buffered_bytes"`
	DiskBytes    int64             `json:"disk_bytes"`
	MemoryBytes  int64             `json:"memory_bytes"`
}

// Given returns what was neither delivered nor is buffered: dead-lettered, shed and moved events.
func (d Destination) Given() (n uint64) {
	for _, m := range []map[string]uint64{d.DeadLettered, d.Shed, d.Moved} {
		for _, v := range m {
			n += v
		}
	}
	return n
}

// Balanced reports whether offered = delivered + dead lettered + shed + moved + buffered.
func (d Destination) Balanced() bool { return d.Offered == d.Delivered+d.Given()+d.Buffered }

// Destination returns the one of that name; false when there is none.
func (s Status) Destination(name string) (Destination, bool) {
	for _, d := range s.Destinations {
		if d.Name == name {
			return d, true
		}
	}
	return Destination{}, false
}

// Status asks the admin port.
func (r *Router) Status(ctx context.Context) (Status, error) {
	var s Status
	b, err := r.get(ctx, "/status")
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return s, fmt.Errorf("ask for the status: %w", err)
	}
	return s, nil
}

// WaitStatus asks again and again until done says so.
func (r *Router) WaitStatus(ctx context.Context, done func(Status) bool) (Status, error) {
	for {
		s, err := r.Status(ctx)
		if err == nil && done(s) {
			return s, nil
		}
		select {
		case <-r.exited:
			return s, fmt.Errorf("wait for a status: router has ended: %s", r.output.end())
		case <-ctx.Done():
			if err == nil {
				err = ctx.Err()
			}
			return s, fmt.Errorf("wait for a status: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Metrics asks for the metrics: values by name with labels, as they stand in the text.
func (r *Router) Metrics(ctx context.Context) (map[string]float64, error) {
	b, err := r.get(ctx, "/metrics")
	if err != nil {
		return nil, fmt.Errorf("ask for the metrics: %w", err)
	}
	out := map[string]float64{}
	for sc := bufio.NewScanner(strings.NewReader(string(b))); sc.Scan(); {
		text := sc.Text()
		at := strings.LastIndexByte(text, ' ')
		if at < 0 || text[0] == '#' {
			continue
		}
		if v, err := strconv.ParseFloat(text[at+1:], 64); err == nil {
			out[text[:at]] = v
		}
	}
	return out, nil
}

func (r *Router) get(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.cfg.Admin+path, nil)
	if err != nil {
		return nil, err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, 64<<20))
}

// Lines returns the JSON lines of the process's log that have the given msg.
func (r *Router) Lines(msg string) []map[string]any {
	var out []map[string]any
	for l := range strings.Lines(r.Output()) {
		var m map[string]any
		if json.Unmarshal([]byte(l), &m) == nil && m["msg"] == msg {
			out = append(out, m)
		}
	}
	return out
}
