package main

import (
	"bufio"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// A reader that doesn't read stops nobody; what it missed is counted, and the rest comes in order.
func TestLogWaitsForNobody(t *testing.T) {
	r, w := io.Pipe()
	log, sink := newLog(zap.InfoLevel, w)
	const lines = maxWaitingLines + 500
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range lines {
			log.Info("hello")
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("logging waits for the reader")
	}
	began := time.Now()
	sink.flush(50 * time.Millisecond)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("flushing took %v", took)
	}
	go func() {
		sink.flush(10 * time.Second)
		log.Info("last")
		sink.flush(10 * time.Second)
		_ = w.Close()
	}()
	got, missed := 0, 0.0
	for sc := bufio.NewScanner(r); sc.Scan(); {
		var m map[string]any
		if err := json.Unmarshal(sc.Bytes(), &m); err != nil {
			t.Fatalf("%q: %v", sc.Text(), err)
		}
		switch {
		case m["msg"] == "hello":
			got++
		case strings.HasPrefix(m["msg"].(string), "log lines were left out"):
			missed += m["lines"].(float64)
		}
	}
	if got < maxWaitingLines || float64(got)+missed != lines {
		t.Errorf("%d lines came and %v were missed, of %d", got, missed, lines)
	}
}
