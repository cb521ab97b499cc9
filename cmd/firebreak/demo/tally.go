package demo

import (
	"math/bits"
	"sync"
	"time"
)

// maxLine bounds the numbers of lines, so that a stranger on the port can't take all memory.
const maxLine = 1 << 24

// A tally is what an aggregator has received, by container. The lines of a container are numbered from 1.
type tally struct {
	mu         sync.Mutex
	containers map[string]*numbers
	received   uint64 // different lines
	again      uint64 // lines that had come before
	disordered uint64 // lines that came for the first time, after a later one of the same container
	strange    uint64 // lines of another kind, or of nobody
	last       time.Time
	phase      phase
	pauses     [phases]time.Duration // longest time between two arrivals, by when it ended

	late, lateLeft uint64    // lines that had to wait: received, and still missing
	lateDone       time.Time // when the last of them came
}

// A phase is a part of the story.
type phase int

const (
	before phase = iota // the outage
	outage
	after
	phases
)

// numbers are the lines of one container that have come.
type numbers struct {
	seen    []uint64 // bits
	highest uint64
	late    uint64 // lines up to this one had to wait
}

func newTally() *tally { return &tally{containers: map[string]*numbers{}} }

// arrive notes that something came.
func (t *tally) arrive(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.last.IsZero() {
		t.pauses[t.phase] = max(t.pauses[t.phase], now.Sub(t.last))
	}
	t.last = now
}

// enter begins a phase.
func (t *tally) enter(p phase) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.phase = p
}

// add counts line n of a container.
func (t *tally) add(container []byte, n uint64, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n == 0 || n > maxLine || len(container) == 0 {
		t.strange++
		return
	}
	c := t.of(string(container))
	word, bit := int(n/64), uint64(1)<<(n%64)
	for len(c.seen) <= word {
		c.seen = append(c.seen, make([]uint64, len(c.seen)+64)...)
	}
	if c.seen[word]&bit != 0 {
		t.again++
		return
	}
	c.seen[word] |= bit
	t.received++
	if n < c.highest {
		t.disordered++
	}
	c.highest = max(c.highest, n)
	if n <= c.late {
		t.late++
		if t.lateLeft--; t.lateLeft == 0 {
			t.lateDone = now
		}
	}
}

func (t *tally) of(container string) *numbers {
	c := t.containers[container]
	if c == nil {
		c = &numbers{}
		t.containers[container] = c
	}
	return c
}

func (t *tally) addStrange() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.strange++
}

// waiting says which lines have been sent by now, at a moment when nothing can arrive: those that haven't come are
// late. It returns how many.
func (t *tally) waiting(sent map[string]uint64) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, n := range sent {
		c := t.of(name)
		c.late = n
		t.lateLeft += n - c.count(n)
	}
	return t.lateLeft
}

// count returns how many of the lines up to n have come.
func (c *numbers) count(n uint64) (sum uint64) {
	for word, b := range c.seen {
		if first := uint64(word) * 64; first > n {
			break
		} else if n-first < 63 {
			b &= 1<<(n-first+1) - 1
		}
		sum += uint64(bits.OnesCount64(b))
	}
	return sum
}

// counts is a snapshot of a tally.
type counts struct {
	received, again, disordered, strange, late, lateLeft uint64
	pauses                                               [phases]time.Duration
	lateDone                                             time.Time
}

func (t *tally) counts() counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return counts{t.received, t.again, t.disordered, t.strange, t.late, t.lateLeft, t.pauses, t.lateDone}
}

// missing counts the sent lines that have not come.
func (t *tally) missing(sent map[string]uint64) (sum uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, n := range sent {
		sum += n - t.of(name).count(n)
	}
	return sum
}
