package forward

import (
	"errors"
	"time"

	"github.com/firebreak/firebreak/internal/handshake"
	"github.com/firebreak/firebreak/internal/mp"
)

// authenticate does the server's side of the shared-key handshake. A client that fails is told why and must go.
func (c *conn) authenticate() error {
	o := c.set.opts
	helo := handshake.Helo{Nonce: handshake.NewSalt(), Keepalive: true}
	if len(o.Users) > 0 {
		helo.Auth = handshake.NewSalt()
	}
	c.setup = time.Now().Add(setupTimeout)
	if err := c.send(helo.Append(nil)); err != nil {
		return err
	}
	var ping handshake.Ping
	for {
		p, n, err := handshake.ParsePing(c.win.bytes())
		if err == nil {
			ping = p
			c.win.skip(n)
			break
		}
		if !errors.Is(err, mp.ErrShort) {
			return c.refuse(handshake.ReasonInvalidPing, err)
		}
		if err := c.win.fill(handshake.MaxSize, true); err != nil {
			return err
		}
	}
	key := o.SharedKey.Reveal()
	if !handshake.Equal(ping.Digest, handshake.SharedKeyDigest(ping.Salt, ping.Host, helo.Nonce, key)) {
		return c.refuse(handshake.ReasonKey, nil)
	}
	if len(o.Users) > 0 && !knownUser(o.Users, helo.Auth, ping) {
		return c.refuse(handshake.ReasonUser, nil)
	}
	host := c.set.hostname
	pong := handshake.Pong{OK: true, Host: host, Digest: handshake.SharedKeyDigest(ping.Salt, host, helo.Nonce, key)}
	c.setup = time.Time{}
	return c.send(pong.Append(nil))
}

// knownUser takes the same time whether there is such a user or not.
func knownUser(users []User, salt []byte, ping handshake.Ping) bool {
	found := false
	for _, u := range users {
		digest := handshake.PasswordDigest(salt, u.Username, u.Password.Reveal())
		name := handshake.Equal(u.Username, ping.User)
		if handshake.Equal(digest, ping.Password) && name {
			found = true
		}
	}
	return found
}

func (c *conn) refuse(reason string, cause error) error {
	pong := handshake.Pong{Reason: reason}
	if err := c.send(pong.Append(nil)); err != nil {
		return err
	}
	if cause != nil {
		return badf(errHandshake, "%s: %w", reason, cause)
	}
	return badf(errHandshake, "%s", reason)
}

// send writes one message of the handshake.
func (c *conn) send(b []byte) error {
	c.nc.SetWriteDeadline(time.Now().Add(setupTimeout))
	if _, err := c.nc.Write(b); err != nil {
		return badf(errHandshake, "send handshake: %w", err)
	}
	return nil
}
