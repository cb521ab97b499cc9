package buffer

import "testing"

// An id stays with its events over restarts, and is never given to others, even if their numbers are used again.
func TestIDsSurviveARestartAndAreNotUsedTwice(t *testing.T) {
	dir := t.TempDir()
	open := func() Buffer {
		b, err := OpenDisk(DiskOptions{Dir: dir, Name: "d", MaxBytes: 8 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := open()
	put(t, b, chunkOf("a", 0, 10))
	old := nextLease(t, b).ID
	closeNow(t, b)

	b = open()
	put(t, b, chunkOf("a", 10, 10))
	again, fresh := nextLease(t, b), nextLease(t, b)
	if again.ID != old {
		t.Errorf("id %v after the restart, %v before", again.ID, old)
	}
	if fresh.ID.Buffer == old.Buffer {
		t.Error("another process's events could get the same id")
	}
	closeNow(t, b)
}
