package agent

import "sync/atomic"

// phase is where an agent is in its life.
type phase struct{ v atomic.Int32 }

const (
	starting int32 = iota
	running
	stoppingPhase
)

func (p *phase) set(v int32) { p.v.Store(v) }
func (p *phase) get() int32  { return p.v.Load() }

func (p *phase) String() string { return [...]string{"starting", "running", "stopping"}[p.get()] }
