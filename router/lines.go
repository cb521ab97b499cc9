package router

import (
	"slices"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/router/process"
)

// lines follows what processors do to texts that json conditions look at. Behind a text that was parsed and is gone,
// they look at the record's own keys instead; see [match.Table.Parsed].
type lines struct {
	gone  []string       // keys whose texts were parsed and are not there any more
	kept  []string       // keys whose texts were parsed and stay
	moved []config.Field // keys whose values got another name
}

// behind returns what is so behind a processor.
func (l lines) behind(p *config.Processor) lines {
	switch {
	case p.ParseJSON != nil:
		key := p.ParseJSON.Key
		if p.ParseJSON.Keep {
			l.kept = append(slices.Clip(l.kept), key)
		} else {
			l.gone = append(slices.Clip(l.gone), key)
		}
		for _, m := range slices.Backward(l.moved) { // the text is the one that had another name before
			if m.Value == key {
				key = m.Key
				l.gone = append(slices.Clip(l.gone), key)
			}
		}
	case p.Rename != nil:
		for _, f := range p.Rename {
			if slices.Contains(l.kept, f.Key) {
				l.gone, l.kept = append(slices.Clip(l.gone), f.Key), append(slices.Clip(l.kept), f.Value)
			}
		}
		l.moved = append(slices.Clip(l.moved), p.Rename...)
	case p.Remove != nil:
		for _, key := range l.kept {
			if process.Selects(p.Remove, key) {
				l.gone = append(slices.Clip(l.gone), key)
			}
		}
	}
	return l
}
