package buffer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

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
	err  error // behind buf
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
			return fr, false, w.err
		}
		need := readSize
		if found {
			need = max(need, h.size())
		}
		w.fill(need)
		if w.at+headSize > len(w.buf) {
			return fr, false, w.err
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
func (w *window) fill(need int) {
	w.off += int64(w.at)
	w.at = 0
	n := int(min(int64(need), w.size-w.off))
	if n <= 0 {
		w.buf = w.buf[:0]
		return
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
	if got < n { // the file ends here, for now
		w.size = w.off + int64(got)
		if err != nil && !errors.Is(err, io.EOF) {
			w.err = fmt.Errorf("read segment: %w", err)
		}
	}
}

// A reader is where a queue reads its segments. Who holds the queue's token for reading owns it, but blk and frames,
// which the queue's lock guards.
type reader struct {
	no     uint64 // of the open segment; 0: none
	file   File
	off    int64       // next byte to read
	frames []readFrame // read ahead, in order
	at     int         // the first of frames that is not taken
	blk    *block      // which holds them
}

func (r *reader) closeFile() {
	if r.file != nil {
		_ = r.file.Close()
	}
	r.file, r.no = nil, 0
}

// closeReader closes the reader's file when the queue is closed. The caller holds the token.
func (d *disk) closeReader() {
	select {
	case <-d.q.closing:
		d.rd.closeFile()
	default:
	}
}

// leaveReader closes the reader's file if it is that of a segment to be deleted, so that its room comes free.
func (d *disk) leaveReader(s *segment) {
	select {
	case d.q.reading <- struct{}{}:
		if d.rd.no == s.no {
			d.rd.closeFile()
		}
		<-d.q.reading
	default: // the next read does it
	}
}

// frameRead returns the frame that was read ahead for cur. The caller holds q.mu.
func (d *disk) frameRead() (head, frameAt, bool) {
	q, r := d.q, &d.rd
	for ; r.at < len(r.frames); r.at++ {
		if f := &r.frames[r.at]; f.next() > q.cur && f.first < q.written {
			return f.head, f.at, true
		} // else taken, or shed
	}
	if r.blk != nil {
		q.arena.unref(r.blk)
		r.blk = nil
	}
	return head{}, frameAt{}, false
}

// readLater reports whether the disk is not to be read yet, because reading failed. The caller holds q.mu.
func (d *disk) readLater() bool { return d.readFails > 0 && time.Now().Before(d.readAt) }

// damaged notes that frames of the segment that should hold an event are missing. The caller holds q.mu.
func (d *disk) damaged(n uint64) {
	if s, _ := d.segmentAt(n); s != nil && !s.bad {
		s.bad = true
		d.q.log.Error("a segment is damaged: events are lost", zap.String("dir", d.o.Dir), zap.String("file", segName(s.no, s.first)))
	}
}

// readAhead reads frames from cur on, or moves cur over what isn't there. The caller holds the token for reading.
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
		q.lose(span{q.cur, to}, ReasonLost)
		q.cur = max(q.cur, to)
		q.cleared()
		q.mu.Unlock()
		return
	}
	r := &d.rd
	if r.no != s.no {
		r.closeFile()
		r.no, r.off = s.no, segHeadSize
	}
	size, sd := s.size, q.seed
	q.mu.Unlock()

	frames, blk, off, err := d.read(s, size, sd)

	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case err == nil:
		d.readFails = 0
	case errors.Is(err, fs.ErrNotExist):
		off = size
	case len(frames) > 0: // the error is for the next time
	default:
		if d.readFails++; d.readFails < readTries {
			d.readAt = time.Now().Add(readAgain)
			time.AfterFunc(readAgain, q.notify)
			d.letBlock(blk)
			return
		}
		q.log.Error("can't read a segment: a part of it is skipped", zap.String("file", segName(s.no, s.first)), zap.Error(err))
		s.bad = true
		off = min(size, off+badSector)
	}
	r.off = off
	r.frames, r.at = r.frames[:0], 0
	d.letBlock(r.blk)
	r.blk = nil
	for _, f := range frames {
		switch {
		case f.first < s.first || f.next() > end: // behind a write that failed, and written again
		case !f.valid:
			s.bad = true
		default:
			r.frames = append(r.frames, f)
		}
	}
	if len(r.frames) > 0 {
		r.blk = blk
		return
	}
	d.letBlock(blk)
	if off >= size && q.cur < end && q.cur >= s.first {
		if q.lose(span{q.cur, end}, ReasonCorrupt) > 0 {
			d.damaged(q.cur)
		}
		q.cur = end
		q.cleared()
	}
}

// letBlock gives back a block that was read into. The caller holds q.mu.
func (d *disk) letBlock(b *block) {
	if b != nil {
		d.q.arena.unref(b)
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

// read reads one block of frames at the reader's place. off is where to go on, or where reading failed.
func (d *disk) read(s *segment, size int64, sd uint32) (frames []readFrame, blk *block, off int64, err error) {
	q, r := d.q, &d.rd
	if r.file == nil {
		if r.file, err = d.fs.Open(d.path(segName(s.no, s.first)), os.O_RDONLY); err != nil {
			return nil, nil, r.off, err
		}
	}
	take := func(n int) []byte {
		q.mu.Lock()
		defer q.mu.Unlock()
		d.letBlock(blk)
		blk = q.arena.get(n, true)
		q.arena.ref(blk)
		return blk.buf[:n]
	}
	w := window{f: r.file, size: size, off: r.off, seed: sd, new: take}
	for {
		if len(frames) > 0 {
			// One block is enough: stop before the window moves on.
			if h, start, found := w.find(); !found || start+h.size() > len(w.buf) {
				return frames, blk, w.off + int64(w.at), nil
			}
		}
		fr, ok, err := w.next()
		if err != nil {
			return frames, blk, w.off + int64(len(w.buf)), err
		}
		if !ok {
			return frames, blk, size, nil
		}
		blk.buf = w.buf
		fr.at.blk = blk
		frames = append(frames, fr)
	}
}
