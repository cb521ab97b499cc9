package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/destination"
	"github.com/firebreak/firebreak/internal/jsonmp"
	"github.com/firebreak/firebreak/record"
)

// event returns a chunk of one event whose record is given in JSON.
func event(t *testing.T, tag, text string) record.Chunk {
	t.Helper()
	rec, err := jsonmp.Append(nil, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_700_000_000, 5)
	return record.Chunk{Tag: tag, Arrived: at, Oldest: at, Newest: at, Events: 1, Data: record.AppendEntry(nil, at, rec)}
}

// give hands events to the router as an input would.
func (r *underTest) give(t *testing.T, chunks ...record.Chunk) {
	t.Helper()
	if err := r.accept(r.now.Load().input("docker"))(t.Context(), chunks); err != nil {
		t.Fatal(err)
	}
}

func dump(t *testing.T, store *buffer.Dead) (lines []EventLine) {
	t.Helper()
	if err := store.Read(func(l buffer.DeadLetter) error {
		it := record.Iterate(&l.Chunk)
		for i := uint64(0); it.Next(); i++ {
			line, id := LineOf(it.Event(), false), l.First+i
			line.ID, line.Reason, line.Detail = &id, l.Reason, l.Detail
			lines = append(lines, line)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return lines
}

func jsonLines(t *testing.T, lines []EventLine) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// Dead letters of every reason that an output or a processor gives are dumped, repaired where they need it, and
// replayed: each is delivered once, and counted.
func TestDeadLettersOfEveryReasonAreReplayed(t *testing.T) {
	t.Parallel()
	dir, logs := t.TempDir(), t.TempDir()
	r := start(t, head(dir)+fmt.Sprintf(`
routes:
  - { name: all, to: [files], processors: [ { name: guard, size_guard: { max_bytes: 200, action: dead_letter } } ] }
outputs:
  files: { type: file, path: %q, max_new_files: 2 }
`, logs+"/${record.name}.log"))
	awaitControl(t, dir)
	events := []record.Chunk{
		event(t, "a", `{"name":"one","log":"1"}`),
		event(t, "a", `{"name":"two","log":"2"}`),
		event(t, "a", `{"name":"three","log":"3"}`),                                     // too_many_files
		event(t, "a", fmt.Sprintf(`{"name":"one","log":%q}`, strings.Repeat("4", 300))), // too_large
		event(t, "a", `{"name":"one","log":"5"}`),
	}
	r.give(t, events...)
	store := r.now.Load().target("files").dead
	// What no output at hand refuses goes to the store as a destination would put it there.
	for _, reason := range []string{destination.ReasonEncode, destination.ReasonRejected} {
		c := event(t, "a", `{"name":"one","log":"`+reason+`"}`)
		c.Route = "all"
		if err := store.Append(c, reason, "the other side said so"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() string {
		if s := store.Stats(); s.Events != 4 {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
	lines := dump(t, store.Dead)
	reasons := map[string]int{}
	for i := range lines {
		reasons[lines[i].Reason]++
		lines[i].Record = json.RawMessage(strings.NewReplacer(strings.Repeat("4", 300), "4", `"three"`, `"two"`).Replace(string(lines[i].Record)))
	}
	if fmt.Sprint(reasons) != "map[encode:1 rejected:1 too_large:1 too_many_files:1]" {
		t.Fatalf("reasons: %v", reasons)
	}
	c := control(t, dir)
	for i, want := range []string{`"replayed":4,"skipped":0`, `"replayed":0,"skipped":4`} { // the second time there is nothing left
		res, err := c.Post("http://control/replay?from=files&repaired=1", "application/jsonl", strings.NewReader(jsonLines(t, lines)))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if !strings.Contains(string(text), want) || !strings.Contains(string(text), `"done":true`) {
			t.Fatalf("replay %d: %s", i, text)
		}
	}
	eventually(t, func() string {
		one, _ := os.ReadFile(filepath.Join(logs, "one.log"))
		two, _ := os.ReadFile(filepath.Join(logs, "two.log"))
		for text, n := range map[string]int{`"log":"1"`: 1, `"log":"4"`: 1, `"log":"5"`: 1, `"log":"encode"`: 1, `"log":"rejected"`: 1} {
			if strings.Count(string(one), text) != n {
				return fmt.Sprintf("%s in\n%s", text, one)
			}
		}
		if strings.Count(string(two), `"log":"3"`) != 1 {
			return string(two)
		}
		return ""
	})
	if d := r.page().dest("files"); d.Replayed != 4 || d.Offered != 5+4 || d.Delivered != 7 || sum(d.DeadLettered) != 2 || d.Buffered != 0 || d.DeadKept != 0 {
		t.Errorf("%+v", d)
	}
}

// An orphan goes to another output, from its buffer and its dead letters, and is gone then.
func TestOrphanIsReplayed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	agg := aggregator(t, "127.0.0.1:0")
	old := head(dir) + `
outputs: { old: { type: forward, servers: ["127.0.0.1:9"] } }
`
	r := start(t, old)
	l := send(t, r.addr(), 3000, 0)
	if err := r.now.Load().target("old").dead.Append(event(t, "dead", `{"log":"x"}`), "rejected", ""); err != nil {
		t.Fatal(err)
	}
	r.end()
	r = start(t, head(dir)+fmt.Sprintf(`
outputs: { new: { type: forward, servers: [%q] } }
`, agg.Addr()))
	awaitControl(t, dir)
	eventually(t, func() string {
		if list := r.page().Orphans; len(list) != 1 || list[0].DeadBytes == 0 {
			return fmt.Sprint(list)
		}
		return ""
	})
	for _, c := range []struct {
		q    Replay
		says string
	}{
		{Replay{From: "old"}, `no output is called "old"; there are: new; say with --to`},
		{Replay{From: "odl", To: "new"}, "there is neither an output nor an orphan of that name"},
		{Replay{From: "old", To: "nwe"}, `no output is called "nwe"`},
	} {
		if err := r.Replay(t.Context(), c.q, func(ReplayProgress) {}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c.q, err)
		}
	}
	var last ReplayProgress
	if err := r.Replay(t.Context(), Replay{From: "old", To: "new"}, func(p ReplayProgress) { last = p }); err != nil || !last.Done || last.Replayed != l.Sent()+1 {
		t.Fatalf("%+v %v", last, err)
	}
	eventually(t, func() string {
		if c := agg.Counts(); c.Events != l.Sent()+1 || c.Disorder > 0 || c.Foreign != 1 {
			return fmt.Sprintf("%+v", c)
		}
		return ""
	})
	s := r.page()
	balance(t, s)
	if len(s.Orphans) > 0 || s.dest("new").Replayed != l.Sent()+1 {
		t.Errorf("%+v", s)
	}
	for _, kind := range []string{"buffers", "dead"} {
		if _, err := os.Stat(filepath.Join(dir, kind, "old")); !os.IsNotExist(err) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// A replay that is cut off goes on where it stopped; one into a full buffer waits, and pushes nothing out.
func TestReplayGoesOnAndWaitsForRoom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	agg := aggregator(t, "127.0.0.1:0")
	old := head(dir) + `
outputs: { old: { type: forward, servers: ["127.0.0.1:9"] } }
`
	r := start(t, old)
	l := send(t, r.addr(), 20000, 0)
	r.end()
	small := head(dir) + `
outputs: { new: { type: forward, servers: ["127.0.0.1:9"], buffer: { max_bytes: 2MiB } } }
`
	r, reload := reloadable(t, small)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var at ReplayProgress
	err := r.Replay(ctx, Replay{From: "old", To: "new"}, func(p ReplayProgress) {
		at = p
		if p.Waiting != "" {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || at.Replayed == 0 || at.Replayed >= l.Sent() {
		t.Fatalf("%v %+v", err, at)
	}
	if res := reload(strings.Replace(small, "127.0.0.1:9", agg.Addr(), 1)); !res.OK {
		t.Fatal(res.Error)
	}
	first := at.Replayed
	if err := r.Replay(t.Context(), Replay{From: "old", To: "new"}, func(p ReplayProgress) { at = p }); err != nil || first+at.Replayed != l.Sent() {
		t.Fatalf("%v: %d and then %+v of %d", err, first, at, l.Sent())
	}
	eventually(t, func() string {
		if c := agg.Counts(); c.Events != l.Sent() || c.Disorder > 0 || c.Duplicates > 0 {
			return fmt.Sprintf("%+v of %d", c, l.Sent())
		}
		return ""
	})
	if d := r.page().dest("new"); sum(d.Shed) > 0 || d.Offered != l.Sent() {
		t.Errorf("%+v", d)
	}
}

// While no router runs, what is replayed waits in the destination's buffer for the next one.
func TestReplayStopped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	agg := aggregator(t, "127.0.0.1:0")
	yaml := head(dir) + fmt.Sprintf(`
outputs: { new: { type: forward, servers: [%q] }, mem: { type: "null", buffer: { type: memory } } }
routes: [ { name: all, to: [new, mem] } ]
`, agg.Addr())
	r := start(t, yaml)
	store := r.now.Load().target("new").dead
	for i := range 30 {
		if err := store.Append(event(t, "t", fmt.Sprintf(`{"log":"%d"}`, i)), []string{"rejected", "encode", "too_large"}[i%3], ""); err != nil {
			t.Fatal(err)
		}
	}
	cfg := parse(t, yaml, nil)
	if err := ReplayStopped(t.Context(), cfg, nil, Replay{From: "new"}, func(ReplayProgress) {}); !errors.Is(err, ErrRunning) {
		t.Fatalf("while a router runs: %v", err)
	}
	r.end()
	var p ReplayProgress
	see := func(q ReplayProgress) { p = q }
	if err := ReplayStopped(t.Context(), cfg, nil, Replay{From: "new", Reasons: []string{"rejected", "encode"}}, see); err != nil || p.Replayed != 20 || p.Skipped != 10 {
		t.Fatalf("%+v %v", p, err)
	}
	if err := ReplayStopped(t.Context(), cfg, nil, Replay{From: "new", To: "mem"}, see); err == nil || !strings.Contains(err.Error(), "in memory") {
		t.Errorf("%v", err)
	}
	r = start(t, yaml)
	eventually(t, func() string {
		if c := agg.Counts(); c.Foreign != 20 || c.Duplicates > 0 {
			return fmt.Sprintf("%+v", c)
		}
		return ""
	})
	eventually(t, func() string {
		if d := r.page().dest("new"); d.DeadKept != 10 || d.DeadReasons["too_large"] != 10 || d.Delivered != 20 {
			return fmt.Sprintf("%+v", d)
		}
		return ""
	})
}

// What a client sends as repaired is checked line by line.
func TestRepairedLinesAreChecked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := start(t, head(dir)+toNull)
	awaitControl(t, dir)
	if err := r.now.Load().target("gone").dead.Append(event(t, "t", `{"log":"x"}`), "rejected", ""); err != nil {
		t.Fatal(err)
	}
	c := control(t, dir)
	good := jsonLines(t, dump(t, r.now.Load().target("gone").dead.Dead))
	for _, q := range []struct{ text, says string }{
		{"{", "line 1: "}, {`{"record":{"log":"x"}}`, "line 1: there is no id"}, {`{"id":0}`, "line 1: there is no record"},
		{`{"id":0,"record":[1]}`, "line 1: record is not a JSON object"}, {`{"id":0,"data":"AAAA"}`, "line 1: data is not one event"},
		{good + "\n" + `{"id":"x"}`, "line 3: "}, {good, `"replayed":0,"skipped":1`}, {"", `"replayed":0,"skipped":0`},
	} {
		res, err := c.Post("http://control/replay?from=gone&repaired=1", "application/jsonl", strings.NewReader(q.text))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if !strings.Contains(string(text), q.says) {
			t.Errorf("%s: %s, want %s", q.text, text, q.says)
		}
	}
	if d := r.page().dest("gone"); d.Replayed != 1 {
		t.Errorf("%d replayed", d.Replayed)
	}
	if code, text := ask(t, c, http.MethodPost, "/replay"); code != http.StatusBadRequest || !strings.Contains(text, "from is missing") {
		t.Errorf("%d %s", code, text)
	}
}

func TestIDs(t *testing.T) {
	var s ids
	s.add(10, 3)
	s.add(13, 2)
	s.add(20, 1)
	for _, c := range []struct {
		id   uint64
		have bool
	}{{9, false}, {12, true}, {12, false}, {10, true}, {14, true}, {15, false}, {20, true}, {20, false}, {11, true}, {13, true}, {13, false}} {
		if got := s.take(c.id); got != c.have {
			t.Errorf("take %d: %v", c.id, got)
		}
	}
	if len(s) != 0 {
		t.Errorf("left: %v", s)
	}
}
