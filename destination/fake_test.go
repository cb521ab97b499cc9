package destination

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/internal/mp"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// text makes a chunk of events "tag/first", "tag/first+1", … of different sizes.
func text(tag string, first, n int) record.Chunk {
	c := record.Chunk{Tag: tag, Route: "r", Arrived: time.Now(), Oldest: time.Now(), Newest: time.Now(), Events: n}
	for i := range n {
		rec := mp.AppendStr(mp.AppendStr([]byte{0x82}, "log"), tag+"/"+strconv.Itoa(first+i))
		rec = mp.AppendStr(mp.AppendStr(rec, "pad"), strings.Repeat(".", (first+i)*31%60))
		c.Data = record.AppendEntry(c.Data, time.Unix(1700000000, 0), rec)
	}
	return c
}

// textOf returns what text wrote into an event.
func textOf(e record.Event) string {
	s, _, err := mp.Bytes(e.Record[1+len("log")+1:])
	if err != nil {
		return err.Error()
	}
	return string(s)
}

// texts returns the events of a batch, in order, and checks its form.
func texts(b outputs.Batch) []string {
	var out []string
	for i := range b.Chunks {
		n := 0
		it := record.Iterate(&b.Chunks[i])
		for it.Next() {
			out = append(out, textOf(it.Event()))
			n++
		}
		if n != b.Chunks[i].Events || it.Err() != nil {
			panic(fmt.Sprintf("chunk %d of the batch has %d events, claims %d: %v", i, n, b.Chunks[i].Events, it.Err()))
		}
	}
	if len(out) != b.Events || len(b.IDs) != len(b.Chunks) {
		panic(fmt.Sprintf("batch of %d events claims %d; %d chunks, %d ids", len(out), b.Events, len(b.Chunks), len(b.IDs)))
	}
	if b.Ends != nil {
		from := 0
		for i, end := range b.Ends {
			if got := string(b.Body[from:end]); got != out[i]+"\n" {
				panic(fmt.Sprintf("body has %q at %d, want %q", got, i, out[i]))
			}
			from = end
		}
		if from != len(b.Body) || len(b.Ends) != b.Events {
			panic("body and ends don't fit")
		}
	}
	return out
}

func lines(dst []byte, e record.Event) ([]byte, error) {
	return append(append(dst, textOf(e)...), '\n'), nil
}

// A request is one call of Send.
type request struct {
	at     time.Duration // since the start
	events []string
	chunks int
	key    string
}

// A fake is an output whose answers a test decides.
type fake struct {
	shape outputs.Shape
	start time.Time

	mu       sync.Mutex
	answer   func(ctx context.Context, r request) outputs.Result // nil: takes all
	probe    func() error                                        // nil: takes all
	requests []request
	probes   int
	took     []string // delivered, in order
	seen     map[string]bool
}

func newFake(answer func(ctx context.Context, r request) outputs.Result) *fake {
	return &fake{shape: outputs.Shape{MaxBytes: 1 << 20}, start: time.Now(), answer: answer, seen: map[string]bool{}}
}

func (f *fake) Shape() outputs.Shape { return f.shape }

func (f *fake) Send(ctx context.Context, b outputs.Batch) outputs.Result {
	r := request{at: time.Since(f.start), events: texts(b), chunks: len(b.Chunks), key: b.Key}
	f.mu.Lock()
	f.requests = append(f.requests, r)
	answer := f.answer
	f.mu.Unlock()
	var res outputs.Result
	if answer != nil {
		res = answer(ctx, r)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range delivered(len(r.events), res) {
		if e := r.events[i]; !f.seen[e] {
			f.seen[e] = true
			f.took = append(f.took, e)
		}
	}
	return res
}

// delivered returns the indexes of the events that a result doesn't name.
func delivered(n int, res outputs.Result) []int {
	if res.Err != nil && len(res.Retry) == 0 && len(res.Dead) == 0 {
		return nil
	}
	left := make([]bool, n)
	for _, r := range res.Retry {
		for i := max(r.From, 0); i < min(r.To, n); i++ {
			left[i] = true
		}
	}
	for _, d := range res.Dead {
		for i := max(d.From, 0); i < min(d.To, n); i++ {
			left[i] = true
		}
	}
	var out []int
	for i, l := range left {
		if !l {
			out = append(out, i)
		}
	}
	return out
}

func (f *fake) Probe(_ context.Context, _ string, _ int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.probes++
	if f.probe != nil {
		return f.probe()
	}
	return nil
}

func (f *fake) Close(context.Context) error { return nil }

func (f *fake) log() []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

// got returns the first deliveries, in order.
func (f *fake) got() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.took)
}

