package process

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/record"
)

// sample keeps a share of the events.
type sample struct {
	keep  float64          // 0 to 1
	by    *record.Template // nil: each event by itself
	state atomic.Uint64    // of a splitmix64 generator
}

func newSample(c *config.Sample) (*sample, error) {
	a := &sample{keep: float64(c.Keep) / 100}
	a.state.Store(rand.Uint64())
	var err error
	a.by, err = keyTemplate(c.By)
	return a, err
}

// keyTemplate parses the template of a key; nil for "".
func keyTemplate(text string) (*record.Template, error) {
	if text == "" {
		return nil, nil
	}
	t, err := record.ParseTemplate(text)
	if err != nil {
		return nil, fmt.Errorf("by: %w", err)
	}
	return t, nil
}

func (a *sample) Apply(dst, rec []byte, s *Scope) ([]byte, Verdict) {
	if a.by != nil {
		if name := s.name(a.by, rec); !absent(name) {
			return dst, a.verdict(stableHash(name))
		}
	}
	return dst, a.verdict(mix(a.state.Add(step)))
}

// Peek says what Apply would do, and of what that depends.
func (a *sample) Peek(rec []byte, s *Scope) (Verdict, string) {
	if a.by != nil {
		if name := s.name(a.by, rec); !absent(name) {
			return a.verdict(stableHash(name)), fmt.Sprintf("decided by %q, for all events alike", name)
		}
	}
	return Same, fmt.Sprintf("kept with a chance of %g%%", a.keep*100)
}

func (a *sample) verdict(hash uint64) Verdict {
	if float64(hash>>11)/(1<<53) < a.keep {
		return Same
	}
	return Dropped
}

// absent reports whether a key is what templates render for a value that isn't there.
func absent(name []byte) bool { return string(name) == "none" }

// stableHash is FNV-1a with a finalizer: the same on every host and in every version, because what several hosts keep
// must fit together.
func stableHash(b []byte) uint64 {
	h := uint64(0xcbf29ce484222325)
	for _, c := range b {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	return mix(h)
}

const step = 0x9e3779b97f4a7c15

// mix is the finalizer of splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
