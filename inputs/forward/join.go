package forward

import (
	"container/list"
	"context"
	"slices"
	"sync"
	"time"
)

const (
	maxHeldLines = 4096
	maxHeldBytes = 16 << 20
)

// A brokenKind is a reason why a line is passed on before its last piece has come.
type brokenKind uint8

const (
	brokenTimeout brokenKind = iota // the next piece didn't come in time; also a last line without a newline
	brokenClosed                    // the connection was closed; the usual end of a container without a newline
	brokenTooLong                   // join_max_bytes
	brokenFull                      // too many lines are held
	brokenGap                       // a piece is missing
	brokenDisk                      // an acked piece could not be stored
	brokenStop                      // the input stops
	brokenKinds
)

var brokenNames = [brokenKinds]string{"timeout", "closed", "too_long", "full", "gap", "disk", "shutdown"}

// A joiner holds the lines of which pieces are missing, for all connections. It is safe for concurrent use.
//
// A line that is done leaves the joiner with the batch that it is added to. When the batch is stored, the line is
// forgotten; else it comes back.
type joiner struct {
	files   *pieceFiles
	count   *counters
	changed chan struct{} // tells the sweeper that there is something to wait for

	mu      sync.Mutex
	maxLine int
	timeout time.Duration
	lines   map[lineKey]*list.Element // of *line
	order   list.List                 // longest untouched first
	bytes   int64
}

func newJoiner(opts *Options, files *pieceFiles, count *counters) *joiner {
	return &joiner{
		maxLine: int(opts.JoinMaxBytes), timeout: opts.JoinTimeout, files: files, count: count,
		changed: make(chan struct{}, 1), lines: map[lineKey]*list.Element{},
	}
}

// change takes over the join options, also for lines that are held.
func (j *joiner) change(opts *Options) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.maxLine, j.timeout = int(opts.JoinMaxBytes), opts.JoinTimeout
	j.wake()
}

func (j *joiner) held() (int, int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.order.Len(), j.bytes
}

// add takes a piece from a connection and returns the lines that are to be passed on now. file is where the piece is
// kept, "" when its message asks for no ack.
func (j *joiner) add(owner *conn, at stamp, p piece, rec []byte, file string) (done []*line) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if e := j.lines[p.key]; e != nil {
		l := e.Value.(*line)
		switch {
		case p.ordinal <= l.ordinal: // sent again after a lost ack
			if file != "" && !slices.Contains(l.files, file) {
				j.bytes += fileOverhead
				l.files = append(l.files, file)
			}
			if l.done && p.ordinal == l.ordinal {
				done = append(done, j.take(e))
			}
			return done
		case p.ordinal != l.ordinal+1:
			done = append(done, j.breakOff(e, brokenGap))
		case len(l.log)+len(p.log) > j.maxLine, l.pieces*leastPiece > j.maxLine:
			done = append(done, j.breakOff(e, brokenTooLong))
		}
	}
	e := j.lines[p.key]
	if e == nil {
		e = j.order.PushBack(newLine(p, at, rec))
		j.lines[p.key] = e
		j.bytes += e.Value.(*line).size()
	}
	l := e.Value.(*line)
	j.bytes -= l.size()
	l.log = append(l.log, p.log...)
	l.pieces++
	l.ordinal, l.owner, l.touched = p.ordinal, owner, time.Now()
	if file != "" {
		l.files = append(l.files, file)
	}
	j.bytes += l.size()
	j.order.MoveToBack(e)
	if p.last {
		l.done = true
		j.count.joined.Add(1)
		return append(done, j.take(e))
	}
	for j.bytes > maxHeldBytes || j.order.Len() > maxHeldLines {
		done = append(done, j.breakOff(j.order.Front(), brokenFull))
	}
	if j.order.Len() == 1 {
		j.wake()
	}
	return done
}

// cutOff takes the line of a key, if there is one.
func (j *joiner) cutOff(key lineKey, why brokenKind) []*line {
	j.mu.Lock()
	defer j.mu.Unlock()
	if e := j.lines[key]; e != nil {
		return []*line{j.breakOff(e, why)}
	}
	return nil
}

