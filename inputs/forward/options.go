package forward

import (
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/tlsconf"
)

// Options configures a forward input.
type Options struct {
	Listen []string        `key:"listen" default:"[\"tcp://127.0.0.1:24224\"]" doc:"Addresses to listen on: tcp://host:port, tls://host:port or unix:///path. A bare host:port means tcp; without a port it is 24224. A reload opens and closes addresses as needed; one that overlaps an address of before on the same port (0.0.0.0 and 127.0.0.1) needs a restart."`
	TLS    *tlsconf.Server `key:"tls" doc:"Certificate of the tls:// addresses."`

	SharedKey    config.Secret `key:"shared_key" doc:"When set, clients must prove that they know it (Fluentd's and Fluent Bit's shared_key)."`
	Users        []User        `key:"users" doc:"When set, clients must also name one of these users and know its password."`
	SelfHostname string        `key:"self_hostname" doc:"Name of this side in the shared-key handshake; by default the host name. Fluentd refuses a server that has its own name."`

	MaxMessage      config.Size   `key:"max_message" default:"64MiB" min:"64KiB" doc:"Largest message, compressed or not. A larger one ends its connection. Large messages are stored piece by piece as they arrive, not held."`
	MaxDecompressed config.Size   `key:"max_decompressed" default:"256MiB" min:"1MiB" doc:"Most bytes that a compressed message may expand to. They are never held all at once."`
	MaxConnections  int           `key:"max_connections" default:"10000" min:"1" max:"1000000" doc:"Connections at the same time; further ones are closed at once, and counted. So are those that would leave fewer than 256 (or half) of the files that the process may open."`
	IdleTimeout     time.Duration `key:"idle_timeout" default:"0s" doc:"Close connections that send nothing for this long; 0s: never, because a container may be silent for days. Dead peers are found by TCP keep-alive either way."`
	Memory          config.Size   `key:"memory" default:"16MiB" min:"1MiB" doc:"Read buffers of all connections together, beyond 4KiB for each. When it is used up, connections work in smaller pieces. One event may have up to half of it."`

	JoinTimeout  time.Duration `key:"join_timeout" default:"5s" min:"10ms" doc:"Docker cuts lines over 16KiB into pieces, which are joined here. A line whose next piece doesn't come for this long is passed on as it is."`
	JoinMaxBytes config.Size   `key:"join_max_bytes" default:"1MiB" min:"16KiB" doc:"Longest joined line; a longer one is passed on in parts of this size, and counted."`

	UnixMode string `key:"unix_mode" default:"0660" doc:"Permissions of unix sockets, in octal. Docker runs as root and needs none."`
}

// A User may connect when the input asks for users.
type User struct {
	Username string        `key:"username" required:"true" doc:"Name that the client sends."`
	Password config.Secret `key:"password" required:"true" doc:"Password, of which only a digest goes over the wire."`
}

// Check reports addresses and modes that can't work.
func (o *Options) Check(r *config.Report) { o.check(r.Problem) }

func (o *Options) check(problem func(key, message, hint string)) {
	if len(o.Listen) == 0 {
		problem("listen", "listen is empty", "name at least one address, such as tcp://127.0.0.1:24224")
	}
	usesTLS := false
	seen := map[place]bool{}
	for i, s := range o.Listen {
		key := fmt.Sprintf("listen[%d]", i)
		a, err := parseAddress(s)
		if err != nil {
			problem(key, err.Error(), "write tcp://host:port, tls://host:port or unix:///path")
			continue
		}
		if seen[a.place()] {
			problem(key, fmt.Sprintf("address %q is listed twice", s), "remove one of them")
		}
		seen[a.place()] = true
		if a.scheme == "tls" {
			usesTLS = true
			if o.TLS == nil {
				problem(key, fmt.Sprintf("address %q needs a certificate", s), "add tls: {cert_file: …, key_file: …}")
			}
		}
	}
	if o.TLS != nil && !usesTLS {
		problem("tls", "tls is set but no address uses it", "write the address as tls://host:port")
	}
	if _, err := parseMode(o.UnixMode); err != nil {
		problem("unix_mode", err.Error(), "write permissions in octal, such as \"0660\"")
	}
	names := map[string]bool{}
	for i, u := range o.Users {
		if names[u.Username] {
			problem(fmt.Sprintf("users[%d]", i), fmt.Sprintf("user %q is listed twice", u.Username), "remove one of them")
		}
		names[u.Username] = true
	}
}

// An address is where to listen.
type address struct{ scheme, addr string } // addr: host:port, or a path for unix

func (a address) String() string { return a.scheme + "://" + a.addr }

// unixPathMax is the room in sockaddr_un, less the zero byte at its end.
const unixPathMax = 107

func parseAddress(s string) (address, error) {
	scheme, rest, found := strings.Cut(s, "://")
	if !found {
		scheme, rest = "tcp", s
	}
	switch scheme {
	case "unix":
		switch {
		case !strings.HasPrefix(rest, "/"):
			return address{}, fmt.Errorf("read address %q: the path of a unix socket must be absolute", s)
		case len(rest) > unixPathMax:
			return address{}, fmt.Errorf("read address %q: the path has %d bytes, a unix socket takes at most %d", s, len(rest), unixPathMax)
		}
		return address{scheme, rest}, nil
	case "tcp", "tls":
	default:
		return address{}, fmt.Errorf("read address %q: unknown scheme %q", s, scheme)
	}
	rest = strings.TrimSuffix(rest, "/")
	host, port, err := net.SplitHostPort(rest)
	if err != nil { // no port
		host, port = strings.Trim(rest, "[]"), "24224"
		if host == "" || strings.ContainsAny(host, "/ ") || strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return address{}, fmt.Errorf("read address %q: not host:port", s)
		}
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return address{}, fmt.Errorf("read address %q: bad port %q", s, port)
	}
	if strings.ContainsAny(host, "/ ") {
		return address{}, fmt.Errorf("read address %q: bad host %q", s, host)
	}
	return address{scheme, net.JoinHostPort(host, port)}, nil
}

func parseMode(s string) (fs.FileMode, error) {
	if s == "" {
		return 0o660, nil
	}
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o777 {
		return 0, fmt.Errorf("read unix_mode %q: not octal permissions", s)
	}
	return fs.FileMode(n), nil
}
