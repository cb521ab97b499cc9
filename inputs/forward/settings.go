package forward

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"io/fs"
	"os"

	"go.uber.org/zap"
)

// maxEvent is the largest event, in bytes, whatever the budget.
const maxEvent = 16 << 20

// settings are options and what is made of them. They never change: a connection takes the ones of its listener when it
// begins, and keeps them.
type settings struct {
	opts     Options
	listen   []address
	secure   map[place]bool // addresses that speak TLS
	tls      *tls.Config    // nil: none
	mode     fs.FileMode    // of unix sockets
	hostname string
	eventMax int
}

// A place is what a socket is bound to. Whether TLS is spoken there is no part of it.
type place struct{ network, addr string }

func (a address) place() place {
	if a.scheme == "unix" {
		return place{"unix", a.addr}
	}
	return place{"tcp", a.addr}
}

// newSettings reads the TLS files, unless the present settings, which may be nil, have the same ones: those are read
// when they change anyway, and a pair that is just being replaced must not make a change fail.
func newSettings(opts *Options, present *settings, log *zap.Logger) (*settings, error) {
	s := &settings{opts: *opts, secure: map[place]bool{}, hostname: opts.SelfHostname}
	s.eventMax = max(int(min(maxEvent, opts.Memory/2)), baseWindow)
	for _, text := range opts.Listen {
		a, err := parseAddress(text)
		if err != nil {
			return nil, err
		}
		s.listen = append(s.listen, a)
		s.secure[a.place()] = a.scheme == "tls"
		if a.scheme == "tls" && opts.TLS == nil {
			return nil, fmt.Errorf("listen on %q: it needs a certificate: set tls", text)
		}
	}
	var err error
	if s.mode, err = parseMode(opts.UnixMode); err != nil {
		return nil, err
	}
	if s.hostname == "" {
		host, err := os.Hostname()
		s.hostname = cmp.Or(host, "firebreak")
		if err != nil {
			log.Warn("host name unknown", zap.Error(err))
		}
	}
	switch {
	case opts.TLS == nil:
	case present != nil && present.opts.TLS != nil && *present.opts.TLS == *opts.TLS:
		s.tls = present.tls
	default:
		s.tls, err = opts.TLS.Watch(func(err error) { log.Warn("keep the old certificate", zap.Error(err)) })
	}
	return s, err
}

// conf returns how TLS is spoken at a place; nil: it isn't.
func (s *settings) conf(p place) *tls.Config {
	if s.secure[p] {
		return s.tls
	}
	return nil
}

// secured reports whether clients must prove who they are.
func (s *settings) secured() bool { return s.opts.SharedKey != "" || len(s.opts.Users) > 0 }
