package forward

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/firebreak/firebreak/internal/handshake"
	"github.com/firebreak/firebreak/internal/mp"
	"github.com/firebreak/firebreak/internal/tlsconf"
)

func hexSum(parts ...string) string {
	h := sha512.New()
	for _, p := range parts {
		h.Write([]byte(p))
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// greet reads the HELO.
func greet(t *testing.T, c net.Conn) handshake.Helo {
	t.Helper()
	b := make([]byte, 1000)
	n, err := c.Read(b) // one read must do: Fluent Bit's client gives up otherwise
	if err != nil {
		t.Fatal(err)
	}
	h, size, err := handshake.ParseHelo(b[:n])
	if err != nil || size != n || len(h.Nonce) != 16 || !h.Keepalive {
		t.Fatalf("helo %q: %+v, %v", b[:n], h, err)
	}
	return h
}

// verdictOf reads the PONG alone: what follows it may have come with it.
func verdictOf(t *testing.T, c net.Conn) handshake.Pong {
	t.Helper()
	var b []byte
	for {
		b = append(b, 0)
		if _, err := c.Read(b[len(b)-1:]); err != nil {
			t.Fatalf("pong %q: %v", b, err)
		}
		p, _, err := handshake.ParsePong(b)
		if err == nil {
			return p
		}
		if !errors.Is(err, mp.ErrShort) {
			t.Fatalf("pong %q: %v", b, err)
		}
	}
}

func TestSharedKey(t *testing.T) {
	opts := testOptions()
	opts.SharedKey, opts.SelfHostname = "secret", "router"
	opts.Users = []User{{"alice", "pw"}, {"bob", "pw2"}}
	for _, c := range []struct {
		name, key, user, password, reason string
	}{
		{name: "right", key: "secret", user: "bob", password: "pw2"},
		{name: "another key", key: "guess", user: "bob", password: "pw2", reason: "shared_key mismatch"},
		{name: "another password", key: "secret", user: "bob", password: "pw", reason: "username/password mismatch"},
		{name: "unknown user", key: "secret", user: "carol", password: "pw", reason: "username/password mismatch"},
		{name: "no user", key: "secret", reason: "username/password mismatch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := start(t, opts, Env{}, newSink())
			d := srv.dial(t)
			h := greet(t, d)
			if len(h.Auth) != 16 || bytes.Equal(h.Auth, h.Nonce) {
				t.Fatalf("auth %q", h.Auth)
			}
			salt := "\x00\xff67890123456789"
			ping := cat(0x96, "PING", "client", bin(salt), hexSum(salt, "client", string(h.Nonce), c.key), c.user, hexSum(string(h.Auth), c.user, c.password))
			m := docker("app", "one", chunkOpt("x"))
			if c.reason == "" { // events may follow without waiting; the ping may come in parts
				write(t, d, ping[:20])
				ping = append(ping[20:], m...)
			}
			write(t, d, ping)
			p := verdictOf(t, d)
			if p.OK != (c.reason == "") || p.Reason != c.reason {
				t.Fatalf("pong %+v", p)
			}
			if !p.OK {
				expectEnd(t, d)
				wait(t, "the count", func() bool { return srv.Stats().Errors["handshake"] == 1 })
				return
			}
			if p.Host != "router" || p.Digest != hexSum(salt, "router", string(h.Nonce), "secret") {
				t.Errorf("pong %+v", p)
			}
			expect(t, d, ackOf("x"))
		})
	}
}

func TestSharedKeyWithoutUsers(t *testing.T) {
	opts := testOptions()
	opts.SharedKey = "secret"
	srv := start(t, opts, Env{}, newSink())
	d := srv.dial(t)
	h := greet(t, d)
	if len(h.Auth) != 0 {
		t.Errorf("auth %q though there are no users", h.Auth)
	}
	write(t, d, handshake.Ping{Host: "c", Salt: []byte("s"), Digest: hexSum("s", "c", string(h.Nonce), "secret")}.Append(nil))
	if p := verdictOf(t, d); !p.OK {
		t.Errorf("pong %+v", p)
	}

	// An event instead of a PING; a heartbeat; a client that says nothing is closed by the setup timeout.
	d = srv.dial(t)
	greet(t, d)
	write(t, d, docker("app", "one", []byte{0x80}))
	if p := verdictOf(t, d); p.OK || p.Reason != "invalid ping message" {
		t.Errorf("pong %+v", p)
	}
	expectEnd(t, d)
	d = srv.dial(t)
	greet(t, d)
	d.Close()
	wait(t, "the ends", func() bool { return srv.Stats().Connections == 1 })
	if st := srv.Stats(); st.Errors["handshake"] != 1 || st.Errors["cut"]+st.Errors["read"] != 0 || st.Received != 0 {
		t.Errorf("errors %v", st.Errors)
	}
}

func certificate(t *testing.T, dir string) (tlsconf.Server, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "router"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s := tlsconf.Server{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	os.WriteFile(s.CertFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	os.WriteFile(s.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return s, roots
}

func TestTLS(t *testing.T) {
	conf, roots := certificate(t, t.TempDir())
	opts := testOptions()
	opts.Listen = []string{"tls://127.0.0.1:0"}
	opts.TLS = &conf
	opts.SharedKey = "secret"
	s := newSink()
	srv := start(t, opts, Env{}, s)
	c := tls.Client(srv.dial(t), &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"})
	h := greet(t, c)
	write(t, c, handshake.Ping{Host: "c", Salt: []byte("s"), Digest: hexSum("s", "c", string(h.Nonce), "secret")}.Append(nil))
	if p := verdictOf(t, c); !p.OK {
		t.Fatalf("pong %+v", p)
	}
	entries, _ := entriesOf(5000, 200)
	for _, id := range []string{"1", "2"} {
		write(t, c, cat(0x93, "t", bin(string(entries)), chunkOpt(id)))
		expect(t, c, ackOf(id))
	}
	srv.dial(t).Close() // a heartbeat
	plain := srv.dial(t)
	write(t, plain, docker("app", "one", []byte{0x80}))
	wait(t, "the plain client's end", func() bool { return srv.Stats().Errors["tls"] == 1 })
	srv.Stop()
	var b [1]byte
	if _, err := c.Read(b[:]); err == nil {
		t.Error("the connection outlives the end")
	}
	srv.end(t)
	if st := srv.Stats(); st.Received != 10000 || len(st.Errors) != 1 {
		t.Errorf("%+v", st)
	}
}
