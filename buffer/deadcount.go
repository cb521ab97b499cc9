package buffer

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"time"

	"go.uber.org/zap"
)

// count adds events that are not settled.
func (s *deadSegment) count(m span, reason string, arrived time.Time) {
	bump(&s.reasons, reason, m.len())
	if s.oldest.IsZero() {
		s.front, s.oldest = m.from, arrived
	}
}

// drop takes off events that count has added.
func (s *deadSegment) drop(reason string, n uint64) {
	reason = clipLabel(reason)
	if _, ok := s.reasons[reason]; !ok {
		reason = "other"
	}
	if k := s.reasons[reason]; k > n {
		s.reasons[reason] = k - n
	} else {
		s.reasons[reason] = 0
	}
}

// tally counts what is left in a segment that isn't being written.
func (d *Dead) tally(s *deadSegment, pos *position, stop <-chan struct{}) error {
	c := deadSegment{segment: s.segment, known: true}
	_, err := d.walk(&s.segment, 0, nil, func(fr readFrame, _ int64, b []byte) error {
		select {
		case <-stop:
			return errStop
		default:
		}
		reason, _, _ := bytes.Cut(fr.noteOf(b), []byte{0})
		pos.open(span{fr.first, fr.next()}, func(m span) { c.count(m, string(reason), time.Unix(0, fr.arrived)) })
		return nil
	})
	if err != nil {
		return err
	}
	*s = c
	return nil
}

// countAll counts what an earlier process left, in the background: it may be much. The caller holds the token.
func (d *Dead) countAll() {
	if len(d.segs) == 0 {
		return
	}
	stop, done := make(chan struct{}), make(chan struct{})
	d.stop, d.counted = stop, done
	pos := position{low: d.pos.low, acked: slices.Clone(d.pos.acked)}
	list := make([]deadSegment, len(d.segs))
	for i, s := range d.segs {
		list[i] = *s
	}
	go func() {
		defer close(done)
		for i := range list {
			err := d.tally(&list[i], &pos, stop)
			if errors.Is(err, errStop) {
				return
			}
			if err != nil {
				if !errors.Is(err, fs.ErrNotExist) {
					d.log.Warn("can't count dead letters", zap.Error(err))
				}
				continue
			}
			select {
			case d.busy <- struct{}{}:
			case <-stop:
				return
			}
			// What was settled meanwhile was counted for that.
			for _, s := range d.segs {
				if s.no == list[i].no && !s.known {
					*s = list[i]
				}
			}
			d.publish()
			<-d.busy
		}
	}()
}
