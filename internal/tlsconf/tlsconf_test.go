package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/tlsconf/tlstest"
)

var (
	_ config.Checker = (*Server)(nil)
	_ config.Checker = (*Client)(nil)
)

// shake does a handshake over TCP and returns the serial numbers that each side saw of the other, and the errors.
func shake(t *testing.T, server, client *tls.Config) (seenByClient, seenByServer string, err error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	b, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	a, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	s, c := tls.Server(a, server), tls.Client(b, client)
	result := make(chan error, 1)
	go func() {
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte{1})
		}
		if err != nil {
			a.Close()
		}
		result <- err
	}()
	err = c.Handshake()
	if err == nil { // TLS 1.3: the server's verdict on our certificate comes with the first data
		_, err = c.Read(make([]byte, 1))
	}
	b.Close()
	err = errors.Join(err, <-result)
	first := func(certs []*x509.Certificate) string {
		if len(certs) == 0 {
			return ""
		}
		return certs[0].SerialNumber.String()
	}
	return first(c.ConnectionState().PeerCertificates), first(s.ConnectionState().PeerCertificates), err
}

func clientConfig(t *testing.T, s *Source) *tls.Config {
	t.Helper()
	c, err := s.Config()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestChangedFilesAreUsedAtTheNextHandshake(t *testing.T) {
	ca := tlstest.New(t)
	srv, cli := &Server{ClientCAFile: ca.File}, &Client{CAFile: ca.File, ServerName: "agg"}
	srv.CertFile, srv.KeyFile = ca.Issue("server", "agg")
	cli.CertFile, cli.KeyFile = ca.Issue("client")
	var reported []error
	report := func(err error) { reported = append(reported, err) }
	server, err := srv.Watch(report)
	if err != nil {
		t.Fatal(err)
	}
	source := cli.Source(report)
	s1, c1, err := shake(t, server, clientConfig(t, source))
	if err != nil || s1 == "" || c1 == "" {
		t.Fatalf("server %q, client %q: %v", s1, c1, err)
	}
	again, _, err := shake(t, server, clientConfig(t, source))
	if err != nil || again != s1 {
		t.Fatalf("unchanged files: server %q, then %q: %v", s1, again, err)
	}

	ca.Issue("server", "agg")
	ca.Issue("client")
	s2, c2, err := shake(t, server, clientConfig(t, source))
	if err != nil || s2 == s1 || c2 == c1 {
		t.Fatalf("after the change: server %q to %q, client %q to %q: %v", s1, s2, c1, c2, err)
	}

	// A long-lived client configuration has the new certificate too.
	long := clientConfig(t, source)
	ca.Issue("client")
	if _, c3, err := shake(t, server, long); err != nil || c3 == c2 {
		t.Fatalf("long-lived client: %q, before %q: %v", c3, c2, err)
	}
	if len(reported) > 0 {
		t.Errorf("reported: %v", reported)
	}

	// Half of a change, and garbage: the old one stays, one report each.
	if err := os.WriteFile(srv.KeyFile, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s, _, err := shake(t, server, clientConfig(t, source))
		if err != nil || s != s2 {
			t.Fatalf("with a broken key file: server %q, want %q: %v", s, s2, err)
		}
	}
	if err := os.Remove(cli.CAFile); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, _, err := shake(t, server, clientConfig(t, source)); err != nil {
			t.Fatalf("with a missing CA file: %v", err)
		}
	}
	// The server shares the CA file, so it has another change to report too.
	if len(reported) != 3 || !strings.Contains(reported[0].Error(), "keep the old") {
		t.Errorf("reported: %v", reported)
	}

	// Another CA on both sides: the old client certificate is refused, also by the client's own new roots.
	other := tlstest.New(t)
	der, err := os.ReadFile(other.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ca.File, der, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := shake(t, server, clientConfig(t, source)); err == nil {
		t.Error("the server's certificate is from a CA that is not trusted any more, and is accepted")
	}
}

func TestVerification(t *testing.T) {
	ca, other := tlstest.New(t), tlstest.New(t)
	srv := &Server{ClientCAFile: ca.File, MinVersion: "1.3"}
	srv.CertFile, srv.KeyFile = ca.Issue("server", "agg", "127.0.0.1")
	server, err := srv.Config()
	if err != nil {
		t.Fatal(err)
	}
	goodCert, goodKey := ca.Issue("client")
	badCert, badKey := other.Issue("client")
	for name, tt := range map[string]struct {
		client Client
		ok     bool
	}{
		"good":                  {Client{CAFile: ca.File, CertFile: goodCert, KeyFile: goodKey, ServerName: "agg"}, true},
		"by address":            {Client{CAFile: ca.File, CertFile: goodCert, KeyFile: goodKey, ServerName: "127.0.0.1"}, true},
		"wrong name":            {Client{CAFile: ca.File, CertFile: goodCert, KeyFile: goodKey, ServerName: "other"}, false},
		"wrong CA":              {Client{CAFile: other.File, CertFile: goodCert, KeyFile: goodKey, ServerName: "agg"}, false},
		"system CAs":            {Client{CertFile: goodCert, KeyFile: goodKey, ServerName: "agg"}, false},
		"not verified":          {Client{InsecureSkipVerify: true, CertFile: goodCert, KeyFile: goodKey}, true},
		"no client certificate": {Client{CAFile: ca.File, ServerName: "agg"}, false},
		"foreign certificate":   {Client{CAFile: ca.File, CertFile: badCert, KeyFile: badKey, ServerName: "agg"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			conf, err := tt.client.Config()
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err = shake(t, server, conf); (err == nil) != tt.ok {
				t.Errorf("handshake: %v", err)
			}
			conf = conf.Clone()
			conf.MaxVersion = tls.VersionTLS12
			if _, _, err := shake(t, server, conf); err == nil {
				t.Error("TLS 1.2 is accepted in spite of min_version 1.3")
			}
		})
	}
}

func TestCheck(t *testing.T) {
	ca := tlstest.New(t)
	cert, key := ca.Issue("a", "a")
	_, otherKey := ca.Issue("b", "b")
	missing := t.TempDir() + "/missing"
	for name, tt := range map[string]struct {
		check func(*config.Report)
		want  string
	}{
		"server":             {(&Server{CertFile: cert, KeyFile: key, ClientCAFile: ca.File}).Check, ""},
		"missing cert":       {(&Server{CertFile: missing, KeyFile: key}).Check, "cert_file"},
		"missing key":        {(&Server{CertFile: cert, KeyFile: missing}).Check, "key_file"},
		"other key":          {(&Server{CertFile: cert, KeyFile: otherKey}).Check, "cert_file"},
		"CA is a key":        {(&Server{CertFile: cert, KeyFile: key, ClientCAFile: key}).Check, "client_ca_file"},
		"client":             {(&Client{CAFile: ca.File, CertFile: cert, KeyFile: key}).Check, ""},
		"nothing":            {(&Client{}).Check, ""},
		"cert alone":         {(&Client{CertFile: cert}).Check, "cert_file"},
		"key alone":          {(&Client{KeyFile: key}).Check, "key_file"},
		"missing CA":         {(&Client{CAFile: missing}).Check, ""}, // it may come
		"CA without a check": {(&Client{CAFile: ca.File, InsecureSkipVerify: true}).Check, "insecure_skip_verify"},
	} {
		t.Run(name, func(t *testing.T) {
			var keys []string
			tt.check(config.NewReport(func(key, message, hint string) {
				if message == "" || hint == "" {
					t.Errorf("%s: message %q, hint %q", key, message, hint)
				}
				keys = append(keys, key)
			}))
			if got := strings.Join(keys, " "); got != tt.want {
				t.Errorf("problems at %q, want %q", got, tt.want)
			}
		})
	}
	if _, err := (&Server{CertFile: missing, KeyFile: key}).Config(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := (&Client{CAFile: missing}).Config(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestSourceComesBackWhenFilesAppear(t *testing.T) {
	ca := tlstest.New(t)
	file := fmt.Sprintf("%s/later.pem", t.TempDir())
	s := (&Client{CAFile: file}).Source(nil)
	if _, err := s.Config(); err == nil {
		t.Fatal("no error for a missing file")
	}
	if err := os.Rename(ca.File, file); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Config(); err != nil {
		t.Error(err)
	}
}
