package forward

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// logEvery is the least time between two lines for one reason.
const logEvery = 10 * time.Second

// A limitedLog writes at most one line for each reason in logEvery, and says how many were left out.
type limitedLog struct {
	*zap.Logger

	mu   sync.Mutex
	seen map[string]*limit
}

type limit struct {
	last    time.Time
	skipped int
}

func (l *limitedLog) warn(reason, peer string, err error) {
	l.mu.Lock()
	if l.seen == nil {
		l.seen = map[string]*limit{}
	}
	s := l.seen[reason]
	if s == nil {
		s = &limit{}
		l.seen[reason] = s
	}
	now := time.Now()
	if now.Sub(s.last) < logEvery {
		s.skipped++
		l.mu.Unlock()
		return
	}
	skipped := s.skipped
	s.last, s.skipped = now, 0
	l.mu.Unlock()
	fields := []zap.Field{zap.String("reason", reason), zap.Error(err)}
	if peer != "" {
		fields = append(fields, zap.String("peer", peer))
	}
	if skipped > 0 {
		fields = append(fields, zap.Int("skipped", skipped))
	}
	l.Warn("forward input has trouble", fields...)
}
