package handshake

import (
	"bytes"
	"crypto/sha512"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/firebreak/firebreak/internal/mp"
	"github.com/google/go-cmp/cmp"
)

func TestMessagesSurviveTheWire(t *testing.T) {
	helo := Helo{Nonce: []byte("0123456789abcdef"), Auth: []byte{0, 0xff}, Keepalive: true}
	b := helo.Append(nil)
	got, n, err := ParseHelo(append(bytes.Clone(b), 0xc1))
	if err != nil || n != len(b) || cmp.Diff(helo, got) != "" {
		t.Errorf("helo: %d of %d bytes, %v, %s", n, len(b), err, cmp.Diff(helo, got))
	}
	ping := Ping{Host: "web-1", Salt: []byte("salt"), Digest: strings.Repeat("a", 128), User: "u", Password: strings.Repeat("b", 128)}
	b = ping.Append(nil)
	gotPing, n, err := ParsePing(append(bytes.Clone(b), 0x93))
	if err != nil || n != len(b) || cmp.Diff(ping, gotPing) != "" {
		t.Errorf("ping: %d of %d bytes, %v, %s", n, len(b), err, cmp.Diff(ping, gotPing))
	}
	for _, pong := range []Pong{{OK: true, Host: "agg", Digest: "d"}, {Reason: ReasonKey}} {
		b = pong.Append(nil)
		got, n, err := ParsePong(append(bytes.Clone(b), 0x93))
		if err != nil || n != len(b) || got != pong {
			t.Errorf("pong: %d of %d bytes, %v, %+v", n, len(b), err, got)
		}
	}
}

func TestEveryPrefixIsShort(t *testing.T) {
	parse := map[string]func([]byte) error{
		string(Helo{Nonce: []byte("n")}.Append(nil)):                                             func(b []byte) error { _, _, err := ParseHelo(b); return err },
		string(Ping{Host: "h", Salt: []byte("s"), Digest: strings.Repeat("x", 128)}.Append(nil)): func(b []byte) error { _, _, err := ParsePing(b); return err },
		string(Pong{OK: true, Digest: strings.Repeat("x", 128)}.Append(nil)):                     func(b []byte) error { _, _, err := ParsePong(b); return err },
	}
	for whole, f := range parse {
		for i := range len(whole) {
			if err := f([]byte(whole[:i])); !errors.Is(err, mp.ErrShort) {
				t.Fatalf("%q cut to %d bytes: %v, want ErrShort", whole[1:5], i, err)
			}
		}
		if err := f([]byte(whole)); err != nil {
			t.Errorf("%q: %v", whole[1:5], err)
		}
	}
}

// What the reference implementations send.
func TestParsePeers(t *testing.T) {
	nonce := bytes.Repeat([]byte{0xfe}, 16)
	fluentd := mp.AppendMap(mp.AppendStr(mp.AppendArray(nil, 2), "HELO"), 3)
	fluentd = mp.AppendBin(mp.AppendStr(fluentd, "nonce"), nonce)
	fluentd = mp.AppendBin(mp.AppendStr(fluentd, "auth"), nil)
	fluentd = mp.AppendBool(mp.AppendStr(fluentd, "keepalive"), false)
	if h, _, err := ParseHelo(fluentd); err != nil || !bytes.Equal(h.Nonce, nonce) || len(h.Auth) != 0 || h.Keepalive {
		t.Errorf("fluentd: %+v, %v", h, err)
	}
	fluentBit := mp.AppendMap(mp.AppendStr(mp.AppendArray(nil, 2), "HELO"), 2)
	fluentBit = mp.AppendStr(mp.AppendStr(fluentBit, "nonce"), nonce)
	fluentBit = mp.AppendStr(mp.AppendStr(fluentBit, "auth"), nonce)
	if h, _, err := ParseHelo(fluentBit); err != nil || !bytes.Equal(h.Auth, nonce) || !h.Keepalive {
		t.Errorf("fluent bit: %+v, %v", h, err)
	}
	nilOptions := append(mp.AppendStr(mp.AppendArray(nil, 2), "HELO"), 0xc0)
	if h, n, err := ParseHelo(nilOptions); err != nil || n != len(nilOptions) || !h.Keepalive {
		t.Errorf("nil options: %+v, %v", h, err)
	}
	refusal := mp.AppendStr(mp.AppendBool(mp.AppendStr(mp.AppendArray(nil, 3), "PONG"), false), "no")
	if p, _, err := ParsePong(refusal); err != nil || p.OK || p.Reason != "no" {
		t.Errorf("short refusal: %+v, %v", p, err)
	}
}

func TestRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"a log message":   mp.AppendStr(mp.AppendArray(nil, 3), "app.log"),
		"no array":        mp.AppendStr(nil, "PING"),
		"five elements":   mp.AppendStr(mp.AppendArray(nil, 5), "PING"),
		"another name":    Helo{}.Append(nil)[:8],
		"forged length":   append(mp.AppendStr(mp.AppendArray(nil, 6), "PONG"), 0xdb, 0xff, 0xff, 0xff, 0xff),
		"a number":        append(mp.AppendStr(mp.AppendArray(nil, 6), "PING"), 1, 1, 1, 1, 1),
		"a name of bytes": {0x96, 0x01},
	} {
		if _, _, err := ParsePing(b); err == nil || errors.Is(err, mp.ErrShort) {
			t.Errorf("%s: %v", name, err)
		}
	}
	endless := append(mp.AppendStr(mp.AppendArray(nil, 6), "PING"), 0xdb, 0xff, 0xff, 0xff, 0xff)
	if _, _, err := ParsePing(append(endless, make([]byte, MaxSize)...)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("endless: %v, want ErrTooLarge", err)
	}
}

func TestDigests(t *testing.T) {
	want := fmt.Sprintf("%x", sha512.Sum512([]byte("salt"+"host"+"nonce"+"key")))
	if got := SharedKeyDigest([]byte("salt"), "host", []byte("nonce"), "key"); got != want {
		t.Errorf("shared key: %s", got)
	}
	want = fmt.Sprintf("%x", sha512.Sum512([]byte("auth"+"user"+"pass")))
	if got := PasswordDigest([]byte("auth"), "user", "pass"); got != want {
		t.Errorf("password: %s", got)
	}
	if !Equal(want, want) || Equal(want, want[:127]) || Equal(want, "") {
		t.Error("Equal is wrong")
	}
	a, b := NewSalt(), NewSalt()
	if len(a) != 16 || bytes.Equal(a, b) {
		t.Errorf("salts %q, %q", a, b)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Helo{Nonce: []byte("n"), Auth: []byte("a")}.Append(nil))
	f.Add(Ping{Host: "h"}.Append(nil))
	f.Add(Pong{OK: true}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, n, err := ParseHelo(b); err == nil {
			again, _, err := ParseHelo(h.Append(nil))
			if err != nil || cmp.Diff(h, again) != "" || n <= 0 || n > len(b) {
				t.Fatalf("%d of %d bytes, %v, %s", n, len(b), err, cmp.Diff(h, again))
			}
		}
		if p, n, err := ParsePing(b); err == nil {
			again, _, err := ParsePing(p.Append(nil))
			if err != nil || !bytes.Equal(p.Salt, again.Salt) || p.Host != again.Host || n <= 0 || n > len(b) {
				t.Fatalf("%d of %d bytes, %v, %+v", n, len(b), err, again)
			}
		}
		if p, n, err := ParsePong(b); err == nil {
			if again, _, err := ParsePong(p.Append(nil)); err != nil || again != p || n <= 0 || n > len(b) {
				t.Fatalf("%d of %d bytes, %v, %+v", n, len(b), err, again)
			}
		}
	})
}
