package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/internal/handshake"
	"github.com/firebreak/firebreak/internal/tlsconf"
	"github.com/firebreak/firebreak/internal/tlsconf/tlstest"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

// Each server gets a finding, and Sends know no more of them than before.
func TestCheckLooksAtEachServer(t *testing.T) {
	greeting := greeter{key: "k", helo: handshake.Helo{Nonce: handshake.NewSalt(), Keepalive: true}}
	good := newPeer(t, func(p *peer) { p.greet = greeting.greet })
	other := newPeer(t, func(p *peer) {
		g := greeting
		g.key = "other"
		p.greet = g.greet
	})
	mute := newPeer(t)
	gone := newPeer(t)
	gone.stop()
	socket := filepath.Join(t.TempDir(), "agg.sock")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	local := startPeer(t, ln, func(p *peer) { p.greet = greeting.greet })

	_, port, _ := net.SplitHostPort(good.addr)
	opts := options("localhost:"+port, other.addr, mute.addr, gone.addr, "unix://"+local.addr, "no-such-host.invalid")
	opts.SharedKey, opts.ConnectTimeout = "k", 500*time.Millisecond
	o := open(t, opts)
	began := time.Now()
	found := o.Check(deadline(t, 5*time.Second))
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("took %v", d)
	}
	for i, want := range []struct{ note, err string }{
		{note: `^127\.0\.0\.1:` + port + `, authenticated, \d+ ms$|^127\.0\.0\.1:` + port + `, connected, authenticated, \d+ ms$`},
		{err: "shared_key must be the server's"},
		{err: "remove shared_key"},
		{err: "refused"},
		{note: `^connected, authenticated, \d+ ms$`},
		{err: "no-such-host.invalid"},
	} {
		f := found[i]
		if f.Target != o.servers[i].address.String() {
			t.Errorf("%d: target %q", i, f.Target)
		}
		switch {
		case want.err == "" && (f.Err != nil || !regexp.MustCompile(want.note).MatchString(f.Note)):
			t.Errorf("%s: %q, %v", f.Target, f.Note, f.Err)
		case want.err != "" && (f.Err == nil || !strings.Contains(f.Err.Error(), want.err)):
			t.Errorf("%s: %q, %v", f.Target, f.Note, f.Err)
		}
	}
	for _, s := range o.states() {
		if !s.Up {
			t.Errorf("%s is down after a check", s.Address)
		}
	}
	for _, s := range o.servers {
		if len(s.idle) > 0 || s.probing {
			t.Errorf("%s: something is left of the check", s.address)
		}
	}
	if len(good.messages()) > 0 {
		t.Error("the check sent something")
	}
}

