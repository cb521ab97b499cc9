package buffer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"go.uber.org/zap"
)

// open makes the directory's content the queue's: the position, the list of segments, and, of the newest segment
// only, where its last valid frame ends. Nothing is appended to old segments.
func (d *disk) open() error {
	q := d.q
	if err := d.fs.MkdirAll(d.o.Dir); err != nil {
		return fmt.Errorf("open buffer: %w", err)
	}
	lock, err := d.fs.Lock(d.path("lock"))
	if err != nil {
		return fmt.Errorf("open buffer %s: %w", d.o.Dir, err)
	}
	keep := false
	defer func() {
		if !keep {
			_ = lock.Close()
		}
	}()
	p, posFile, err := d.readPosition()
	if err != nil {
		return fmt.Errorf("open buffer: %w", err)
	}
	defer func() {
		if !keep {
			_ = posFile.Close()
		}
	}()
	segs, total, err := d.listSegments()
	if err != nil {
		return fmt.Errorf("open buffer: %w", err)
	}
	end := p.low
	if n := len(segs); n > 0 {
		s := segs[n-1]
		id, e, err := d.scan(s, p.id)
		if err != nil {
			return fmt.Errorf("open buffer: %w", err)
		}
		p.id, end = id, e
	}
	if p.id == ([8]byte{}) {
		p.id = newID()
	}
	d.lock, d.posFile, keep = lock, posFile, true
	q.mu.Lock()
	defer q.mu.Unlock()
	d.segs, d.bytes = segs, total
	if n := len(segs); n > 0 {
		d.lastNo = segs[n-1].no
	}
	d.adopt(p, end)
	d.opened = true
	d.retire()
	q.release()
	q.freed()
	q.notify()
	return nil
}

// readPosition reads the newer valid slot; without one, everything in the segments counts as not settled.
func (d *disk) readPosition() (position, File, error) {
	f, err := d.fs.Open(d.path("position"), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return position{}, nil, err
	}
	var best position
	var found bool
	buf := make([]byte, 2*posSlot)
	n, err := f.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		_ = f.Close()
		return best, nil, fmt.Errorf("read position: %w", err)
	}
	for at := 0; at < n; at += posSlot {
		if p, err := parsePosition(buf[at:min(n, at+posSlot)]); err == nil && (!found || p.seq > best.seq) {
			best, found = p, true
		}
	}
	if !found && n > 0 && !allZero(buf[:n]) {
		d.q.log.Error("no slot of the position file is valid: events that were delivered before may be delivered again", zap.String("dir", d.o.Dir))
	}
	return best, f, nil
}

func allZero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

// listSegments returns the segments in order, and the size of all files.
func (d *disk) listSegments() ([]*segment, int64, error) {
	list, err := d.fs.ReadDir(d.o.Dir)
	if err != nil {
		return nil, 0, err
	}
	var segs []*segment
	total := int64(0)
	d.set.Store(0)
	for _, name := range list {
		if strings.HasSuffix(name, badSuffix) {
			d.set.Add(1)
		}
		no, first, ok := parseSegName(name)
		if !ok {
			continue
		}
		size, err := d.sizeOf(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		segs = append(segs, &segment{no: no, first: first, size: size})
		total += size
	}
	slices.SortFunc(segs, func(a, b *segment) int {
		if a.no < b.no {
			return -1
		}
		return 1
	})
	// Running numbers never fall: a file that says so was put there by somebody else.
	kept := segs[:0]
	for _, s := range segs {
		if n := len(kept); n > 0 && s.first < kept[n-1].first {
			d.q.log.Error("a segment's name is out of order: set aside", zap.String("file", segName(s.no, s.first)))
			total -= s.size
			_ = d.fs.Rename(d.path(segName(s.no, s.first)), d.path(segName(s.no, s.first)+badSuffix))
			continue
		}
		kept = append(kept, s)
	}
	return kept, total, nil
}

func (d *disk) sizeOf(name string) (int64, error) {
	f, err := d.fs.Open(d.path(name), os.O_RDONLY)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Size()
}

// scan finds the number behind the last valid frame of the newest segment. What follows that frame is a torn tail:
// it was never acknowledged.
func (d *disk) scan(s *segment, id [8]byte) ([8]byte, uint64, error) {
	f, err := d.fs.Open(d.path(segName(s.no, s.first)), os.O_RDONLY)
	if err != nil {
		return id, 0, err
	}
	defer f.Close()
	b := make([]byte, segHeadSize)
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return id, 0, err
	}
	if own, _, _, err := parseSegHead(b); err == nil {
		id = own
	} else {
		s.bad = s.size > segHeadSize
	}
	end := s.first
	w := window{f: f, size: s.size, off: segHeadSize, seed: seed(id)}
	for {
		fr, ok, err := w.next()
		if err != nil {
			return id, 0, err
		}
		if !ok {
			return id, end, nil
		}
		if fr.valid && fr.first >= end {
			end = fr.next()
		}
	}
}

// adopt puts what the disk has before what the queue has: an empty queue at a normal start, else the events that came
// in while the disk was in trouble. The caller holds q.mu.
func (d *disk) adopt(p position, end uint64) {
	q := d.q
	lost := span{}
	if high := p.high(); high > end {
		// A power cut took frames that were not synced; some of them had been delivered already.
		lost, end = span{end, high}, high
	}
	// Old numbers move up by end.
	q.seed = seed(p.id)
	for _, b := range q.blocks {
		b.first, b.next = b.first+end, b.next+end
		for off := 0; off < len(b.buf); {
			h := headOf(b.buf[off:])
			sealHead(b.buf[off:], h.first+end, q.seed)
			off += h.size()
		}
	}
	for l := q.first; l != nil; l = l.next {
		l.num += end
	}
	for i := range q.returned {
		q.returned[i].num += end
	}
	mine := q.pos
	acked := slices.Clone(p.acked)
	if mine.low > 0 {
		acked = spans(acked).add(span{end, end + mine.low})
	}
	for _, s := range mine.acked {
		acked = spans(acked).add(span{s.from + end, s.to + end})
	}
	q.rewound = end + q.cur
	q.next += end
	q.written, q.kept = end, end
	d.posSeq = p.seq
	d.posLow = p.low
	q.pos = position{seq: p.seq, id: p.id, low: p.low, acked: acked, ledger: p.ledger}
	if len(acked) > 0 && acked[0].from <= p.low {
		q.mark(span{p.low, p.low})
	}
	waiting := end - p.low - spans(p.acked).sum()
	// Leases in shed segments whose outcome the last process did not live to note.
	if offered, known := end+p.ledger.refused, p.ledger.settled()+waiting; offered > known {
		q.pos.ledger.count(Shed, ReasonFull, offered-known)
	}
	q.outstanding += waiting
	q.pos.ledger.refused += mine.ledger.refused
	for f, m := range map[Fate]map[string]uint64{DeadLettered: mine.ledger.dead, Shed: mine.ledger.shed, Moved: mine.ledger.moved} {
		for k, n := range m {
			q.pos.ledger.count(f, k, n)
		}
	}
	q.pos.ledger.delivered += mine.ledger.delivered
	q.cur = q.pos.low
	q.curBlk = nil
	for _, s := range d.segs {
		q.bytes += s.size
	}
	if lost.len() > 0 {
		q.lose(lost, ReasonLost)
	}
	d.dirty = true
}
