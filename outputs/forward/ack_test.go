package forward

import (
	"errors"
	"testing"

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
