package forward

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// defaultPort is the registered port of the forward protocol.
const defaultPort = "24224"

// address is where a server listens.
type address struct {
	network string // tcp or unix
	text    string // what to dial
	host    string // the name that a certificate must have
}

func (a address) String() string {
	if a.network == "unix" {
		return "unix://" + a.text
	}
	return a.text
}

func parseAddress(s string) (address, error) {
	if path, ok := strings.CutPrefix(s, "unix://"); ok {
		if !strings.HasPrefix(path, "/") {
			return address{}, fmt.Errorf("read address %q: path of a unix socket is not absolute", s)
		}
		return address{network: "unix", text: path}, nil
	}
	rest := strings.TrimPrefix(s, "tcp://")
	if strings.Contains(rest, "://") {
		return address{}, fmt.Errorf("read address %q: unknown scheme", s)
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil { // no port
		host, port = strings.TrimSuffix(strings.TrimPrefix(rest, "["), "]"), defaultPort
		if strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return address{}, fmt.Errorf("read address %q: %w", s, err)
		}
	}
	if host == "" || strings.ContainsAny(host, "/[]@ \t\r\n") {
		return address{}, fmt.Errorf("read address %q: no host name or IP address before the port", s)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return address{}, fmt.Errorf("read address %q: port %q is not a number from 1 to 65535", s, port)
	}
	return address{network: "tcp", text: net.JoinHostPort(host, port), host: host}, nil
}
