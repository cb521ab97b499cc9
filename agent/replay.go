package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/record"
)

// replayGroup bounds what is offered in one append, in bytes.
const replayGroup = 1 << 20

// A Replay says which events are to be offered again, and to whom. Everything is kept until the destination has it:
// who is interrupted asks again and goes on where it stopped.
type Replay struct {
	From    string   // an output, or what one has left behind that isn't configured any more
	To      string   // an output; "": From
	Reasons []string // only dead letters with one of these reasons
	Dead    bool     // of an orphan: only its dead letters, not what is in its buffer
	// Repaired are dead letters as JSON lines (see EventLine), each with its id: they go instead of the originals.
	Repaired io.Reader
}

// A ReplayProgress says how far a replay is.
type ReplayProgress struct {
	Replayed uint64 `json:"replayed"` // events
	Skipped  uint64 `json:"skipped"`  // events: not asked for, or replayed before
	Bytes    uint64 `json:"bytes"`
	Waiting  string `json:"waiting,omitempty"` // for what
	Done     bool   `json:"done"`
	Error    string `json:"error,omitempty"`
}

// A replayer offers events to one destination.
type replayer struct {
	a      *Agent
	to     *target
	report func(ReplayProgress)
	p      ReplayProgress
	said   time.Time
}

// Replay offers events again, as r says, and reports how far it is, at least once a second. Events count as offered
// and replayed of the destination that gets them.
func (a *Agent) Replay(ctx context.Context, r Replay, report func(ReplayProgress)) error {
	if r.To == "" {
		r.To = r.From
	}
	asked := ctx
	ctx, end := a.replays.begin(ctx, r.From)
	if end == nil {
		return fmt.Errorf("replay %q: another replay of it is under way, or a reload that adds or removes it", r.From)
	}
	defer end()
	s := a.now.Load()
	from := s.target(r.From)
	to := s.target(r.To)
	if to == nil {
		var names []string
		for _, c := range s.cfg.Outputs {
			names = append(names, c.Name)
		}
		err := isOneOf("output", r.To, names)
		if r.To == r.From {
			return fmt.Errorf("%w; say with --to where its events are to go", err)
		}
		return err
	}
	x := &replayer{a: a, to: to, report: report}
	err := x.run(ctx, r, from)
	if err != nil && errors.Is(context.Cause(asked), errStopping) {
		err = fmt.Errorf("%w: call it again when it runs, and it goes on where it stopped", errStopping)
	} else if err != nil && ctx.Err() != nil && asked.Err() == nil {
		err = fmt.Errorf("a reload removes output %q: replay what it leaves with --to", r.From)
	}
	x.p.Done, x.p.Waiting = err == nil, ""
	if err != nil {
		x.p.Error = err.Error()
	}
	report(x.p)
	if a.phase.get() == running {
		a.noteOrphans()
	}
	return err
}

