package forward

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/internal/handshake"
	"github.com/firebreak/firebreak/internal/mp"
	"github.com/firebreak/firebreak/internal/tlsconf"
	"github.com/firebreak/firebreak/internal/tlsconf/tlstest"
	"github.com/firebreak/firebreak/outputs"
)

// greeter is the server's side of the handshake.
type greeter struct {
	key, user, password string
	helo                handshake.Helo
	wrongProof          bool // claims to know the key
	slow                bool // writes byte by byte
}

func (g greeter) greet(c net.Conn) error {
	write := func(b []byte) error {
		if !g.slow {
			_, err := c.Write(b)
			return err
		}
		for i := range b {
			if _, err := c.Write(b[i : i+1]); err != nil {
				return err
			}
		}
		return nil
	}
	if err := write(g.helo.Append(nil)); err != nil {
		return err
	}
	var buf []byte
	for {
		b := make([]byte, 1)
		if _, err := c.Read(b); err != nil {
			return err
		}
		buf = append(buf, b...)
		ping, _, err := handshake.ParsePing(buf)
		if errors.Is(err, mp.ErrShort) {
			continue
		}
		if err != nil {
			return err
		}
		pong := handshake.Pong{OK: true, Host: "server"}
		switch {
		case ping.Digest != handshake.SharedKeyDigest(ping.Salt, ping.Host, g.helo.Nonce, g.key):
			pong = handshake.Pong{Reason: handshake.ReasonKey}
		case g.user != "" && (ping.User != g.user || ping.Password != handshake.PasswordDigest(g.helo.Auth, g.user, g.password)):
			pong = handshake.Pong{Reason: handshake.ReasonUser}
		default:
			key := g.key
			if g.wrongProof {
				key = "?"
			}
			pong.Digest = handshake.SharedKeyDigest(ping.Salt, pong.Host, g.helo.Nonce, key)
		}
		if err := write(pong.Append(nil)); err != nil {
			return err
		}
		if !pong.OK {
			return io.EOF
		}
		return nil
	}
}

func TestHandshake(t *testing.T) {
	nonce, auth := handshake.NewSalt(), handshake.NewSalt()
	plain := handshake.Helo{Nonce: nonce, Keepalive: true}
	withUser := handshake.Helo{Nonce: nonce, Auth: auth, Keepalive: true}
	for name, tt := range map[string]struct {
		server greeter
		change func(*Options)
		held   string // part of the error or hint
	}{
		"good":           {server: greeter{key: "k", helo: plain}, change: func(o *Options) { o.SharedKey = "k" }},
		"byte by byte":   {server: greeter{key: "k", helo: plain, slow: true}, change: func(o *Options) { o.SharedKey = "k" }},
		"user":           {server: greeter{key: "k", user: "u", password: "p", helo: withUser}, change: func(o *Options) { o.SharedKey, o.Username, o.Password = "k", "u", "p" }},
		"no keep-alive":  {server: greeter{key: "k", helo: handshake.Helo{Nonce: nonce}}, change: func(o *Options) { o.SharedKey = "k" }},
		"wrong key":      {server: greeter{key: "k", helo: plain}, change: func(o *Options) { o.SharedKey = "topsecret" }, held: "shared_key must be the server's"},
		"wrong password": {server: greeter{key: "k", user: "u", password: "p", helo: withUser}, change: func(o *Options) { o.SharedKey, o.Username, o.Password = "k", "u", "topsecret" }, held: "check username and password"},
		"missing user":   {server: greeter{key: "k", user: "u", helo: withUser}, change: func(o *Options) { o.SharedKey = "k" }, held: "set username"},
		"impostor":       {server: greeter{key: "k", helo: plain, wrongProof: true}, change: func(o *Options) { o.SharedKey = "k" }, held: "can't prove"},
		"key not set":    {server: greeter{key: "k", helo: plain}, change: func(*Options) {}, held: "set shared_key"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, func(p *peer) { p.greet = tt.server.greet })
			opts := options(p.addr)
			tt.change(opts)
			o := open(t, opts)
			for range 2 {
				r := o.Send(deadline(t, 5*time.Second), batch(chunk("a", "1"), chunk("b", "2")))
				if tt.held == "" {
					mustDeliver(t, r)
					continue
				}
				e := outputs.Classify(r.Err)
				if e.Class != outputs.Held || !strings.Contains(e.Error(), tt.held) || strings.Contains(e.Error(), "topsecret") {
					t.Errorf("error: %#v", e)
				}
				if len(p.messages()) > 0 {
					t.Errorf("server got %d messages", len(p.messages()))
				}
			}
			if name == "no keep-alive" {
				if m := p.messages(); len(m) != 4 || m[3].conn != 4 {
					t.Errorf("%d messages, the last on connection %d: want one for each", len(m), m[len(m)-1].conn)
				}
			}
		})
	}
}

