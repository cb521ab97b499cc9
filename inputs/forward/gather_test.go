package forward

import (
	"testing"
	"time"

	"github.com/firebreak/firebreak/record"
	"pgregory.net/rapid"
)

// A batch has one chunk for each tag, with all events of the tag in order and times that bound them.
func TestGatherKeepsEventsOrderAndTimes(t *testing.T) {
	var b batch
	rapid.Check(t, func(t *rapid.T) {
		tags := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 1, 200).Draw(t, "tags")
		want := map[string][]byte{}
		events := map[string]int{}
		for i, tag := range tags {
			s := stamp{sec: uint32(1700000000 + (i*7919)%100)}
			before := len(b.out)
			b.add(tag, s, []byte{0x81, 0xa1, 'n', byte(i % 100)})
			want[tag] = append(want[tag], b.out[before:]...)
			events[tag]++
		}
		chunks := b.seal(nil, time.Now())
		if len(chunks) != len(want) {
			t.Fatalf("%d chunks of %d tags", len(chunks), len(want))
		}
		for i := range chunks {
			c := &chunks[i]
			if string(c.Data) != string(want[c.Tag]) || c.Events != events[c.Tag] {
				t.Fatalf("chunk of %q: %d events, want %d, data % x, want % x", c.Tag, c.Events, events[c.Tag], c.Data, want[c.Tag])
			}
			for it := record.Iterate(c); it.Next(); {
				if at := it.Event().Time(); at.Before(c.Oldest) || at.After(c.Newest) {
					t.Fatalf("%v is outside of %v to %v", at, c.Oldest, c.Newest)
				}
			}
		}
		clear(b.chunks)
		b = batch{gather: b.gather, out: b.out[:0], chunks: b.chunks[:0], ends: b.ends[:0]}
	})
}

func BenchmarkAlternatingTags(b *testing.B) {
	rec := docker("x", "some text of a log line", []byte{0x80})
	var bt batch
	tags := [3]string{"a", "b", "c"}
	b.ReportAllocs()
	for b.Loop() {
		for i := range 600 {
			bt.addRaw(tags[i%3], stamp{sec: 1}, rec)
		}
		bt.seal(nil, time.Time{})
		bt = batch{gather: bt.gather, out: bt.out[:0], chunks: bt.chunks[:0], ends: bt.ends[:0]}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/600, "ns/event")
}