func (j *joiner) breakOff(e *list.Element, why brokenKind) *line {
	if !e.Value.(*line).done {
		j.count.broken[why].Add(1)
	}
	return j.take(e)
}

func (j *joiner) take(e *list.Element) *line {
	l := j.order.Remove(e).(*line)
	delete(j.lines, l.key)
	j.bytes -= l.size()
	l.owner = nil
	return l
}

// restore takes back lines whose batch was not stored. They count as untouched since they left.
func (j *joiner) restore(lines []*line) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, l := range slices.Backward(lines) {
		if j.lines[l.key] != nil { // a new line under this key has begun
			j.count.errors[errPieces].Add(1)
			continue
		}
		j.lines[l.key] = j.order.PushFront(l)
		j.bytes += l.size()
	}
	j.wake()
}

// forget ends lines whose batch was stored.
func (j *joiner) forget(lines []*line) {
	for _, l := range lines {
		j.files.remove(l.files)
	}
}

// owned takes the lines of a connection that ends.
func (j *joiner) owned(c *conn, why brokenKind) (out []*line) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for e := j.order.Front(); e != nil; {
		next := e.Next()
		if e.Value.(*line).owner == c {
			out = append(out, j.breakOff(e, why))
		}
		e = next
	}
	return out
}

// disown keeps the lines of a connection that broke: its next pieces may come over another one.
func (j *joiner) disown(c *conn) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for e := j.order.Front(); e != nil; e = e.Next() {
		if l := e.Value.(*line); l.owner == c {
			l.owner = nil
		}
	}
}

// expired takes the lines that have not been touched for the timeout, and says when the next one is due (zero: none).
func (j *joiner) expired(now time.Time) (out []*line, next time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for e := j.order.Front(); e != nil; e = j.order.Front() {
		due := e.Value.(*line).touched.Add(j.timeout)
		if now.Before(due) {
			return out, due
		}
		out = append(out, j.breakOff(e, brokenTimeout))
	}
	return out, next
}

// all takes all lines.
func (j *joiner) all(why brokenKind) (out []*line) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for e := j.order.Front(); e != nil; e = j.order.Front() {
		out = append(out, j.breakOff(e, why))
	}
	return out
}

func (j *joiner) wake() {
	select {
	case j.changed <- struct{}{}:
	default:
	}
}

// sweep passes on lines whose next piece doesn't come, until ctx ends. deliver gets each batch.
func (j *joiner) sweep(ctx context.Context, deliver func([]*line) error) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		lines, next := j.expired(time.Now())
		changed := j.changed
		if len(lines) > 0 && deliver(lines) != nil {
			next, changed = time.Now().Add(time.Second), nil // they are back, and due at once
		}
		if timer.Stop(); !next.IsZero() {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-changed: // a later line is due later: only the first one says so
		}
	}
}

// piece holds a piece of a line back, and adds the lines that are whole now to the batch. It reports false when the
// record is no piece that can be joined.
func (c *conn) piece(tag string, at stamp, rec []byte, keep bool) bool {
	p, ok := readPiece(tag, rec)
	if !ok {
		return false
	}
	c.owns = true
	file := ""
	var disk error
	if keep && !p.last {
		file, disk = c.in.join.files.write(at, p, rec)
	}
	done := c.in.join.add(c, at, p, rec, file)
	if disk != nil { // it may not be acked while only memory holds it
		c.in.fail(errPieces, c.peer, disk)
		done = append(done, c.in.join.cutOff(p.key, brokenDisk)...)
	}
	for _, l := range done {
		c.batch().addLine(l)
	}
	return true
}

// letGo passes on what is held for a connection that ends. When it ended in the middle of something, the client will
// go on over another connection, and the lines stay for join_timeout.
func (c *conn) letGo(err error, cut bool) {
	if !c.owns {
		return
	}
	if cut || !isEnd(err) {
		c.in.join.disown(c)
		return
	}
	if lines := c.in.join.owned(c, brokenClosed); len(lines) > 0 {
		c.in.deliverLines(lines)
	}
}
