package handshake

import (
	"errors"
	"fmt"

	"github.com/firebreak/firebreak/internal/mp"
)

// MaxSize bounds an encoded message, in bytes. Messages of the reference implementations are below 1 KiB.
const MaxSize = 8 << 10

// ErrTooLarge says that a message doesn't end within MaxSize bytes.
var ErrTooLarge = errors.New("handshake message is larger than 8 KiB")

// Append appends the encoded message.
func (h Helo) Append(dst []byte) []byte {
	dst = mp.AppendStr(append(dst, 0x92), "HELO")
	dst = mp.AppendStr(append(dst, 0x83), "nonce")
	dst = mp.AppendStr(dst, h.Nonce)
	dst = mp.AppendStr(dst, "auth")
	dst = mp.AppendStr(dst, h.Auth)
	dst = mp.AppendStr(dst, "keepalive")
	return mp.AppendBool(dst, h.Keepalive)
}

// Append appends the encoded message.
func (p Ping) Append(dst []byte) []byte {
	dst = mp.AppendStr(append(dst, 0x96), "PING")
	dst = mp.AppendStr(dst, p.Host)
	dst = mp.AppendStr(dst, p.Salt)
	dst = mp.AppendStr(dst, p.Digest)
	dst = mp.AppendStr(dst, p.User)
	return mp.AppendStr(dst, p.Password)
}

// Append appends the encoded message.
func (p Pong) Append(dst []byte) []byte {
	dst = mp.AppendStr(append(dst, 0x95), "PONG")
	dst = mp.AppendBool(dst, p.OK)
	dst = mp.AppendStr(dst, p.Reason)
	dst = mp.AppendStr(dst, p.Host)
	return mp.AppendStr(dst, p.Digest)
}

// ParseHelo parses the message that b starts with and returns its size. An incomplete message gives [mp.ErrShort]
// (errors.Is), or ErrTooLarge when it is too long already; everything else that is wrong is another error.
// Nothing of b is kept.
func ParseHelo(b []byte) (Helo, int, error) {
	var h Helo
	v, size, err := message(b, "HELO", 2, 2)
	if err != nil {
		return h, 0, err
	}
	h.Keepalive = true // Fluent Bit's HELO has no such key, and the specification's default is true
	if v[0] == 0xc0 {
		return h, size, nil
	}
	pairs, i, err := mp.MapHeader(v)
	if err != nil {
		return h, 0, fmt.Errorf("read HELO: options: %w", mp.ErrInvalid)
	}
	for range pairs {
		n, _ := mp.Skip(v[i:]) // can't fail: the whole message was skipped before
		key, _, err := mp.Bytes(v[i:])
		if err != nil {
			key = nil
		}
		i += n
		n, _ = mp.Skip(v[i:])
		val := v[i : i+n]
		i += n
		switch string(key) {
		case "nonce":
			h.Nonce, err = bytesOrNil(val)
		case "auth":
			h.Auth, err = bytesOrNil(val)
		case "keepalive":
			h.Keepalive = val[0] != 0xc2
			err = nil
		default:
			err = nil
		}
		if err != nil {
			return Helo{}, 0, fmt.Errorf("read HELO: %s: %w", key, err)
		}
	}
	return h, size, nil
}

// ParsePing parses the message that b starts with, like [ParseHelo].
func ParsePing(b []byte) (Ping, int, error) {
	v, size, err := message(b, "PING", 6, 6)
	if err != nil {
		return Ping{}, 0, err
	}
	var f [5][]byte
	for i := range f {
		n, _ := mp.Skip(v)
		if f[i], err = bytesOrNil(v[:n]); err != nil {
			return Ping{}, 0, fmt.Errorf("read PING: element %d: %w", i+1, err)
		}
		v = v[n:]
	}
	return Ping{Host: string(f[0]), Salt: f[1], Digest: string(f[2]), User: string(f[3]), Password: string(f[4])}, size, nil
}

// ParsePong parses the message that b starts with, like [ParseHelo]. A refusal may lack host and digest.
func ParsePong(b []byte) (Pong, int, error) {
	v, size, err := message(b, "PONG", 3, 5)
	if err != nil {
		return Pong{}, 0, err
	}
	elems, _, _ := mp.ArrayHeader(b)
	p := Pong{OK: v[0] == 0xc3}
	if !p.OK && v[0] != 0xc2 {
		return Pong{}, 0, fmt.Errorf("read PONG: element 1: %w", mp.ErrInvalid)
	}
	v = v[1:]
	for i, dst := range []*string{&p.Reason, &p.Host, &p.Digest} {
		if i+2 >= elems {
			break
		}
		n, _ := mp.Skip(v)
		f, err := bytesOrNil(v[:n])
		if err != nil {
			return Pong{}, 0, fmt.Errorf("read PONG: element %d: %w", i+2, err)
		}
		*dst, v = string(f), v[n:]
	}
	return p, size, nil
}

// message checks the frame that all three messages share: an array whose first element is name. It returns the
// bytes of the other elements, all complete, and the size of the message.
func message(b []byte, name string, least, most int) (rest []byte, size int, err error) {
	size, err = mp.Skip(b[:min(len(b), MaxSize)])
	// What can be told to be wrong from the first bytes is, before the rest has come.
	elems, i, headErr := mp.ArrayHeader(b)
	if headErr == nil && (elems < least || elems > most) {
		return nil, 0, fmt.Errorf("read %s: array of %d elements", name, elems)
	}
	if headErr != nil && !errors.Is(headErr, mp.ErrShort) {
		return nil, 0, fmt.Errorf("read %s: not an array: %w", name, headErr)
	}
	if headErr == nil {
		if got, n, bytesErr := mp.Bytes(b[i:]); bytesErr == nil {
			if string(got) != name {
				return nil, 0, fmt.Errorf("read %s: message is a %.8q", name, got)
			}
			i += n
		} else if !errors.Is(bytesErr, mp.ErrShort) {
			return nil, 0, fmt.Errorf("read %s: name: %w", name, bytesErr)
		}
	}
	switch {
	case errors.Is(err, mp.ErrShort) && len(b) >= MaxSize:
		return nil, 0, fmt.Errorf("read %s: %w", name, ErrTooLarge)
	case err != nil:
		return nil, 0, fmt.Errorf("read %s: %w", name, err)
	}
	return b[i:size], size, nil
}

// bytesOrNil returns a copy of a str or bin; nil counts as empty.
func bytesOrNil(v []byte) ([]byte, error) {
	if len(v) == 1 && v[0] == 0xc0 {
		return nil, nil
	}
	b, _, err := mp.Bytes(v)
	if err != nil {
		return nil, err
	}
	return append([]byte(nil), b...), nil
}
