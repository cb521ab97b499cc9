// Package forward sends events to Fluentd, Fluent Bit or another Firebreak over the forward protocol.
//
// Events go out as PackedForward messages ([tag, entries, options]), one or more for each tag of a batch, without
// being decoded. With acknowledgements (the default) an event counts as delivered when the server has acknowledged
// its message; without, when the kernel has taken its bytes.
//
// Of several servers each tag has one, chosen by weighted rendezvous hashing among the primaries that are up, or
// among the standbys while no primary is. A tag moves when that choice changes. Its order is kept, because a
// destination never has two Sends with events of the same tag at the same time, and Send returns only when
// everything in it is acknowledged, or its connection is closed.
//
// Source: Forward Protocol Specification v1 (wiki of fluent/fluentd).
package forward

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/tlsconf"
	"github.com/firebreak/firebreak/outputs"
	"go.uber.org/zap"
)

// Options are the options of `type: forward`.
type Options struct {
	Servers []Server `key:"servers" required:"true" doc:"Addresses of the servers: host:port, host (port 24224) or unix:///path. Each tag is sent to one of them, so that its order is kept. A name is resolved anew for each connection."`

	Ack        bool          `key:"ack" default:"true" doc:"Ask for acknowledgements. Without them events count as delivered once the kernel has taken them, and those on the way are lost when the server fails."`
	AckTimeout time.Duration `key:"ack_timeout" default:"30s" min:"10ms" doc:"Longest wait for the next acknowledgement once everything was written. Then the connection is closed and what was not acknowledged is sent again."`

	ConnectTimeout   time.Duration `key:"connect_timeout" default:"3s" min:"10ms" doc:"Longest time for name resolution, TCP connect, TLS and the shared-key handshake together. After it the next server takes over."`
	WriteTimeout     time.Duration `key:"write_timeout" default:"10s" min:"10ms" doc:"Longest time without progress (128 KiB) while writing."`
	IdleTimeout      time.Duration `key:"idle_timeout" default:"1m" min:"10ms" doc:"A connection that was not used for this long is closed."`
	MaxConnectionAge time.Duration `key:"max_connection_age" default:"10m" doc:"A connection older than this (give or take 10 percent) is closed after the batch that it is in, so that load balancers can spread the hosts anew; 0s: never."`

	Heartbeat         string        `key:"heartbeat" default:"none" enum:"none,udp,tcp" doc:"Ask the servers now and then whether they are there, so that one which is gone is left alone before a batch has to fail on it. udp: a datagram to the server's port, as heartbeat_type udp of Fluentd; Fluent Bit answers none. tcp: a connection that is closed again, as heartbeat_type transport of Fluentd. A server that has never answered is not judged by it, and one that takes batches is up. Without it Sends find out, and servers that are down are probed."`
	HeartbeatInterval time.Duration `key:"heartbeat_interval" default:"1s" min:"100ms" doc:"Time between two heartbeats; a server that leaves 5 in a row unanswered counts as down until it answers one."`

	Compress string `key:"compress" default:"none" enum:"none,gzip,zstd" doc:"Compression of the events. Servers know gzip since Fluentd 0.14 and zstd since Fluentd 1.19 and Fluent Bit 4."`

	SharedKey    config.Secret `key:"shared_key" doc:"Secret that proves both sides to each other: shared_key in the security section of Fluentd, or Shared_Key of Fluent Bit."`
	Username     string        `key:"username" doc:"User, when the server asks for one."`
	Password     config.Secret `key:"password" doc:"Password of the user."`
	SelfHostname string        `key:"self_hostname" doc:"Name of this side in the handshake; without it the host's name. Fluentd wants it to differ from its own."`

	TLS *tlsconf.Client `key:"tls" doc:"TLS from the first byte. An empty block ({}) verifies the server with the system's CAs."`
}

// Server is one entry of `servers`.
type Server struct {
	Address string `key:"address" required:"true" doc:"host:port, host (port 24224) or unix:///path."`
	Standby bool   `key:"standby" default:"false" doc:"Use this server only while no other one is up."`
	Weight  int    `key:"weight" default:"1" min:"1" max:"1000" doc:"Share of the tags that this server gets, relative to the others."`
}

// SetText takes the short form of an entry: the address alone.
func (s *Server) SetText(text string) error {
	s.Address = text
	return nil
}

// Kind declares the output.
func Kind() outputs.Kind {
	return outputs.Kind{
		Name:    "forward",
		Summary: "Sends events to Fluentd, Fluent Bit or another Firebreak over the forward protocol, with acknowledgements, failover and TLS.",
		Options: func() outputs.Options { return &Options{} },
	}
}

// Check reports servers that can't work together, and options without the ones that they need.
func (o *Options) Check(r *config.Report) {
	seen := map[string]int{}
	primaries, unix := 0, 0
	for i, s := range o.Servers {
		key := fmt.Sprintf("servers[%d]", i)
		if !s.Standby {
			primaries++
		}
		a, err := parseAddress(s.Address)
		if err != nil {
			r.Problem(key, err.Error(), `write "host:24224", "[2001:db8::1]:24224" or "unix:///run/aggregator.sock"`)
			continue
		}
		if a.network == "unix" {
			unix++
		}
		if first, ok := seen[a.String()]; ok {
			r.Problem(key, fmt.Sprintf("server %q is listed twice, first as servers[%d]", a, first), "remove one of them; use weight to give a server more tags")
			continue
		}
		seen[a.String()] = i
	}
	if len(o.Servers) == 0 {
		r.Problem("servers", "no server is listed", `write servers: ["host:24224"]`)
	} else if primaries == 0 {
		r.Problem("servers", "all servers are standbys", "remove standby: true from the ones that shall be used first")
	}
	if o.Password != "" && o.Username == "" {
		r.Problem("password", "password is set without username", "set username too")
	}
	if o.TLS != nil && o.TLS.ServerName == "" && !o.TLS.InsecureSkipVerify && unix > 0 {
		r.Problem("tls", "TLS over a unix socket has no host name to verify", "set tls.server_name")
	}
}

// Open builds the output. It makes no connection, resolves no name and reads no file.
func (o *Options) Open(env outputs.Env) (outputs.Output, error) {
	var problems []string
	o.Check(config.NewReport(func(key, message, _ string) { problems = append(problems, key+": "+message) }))
	if len(problems) > 0 {
		return nil, fmt.Errorf("open forward output: %s", strings.Join(problems, "; "))
	}
	return o.open(env, &net.Dialer{Resolver: &net.Resolver{PreferGo: true}})
}

func (o *Options) open(env outputs.Env, dialer *net.Dialer) (*output, error) {
	f := &output{opts: *o, log: env.Log, work: env.Work, dialer: dialer}
	if f.log == nil {
		f.log = zap.NewNop()
	}
	if f.work == nil {
		f.work = func(_ context.Context, do func()) error { do(); return nil }
	}
	if f.opts.SelfHostname == "" {
		f.opts.SelfHostname = env.Host
	}
	if o.TLS != nil {
		f.tls = o.TLS.Source(func(err error) {
			f.log.Warn("new TLS files can't be used", zap.Error(err))
		})
	}
	f.compress = newCompressor(o.Compress)
	f.closing, f.stop = context.WithCancel(context.Background())
	for _, s := range o.Servers {
		a, err := parseAddress(s.Address)
		if err != nil {
			return nil, err
		}
		f.servers = append(f.servers, newServer(f, a, s))
	}
	return f, nil
}
