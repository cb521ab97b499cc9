package demo

import (
	"strings"
	"testing"
	"time"
)

func TestTally(t *testing.T) {
	for _, c := range []struct {
		name string
		come []uint64
		sent uint64
		want counts
		lost uint64
	}{
		{"all in order", []uint64{1, 2, 3}, 3, counts{received: 3}, 0},
		{"one is missing", []uint64{1, 3}, 3, counts{received: 2}, 1},
		{"the last are missing", []uint64{1}, 130, counts{received: 1}, 129},
		{"none came", nil, 64, counts{}, 64},
		{"twice", []uint64{1, 2, 1, 2, 3}, 3, counts{received: 3, again: 2}, 0},
		{"changed places", []uint64{2, 1, 3}, 3, counts{received: 3, disordered: 1}, 0},
		{"numbers that nobody sent", []uint64{0, maxLine + 1, 1}, 1, counts{received: 1, strange: 2}, 0},
		{"over a word", []uint64{63, 64, 65}, 65, counts{received: 3}, 62},
	} {
		tally := newTally()
		for _, n := range c.come {
			tally.add([]byte("/web"), n, time.Now())
		}
		if got := tally.counts(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		if lost := tally.missing(map[string]uint64{"/web": c.sent}); lost != c.lost {
			t.Errorf("%s: %d lost, want %d", c.name, lost, c.lost)
		}
	}
}

func TestTallyOfLateLines(t *testing.T) {
	tally, at := newTally(), time.Unix(100, 0)
	web, api := []byte("/web"), []byte("/api")
	tally.arrive(at)
	tally.add(web, 1, at)
	if n := tally.waiting(map[string]uint64{"/web": 3, "/api": 1}); n != 3 {
		t.Errorf("%d wait, want 3", n)
	}
	tally.enter(after)
	at = at.Add(7 * time.Second)
	tally.arrive(at)
	tally.add(web, 1, at)
	tally.add(web, 2, at)
	tally.add(web, 3, at)
	tally.add(web, 4, at)
	if c := tally.counts(); c.late != 2 || c.lateLeft != 1 || !c.lateDone.IsZero() || c.pauses != [phases]time.Duration{after: 7 * time.Second} {
		t.Errorf("%+v", c)
	}
	at = at.Add(time.Second)
	tally.add(api, 1, at)
	if c := tally.counts(); c.late != 3 || c.lateLeft != 0 || !c.lateDone.Equal(at) {
		t.Errorf("%+v", c)
	}
}

func TestLinesKeepKindAndNumber(t *testing.T) {
	w := newWriter("web")
	for kind, name := range kinds {
		for _, n := range []uint64{1, 9, 10, 123_456, maxLine} {
			w.line(kind, n, time.Now())
			if got, m := parseLine(w.text); got != name || m != n {
				t.Errorf("%s: kind %q number %d, want %q %d", w.text, got, m, name, n)
			}
			if strings.ContainsAny(string(w.text), "\n\x00") || len(w.text) > 250 {
				t.Errorf("%q", w.text)
			}
		}
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add([]byte(`{"type":"audit","rid":12}`))
	f.Add([]byte("ERROR 99999999999999999999999999"))
	f.Add([]byte("}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if kind, n := parseLine(b); kind == "" && n != 0 || n > maxLine*100 {
			t.Errorf("%q: kind %q number %d", b, kind, n)
		}
	})
}
