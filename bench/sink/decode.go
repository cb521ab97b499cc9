package sink

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/firebreak/firebreak/internal/mp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const maxUnpacked = 256 << 20

// message is one message of the forward protocol. Its slices point into the buffer that it was parsed from.
type message struct {
	tag     []byte
	record  []byte // Message mode: the record; else nil
	entries []byte // other modes: [time, record] one after the other
	packing string // "", "gzip" or "zstd"
	chunk   []byte // the option's msgpack value as it came; nil: no ack wanted
}

var (
	errNotArray = errors.New("read message: not an array of 2 to 4")
	errOption   = errors.New("read message: option is neither a map nor nil")
)

// parse reads the message that b starts with and returns its size. mp.ErrShort means that more bytes are needed.
func parse(b []byte) (m message, size int, err error) {
	if b[0] == 0xc0 { // keep-alive
		return m, 1, nil
	}
	elems, at, err := mp.ArrayHeader(b)
	if err != nil || elems < 2 || elems > 4 {
		return m, 0, either(err, errNotArray)
	}
	tag, n, err := mp.Bytes(b[at:])
	if err != nil {
		return m, 0, err
	}
	m.tag = tag
	at += n
	left := elems - 1
	if at >= len(b) {
		return m, 0, mp.ErrShort
	}
	switch c := b[at]; {
	case mp.IsStr(c) || mp.IsBin(c):
		if m.entries, n, err = mp.Bytes(b[at:]); err != nil {
			return m, 0, err
		}
	case mp.IsArray(c):
		_, header, err := mp.ArrayHeader(b[at:])
		if err != nil {
			return m, 0, err
		}
		if n, err = mp.Skip(b[at:]); err != nil {
			return m, 0, err
		}
		m.entries = b[at+header : at+n]
	default:
		t, err := skipTime(b[at:])
		if err != nil {
			return m, 0, err
		}
		if left--; left == 0 {
			return m, 0, errNotArray
		}
		if n, err = mp.Skip(b[at+t:]); err != nil {
			return m, 0, err
		}
		m.record = b[at+t : at+t+n]
		n += t
	}
	at += n
	if left--; left > 0 {
		if n, err = m.option(b[at:]); err != nil {
			return m, 0, err
		}
		at += n
	}
	return m, at, nil
}

// option reads the option map.
func (m *message) option(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, mp.ErrShort
	}
	if b[0] == 0x80 || b[0] == 0xc0 {
		return 1, nil
	}
	if !mp.IsMap(b[0]) {
		return 0, errOption
	}
	pairs, at, err := mp.MapHeader(b)
	if err != nil {
		return 0, err
	}
	for range pairs {
		k, err := mp.Skip(b[at:])
		if err != nil {
			return 0, err
		}
		v, err := mp.Skip(b[at+k:])
		if err != nil {
			return 0, err
		}
		key, _, err := mp.Bytes(b[at:])
		value := b[at+k : at+k+v]
		if err == nil {
			switch string(key) {
			case "chunk":
				m.chunk = value
			case "compressed":
				if name, _, err := mp.Bytes(value); err == nil && (string(name) == "gzip" || string(name) == "zstd") {
					m.packing = string(name)
				}
			}
		}
		at += k + v
	}
	return at, nil
}

// entry reads one [time, record] and returns the record and the size of the whole.
func entry(b []byte) (record []byte, size int, err error) {
	if len(b) == 0 || b[0] != 0x92 {
		return nil, 0, errors.New("read entry: not an array of 2")
	}
	t, err := skipTime(b[1:])
	if err != nil {
		return nil, 0, err
	}
	n, err := mp.Skip(b[1+t:])
	if err != nil {
		return nil, 0, err
	}
	return b[1+t : 1+t+n], 1 + t + n, nil
}

// skipTime is mp.Skip with a short way for the usual forms of a time.
func skipTime(b []byte) (int, error) {
	n := 0
	switch {
	case len(b) == 0:
		return 0, mp.ErrShort
	case b[0] == 0xd7:
		n = 10
	case b[0] == 0xd2 || b[0] == 0xce:
		n = 5
	default:
		return mp.Skip(b)
	}
	if len(b) < n {
		return 0, mp.ErrShort
	}
	return n, nil
}

// logLine returns the string under "log", nil when there is none.
func logLine(record []byte) []byte {
	if !mp.IsMap(record[0]) {
		return nil
	}
	pairs, at, err := mp.MapHeader(record)
	if err != nil {
		return nil
	}
	for range pairs {
		key, k, err := mp.Bytes(record[at:])
		if err != nil {
			if k, err = mp.Skip(record[at:]); err != nil {
				return nil
			}
		}
		value, v, err := mp.Bytes(record[at+k:])
		if err != nil {
			value = nil
			if v, err = mp.Skip(record[at+k:]); err != nil {
				return nil
			}
		}
		if string(key) == "log" {
			return value
		}
		at += k + v
	}
	return nil
}

// unpacker decompresses; it keeps its decoders.
type unpacker struct {
	gz  *gzip.Reader
	zs  *zstd.Decoder
	buf bytes.Buffer
}

// unpack returns the entries of a compressed message, valid until the next call.
func (u *unpacker) unpack(packing string, b []byte) (_ []byte, err error) {
	if packing == "zstd" {
		if u.zs == nil {
			if u.zs, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxUnpacked)); err != nil {
				return nil, fmt.Errorf("open zstd: %w", err)
			}
		}
		return u.zs.DecodeAll(b, nil)
	}
	if u.gz == nil {
		u.gz = new(gzip.Reader)
	}
	if err := u.gz.Reset(bytes.NewReader(b)); err != nil {
		return nil, fmt.Errorf("open gzip: %w", err)
	}
	u.buf.Reset()
	n, err := u.buf.ReadFrom(&limited{u.gz, maxUnpacked})
	if err != nil {
		return nil, fmt.Errorf("read gzip after %d bytes: %w", n, err)
	}
	return u.buf.Bytes(), nil
}

func (u *unpacker) close() {
	if u.zs != nil {
		u.zs.Close()
	}
}

type limited struct {
	r    *gzip.Reader
	left int
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errors.New("larger than 256 MiB")
	}
	n, err := l.r.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

func either(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}
