package destination

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

// numberKey groups by the last digit of an event.
type numberKey struct{}

func (numberKey) AppendKey(dst []byte, e record.Event) []byte {
	s := textOf(e)
	return append(dst, s[len(s)-1])
}
func (numberKey) PerEvent() bool { return true }

func TestBatchesHoldOneKey(t *testing.T) {
	for name, shape := range map[string]outputs.Shape{
		"by event":          {Key: numberKey{}},
		"by event, encoded": {Key: numberKey{}, Encode: lines},
		"by chunk":          {Key: tagKey{}},
		"by chunk, encoded": {Key: tagKey{}, Encode: lines},
		"by tag of event":   {Key: tagKey{perEvent: true}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := newFake(nil)
				out.shape = shape
				out.shape.MaxBytes, out.shape.MaxEvents, out.shape.Linger = 2000, 7, time.Millisecond
				r := start(t, out)
				for i := range 30 {
					r.append(text(fmt.Sprint("t", i%3), i*10, 10))
				}
				r.await(time.Minute)
				r.close()
				last := map[string]int{}
				for _, q := range out.log() {
					if len(q.events) > 7 {
						t.Errorf("batch of %d events", len(q.events))
					}
					for _, e := range q.events {
						tag, n, _ := strings.Cut(e, "/")
						key := tag
						if _, ok := shape.Key.(numberKey); ok {
							key = n[len(n)-1:]
						}
						if key != q.key {
							t.Errorf("event %s is in a batch of key %q", e, q.key)
						}
						var i int
						fmt.Sscan(n, &i)
						if at := q.key + tag; i < last[at] {
							t.Errorf("%s came after %d", e, last[at])
						} else {
							last[at] = i
						}
					}
				}
				if got := out.got(); len(got) != 300 {
					t.Errorf("delivered %d", len(got))
				}
			})
		})
	}
}

// A key that always fails must not keep the others from being tried, not even behind an open breaker.
func TestAKeyThatFailsLeavesTheOthersTheirTurn(t *testing.T) {
	for _, class := range []outputs.Class{outputs.Transient, outputs.Held} {
		synctest.Test(t, func(t *testing.T) {
			out := newFake(func(_ context.Context, r request) outputs.Result {
				if r.key == "bad" {
					return fail(class)
				}
				return outputs.Result{}
			})
			out.shape.Key, out.shape.Encode = tagKey{}, lines
			r := start(t, out)
			r.append(text("bad", 0, 3))
			time.Sleep(10 * time.Minute)
			if s := r.d.Stats(); s.Breaker == "closed" {
				t.Errorf("nothing is delivered: %+v", s)
			}
			r.append(text("bad", 3, 3), text("good", 0, 3), text("fine", 0, 3))
			time.Sleep(10 * time.Minute)
			got := out.got()
			slices.Sort(got)
			if want := []string{"fine/0", "fine/1", "fine/2", "good/0", "good/1", "good/2"}; !slices.Equal(got, want) {
				t.Errorf("delivered %v, want %v", got, want)
			}
			if s := r.d.Stats(); s.Error == "" || s.Buffer.Buffered != 6 {
				t.Errorf("%+v", s)
			}
			r.close()
		})
	}
}

func TestADeadServerIsNotAskedForEveryKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newFake(always(refused))
		out.shape.Key, out.shape.Linger = tagKey{}, time.Millisecond
		r := start(t, out)
		for i := range 500 {
			r.append(text(fmt.Sprint("t", i), 0, 1))
		}
		time.Sleep(time.Hour)
		r.stop()
		early, late := 0, 0
		for _, q := range out.log() {
			if q.at < time.Minute {
				early++
			} else {
				late++
			}
		}
		if early > 10*maxParcelFailures || late > 500 {
			t.Errorf("%d requests in the first minute, %d in the hour after it", early, late)
		}
	})
}

// Events of a failing key stay leased, and the memory around them with it: that is bounded.
func TestLeasesLieWithinReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newFake(func(_ context.Context, r request) outputs.Result {
			if r.key == "bad" {
				return refused
			}
			return outputs.Result{}
		})
		out.shape.Key, out.shape.MaxBytes = tagKey{}, 64<<10
		r := start(t, out)
		big := text("good", 0, 3000)
		sent := 0
		for sent < 4*minReach {
			r.append(text("bad", 0, 1), big)
			sent += len(big.Data)
			time.Sleep(10 * time.Second)
		}
		time.Sleep(time.Hour)
		s := r.buf.Stats()
		if d := int(s.Delivered) / 3000 * len(big.Data); d > minReach+len(big.Data) || d < minReach/2 {
			t.Errorf("%d bytes were delivered behind an event that fails", d)
		}
		r.stop()
	})
}
