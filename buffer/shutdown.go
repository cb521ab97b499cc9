package buffer

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// last writes what is left when the queue is closed. A disk in trouble gets one more chance.
func (d *disk) last() {
	q := d.q
	q.mu.Lock()
	d.retryAt = time.Time{}
	q.mu.Unlock()
	for range 1 << 10 { // each time either makes progress or is the last
		if d.cycle() != 0 {
			break
		}
	}
	q.mu.Lock()
	if q.unwritten > 0 { // is lost with the process
		for _, b := range q.blocks {
			if b.written < len(b.buf) {
				q.lose(span{max(b.first, q.written), b.next}, ReasonShutdown)
			}
		}
		q.returned.remove(func(p *piece) bool { return p.num >= q.written }, func(p *piece) { q.dropPiece(p, ReasonShutdown) })
		d.dirty = true
	}
	q.mu.Unlock()
	_ = d.guard(d.writePosition)
	<-d.tidied
	if d.opened {
		_ = d.guard(func() error { d.delete(); return nil })
	}
	d.closeFiles()
	d.watch.end()
	q.mu.Lock()
	for _, w := range q.waiting { // their events could not be written
		w.done <- ErrClosed
	}
	q.waiting = nil
	q.mu.Unlock()
}

// closeFiles syncs and closes what is open.
func (d *disk) closeFiles() {
	q := d.q
	q.mu.Lock()
	files, sync := d.unsynced, q.sync != SyncNever
	if d.cur != nil && !slices.Contains(files, d.cur) {
		files = append(files, d.cur)
	}
	d.unsynced, d.cur = nil, nil
	q.mu.Unlock()
	for _, s := range files {
		if sync && !s.dropped {
			_ = s.file.Sync()
		}
		_ = s.file.Close()
	}
	if d.posFile != nil {
		if sync {
			_ = d.posFile.Sync()
			_ = d.fs.SyncDir(d.o.Dir)
		}
		_ = d.posFile.Close()
	}
	if d.lock != nil {
		_ = d.lock.Close()
	}
}

// close waits for the goroutines to end.
func (d *disk) close(ctx context.Context) error {
	q := d.q
	select {
	case q.reading <- struct{}{}:
		d.closeReader()
		<-q.reading
	default: // who reads closes
	}
	select {
	case <-d.done:
		q.mu.Lock()
		defer q.mu.Unlock()
		if d.failed != nil {
			return fmt.Errorf("close buffer %q: %w", q.name, d.failed)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close buffer %q: the disk hangs: %w", q.name, ctx.Err())
	}
}
