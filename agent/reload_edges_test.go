package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/record"
)

// An admin address that is taken can be left again by another reload, which doesn't wait for it.
func TestReloadLeavesAnAdminAddressThatIsTaken(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	base := head(t.TempDir()) + toNull
	r, reload := reloadable(t, base)
	if res := reload(strings.Replace(base, "admin: 127.0.0.1:0", "admin: "+ln.Addr().String(), 1)); !res.OK || r.Admin() != "" {
		t.Fatalf("%+v, admin %q", res, r.Admin())
	}
	done := make(chan Reloaded, 1)
	go func() { done <- reload(base) }()
	select {
	case res := <-done:
		if !res.OK || r.Admin() == "" {
			t.Errorf("%+v, admin %q", res, r.Admin())
		}
	case <-time.After(8 * time.Second):
		t.Fatal("the reload hangs")
	}
}

// The new admin port has the old one's port, on another address: it is there as soon as the reload is through.
func TestReloadWidensTheAdminAddress(t *testing.T) {
	t.Parallel()
	base := head(t.TempDir()) + toNull
	r, reload := reloadable(t, base)
	_, port, err := net.SplitHostPort(r.Admin())
	if err != nil {
		t.Fatal(err)
	}
	if res := reload(strings.Replace(base, "admin: 127.0.0.1:0", "admin: 0.0.0.0:"+port, 1)); !res.OK {
		t.Fatal(res.Error)
	}
	eventually(t, func() string {
		if r.Admin() == "" {
			return "no admin port"
		}
		return ""
	})
	if s := r.page(); s.Reload == nil || !s.Reload.OK {
		t.Errorf("%+v", s.Reload)
	}
}

// An input that is removed goes on until its clients are quiet. One that gets its name meanwhile counts for itself.
func TestReloadGivesTheNameOfAnInputThatStillEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sock := "unix://" + filepath.Join(dir, "a.sock")
	one := strings.Replace(head(dir), "inputs: {", `inputs: { more: { type: forward, listen: "`+sock+`" },`, 1) + toNull
	two := strings.Replace(one, "a.sock", "b.sock", 1)
	none := head(dir) + toNull
	r, reload := reloadable(t, one)
	l, err := load.New(load.Config{Addr: sock, Conns: 2, Ack: true, Rate: 5000, NoReconnect: true})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { l.Run(context.Background()); close(done) }()
	more := func(n uint64) { // events come in
		from := l.Sent()
		eventually(t, func() string {
			if l.Sent() < from+n {
				return fmt.Sprint(l.Sent())
			}
			return ""
		})
	}
	more(500)
	for i, text := range []string{none, two, one + "# a.sock is still in use", two + "routes: [ { name: other, to: [gone] } ]\n", none, two} {
		if res := reload(text); res.OK == (i == 2) {
			t.Fatalf("reload %d: %+v", i, res)
		}
		more(500)
		balance(t, r.page())
	}
	l.Stop()
	<-done
	if st := l.Stats(); st.Acked != l.Sent() || st.Resent > 0 {
		t.Errorf("acked %d of %d, %d sent again", st.Acked, l.Sent(), st.Resent)
	}
	s := r.page()
	balance(t, s)
	if s.dest("gone").Offered != l.Sent() {
		t.Errorf("offered %d of %d", s.dest("gone").Offered, l.Sent())
	}
	if n := len(r.tally.ins); n > 2 {
		t.Errorf("%d inputs are counted", n)
	}
}

