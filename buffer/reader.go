package buffer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"go.uber.org/zap"
)

// A readFrame is a frame that was read back.
type readFrame struct {
	head
	at    frameAt
	valid bool // the body is what was written
}

// headOf is parseHead for frames in our own memory.
func headOf(b []byte) head {
	le := binary.LittleEndian
	return head{
		first: le.Uint64(b[8:]), events: int(le.Uint32(b[16:])), body: int(le.Uint32(b[20:])),
		tag: int(le.Uint16(b[24:])), route: int(le.Uint16(b[26:])), attrs: int(le.Uint16(b[28:])), note: int(le.Uint16(b[30:])),
	}
}

// A window walks over the frames of a segment file, whatever its bytes are.
type window struct {
	f    File
	size int64 // of the file, as far as it may be read
	off  int64 // of buf[0] in the file
	seed uint32
	buf  []byte
	at   int // next byte of buf to look at
	new  func(size int) []byte
}

// next returns the next frame that has a valid head. Bytes that are no frame are skipped. ok is false at the end.
func (w *window) next() (fr readFrame, ok bool, err error) {
	for {
		h, start, found := w.find()
		if found {
			if end := start + h.size(); end <= len(w.buf) {
				w.at = end
				fr = readFrame{head: h, at: frameAt{off: start, end: end}}
				fr.valid = h.checkBody(w.buf[start:end])
				return fr, true, nil
			}
			if w.off+int64(start+h.size()) > w.size { // its tail is missing: go on behind its magic
				w.at = start + 1
				continue
			}
		}
		w.at = start
		if w.off+int64(len(w.buf)) >= w.size && !found {
			return fr, false, nil
		}
		need := readSize
		if found {
			need = max(need, h.size())
		}
		if err := w.fill(need); err != nil {
			return fr, false, err
		}
		if w.at+headSize > len(w.buf) {
			return fr, false, nil
		}
	}
}

// find looks for a valid head from at on. When there is none, start is where more bytes may make one.
func (w *window) find() (h head, start int, found bool) {
	magic := binary.LittleEndian.AppendUint32(make([]byte, 0, 4), frameMagic)
	at := w.at
	for at+headSize <= len(w.buf) {
		i := bytes.Index(w.buf[at:], magic)
		if i < 0 {
			return h, max(at, len(w.buf)-3), false
		}
		at += i
		if at+headSize > len(w.buf) {
			break
		}
		h, err := parseHead(w.buf[at:], w.seed)
		if err == nil {
			return h, at, true
		}
		at++
	}
	return h, at, false
}

// fill reads a new window that starts at at.
func (w *window) fill(need int) error {
	w.off += int64(w.at)
	w.at = 0
	n := int(min(int64(need), w.size-w.off))
	if n <= 0 {
		w.buf = w.buf[:0]
		return nil
	}
	if w.new != nil {
		w.buf = w.new(n)
	} else if cap(w.buf) >= n {
		w.buf = w.buf[:n]
	} else {
		w.buf = make([]byte, n)
	}
	got, err := w.f.ReadAt(w.buf, w.off)
	w.buf = w.buf[:got]
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read segment: %w", err)
	}
	return nil
}

// A reader is where a queue reads its segments. The queue's readMu guards it.
type reader struct {
	no   uint64 // of the open segment; 0: none
	file File
	off  int64 // next byte to read
	blk  *block
}

func (r *reader) closeFile() {
	if r.file != nil {
		_ = r.file.Close()
		r.file, r.no = nil, 0
	}
}

// frameRead returns the frame that was read ahead for cur. The caller holds q.mu.
func (d *disk) frameRead() (head, frameAt, bool) {
	q := d.q
	for len(d.frames) > 0 {
		f := d.frames[0]
		d.frames = d.frames[1:]
		if f.next() <= q.cur || f.first >= q.written {
			continue // shed meanwhile, or a repetition behind a write that failed
		}
		return f.head, f.at, true
	}
	return head{}, frameAt{}, false
}

