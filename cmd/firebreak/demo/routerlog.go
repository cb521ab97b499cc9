package demo

import (
	"fmt"
	"os"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// maxLogLines bounds the router's warnings that wait to be told.
const maxLogLines = 64

// A routerLog keeps the router's log lines out of the picture: all go to a file, warnings are also told.
type routerLog struct {
	file *os.File
	*zap.Logger
	warnings *warnings
}

type warnings struct {
	mu    sync.Mutex
	lines []string
}

func openLog(path string) (*routerLog, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the router's log: %w", err)
	}
	enc := zap.NewProductionEncoderConfig()
	enc.TimeKey = "time"
	enc.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	enc.EncodeDuration = zapcore.StringDurationEncoder
	w := &warnings{}
	core := zapcore.NewTee(
		zapcore.NewCore(zapcore.NewJSONEncoder(enc), zapcore.Lock(f), zapcore.InfoLevel),
		&warningCore{LevelEnabler: zapcore.WarnLevel, to: w})
	return &routerLog{file: f, Logger: zap.New(core), warnings: w}, nil
}

func (l *routerLog) close() { _ = l.file.Close() }

// take returns the warnings since the last time.
func (w *warnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines := w.lines
	w.lines = nil
	return lines
}

// A warningCore writes each entry as a short sentence.
type warningCore struct {
	zapcore.LevelEnabler
	with []zapcore.Field
	to   *warnings
}

func (c *warningCore) With(fields []zapcore.Field) zapcore.Core {
	return &warningCore{c.LevelEnabler, append(c.with[:len(c.with):len(c.with)], fields...), c.to}
}

func (c *warningCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c *warningCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	m := zapcore.NewMapObjectEncoder()
	for _, f := range append(c.with[:len(c.with):len(c.with)], fields...) {
		f.AddTo(m)
	}
	text := "router"
	if v, ok := m.Fields["destination"]; ok {
		text += fmt.Sprintf(" [%v]", v)
	}
	text += ": " + e.Message
	if v, ok := m.Fields["error"]; ok {
		text += fmt.Sprintf(": %v", v)
	}
	c.to.mu.Lock()
	defer c.to.mu.Unlock()
	if len(c.to.lines) < maxLogLines {
		c.to.lines = append(c.to.lines, text)
	}
	return nil
}

func (c *warningCore) Sync() error { return nil }