// A destination that a reload makes block is served after the others.
func TestReloadToBlockServesTheOthersFirst(t *testing.T) {
	t.Parallel()
	base := head(t.TempDir()) + `
routes: [ { name: all, to: [aaa, zzz] } ]
outputs:
  aaa: { type: forward, servers: ["127.0.0.1:9"], buffer: { max_bytes: 1MiB } }
  zzz: { type: "null" }
`
	r, reload := reloadable(t, base)
	if res := reload(strings.Replace(base, "max_bytes: 1MiB", "max_bytes: 1MiB, on_full: block", 1)); !res.OK {
		t.Fatal(res.Error)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	big := event(t, "a", `{"log":"`+strings.Repeat("x", 200<<10)+`"}`)
	stored := uint64(0)
	accept := r.accept(r.now.Load().input("docker"))
	for accept(ctx, []record.Chunk{big}) == nil {
		stored++
	}
	if s := r.page(); s.dest("aaa").Offered != stored || s.dest("zzz").Offered != stored+1 {
		t.Errorf("stored %d: %d and %d", stored, s.dest("aaa").Offered, s.dest("zzz").Offered)
	}
}

// Another bound of dead letters takes effect, in both directions.
func TestReloadChangesTheBoundOfDeadLetters(t *testing.T) {
	t.Parallel()
	base := head(t.TempDir()) + "\noutputs: { gone: { type: \"null\", dead_letters: { max_bytes: 1MiB } } }\n"
	r, reload := reloadable(t, base)
	d := r.now.Load().target("gone").dead
	for _, mib := range []int64{4, 1} {
		if res := reload(strings.Replace(base, "1MiB", fmt.Sprintf("%dMiB", mib), 1)); !res.OK {
			t.Fatal(res.Error)
		}
		for range 60 {
			if err := d.Append(event(t, "a", `{"log":"`+strings.Repeat("x", 100<<10)+`"}`), "r", ""); err != nil {
				t.Fatal(err)
			}
		}
		if n := d.Dead.Stats().Bytes; n > mib<<20 || n < (mib<<20)/2 {
			t.Errorf("%d MiB: %d bytes", mib, n)
		}
	}
}

// A reload that is still reading when the router has stopped opens nothing any more.
func TestReloadThatComesAfterTheEnd(t *testing.T) {
	t.Parallel()
	base := head(t.TempDir()) + toNull
	more := parse(t, strings.Replace(base, "outputs: {", `routes: [ { name: all, to: [gone] } ]`+"\n"+`outputs: { more: { type: "null" },`, 1), nil)
	r := build(t, parse(t, base, nil))
	reading, goOn := make(chan struct{}), make(chan struct{})
	r.opts.Load = func() (*config.Config, []byte, error) {
		close(reading)
		<-goOn
		return more, nil, nil
	}
	r.run()
	r.awaitRunning()
	was := r.now.Load()
	res := make(chan Reloaded, 1)
	go func() { res <- r.Reload() }()
	<-reading
	if took := r.end(); took > 4*time.Second {
		t.Errorf("took %v", took)
	}
	close(goOn)
	if x := <-res; x.OK || x.Error != errStopping.Error() || r.now.Load() != was {
		t.Errorf("%+v", x)
	}
}

// Of several texts the newest is kept, whoever comes last.
func TestNewestSourceIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var s sources
	if err := s.keep(dir); err != nil {
		t.Fatal(err)
	}
	if _, _, err := LastConfig(dir); err == nil {
		t.Error("there was nothing to keep")
	}
	s.set([]byte("old"))
	s.set([]byte("new"))
	s.set(nil)
	if err := errors.Join(s.keep(dir), s.keep(dir)); err != nil {
		t.Fatal(err)
	}
	if text, _, err := LastConfig(dir); err != nil || string(text) != "new" {
		t.Errorf("%q %v", text, err)
	}
}

// What is only in memory when its output is removed is lost, and nobody says that it is on disk.
func TestReloadSaysWhatIsLostWithAnOutputWithoutADisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "buffers"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "buffers", "two"), nil, 0o600); err != nil { // no directory can be there
		t.Fatal(err)
	}
	r, reload := reloadable(t, head(dir)+`
outputs: { two: { type: forward, servers: ["127.0.0.1:9"] } }
`)
	send(t, r.addr(), 300, 0)
	eventually(t, func() string {
		if d := r.page().dest("two"); d.Error == "" || !d.Volatile { // some of them were leased
			return fmt.Sprintf("%+v", d)
		}
		return ""
	})
	res := reload(head(dir) + toNull)
	if text := fmt.Sprint(res.Changes); !res.OK || !strings.Contains(text, "output two removed: 300 events that were in its memory are lost]") {
		t.Errorf("%+v", res)
	}
	if l := r.log.lines(t, "destination closed"); len(l) != 1 || l[0]["lost_events"] != 300.0 || l[0]["left_events"] != 0.0 {
		t.Errorf("%v", l)
	}
}

