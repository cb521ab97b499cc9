package buffer

import (
	"context"
	"errors"
	"fmt"
)

// AwaitOpen waits until a buffer's directory is open, or can't be opened. A buffer in memory is open.
func AwaitOpen(ctx context.Context, b Buffer) error {
	q, ok := b.(*queue)
	if !ok || q.disk == nil {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.awaitOpen(ctx); err != nil {
		return err
	}
	if q.disk.opened {
		return nil
	}
	if text := q.disk.problem(); text != "" {
		return fmt.Errorf("open buffer %q: %s", q.name, text)
	}
	return errors.New("open buffer: it can't be used")
}