func (x *replayer) run(ctx context.Context, r Replay, from *target) error {
	orphan, dead := x.a.bufferDir(r.From), x.a.deadDir(r.From)
	stranded := isDir(orphan) && (from == nil || from.cfg.Buffer.Type != "disk") // nobody delivers what is in it
	if from == nil && !stranded && !isDir(dead) {
		return fmt.Errorf("replay %q: there is neither an output nor an orphan of that name; `firebreak buffer ls` lists them", r.From)
	}
	if stranded && !r.Dead && r.Repaired == nil && len(r.Reasons) == 0 {
		if err := x.buffer(ctx, orphan, r.From); err != nil {
			return err
		}
	}
	if from != nil {
		return x.dead(ctx, from.dead.Dead, r)
	}
	if !isDir(dead) {
		return nil
	}
	store := buffer.NewDead(dead, 1<<40, nil, x.a.parts.log)
	if err := x.dead(ctx, store, r); err != nil {
		return errors.Join(err, store.Close())
	}
	left := store.Stats().Events
	if err := store.Close(); err != nil {
		return err
	}
	if left == 0 {
		return os.RemoveAll(dead)
	}
	return nil
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// buffer moves what an orphan's buffer holds.
func (x *replayer) buffer(ctx context.Context, dir, name string) error {
	buf, err := buffer.OpenDisk(buffer.DiskOptions{Dir: dir, Name: name, MaxBytes: 1 << 40, Log: x.a.parts.log})
	if err != nil {
		return err
	}
	left, err := x.drain(ctx, buf)
	closing, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err = errors.Join(err, buf.Close(closing)); err != nil || left > 0 {
		return err
	}
	return os.RemoveAll(dir)
}

func (x *replayer) drain(ctx context.Context, buf buffer.Buffer) (left uint64, err error) {
	if err := buffer.AwaitOpen(ctx, buf); err != nil {
		return 1, err
	}
	for {
		left = buf.Stats().Buffered
		if left == 0 {
			return 0, nil
		}
		first, err := buf.Next(ctx)
		if err != nil {
			return left, err
		}
		leases, chunks, size := []*buffer.Lease{first}, []record.Chunk{first.Chunk}, len(first.Chunk.Data)
		for size < x.group() {
			l := buf.TryNext()
			if l == nil {
				break
			}
			if int64(size+len(l.Chunk.Data)) > x.most() {
				l.Return()
				break
			}
			leases, chunks, size = append(leases, l), append(chunks, l.Chunk), size+len(l.Chunk.Data)
		}
		if err = x.room(ctx, size); err == nil {
			err = x.offer(ctx, chunks)
		}
		for _, l := range leases {
			if err != nil {
				l.Return()
			} else {
				l.End(buffer.Settled{To: l.Chunk.Events, Fate: buffer.Moved, Reason: x.to.Name()})
			}
		}
		if err != nil {
			return left, err
		}
	}
}

// dead offers dead letters, as they are or repaired.
func (x *replayer) dead(ctx context.Context, store *buffer.Dead, r Replay) error {
	if r.Repaired != nil {
		return x.repaired(ctx, store, r.Repaired)
	}
	var group []buffer.DeadLetter
	size := 0
	flush := func() error {
		err := x.settle(ctx, store, group)
		group, size = group[:0], 0
		return err
	}
	err := store.Read(func(l buffer.DeadLetter) error {
		if len(r.Reasons) > 0 && !slices.Contains(r.Reasons, l.Reason) {
			x.p.Skipped += uint64(l.Chunk.Events)
			return nil
		}
		l.Chunk.Data = slices.Clone(l.Chunk.Data)
		group, size = append(group, l), size+len(l.Chunk.Data)
		if size < x.group() && len(group) < 1024 {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// settle offers dead letters, and notes then that they were. It offers none that can't be noted.
func (x *replayer) settle(ctx context.Context, store *buffer.Dead, group []buffer.DeadLetter) error {
	if len(group) == 0 {
		return nil
	}
	n, full := store.Settleable(group)
	for group = group[:n]; len(group) > 0; group = group[n:] {
		size := len(group[0].Chunk.Data)
		for n = 1; n < len(group) && int64(size+len(group[n].Chunk.Data)) <= x.most(); n++ {
			size += len(group[n].Chunk.Data)
		}
		if err := x.settleAtOnce(ctx, store, group[:n], size); err != nil {
			return err
		}
	}
	return full
}

func (x *replayer) settleAtOnce(ctx context.Context, store *buffer.Dead, group []buffer.DeadLetter, size int) error {
	chunks := make([]record.Chunk, len(group))
	for i := range group {
		chunks[i] = group[i].Chunk
	}
	if err := x.room(ctx, size); err != nil {
		return err
	}
	if err := x.offer(ctx, chunks); err != nil {
		return err
	}
	for i := 0; i < len(group); {
		first, n := group[i].First, 0
		for ; i < len(group) && group[i].First == first+uint64(n); i++ {
			n += group[i].Chunk.Events
		}
		if err := store.Settle(first, n, buffer.Replayed); err != nil {
			return fmt.Errorf("%d events were offered and can't be marked so; the next replay offers them again: %w", n, err)
		}
	}
	return nil
}

// maxRepaired is the longest line of a file with repaired dead letters, in bytes.
const maxRepaired = 64 << 20

// repaired offers dead letters that somebody has changed, and settles the originals.
func (x *replayer) repaired(ctx context.Context, store *buffer.Dead, lines io.Reader) error {
	var open ids // of what is not settled
	if err := store.Read(func(l buffer.DeadLetter) error {
		open.add(l.First, l.Chunk.Events)
		return nil
	}); err != nil {
		return err
	}
	in := bufio.NewScanner(lines)
	in.Buffer(make([]byte, 64<<10), maxRepaired)
	var group []buffer.DeadLetter
	size := 0
	for n := 1; in.Scan(); n++ {
		if len(in.Bytes()) == 0 {
			continue
		}
		var l EventLine
		err := json.Unmarshal(in.Bytes(), &l)
		if err == nil && l.ID == nil {
			err = errors.New("there is no id: keep the one that dump wrote")
		}
		var c record.Chunk
		if err == nil {
			c, err = l.Chunk()
		}
		if err != nil {
			return errors.Join(x.settle(ctx, store, group), fmt.Errorf("line %d: %w; what is before it was replayed, and is skipped next time", n, err))
		}
		if !open.take(*l.ID) {
			x.p.Skipped++
			continue
		}
		group, size = append(group, buffer.DeadLetter{First: *l.ID, Chunk: c}), size+len(c.Data)
		if size < x.group() && len(group) < 1024 {
			continue
		}
		if err := x.settle(ctx, store, group); err != nil {
			return err
		}
		group, size = group[:0], 0
	}
	return errors.Join(x.settle(ctx, store, group), in.Err())
}

func (x *replayer) offer(ctx context.Context, chunks []record.Chunk) error {
	if err := (moveTo{x.to}).Append(ctx, chunks); err != nil {
		return fmt.Errorf("offer events to %q: %w", x.to.Name(), err)
	}
	n := uint64(0)
	for i := range chunks {
		n += uint64(chunks[i].Events)
		x.p.Bytes += uint64(len(chunks[i].Data))
	}
	x.p.Replayed += n
	x.to.replayed.Add(n)
	x.say("")
	return nil
}

// group bounds what is offered in one append, in bytes.
func (x *replayer) group() int { return int(min(replayGroup, x.to.Stats().Buffer.MaxBytes/8)) }

// most is the most that room is made for, in bytes.
func (x *replayer) most() int64 { return x.to.Stats().Buffer.MaxBytes / 2 }

// room waits until the destination's buffer is at most half full, and has a disk if it is on disk: what is replayed must
// not push out what is new, nor leave the disk for memory. It fails when the buffer can never take so many bytes.
func (x *replayer) room(ctx context.Context, size int) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		s := x.to.Stats().Buffer
		why := ""
		switch {
		case x.to.removed.Load():
			return fmt.Errorf("offer events to %q: a reload has removed it", x.to.Name())
		case int64(size) > x.most():
			return fmt.Errorf("offer events to %q: %d KiB at once are more than half of its buffer: raise buffer.max_bytes", x.to.Name(), size>>10)
		case s.Volatile && x.to.cfg.Buffer.Type == "disk":
			why = "its disk can't be used"
		case s.Full || s.Bytes > s.MaxBytes/2 || s.Bytes+int64(size) > s.MaxBytes/8*5: // a part of it may be files in use
			why = "its buffer is half full"
		default:
			return ctx.Err()
		}
		if x.a.phase.get() != running {
			return fmt.Errorf("offer events to %q: %s; start the router and replay the rest then", x.to.Name(), why)
		}
		x.say(fmt.Sprintf("for room in %q: %s", x.to.Name(), why))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// say reports how far it is, not too often.
func (x *replayer) say(waiting string) {
	if time.Since(x.said) < 500*time.Millisecond && waiting == x.p.Waiting {
		return
	}
	x.said, x.p.Waiting = time.Now(), waiting
	x.report(x.p)
}