// Appends that wait for room in a destination are let go when a reload removes it, and the reload says what becomes of
// their events. The other destinations get them.
func TestReloadRemovesADestinationThatBlocks(t *testing.T) {
	t.Parallel()
	base := head(t.TempDir()) + `
routes: [ { name: all, to: [full, gone] } ]
outputs:
  full: { type: forward, servers: ["127.0.0.1:9"], buffer: { max_bytes: 1MiB, on_full: block } }
  gone: { type: "null" }
`
	r, reload := reloadable(t, base)
	big := event(t, "a", `{"log":"`+strings.Repeat("x", 200<<10)+`"}`)
	done := make(chan error, 10)
	accept := r.accept(r.now.Load().input("docker"))
	for range cap(done) {
		go func() { done <- accept(context.Background(), []record.Chunk{big}) }()
	}
	eventually(t, func() string {
		if d := r.page().dest("full"); !d.Full || d.Offered+uint64(r.now.Load().users.Load()) != uint64(cap(done)) {
			return fmt.Sprintf("%+v", d)
		}
		return ""
	})
	stored := r.page().dest("full").Offered
	res := reload(strings.NewReplacer("[full, gone]", "[gone]", `  full: { type: forward, servers: ["127.0.0.1:9"], buffer: { max_bytes: 1MiB, on_full: block } }`+"\n", "").Replace(base))
	want := fmt.Sprintf("up to %d events that were on their way to full are dropped", uint64(cap(done))-stored)
	if text := fmt.Sprint(res.Changes); !res.OK || !strings.Contains(text, want) {
		t.Errorf("%+v, want %q", res, want)
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	eventually(t, func() string {
		if d := r.page().dest("gone"); d.Delivered != uint64(cap(done)) {
			return fmt.Sprintf("%+v", d)
		}
		return ""
	})
	eventually(t, func() string {
		r.tally.mu.Lock()
		defer r.tally.mu.Unlock()
		if n := len(r.tally.retiring); n > 0 {
			return fmt.Sprintf("%d setups are still in use", n)
		}
		return ""
	})
}

// An output that hangs is removed all the same; when it returns at last, its buffer is free for the next one of its name.
func TestReloadRemovesAnOutputThatHangs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	base := head(dir) + "\noutputs: { stuck: { type: \"null\" } }\n"
	r := build(t, parse(t, base, nil))
	h := hangs{make(chan struct{})}
	d := r.now.Load().target("stuck")
	if err := d.Close(t.Context()); err != nil { // of what New made
		t.Fatal(err)
	}
	var err error
	if d.buf, err = r.openBuffer(d.cfg, r.log.logger()); err != nil {
		t.Fatal(err)
	}
	d.Destination = parked("stuck", hangingOutput{h}, d.buf, time.Millisecond)
	texts := make(chan string, 1)
	r.opts.Load = func() (*config.Config, []byte, error) {
		cfg, err := config.Load("test.yaml", []byte(<-texts), Kinds(), config.Lookup{})
		return cfg, nil, err
	}
	r.run()
	reload := func(text string) Reloaded {
		texts <- text
		return r.Reload()
	}
	send(t, r.addr(), 30, 0)
	eventually(t, func() string {
		if r.page().dest("stuck").InFlight == 0 {
			return "nothing is sent yet"
		}
		return ""
	})
	if res := reload(head(dir) + toNull); !res.OK {
		t.Fatal(res.Error)
	}
	if res := reload(base); !res.OK {
		t.Fatal(res.Error)
	}
	if d := r.page().dest("stuck"); d.Delivered > 0 {
		t.Errorf("%+v", d)
	}
	close(h.until)
	if res := reload(head(dir) + toNull); !res.OK {
		t.Fatal(res.Error)
	}
	if res := reload(base); !res.OK {
		t.Fatal(res.Error)
	}
	eventually(t, func() string {
		if d := r.page().dest("stuck"); d.Volatile || d.Delivered != 30 {
			return fmt.Sprintf("%+v", d)
		}
		return ""
	})
}
