package buffer

import (
	"cmp"
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
	p, posFile, err := openPosition(d.fs, d.path("position"))
	if err != nil {
		return fmt.Errorf("open buffer: %w", err)
	}
	defer func() {
		if !keep {
			_ = posFile.Close()
		}
	}()
	segs, err := d.listSegments(&p)
	if err != nil {
		return fmt.Errorf("open buffer: %w", err)
	}
	end := p.low
	if n := len(segs); n > 0 {
		if end, err = d.scan(segs[n-1], seed(p.id)); err != nil {
			return fmt.Errorf("open buffer: %w", err)
		}
	}
	d.lock, d.posFile, keep = lock, posFile, true
	q.mu.Lock()
	defer q.mu.Unlock()
	d.segs = segs
	d.adopt(p, end)
	d.opened = true
	d.retire()
	d.letGo()
	return nil
}

// openPosition opens the position file, makes it if need be, and reads the newer valid slot. Without one, id is zero.
func openPosition(fsys FS, name string) (best position, f File, err error) {
	f, err = fsys.Open(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return best, nil, err
	}
	buf := make([]byte, 2*posSlot)
	n, err := f.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		_ = f.Close()
		return best, nil, fmt.Errorf("read position: %w", err)
	}
	if n < len(buf) { // its room is taken now: a full volume must not keep it from being written
		if _, err := f.WriteAt(make([]byte, len(buf)-n), int64(n)); err != nil {
			_ = f.Close()
			return best, nil, fmt.Errorf("make position: %w", err)
		}
	}
	best, _ = newestSlot(buf[:n])
	return best, f, nil
}

// listSegments returns the segments in order. Without a valid position, it makes one that has everything in the
// segments as not settled. Files that can't be segments of this buffer are set aside.
func (d *disk) listSegments(p *position) ([]*segment, error) {
	list, err := d.fs.ReadDir(d.o.Dir)
	if err != nil {
		return nil, err
	}
	var segs []*segment
	heads := map[*segment][8]byte{} // ids of those with a valid header
	var bad []badFile
	var badBytes, bytes int64
	var lastNo uint64
	for _, name := range list {
		no, first, ok := parseSegName(strings.TrimSuffix(name, badSuffix))
		if !ok {
			continue
		}
		size, head, err := d.peek(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		bytes += size
		if strings.HasSuffix(name, badSuffix) {
			bad = append(bad, badFile{name, size})
			badBytes += size
			continue
		}
		lastNo = max(lastNo, no)
		s := &segment{no: no, first: first, size: size}
		segs = append(segs, s)
		if id, n, f, err := parseSegHead(head); err == nil && n == no && f == first {
			heads[s] = id
		} else if err == nil || first > maxNumber {
			heads[s] = [8]byte{} // renamed, or somebody else's
		}
	}
	d.q.mu.Lock()
	d.bad, d.badBytes, d.bytes, d.lastNo = bad, badBytes, bytes, lastNo
	d.q.mu.Unlock()
	slices.SortFunc(segs, func(a, b *segment) int { return cmp.Compare(a.no, b.no) })
	noPosition := p.id == [8]byte{}
	for i := len(segs) - 1; i >= 0 && p.id == [8]byte{}; i-- {
		p.id = heads[segs[i]]
	}
	if p.id == [8]byte{} {
		p.id = newID()
	}
	kept := segs[:0]
	for _, s := range segs {
		id, known := heads[s]
		// Running numbers never fall.
		if n := len(kept); known && id != p.id || n > 0 && s.first < kept[n-1].first {
			d.setAside(s)
			continue
		}
		kept = append(kept, s)
	}
	if noPosition && len(kept) > 0 {
		p.low = kept[0].first
		p.ledger.refused -= p.low // those before count for nothing: what became of them is not known
		d.q.log.Error("no slot of the position file is valid: events that were delivered before may be delivered again", zap.String("dir", d.o.Dir))
	}
	return kept, nil
}

// setAside renames a segment that doesn't belong to the buffer.
func (d *disk) setAside(s *segment) {
	name := segName(s.no, s.first)
	d.q.log.Error("a segment doesn't fit to the others: set aside", zap.String("dir", d.o.Dir), zap.String("file", name))
	if err := d.fs.Rename(d.path(name), d.path(name+badSuffix)); err != nil {
		d.q.log.Warn("can't set a segment aside", zap.Error(err))
	}
	d.q.mu.Lock()
	defer d.q.mu.Unlock()
	d.bad = append(d.bad, badFile{name + badSuffix, s.size})
	d.badBytes += s.size
}

// peek returns a file's size and what may be its header.
func (d *disk) peek(name string) (size int64, head []byte, err error) {
	f, err := d.fs.Open(d.path(name), os.O_RDONLY)
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	head = make([]byte, segHeadSize)
	n, _ := f.ReadAt(head, 0) // one that can't be read is like one that is damaged
	size, err = f.Size()
	return size, head[:n], err
}

// scan finds the number behind the last valid frame of the newest segment. What follows that frame is a torn tail:
// it was never acknowledged.
func (d *disk) scan(s *segment, sd uint32) (uint64, error) {
	f, err := d.fs.Open(d.path(segName(s.no, s.first)), os.O_RDONLY)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	end := s.first
	w := window{f: f, size: s.size, off: segHeadSize, seed: sd}
	for {
		fr, ok, err := w.next()
		if err != nil { // a bad sector: what is behind it counts
			w = window{f: f, size: s.size, off: w.off + int64(len(w.buf)) + badSector, seed: sd}
			continue
		}
		if !ok {
			return end, nil
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
	q.pos = position{seq: p.seq, id: p.id, low: p.low, acked: acked, ledger: p.ledger}
	if len(acked) > 0 && acked[0].from <= p.low {
		q.pos.mark(span{p.low, p.low})
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
	if waiting > 0 {
		for _, s := range d.segs {
			q.bytes += s.size
		}
	}
	if lost.len() > 0 {
		q.lose(lost, ReasonLost)
	}
	d.dirty = true
}
