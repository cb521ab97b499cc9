package forward

import (
	"errors"
	"fmt"

	"github.com/firebreak/firebreak/internal/mp"
)

const (
	// maxAnswer bounds one answer of a server, in bytes. Acknowledgements of ours take about 32.
	maxAnswer = 4 << 10
	// maxStray bounds the answers that nothing waits for, in bytes.
	maxStray = 64 << 10
	// tlsAlert starts what a TLS server says to a client that speaks plainly (RFC 8446 section 5.1).
	tlsAlert = 0x15
)

var (
	// errHelo says that the server starts with a handshake that it was not expected to want.
	errHelo = errors.New("server asks for a shared-key handshake")
	// errTLS says that the server answers in TLS.
	errTLS = errors.New("server answers with a TLS alert")
	// errForeign says that no forward server answers so.
	errForeign = errors.New("not an answer of the forward protocol")
)

// parseAck reads the answer that b starts with and returns its size and the id in it; the id is nil for a keep-alive.
// An incomplete answer gives [mp.ErrShort]. The answer is {"ack": id}, in which other keys are ignored.
func parseAck(b []byte) (id []byte, size int, err error) {
	size, err = mp.Skip(b)
	if err != nil {
		return nil, 0, err
	}
	switch {
	case b[0] == 0xc0:
		return nil, size, nil
	case mp.IsArray(b[0]):
		elems, i, _ := mp.ArrayHeader(b)
		if elems > 0 {
			if name, _, err := mp.Bytes(b[i:]); err == nil && string(name) == "HELO" {
				return nil, 0, errHelo
			}
		}
		return nil, 0, fmt.Errorf("read acknowledgement: answer is an array: %w", errForeign)
	case b[0] == tlsAlert:
		return nil, 0, errTLS
	case !mp.IsMap(b[0]):
		return nil, 0, fmt.Errorf("read acknowledgement: answer starts with byte %#02x: %w", b[0], errForeign)
	}
	pairs, i, err := mp.MapHeader(b)
	for ; pairs > 0 && err == nil; pairs-- {
		key, _, keyErr := mp.Bytes(b[i:])
		n, _ := mp.Skip(b[i:]) // can't fail: the whole was skipped before
		i += n
		if keyErr == nil && string(key) == "ack" {
			if id, _, err = mp.Bytes(b[i:]); err != nil {
				return nil, 0, fmt.Errorf("read acknowledgement: id: %w", mp.ErrInvalid)
			}
			if id == nil {
				id = []byte{}
			}
		}
		n, _ = mp.Skip(b[i:])
		i += n
	}
	if id == nil || err != nil {
		return nil, 0, errors.New("read acknowledgement: answer has no key \"ack\"")
	}
	return id, size, nil
}
