package sink

import (
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/firebreak/firebreak/internal/mp"
)

// errHandshake says that the peer's part of the handshake was wrong.
var errHandshake = errors.New("bad handshake")

// handshake is the server's side of HELO, PING, PONG (Forward Protocol Specification v1, "Handshake Messages").
func (c *conn) handshake() error {
	_ = c.raw.SetDeadline(time.Now().Add(10 * time.Second))
	defer func() { _ = c.raw.SetDeadline(time.Time{}) }()
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce)
	out := mp.AppendStr(mp.AppendArray(nil, 2), "HELO")
	out = mp.AppendBin(mp.AppendStr(mp.AppendMap(out, 3), "nonce"), nonce)
	out = mp.AppendBin(mp.AppendStr(out, "auth"), nil)
	out = mp.AppendBool(mp.AppendStr(out, "keepalive"), true)
	if _, err := c.rw.Write(out); err != nil {
		return fmt.Errorf("write HELO: %w", err)
	}
	ping, err := c.readPing()
	if err != nil {
		return err
	}
	key := c.sink.cfg.SharedKey
	good := subtle.ConstantTimeCompare([]byte(digest(ping[2], ping[1], nonce, key)), ping[3]) == 1
	out = mp.AppendBool(mp.AppendStr(mp.AppendArray(nil, 5), "PONG"), good)
	if !good {
		out = mp.AppendStr(mp.AppendStr(mp.AppendStr(out, "shared_key mismatch"), ""), "")
		_, _ = c.rw.Write(out)
		return fmt.Errorf("check PING: shared_key mismatch: %w", errHandshake)
	}
	host := c.sink.cfg.Hostname
	out = mp.AppendStr(mp.AppendStr(mp.AppendStr(out, ""), host), digest(ping[2], []byte(host), nonce, key))
	if _, err := c.rw.Write(out); err != nil {
		return fmt.Errorf("write PONG: %w", err)
	}
	return nil
}

// readPing reads the six strings of a PING and nothing behind it: the client waits for the answer.
func (c *conn) readPing() ([6][]byte, error) {
	var f [6][]byte
	b := make([]byte, 4096)
	have := 0
	for have < len(b) {
		n, err := c.rw.Read(b[have:])
		if err != nil {
			return f, fmt.Errorf("read PING: %w", err)
		}
		have += n
		elems, at, err := mp.ArrayHeader(b[:have])
		for i := 0; err == nil && i < min(elems, 6); i++ {
			var n int
			f[i], n, err = mp.Bytes(b[at:have])
			at += n
		}
		switch {
		case errors.Is(err, mp.ErrShort):
			continue
		case err != nil || elems != 6 || string(f[0]) != "PING":
			return f, fmt.Errorf("read PING: another message came: %w", errHandshake)
		}
		return f, nil
	}
	return f, fmt.Errorf("read PING: larger than 4096 bytes: %w", errHandshake)
}

func digest(salt, host, nonce []byte, key string) string {
	h := sha512.New()
	h.Write(salt)
	h.Write(host)
	h.Write(nonce)
	h.Write([]byte(key))
	return hex.EncodeToString(h.Sum(nil))
}
