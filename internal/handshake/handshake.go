// Package handshake is the shared-key handshake of the forward protocol, for both of its sides:
//
//	server → ["HELO", {"nonce": …, "auth": …, "keepalive": true}]
//	client → ["PING", host, salt, digest, user, password digest]
//	server → ["PONG", ok, reason, host, digest]
//
// Nonces and salts are written as str, which every Fluentd and Fluent Bit reads (Fluent Bit's server takes a salt only
// as str), and read as str or bin (Fluentd writes bin). [NewSalt] makes printable ones, so that a peer that stops at a
// zero byte or insists on UTF-8 computes the same digest.
//
// A message must go out in one write: Fluent Bit's client gives up when its first read yields half a HELO or PONG.
//
// Source: Forward Protocol Specification v1, "Handshake messages".
package handshake

import (
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
)

// A Helo is the server's greeting. Auth is empty when the server asks for no user.
type Helo struct {
	Nonce, Auth []byte
	Keepalive   bool // true when the peer doesn't say
}

// A Ping is the client's answer. Digest is a SharedKeyDigest over the client's host name; Password is a
// PasswordDigest, or "" as User is.
type Ping struct {
	Host                   string
	Salt                   []byte
	Digest, User, Password string
}

// A Pong is the server's verdict. When OK, Digest is a SharedKeyDigest over the server's host name; otherwise Reason
// says why not and the connection ends.
type Pong struct {
	OK                   bool
	Reason, Host, Digest string
}

// Reasons of a Pong that are the same words as Fluentd's.
const (
	ReasonKey         = "shared_key mismatch"
	ReasonUser        = "username/password mismatch"
	ReasonInvalidPing = "invalid ping message"
)

// NewSalt returns 16 printable random characters, 96 bits of chance, for a nonce or a salt.
func NewSalt() []byte {
	var raw [12]byte
	rand.Read(raw[:]) // never fails: it ends the process instead
	return base64.RawURLEncoding.AppendEncode(nil, raw[:])
}

// SharedKeyDigest returns the lower-case hex SHA-512 over salt, the sender's host name, nonce and key.
func SharedKeyDigest(salt []byte, host string, nonce []byte, key string) string {
	h := sha512.New()
	h.Write(salt)
	h.Write([]byte(host))
	h.Write(nonce)
	h.Write([]byte(key))
	return hex.EncodeToString(h.Sum(nil))
}

// PasswordDigest returns the lower-case hex SHA-512 over the server's auth salt, user and password.
func PasswordDigest(authSalt []byte, user, password string) string {
	h := sha512.New()
	h.Write(authSalt)
	h.Write([]byte(user))
	h.Write([]byte(password))
	return hex.EncodeToString(h.Sum(nil))
}

// Equal compares two digests in a time that depends on their lengths only.
func Equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