func TestCheckSeesWhatComesAfterTheConnect(t *testing.T) {
	ca := tlstest.New(t)
	srv := &tlsconf.Server{}
	srv.CertFile, srv.KeyFile = ca.Issue("server", "127.0.0.1")
	plainTLS, err := srv.Config()
	if err != nil {
		t.Fatal(err)
	}
	srv.ClientCAFile = ca.File
	strict, err := srv.Config()
	if err != nil {
		t.Fatal(err)
	}
	greets := greeter{key: "k", helo: handshake.Helo{Nonce: handshake.NewSalt()}}
	for name, tt := range map[string]struct {
		peer      func(*peer)
		tls       bool
		note, err string
	}{
		"plain":                     {peer: func(*peer) {}, note: "connected, "},
		"tls":                       {peer: withTLS(plainTLS), tls: true, note: "tls 1.3, "},
		"asks for a certificate":    {peer: withTLS(strict), tls: true, err: "tls.cert_file"},
		"speaks tls":                {peer: withTLS(plainTLS), note: "connected, "}, // it waits for us: nothing to see
		"speaks no tls":             {peer: func(p *peer) { p.serve = func(c net.Conn) { c.Write([]byte("HTTP/1.0 400\r\n")) } }, tls: true, err: "remove tls"},
		"asks for a handshake":      {peer: func(p *peer) { p.greet = greets.greet }, err: "set shared_key"},
		"closes the connection":     {peer: func(p *peer) { p.serve = func(net.Conn) {} }, err: "check that a forward server listens"},
		"speaks something else":     {peer: func(p *peer) { p.serve = func(c net.Conn) { c.Write([]byte("220 mail\r\n")); io.Copy(io.Discard, c) } }, err: "forward server"},
		"accepts, but never speaks": {peer: func(p *peer) { p.serve = func(c net.Conn) { io.Copy(io.Discard, c) } }, tls: true, err: "speaks TLS on this port"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, tt.peer)
			opts := options(p.addr)
			opts.ConnectTimeout = 500 * time.Millisecond
			if tt.tls {
				opts.TLS = &tlsconf.Client{CAFile: ca.File}
			}
			f := open(t, opts).Check(deadline(t, 5*time.Second))[0]
			if tt.err == "" && (f.Err != nil || !strings.HasPrefix(f.Note, tt.note)) || tt.err != "" && (f.Err == nil || !strings.Contains(f.Err.Error(), tt.err)) {
				t.Errorf("%q, %v", f.Note, f.Err)
			}
		})
	}
}

func TestCheckEndsWithItsContext(t *testing.T) {
	p := newPeer(t, func(p *peer) { p.serve = func(c net.Conn) { io.Copy(io.Discard, c) } })
	opts := options(p.addr)
	opts.SharedKey = "k"
	o := open(t, opts)
	began := time.Now()
	if f := o.Check(deadline(t, 50*time.Millisecond)); f[0].Err == nil {
		t.Error("no error")
	}
	if d := time.Since(began); d > time.Second {
		t.Errorf("took %v", d)
	}
}

// The server that Explain names is the one that a Send takes.
func TestExplainNamesTheServer(t *testing.T) {
	a, b := newPeer(t), newPeer(t)
	opts := options(a.addr, b.addr)
	opts.Servers[1].Standby = false
	o := open(t, opts)
	for i := range 20 {
		tag := fmt.Sprint("tag-", i)
		got := o.Explain(record.Event{Chunk: &record.Chunk{Tag: tag}})
		if len(got) != 1 || got[0].Option != "servers" {
			t.Fatalf("%v", got)
		}
		mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(chunk(tag, "1"))))
		at := map[string]*peer{a.addr: a, b.addr: b}[got[0].Value]
		if m := at.messages(); len(m) == 0 || m[len(m)-1].tag != tag {
			t.Errorf("%s didn't go to %s", tag, got[0].Value)
		}
	}
}

// A TLS file that is missing is this destination's trouble alone, and over when the file is there.
func TestTLSFileThatComesLater(t *testing.T) {
	ca := tlstest.New(t)
	srv := &tlsconf.Server{}
	srv.CertFile, srv.KeyFile = ca.Issue("server", "127.0.0.1")
	conf, err := srv.Config()
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, withTLS(conf))
	opts := options(p.addr)
	file := filepath.Join(t.TempDir(), "later.pem")
	opts.TLS = &tlsconf.Client{CAFile: file}
	o := open(t, opts)
	r := o.Send(deadline(t, 5*time.Second), batch(chunk("a", "1")))
	for _, err := range []error{r.Err, o.Verify(), o.Check(context.Background())[0].Err} {
		e := outputs.Classify(err)
		if e.Class != outputs.Held || !strings.Contains(e.Error(), file) || !strings.Contains(e.Hint, "files under tls") || !errors.Is(e, os.ErrNotExist) {
			t.Errorf("error: %v, class %d", err, e.Class)
		}
	}
	if err := os.Rename(ca.File, file); err != nil {
		t.Fatal(err)
	}
	if err := o.Verify(); err != nil {
		t.Error(err)
	}
	mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(chunk("a", "1"))))
}
