package load

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/firebreak/firebreak/bench/line"
)

// A Kind is a type of log line.
type Kind string

// The kinds. Each can be told from the others by its text, its tag and, with TypeKey, a record key.
const (
	Access Kind = "access" // web server's, with a quoted request
	Audit  Kind = "audit"  // a JSON object with "type":"audit"
	Error  Kind = "error"  // begins with ERROR, on stderr
)

// Kinds returns all kinds.
func Kinds() []Kind { return []Kind{Access, Audit, Error} }

func (k Kind) known() bool { return slices.Contains(Kinds(), k) }

func (k Kind) source() string {
	if k == Error {
		return "stderr"
	}
	return "stdout"
}

// LineRegex returns a regular expression that holds for the lines of this kind and no other.
func (k Kind) LineRegex() string {
	switch k {
	case Access:
		return `"(GET|POST|PUT) `
	case Audit:
		return `"type":"audit"`
	}
	return `^ERROR `
}

// text returns a line of about size bytes that ends with a token for the stream, and where the token starts.
func (k Kind) text(r *rand.Rand, size, stream int) (text []byte, token int) {
	var head, tail string
	switch k {
	case Access:
		head = fmt.Sprintf(`10.%d.%d.%d - - "%s /api/v1/%s/%d HTTP/1.1" %d %d "`, r.IntN(256), r.IntN(256), r.IntN(256),
			pick(r, "GET", "GET", "GET", "POST", "PUT"), pick(r, "items", "users", "orders", "search"), r.IntN(100000),
			pickInt(r, 200, 200, 200, 304, 404), r.IntN(50000))
		tail = `"`
	case Audit:
		head = fmt.Sprintf(`{"type":"audit","status":%d,"user":"u%05d","action":"%s","msg":"`, pickInt(r, 200, 201, 403, 500),
			r.IntN(100000), pick(r, "login", "logout", "create", "delete"))
		tail = `"}`
	default:
		head = fmt.Sprintf(`ERROR %s: %s at com.example.%s.run(Main.java:%d) `, pick(r, "db", "http", "cache", "queue"),
			pick(r, "connection reset", "timed out after 3000 ms", "null reference"), pick(r, "Worker", "Pool", "Client"), r.IntN(1000))
	}
	const join = " rid="
	text = append(text, head...)
	for want := size - len(join) - line.Len - len(tail); len(text) < want; {
		word := pick(r, "pool", "shard", "eu-west-1", "retry", "upstream", "cached", "id", "took", "for", "customer", "session") +
			fmt.Sprintf("=%d ", r.IntN(10000))
		text = append(text, word[:min(len(word), want-len(text))]...)
	}
	text = append(text, join...)
	token = len(text)
	text = line.Append(text, line.Token{Stream: stream})
	return append(text, tail...), token
}

func pick(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }
func pickInt(r *rand.Rand, of ...int) int    { return of[r.IntN(len(of))] }

// containerID returns 64 hexadecimal digits.
func containerID(r *rand.Rand) string {
	var b strings.Builder
	for range 4 {
		fmt.Fprintf(&b, "%016x", r.Uint64())
	}
	return b.String()
}