// A grave keeps dead letters in memory.
type grave struct {
	mu      sync.Mutex
	letters []string // reason:event
	fail    error
	hang    chan struct{}
}

func (g *grave) Append(c record.Chunk, reason, _ string) error {
	if g.hang != nil {
		<-g.hang
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fail != nil {
		return g.fail
	}
	for it := record.Iterate(&c); it.Next(); {
		g.letters = append(g.letters, reason+":"+textOf(it.Event()))
	}
	return nil
}

func (g *grave) all() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.letters)
}

// A rig is a running destination in front of a fake.
type rig struct {
	t     *testing.T
	d     *Destination
	buf   buffer.Buffer
	out   *fake
	dead  *grave
	stop  func() // ends Run and waits for it
	ended chan struct{}
}

func options(out outputs.Output, buf buffer.Buffer, dead DeadLetters) Options {
	return Options{
		Name: "d", Buffer: buf, Output: out, Dead: dead, Workers: 1, Pool: NewPool(), Log: zap.NewNop(),
		Retry: Retry{Initial: time.Second, Max: 30 * time.Second, Timeout: time.Minute},
	}
}

// start runs a destination; change may alter its options.
func start(t *testing.T, out *fake, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, out: out, dead: &grave{}}
	o := options(out, buffer.OpenMemory(buffer.MemoryOptions{Name: "d"}), r.dead)
	for _, f := range change {
		f(&o)
	}
	r.buf = o.Buffer
	r.d = New(o)
	r.run()
	return r
}

func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	r.ended = make(chan struct{})
	go func() {
		defer close(r.ended)
		r.d.Run(ctx)
	}()
	r.stop = func() {
		cancel()
		<-r.ended
	}
}

func (r *rig) append(chunks ...record.Chunk) {
	r.t.Helper()
	if err := r.d.Append(context.Background(), chunks); err != nil {
		r.t.Fatal(err)
	}
}

// await waits until nothing is buffered.
func (r *rig) await(limit time.Duration) {
	r.t.Helper()
	for end := time.Now().Add(limit); r.buf.Stats().Buffered > 0; time.Sleep(max(10*time.Millisecond, limit/10_000)) {
		if time.Now().After(end) {
			r.t.Fatalf("%d events are still buffered after %v; status %+v", r.buf.Stats().Buffered, limit, r.d.Stats())
		}
	}
}

// close stops the destination and checks its ledger.
func (r *rig) close() {
	r.t.Helper()
	r.stop()
	balanced(r.t, r.buf.Stats())
	if n := r.buf.Stats().Leased; n != 0 {
		r.t.Errorf("%d events are leased after Run", n)
	}
	if err := r.d.Close(context.Background()); err != nil {
		r.t.Error(err)
	}
}

func balanced(t testing.TB, s buffer.Stats) {
	t.Helper()
	sum := s.Delivered + s.Buffered
	for _, m := range []map[string]uint64{s.DeadLettered, s.Shed, s.Moved} {
		for _, n := range m {
			sum += n
		}
	}
	if sum != s.Offered {
		t.Errorf("ledger: offered %d, accounted %d: %+v", s.Offered, sum, s)
	}
}

// ordered reports the first event that isn't in order within its tag; "" if all are.
func ordered(events []string) string {
	last := map[string]int{}
	for _, e := range events {
		tag, n, _ := strings.Cut(e, "/")
		i, _ := strconv.Atoi(n)
		if i < last[tag] {
			return fmt.Sprintf("%s came after %s/%d", e, tag, last[tag])
		}
		last[tag] = i
	}
	return ""
}

var (
	errDown = errors.New("down")
	refused = outputs.Result{Err: &outputs.Error{Err: errDown}}                // nothing was written
	hangup  = outputs.Result{Err: &outputs.Error{Err: errDown, Written: true}} // something was
)

// after makes one of two answers, depending on the time since the start.
func after(limit time.Duration, early outputs.Result) func(context.Context, request) outputs.Result {
	return func(_ context.Context, r request) outputs.Result {
		if r.at < limit {
			return early
		}
		return outputs.Result{}
	}
}
