package forward

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/firebreak/firebreak/internal/handshake"
	"github.com/firebreak/firebreak/internal/mp"
)

func FuzzParseAck(f *testing.F) {
	f.Add(ackOf("AAAAAAAAAAAAAAAAAAAAAA=="))
	f.Add([]byte{0xc0})
	f.Add([]byte{0x82, 0xa1, 'x', 0x92, 1, 2, 0xa3, 'a', 'c', 'k', 0xc4, 1, 0xff})
	f.Add([]byte{0x92, 0xa4, 'H', 'E', 'L', 'O', 0x80})
	f.Add([]byte{0xdf, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x81, 0xa3, 'a', 'c', 'k', 0xc0})
	f.Fuzz(func(t *testing.T, b []byte) {
		id, n, err := parseAck(b)
		if err != nil {
			if n != 0 || id != nil {
				t.Errorf("error with a size of %d and id %q", n, id)
			}
			return
		}
		if n < 1 || n > len(b) {
			t.Fatalf("size is %d of %d", n, len(b))
		}
		// Every shorter part asks for more, and what follows changes nothing.
		for i := range n {
			if _, _, err := parseAck(b[:i]); !errors.Is(err, mp.ErrShort) {
				t.Fatalf("first %d of %d bytes: %v", i, n, err)
			}
		}
		again, m, err := parseAck(append(b[:n:n], 0xc1))
		if m != n || string(again) != string(id) || err != nil {
			t.Errorf("with more behind it: %q, %d, %v", again, m, err)
		}
	})
}

func TestParseAck(t *testing.T) {
	id, n, err := parseAck(append(ackOf("abc"), 1, 2, 3))
	if string(id) != "abc" || n != 9 || err != nil {
		t.Errorf("%q, %d, %v", id, n, err)
	}
	if _, _, err := parseAck([]byte{0x92, 0xa4, 'H', 'E', 'L', 'O', 0x80}); !errors.Is(err, errHelo) {
		t.Errorf("HELO: %v", err)
	}
}

// script is a connection on which the peer sends the parts, and then ends it.
type script struct {
	net.Conn
	parts [][]byte
}

func (s *script) Read(b []byte) (int, error) {
	if len(s.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.parts[0])
	if s.parts[0] = s.parts[0][n:]; len(s.parts[0]) == 0 {
		s.parts = s.parts[1:]
	}
	return n, nil
}

func (s *script) Write(b []byte) (int, error) { return len(b), nil }

// FuzzPeer feeds what a hostile server may send to the handshake and to the reader of acknowledgements, whole and cut
// in pieces: the outcome must be the same.
func FuzzPeer(f *testing.F) {
	f.Add([]byte{1, 2}, append(ackOf(fmt.Sprintf("%024d", 0)), ackOf(fmt.Sprintf("%024d", 1))...))
	f.Add([]byte{5}, handshake.Helo{Nonce: []byte("n"), Keepalive: true}.Append(nil))
	f.Add([]byte{5}, handshake.Pong{OK: true}.Append(handshake.Helo{Nonce: []byte("n"), Auth: []byte("a")}.Append(nil)))
	f.Add([]byte{200}, append([]byte{0xdb, 0, 0, 0x20, 0}, make([]byte, 8192)...))
	o := &output{opts: Options{Ack: true, SharedKey: "k", Username: "u"}}
	f.Fuzz(func(t *testing.T, cuts, b []byte) {
		var parts [][]byte
		rest := b
		for _, n := range cuts {
			if n := min(int(n), len(rest)); n > 0 {
				parts, rest = append(parts, rest[:n]), rest[n:]
			}
		}
		if len(rest) > 0 {
			parts = append(parts, rest)
		}
		run := func(parts [][]byte) string {
			list := make([]*message, 3)
			for i := range list {
				list[i] = &message{}
				copy(list[i].id[:], fmt.Sprintf("%024d", i))
			}
			c := &conn{server: &server{o: o}, net: &script{parts: parts}, wake: make(chan struct{}, 1), buf: make([]byte, 0, maxAnswer)}
			c.begin(list)
			err := c.readAcks()
			if len(c.buf) > maxAnswer {
				t.Errorf("%d bytes are kept", len(c.buf))
			}
			return fmt.Sprint(err, c.left, list[0].state, list[1].state, list[2].state)
		}
		// The size of an answer is bounded by what was read at once, which may be a little more.
		if one, many := run([][]byte{b}), run(parts); one != many && len(b) < maxAnswer {
			t.Errorf("in one piece: %s; in pieces: %s", one, many)
		}
		greet := func(parts [][]byte) string {
			c := &conn{net: &script{parts: parts}, buf: make([]byte, 0, maxAnswer)}
			return fmt.Sprint(o.shakeHands(c))
		}
		if one, many := greet([][]byte{b}), greet(parts); (one == "<nil>") != (many == "<nil>") {
			t.Errorf("handshake in one piece: %s; in pieces: %s", one, many)
		}
	})
}
