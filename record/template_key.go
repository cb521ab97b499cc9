package record

import (
	"sync"
	"sync/atomic"
)

// A Keyer renders a template for one event after the other, as the grouping key of an output. It may be used
// concurrently.
type Keyer struct {
	t        *Template
	contexts sync.Pool
	replaced atomic.Uint64
}

// NewKeyer returns a Keyer that renders t with what ctx holds. Without an ID in ctx, the key contains [IDMark] where
// the template has ${id}, so that all events of one object have one key.
func NewKeyer(t *Template, ctx RenderContext) *Keyer {
	fresh := RenderContext{Host: ctx.Host, ID: ctx.ID, Location: ctx.Location, Sanitize: ctx.Sanitize}
	return &Keyer{t: t, contexts: sync.Pool{New: func() any { c := fresh; return &c }}}
}

// AppendKey appends the name of e.
func (k *Keyer) AppendKey(dst []byte, e Event) []byte {
	ctx := k.contexts.Get().(*RenderContext)
	dst = k.t.Append(dst, e.Chunk, &e, ctx)
	if ctx.Replaced > 0 {
		k.replaced.Add(uint64(ctx.Replaced))
		ctx.Replaced = 0
	}
	k.contexts.Put(ctx)
	return dst
}

// PerEvent reports whether events of one chunk can have different keys.
func (k *Keyer) PerEvent() bool { return k.t.PerEvent() }

// Replaced counts the events whose key was rendered with the arrival time; see [RenderContext].
func (k *Keyer) Replaced() uint64 { return k.replaced.Load() }