func TestServerThatNeverGreets(t *testing.T) {
	p := newPeer(t)
	opts := options(p.addr)
	opts.SharedKey, opts.ConnectTimeout = "k", 100*time.Millisecond
	r := open(t, opts).Send(deadline(t, 5*time.Second), batch(chunk("a", "1")))
	if e := outputs.Classify(r.Err); e.Class != outputs.Transient || !strings.Contains(e.Hint, "remove shared_key") {
		t.Errorf("error: %#v", r.Err)
	}
}

func TestTLSWithCertificatesThatChange(t *testing.T) {
	ca := tlstest.New(t)
	srv := &tlsconf.Server{ClientCAFile: ca.File}
	srv.CertFile, srv.KeyFile = ca.Issue("server", "127.0.0.1")
	conf, err := srv.Config()
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, withTLS(conf))
	opts := options(p.addr)
	opts.TLS = &tlsconf.Client{CAFile: ca.File}
	opts.TLS.CertFile, opts.TLS.KeyFile = ca.Issue("client")
	opts.MaxConnectionAge = time.Nanosecond // a handshake for each Send
	o := open(t, opts)
	big := strings.Repeat("x", 600<<10)
	for range 3 {
		mustDeliver(t, o.Send(deadline(t, 5*time.Second), batch(chunk("a", "1", big), chunk("b", "2"), chunk("a", "3"))))
		ca.Issue("server", "127.0.0.1")
		ca.Issue("client")
	}
	if got := lines(t, "a", p.messages()...); len(got) != 9 || got[1] != big || got[8] != "3" {
		t.Errorf("got %d events", len(got))
	}
}

func TestTLSMisconfigured(t *testing.T) {
	ca, other := tlstest.New(t), tlstest.New(t)
	cert, key := ca.Issue("client")
	srv := &tlsconf.Server{ClientCAFile: ca.File}
	srv.CertFile, srv.KeyFile = ca.Issue("server", "127.0.0.1")
	conf, err := srv.Config()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		plain  bool // the server
		client tlsconf.Client
		hint   string
	}{
		"wrong CA":       {client: tlsconf.Client{CAFile: other.File, CertFile: cert, KeyFile: key}, hint: "tls.ca_file"},
		"wrong name":     {client: tlsconf.Client{CAFile: ca.File, CertFile: cert, KeyFile: key, ServerName: "x"}, hint: "tls.server_name"},
		"no certificate": {client: tlsconf.Client{CAFile: ca.File}, hint: "tls.cert_file"},
		"no TLS":         {plain: true, client: tlsconf.Client{CAFile: ca.File}, hint: "remove tls"},
		"no file":        {client: tlsconf.Client{CAFile: ca.File + "x"}, hint: "files under tls"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, func(p *peer) {
				if tt.plain {
					p.serve = func(c net.Conn) { c.Write([]byte("HTTP/1.0 400 Bad Request\r\n\r\n")); io.Copy(io.Discard, c) }
				} else {
					withTLS(conf)(p)
				}
			})
			opts := options(p.addr)
			opts.TLS = &tt.client
			r := open(t, opts).Send(deadline(t, 5*time.Second), batch(chunk("a", "1")))
			if e := outputs.Classify(r.Err); e.Class != outputs.Held || !strings.Contains(e.Hint, tt.hint) {
				t.Errorf("error: %v, class %d", r.Err, e.Class)
			}
		})
	}
}
