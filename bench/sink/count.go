package sink

import (
	"fmt"
	"math/bits"
	"time"

	"github.com/firebreak/firebreak/bench/line"
)

// maxSeq bounds the memory of a track: 128 MiB.
const maxSeq = 1 << 30

// track is what arrived of one stream: one bit for each sequence number.
type track struct {
	bits []uint64
	seen uint64
	next uint64 // highest number + 1
}

// count counts the events of m. It is called with mu held.
func (s *Sink) count(c *conn, m *message, ignore bool, now int64) error {
	if m.tag == nil {
		return nil // keep-alive
	}
	s.counts.Messages++
	ignore = ignore && m.chunk != nil
	c.gaps = c.gaps || ignore
	if m.record != nil {
		s.event(m.tag, m.record, ignore, now)
		return nil
	}
	entries := m.entries
	if m.packing != "" {
		var err error
		if entries, err = c.unpack.unpack(m.packing, entries); err != nil {
			return err
		}
	}
	for len(entries) > 0 {
		rec, n, err := entry(entries)
		if err != nil {
			return fmt.Errorf("message of tag %q: %w", m.tag, err)
		}
		s.event(m.tag, rec, ignore, now)
		entries = entries[n:]
	}
	return nil
}

func (s *Sink) event(tag, rec []byte, ignore bool, now int64) {
	if ignore {
		s.counts.Ignored++
		return
	}
	tok, ok := line.Parse(logLine(rec))
	switch {
	case !ok || tok.Seq >= maxSeq:
		s.counts.Foreign++
		s.counts.Events++
	case !s.arrived(tok):
		s.counts.Duplicates++
		return
	default:
		s.counts.Events++
		s.latency.Add(time.Duration(now-tok.Micros)*time.Microsecond, 1)
	}
	if s.cfg.Each != nil {
		s.cfg.Each(string(tag), rec)
	}
}

// arrived marks the number and reports whether it came for the first time.
func (s *Sink) arrived(tok line.Token) bool {
	for tok.Stream >= len(s.streams) {
		s.streams = append(s.streams, nil)
	}
	t := s.streams[tok.Stream]
	if t == nil {
		t = &track{}
		s.streams[tok.Stream] = t
	}
	word, bit := tok.Seq/64, uint64(1)<<(tok.Seq%64)
	if word >= uint64(len(t.bits)) {
		t.bits = append(t.bits, make([]uint64, max(word+1-uint64(len(t.bits)), uint64(len(t.bits)), 1024))...)
	}
	if t.bits[word]&bit != 0 {
		return false
	}
	t.bits[word] |= bit
	t.seen++
	if tok.Seq < t.next {
		s.counts.Disorder++
		if s.counts.FirstDisorder == "" {
			s.counts.FirstDisorder = fmt.Sprintf("stream %d: %d came after %d", tok.Stream, tok.Seq, t.next-1)
		}
	} else {
		t.next = tok.Seq + 1
	}
	return true
}

// Seen returns how many different events of a stream arrived.
func (s *Sink) Seen(stream int) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stream >= len(s.streams) || s.streams[stream] == nil {
		return 0
	}
	return s.streams[stream].seen
}

// Missing returns the parts of r that did not arrive, in order.
func (s *Sink) Missing(stream int, r line.Range) []line.Range {
	s.mu.Lock()
	defer s.mu.Unlock()
	var t track
	if stream < len(s.streams) && s.streams[stream] != nil {
		t = *s.streams[stream]
	}
	var out []line.Range
	for seq := r.From; seq < r.To; {
		word := ^uint64(0)
		if i := seq / 64; i < uint64(len(t.bits)) {
			word = ^t.bits[i]
		}
		word >>= seq % 64 // bits of what is missing, from seq on
		if word == 0 {
			seq = (seq/64 + 1) * 64
			continue
		}
		seq += uint64(bits.TrailingZeros64(word))
		if seq >= r.To {
			break
		}
		if n := len(out); n > 0 && out[n-1].To == seq {
			out[n-1].To++
		} else {
			out = append(out, line.Range{From: seq, To: seq + 1})
		}
		seq++
	}
	return out
}
