// Package tlsconf declares the TLS options of inputs and outputs, and re-reads their files when they change, so that
// a renewed certificate needs no restart.
//
// The files' times and sizes are looked at before each handshake. A new file that can't be used keeps the old one in
// use and is reported once.
package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/firebreak/firebreak/config"
)

// Server is the TLS options of something that listens.
type Server struct {
	CertFile     string `key:"cert_file" required:"true" doc:"PEM file with the certificate and those between it and its CA. Read again when it changes."`
	KeyFile      string `key:"key_file" required:"true" doc:"PEM file with the certificate's private key. Read again when it changes."`
	ClientCAFile string `key:"client_ca_file" doc:"PEM file with CA certificates: only clients with a certificate from one of them may connect. Without it no client certificate is asked for."`
	MinVersion   string `key:"min_version" default:"1.2" enum:"1.2,1.3" doc:"Lowest TLS version that is accepted."`
}

// Client is the TLS options of something that connects. An empty block means TLS with the system's CAs.
type Client struct {
	CAFile             string `key:"ca_file" doc:"PEM file with the CA certificates that the server's certificate must come from; without it the system's. Read again when it changes."`
	CertFile           string `key:"cert_file" doc:"PEM file with a client certificate, for servers that ask for one. Read again when it changes."`
	KeyFile            string `key:"key_file" doc:"PEM file with the private key of the client certificate. Read again when it changes."`
	ServerName         string `key:"server_name" doc:"Name that the server's certificate must have, when it isn't the name in the address."`
	InsecureSkipVerify bool   `key:"insecure_skip_verify" default:"false" doc:"Accept any certificate. Whoever is on the way can read and change the events."`
	MinVersion         string `key:"min_version" default:"1.2" enum:"1.2,1.3" doc:"Lowest TLS version that is accepted."`
}

// Config returns the configuration for a listener. It stays valid: changed files are read again at the next handshake.
func (s *Server) Config() (*tls.Config, error) { return s.Watch(nil) }

// Watch is Config with a function that is told when a changed file can't be used. It is called once for each change,
// by the goroutine that does the handshake.
func (s *Server) Watch(report func(error)) (*tls.Config, error) {
	opts := *s
	w := newWatched(report, opts.load, opts.CertFile, opts.KeyFile, opts.ClientCAFile)
	if _, err := w.get(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:         version(s.MinVersion),
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return w.get() },
	}, nil
}

// load makes a whole new configuration, with session tickets of its own: no session outlives a change of the CAs.
func (s *Server) load() (*tls.Config, error) {
	cert, err := pair(s.CertFile, s.KeyFile)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: version(s.MinVersion), Certificates: []tls.Certificate{cert}}
	if s.ClientCAFile != "" {
		if c.ClientCAs, err = pool(s.ClientCAFile); err != nil {
			return nil, err
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, nil
}

// Config returns the configuration for connections. The client certificate is read again at each handshake after it
// changed; the CAs are those of now. Use a [Source] where connections are made by hand, to have new CAs too.
func (c *Client) Config() (*tls.Config, error) { return c.Source(nil).Config() }

// A Source gives the configuration for each new connection of a client. It is safe for concurrent use.
type Source struct{ w *watched }

// Source returns a source. It reads nothing yet. report, which may be nil, is told when a changed file can't be used,
// once for each change.
func (c *Client) Source(report func(error)) *Source {
	opts := *c
	s := &Source{}
	s.w = newWatched(report, func() (*tls.Config, error) {
		conf, err := opts.load()
		if err == nil && opts.CertFile != "" {
			conf.GetClientCertificate = s.certificate
		}
		return conf, err
	}, opts.CAFile, opts.CertFile, opts.KeyFile)
	return s
}

// Config returns the configuration for the next connection; it must not be changed, only cloned. It fails only while
// the files could never be read; the error names the file.
func (s *Source) Config() (*tls.Config, error) { return s.w.get() }

func (s *Source) certificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	conf, err := s.w.get()
	if err != nil {
		return nil, err
	}
	return &conf.Certificates[0], nil
}

func (c *Client) load() (*tls.Config, error) {
	conf := &tls.Config{
		MinVersion:         version(c.MinVersion),
		ServerName:         c.ServerName,
		InsecureSkipVerify: c.InsecureSkipVerify,
	}
	if c.CAFile != "" {
		roots, err := pool(c.CAFile)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = roots
	}
	if c.CertFile != "" || c.KeyFile != "" {
		cert, err := pair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, err
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	return conf, nil
}

// Check reports files that can't be read or don't belong together, with keys relative to this block.
func (s *Server) Check(r *config.Report) {
	if s.CertFile != "" && s.KeyFile != "" { // absent ones are reported by their tags
		checkPair(s.CertFile, s.KeyFile, r)
	}
	checkPool("client_ca_file", s.ClientCAFile, r)
}

// Check reports options that don't go together, with keys relative to this block. The files are not looked at: they may
// come later, and one destination's file must not keep a router from starting. [Source.Config] says what is wrong.
func (c *Client) Check(r *config.Report) {
	switch {
	case c.CertFile != "" && c.KeyFile == "":
		r.Problem("cert_file", "cert_file is set without key_file", "a client certificate needs its private key: set key_file")
	case c.KeyFile != "" && c.CertFile == "":
		r.Problem("key_file", "key_file is set without cert_file", "a private key needs its certificate: set cert_file")
	}
	if c.InsecureSkipVerify && c.CAFile != "" {
		r.Problem("insecure_skip_verify", "insecure_skip_verify and ca_file are both set", "ca_file has no effect when nothing is verified: remove one of them")
	}
}

func checkPair(certFile, keyFile string, r *config.Report) {
	if _, err := pair(certFile, keyFile); err != nil {
		key, hint := "cert_file", "the file must hold a PEM certificate and key_file its private key"
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			hint = "the file must exist and be readable by the user that the router runs as"
		}
		if _, bad := os.ReadFile(keyFile); bad != nil {
			key = "key_file"
		}
		r.Problem(key, err.Error(), hint)
	}
}

func checkPool(key, file string, r *config.Report) {
	if file == "" {
		return
	}
	if _, err := pool(file); err != nil {
		r.Problem(key, err.Error(), "the file must be readable and hold at least one PEM certificate")
	}
}

func pair(certFile, keyFile string) (tls.Certificate, error) {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read certificate: %w", err)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read private key: %w", err)
	}
	c, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("use certificate %q with key %q: %w", certFile, keyFile, err)
	}
	return c, nil
}

func pool(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read CA certificates: %w", err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read CA certificates: %q holds no PEM certificate", file)
	}
	return p, nil
}

func version(s string) uint16 {
	if s == "1.3" {
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}
