package forward

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/firebreak/firebreak/outputs"
)

// errNoAck says that everything was written and an acknowledgement is overdue.
var errNoAck = errors.New("no acknowledgement")

const noAckHint = "the server takes events but sends no acknowledgement: check that it supports require_ack_response, or set `ack: false`"

// explain gives an error of a connection its class and a hint.
func explain(err error) outputs.Error {
	var (
		own    *outputs.Error
		record tls.RecordHeaderError
		cert   *tls.CertificateVerificationError
		ca     x509.UnknownAuthorityError
		host   x509.HostnameError
		bad    x509.CertificateInvalidError
		op     *net.OpError
		dns    *net.DNSError
	)
	switch {
	case errors.As(err, &own):
		return outputs.Error{Class: own.Class, Hint: own.Hint, Err: own.Err}
	case errors.Is(err, errNoAck):
		return outputs.Error{Class: outputs.NoAck, Hint: noAckHint, Err: err}
	case errors.Is(err, errHelo):
		return outputs.Error{Class: outputs.Held, Hint: "set shared_key (and username and password, if it asks for a user)", Err: err}
	case errors.Is(err, errTLS):
		return outputs.Error{Class: outputs.Held, Hint: "the server speaks TLS on this port: add `tls: {}`, or check the port", Err: err}
	case errors.Is(err, errForeign):
		return outputs.Error{Hint: "check that the address is that of a forward server", Err: err}
	case errors.As(err, &record):
		return outputs.Error{Class: outputs.Held, Hint: "the server doesn't speak TLS on this port: check the port, or remove tls", Err: err}
	case errors.As(err, &host):
		return outputs.Error{Class: outputs.Held, Hint: "set tls.server_name to a name in the server's certificate", Err: err}
	case errors.As(err, &bad) && bad.Reason == x509.Expired:
		return outputs.Error{Class: outputs.Held, Hint: "renew the server's certificate, or check the clocks of both hosts", Err: err}
	case errors.As(err, &cert), errors.As(err, &ca):
		return outputs.Error{Class: outputs.Held, Hint: "set tls.ca_file to the CA of the server's certificate", Err: err}
	case errors.As(err, &op) && op.Op == "remote error":
		return outputs.Error{Class: outputs.Held, Hint: "the server refuses TLS with this client: check tls.cert_file and tls.min_version", Err: err}
	case errors.As(err, &dns) && dns.IsNotFound:
		return outputs.Error{Hint: "check the name of the server", Err: err}
	case errors.Is(err, syscall.ECONNREFUSED):
		return outputs.Error{Hint: "nothing listens there: start the server, or check its address", Err: err}
	case errors.As(err, &op) && op.Op == "dial" && (op.Timeout() || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)):
		return outputs.Error{Hint: "the host doesn't answer: check the address, the network, and firewalls between", Err: err}
	}
	return outputs.Error{Err: err}
}

// failure is what Send returns for s.
func failure(s *server, err error, written bool) *outputs.Error {
	e := explain(err)
	e.Err = fmt.Errorf("send to %q: %w", s.address, e.Err)
	e.Written = written
	return &e
}

// worse returns the one that says more to the user.
func worse(a, b *outputs.Error) *outputs.Error {
	if a == nil || b != nil && rank(b) > rank(a) {
		return b
	}
	return a
}

func rank(e *outputs.Error) int {
	switch e.Class {
	case outputs.Held:
		return 3
	case outputs.NoAck:
		return 2
	case outputs.Transient, outputs.Throttle:
		return 1
	}
	return 0
}

// hungUp reports whether the peer ended the connection, as it may at any time between messages.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}

// ended says who ended a connection during a handshake: the peer, or the end of our own time.
func ended(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("server closed the connection: %w", err)
	case errors.Is(err, net.ErrClosed):
		return os.ErrDeadlineExceeded
	}
	return err
}

// silent reports whether the peer is connected but doesn't move: a connect says nothing about it.
func silent(err error) bool {
	return errors.Is(err, errNoAck) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}
