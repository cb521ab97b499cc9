package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/destination"
	"github.com/firebreak/firebreak/outputs"
)

// liveGrace is how long a live check may take to return after its time is up.
const liveGrace = time.Second

// A LiveCheck is what was seen of the other side of one output.
type LiveCheck struct {
	Output   string        `json:"output"`
	Type     string        `json:"type"`
	Findings []LiveFinding `json:"findings"` // none: there is nothing to check
}

// A LiveFinding is what was seen of one target, such as a server.
type LiveFinding struct {
	Target string `json:"target,omitempty"`
	OK     bool   `json:"ok"`
	Note   string `json:"note,omitempty"`
	Error  string `json:"error,omitempty"`
	Hint   string `json:"hint,omitempty"`
}

// CheckLive lets every output that can reach out to its other side do so, all at the same time, and returns what they
// saw in the order of the configuration. It sends no events. It returns at the latest a second after ctx has ended. The
// configuration has passed Check.
func CheckLive(ctx context.Context, cfg *config.Config) []LiveCheck {
	list := make([]LiveCheck, len(cfg.Outputs))
	p := parts{pool: destination.NewPool(), log: zap.NewNop(), host: hostName()}
	var wg sync.WaitGroup
	for i := range cfg.Outputs {
		c := &cfg.Outputs[i]
		list[i] = LiveCheck{Output: c.Name, Type: c.Type, Findings: []LiveFinding{}}
		out, err := p.output(c)
		if err != nil {
			list[i].add(outputs.Finding{Err: err})
			continue
		}
		wg.Go(func() { list[i].check(ctx, out) })
	}
	wg.Wait()
	return list
}

func (l *LiveCheck) check(ctx context.Context, out outputs.Output) {
	checker, ok := out.(outputs.Checker)
	if !ok {
		_ = out.Close(ctx) // it has done nothing
		return
	}
	done := make(chan []outputs.Finding, 1)
	go func() {
		found := checker.Check(ctx)
		_ = out.Close(ctx) // it has sent nothing
		done <- found
	}()
	var found []outputs.Finding
	select {
	case found = <-done:
	case <-ctx.Done():
		late := time.NewTimer(liveGrace)
		defer late.Stop()
		select {
		case found = <-done:
		case <-late.C:
			found = []outputs.Finding{{Err: errors.New("the check doesn't end in time")}}
		}
	}
	for _, f := range found {
		l.add(f)
	}
}

func (l *LiveCheck) add(f outputs.Finding) {
	one := LiveFinding{Target: f.Target, OK: f.Err == nil, Note: f.Note}
	if f.Err != nil {
		e := outputs.Classify(f.Err)
		one.Error, one.Hint = e.Err.Error(), e.Hint
	}
	l.Findings = append(l.Findings, one)
}