// readAhead reads frames from cur on, or moves cur over what isn't there. The caller holds readMu, not mu.
func (d *disk) readAhead() {
	q := d.q
	q.mu.Lock()
	s, end := d.segmentAt(q.cur)
	if s == nil || q.cur >= q.written {
		// Nothing on disk has it: it was shed, or never written while the disk was in trouble.
		to := end
		if q.cur >= q.written {
			to = q.next
			if len(q.blocks) > 0 {
				to = max(q.cur, q.blocks[0].first)
			}
		}
		if q.lose(span{q.cur, to}, ReasonLost) > 0 {
			d.dirty = true
			d.poke()
		}
		q.cur = max(q.cur, to)
		q.mu.Unlock()
		return
	}
	r := &d.rd
	if r.no != s.no {
		r.closeFile()
		r.no, r.off = s.no, segHeadSize
	}
	size, sd := s.size, q.seed
	if r.blk != nil {
		q.arena.unref(r.blk)
		r.blk = nil
	}
	q.mu.Unlock()

	frames, blk, off, err := d.read(s, size, sd)

	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		q.log.Error("can't read a segment: what is left of it is given up", zap.String("file", segName(s.no, s.first)), zap.Error(err))
		off = size
	}
	r.off, r.blk = off, blk
	d.frames = d.frames[:0]
	for _, f := range frames {
		if !f.valid || f.first < s.first || f.next() > end {
			s.bad = s.bad || !f.valid
			continue
		}
		d.frames = append(d.frames, f)
	}
	if len(d.frames) == 0 && off >= size && q.cur < end && q.cur >= s.first {
		if q.lose(span{q.cur, end}, ReasonCorrupt) > 0 {
			s.bad = true
			q.log.Error("a segment is damaged: events lost", zap.String("file", segName(s.no, s.first)))
		}
		q.cur = end
		d.dirty = true
		d.retire()
		d.poke()
	}
}

// segmentAt returns the segment that should hold an event, and the number behind its last one; without such a
// segment, the first number that one has. The caller holds q.mu.
func (d *disk) segmentAt(n uint64) (*segment, uint64) {
	for i := len(d.segs) - 1; i >= 0; i-- {
		if s := d.segs[i]; s.first <= n {
			if i+1 < len(d.segs) {
				return s, d.segs[i+1].first
			}
			return s, d.q.written
		}
	}
	if len(d.segs) > 0 {
		return nil, d.segs[0].first
	}
	return nil, d.q.written
}

// read reads one block of frames at the reader's place.
func (d *disk) read(s *segment, size int64, sd uint32) (frames []readFrame, blk *block, off int64, err error) {
	q, r := d.q, &d.rd
	if r.file == nil {
		if r.file, err = d.fs.Open(d.path(segName(s.no, s.first)), os.O_RDONLY); err != nil {
			return nil, nil, 0, err
		}
	}
	take := func(n int) []byte {
		q.mu.Lock()
		defer q.mu.Unlock()
		if blk != nil {
			q.arena.unref(blk)
		}
		blk = q.arena.get(n, true)
		blk.refs = 1
		return blk.buf[:n]
	}
	w := window{f: r.file, size: size, off: r.off, seed: sd, new: take}
	for {
		before := blk
		var fr readFrame
		var ok bool
		at := w.at
		if len(frames) > 0 {
			// One block is enough: stop before the window moves on.
			if h, start, found := w.find(); !found || start+h.size() > len(w.buf) {
				off = w.off + int64(at)
				break
			}
		}
		if fr, ok, err = w.next(); err != nil || !ok {
			off = size
			break
		}
		if blk != before {
			frames = frames[:0]
		}
		blk.buf = w.buf
		fr.at.blk = blk
		frames = append(frames, fr)
	}
	return frames, blk, off, err
}
