package demo

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/firebreak/firebreak/internal/mp"
)

// A writer makes the lines of one container, as Docker's fluentd log driver sends them. Each ends with its number
// among the lines of its kind.
type writer struct {
	rand *rand.Rand
	name string // with Docker's slash
	id   string
	sent [len(kinds)]uint64
	text []byte
}

func newWriter(name string) *writer {
	r := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	return &writer{rand: r, name: "/" + name, id: fmt.Sprintf("%016x%016x%016x%016x", r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64())}
}

// next appends a message and says which kind of line is in it: [tag, time, record] (Forward Protocol Specification
// v1, "Message Modes"). Docker's default tag is the short id.
func (w *writer) next(dst []byte, now time.Time) (msg []byte, kind int) {
	source := "stdout"
	switch p := w.rand.IntN(100); {
	case p < 60:
		kind = 0
	case p < 75:
		kind, source = 1, "stderr"
	default:
		kind = 2
	}
	w.line(kind, w.sent[kind]+1, now)
	dst = mp.AppendArray(dst, 3)
	dst = mp.AppendStr(dst, w.id[:12])
	dst = mp.AppendInt(dst, now.Unix())
	dst = mp.AppendMap(dst, 4)
	for _, p := range [...][2]string{{"container_id", w.id}, {"container_name", w.name}, {"source", source}} {
		dst = mp.AppendStr(mp.AppendStr(dst, p[0]), p[1])
	}
	return mp.AppendStr(mp.AppendStr(dst, "log"), w.text), kind
}

func (w *writer) line(kind int, n uint64, now time.Time) {
	r, b := w.rand, w.text[:0]
	switch kinds[kind] {
	case access:
		b = fmt.Appendf(b, `10.42.%d.%d - - [%s] "%s /api/%s/%d HTTP/1.1" %s %d "-" "Mozilla/5.0 (X11; Linux x86_64)" rid=%d`, r.IntN(256), r.IntN(256),
			now.Format("02/Jan/2006:15:04:05 -0700"), pick(r, "GET", "GET", "GET", "POST", "PUT"), pick(r, "items", "carts", "orders", "users"), r.IntN(100_000),
			pick(r, "200", "200", "200", "304", "404"), r.IntN(50_000), n)
	case failed:
		b = fmt.Appendf(b, `ERROR %s: order %d, customer %d, attempt %d, rid=%d`, pick(r, "payment gateway timed out after 3000 ms",
			"connection to orders-db reset by peer", "stock reservation failed: version conflict"), r.IntN(1_000_000), r.IntN(100_000), 1+r.IntN(3), n)
	default:
		b = fmt.Appendf(b, `{"type":"audit","time":%q,"user":"u%05d","action":%q,"result":%q,"rid":%d}`, now.Format(time.RFC3339), r.IntN(100_000),
			pick(r, "login", "logout", "change_address", "refund"), pick(r, "ok", "ok", "ok", "denied"), n)
	}
	w.text = b
}

func pick(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }

// parseLine returns the kind of a line and its number; "" and 0 when it is nobody's.
func parseLine(text []byte) (kind string, n uint64) {
	s := string(text)
	switch {
	case strings.HasPrefix(s, "{"):
		kind = audit
	case strings.HasPrefix(s, "ERROR "):
		kind = failed
	case strings.Contains(s, ` HTTP/1.1" `):
		kind = access
	default:
		return "", 0
	}
	s = strings.TrimSuffix(s, "}")
	scale := uint64(1)
	for i := len(s) - 1; i >= 0 && s[i] >= '0' && s[i] <= '9' && scale < maxLine*10; i-- {
		n += uint64(s[i]-'0') * scale
		scale *= 10
	}
	return kind, n
}
