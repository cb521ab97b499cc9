package forward

import (
	"context"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/internal/tlsconf"
	"github.com/firebreak/firebreak/outputs"
)

const (
	// batchBytes is the most that one Send takes: two full messages, so that a server far away has the second one to
	// read while the acknowledgement of the first is on its way.
	batchBytes = 2 << 20
	// linger gathers what containers send event by event into one message; it is far below a round trip's notice.
	linger = 5 * time.Millisecond
)

// output is the outputs.Output of [Options].
type output struct {
	opts     Options
	log      *zap.Logger
	work     func(context.Context, func()) error
	dialer   *net.Dialer
	tls      *tlsconf.Source // nil: plain
	compress *compressor     // nil: none
	servers  []*server

	jobs    sync.Pool // *job
	writers sync.Pool // *writer

	beating sync.Once
	closing context.Context // ends with Close
	stop    context.CancelFunc
	probes  sync.WaitGroup
	conns   sync.WaitGroup // readers
}

// Shape implements outputs.Output.
func (o *output) Shape() outputs.Shape {
	return outputs.Shape{MaxBytes: batchBytes, Linger: linger}
}

// What a destination may ask of the output beside the contract.
var (
	_ outputs.Reporter = (*output)(nil)
	_ outputs.Prober   = (*output)(nil)

	_ outputs.Checker   = (*output)(nil)
	_ outputs.Explainer = (*output)(nil)
	_ outputs.Verifier  = (*output)(nil)
)

// Status returns a []ServerStatus, in the order of the configuration.
func (o *output) Status() any { return o.states() }

func (o *output) states() []ServerStatus {
	list := make([]ServerStatus, len(o.servers))
	for i, s := range o.servers {
		list[i] = s.status()
	}
	return list
}

// Close ends idle connections, probes and heartbeats, after the last Send.
func (o *output) Close(ctx context.Context) error {
	o.stop()
	for _, s := range o.servers {
		s.close()
	}
	ended := make(chan struct{})
	go func() {
		o.probes.Wait()
		o.conns.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Send implements outputs.Output. A server that can't be reached is replaced by the next one at once. What was
// written and not acknowledged goes back to the destination.
func (o *output) Send(ctx context.Context, b outputs.Batch) outputs.Result {
	j, ok := o.jobs.Get().(*job)
	if !ok {
		j = &job{}
	}
	defer func() {
		j.release()
		o.jobs.Put(j)
	}()
	o.beating.Do(o.startHeartbeats)
	j.build(b)
	var worst *outputs.Error
	unreachable := make([]bool, len(o.servers))
	for {
		groups := o.assign(j, unreachable)
		if len(groups) == 0 {
			break
		}
		var wg sync.WaitGroup
		for _, g := range groups[1:] {
			wg.Go(func() { o.sendGroup(ctx, j, g) })
		}
		o.sendGroup(ctx, j, groups[0])
		wg.Wait()
		for _, g := range groups {
			worst = worse(worst, g.err)
			unreachable[g.index] = g.unreachable
			for _, m := range g.messages {
				if !g.unreachable {
					m.state = failed
				}
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	if worst == nil { // no typed nil in an interface
		return j.result(ctx.Err())
	}
	return j.result(worst)
}

// A group is what goes to one server.
type group struct {
	index       int        // of the server
	messages    []*message // those that are not delivered yet
	err         *outputs.Error
	unreachable bool // no connection could be made, or the server refuses us: another one may take the rest
}

// assign gives every waiting message to a server. Messages of a tag follow one another in the job, so that they get
// the same one.
func (o *output) assign(j *job, unreachable []bool) []*group {
	var groups []*group
	byServer := make([]*group, len(o.servers))
	tag, choice := "", -1
	for i := range j.messages {
		m := &j.messages[i]
		if m.state != waiting {
			continue
		}
		if choice < 0 || m.tag != tag {
			tag, choice = m.tag, o.choose(m.tag, unreachable, m.visited)
		}
		if choice < 0 {
			continue
		}
		m.visited = true
		g := byServer[choice]
		if g == nil {
			g = &group{index: choice, messages: make([]*message, 0, len(j.messages)-i)}
			byServer[choice] = g
			groups = append(groups, g)
		}
		g.messages = append(g.messages, m)
	}
	return groups
}

// choose returns the index of the server for a tag: a primary that is up, else a standby that is up, else the
// primary that the tag belongs to, unless the tag was sent to one before. -1: none is left.
func (o *output) choose(tag string, unreachable []bool, visited bool) int {
	best, bestRank, bestScore := -1, 0, 0.0
	for i, s := range o.servers {
		if unreachable[i] {
			continue
		}
		rank := 3
		switch down := len(o.servers) > 1 && s.isDown(); {
		case down && (visited || s.standby):
			continue
		case down:
			rank = 1
		case s.standby:
			rank = 2
		}
		if score := s.score(tag); rank > bestRank || rank == bestRank && score > bestScore {
			best, bestRank, bestScore = i, rank, score
		}
	}
	return best
}
