// Package line is the token that the load generator puts into each log line and the sink finds again: stream number,
// sequence number and time of sending, as 35 bytes of text at the end of the line.
//
//	SSSSS-NNNNNNNNNNNN-TTTTTTTTTTTTTTTT     decimal, T in µs since 1970
//
// The line may go on behind it with a quote, with a brace, or with a quote and a brace, so that JSON and quoted texts
// can carry it.
package line

// Sizes of the token, and the largest numbers that it can hold.
const (
	Len       = 5 + 1 + 12 + 1 + 16
	MaxStream = 99_999
	MaxSeq    = 999_999_999_999
)

// A Range is the sequence numbers [From, To).
type Range struct{ From, To uint64 }

// Len returns how many numbers the range holds.
func (r Range) Len() uint64 { return r.To - r.From }

// A Token names one event of one stream. Micros is when it was sent, in µs since 1970.
type Token struct {
	Stream int
	Seq    uint64
	Micros int64
}

// Append appends t in its text form.
func Append(dst []byte, t Token) []byte {
	n := len(dst)
	dst = append(dst, "00000-000000000000-0000000000000000"...)
	digits(dst[n:n+5], uint64(t.Stream))
	Patch(dst[n:], t.Seq, t.Micros)
	return dst
}

// Patch writes another sequence number and time into the token that b starts with.
func Patch(b []byte, seq uint64, micros int64) {
	digits(b[6:18], seq)
	digits(b[19:35], uint64(micros))
}

// Parse finds the token at the end of a log line.
func Parse(log []byte) (Token, bool) {
	n := len(log)
	if n > 0 && log[n-1] == '}' {
		n--
	}
	if n > 0 && log[n-1] == '"' {
		n--
	}
	if n < Len {
		return Token{}, false
	}
	b := log[n-Len : n]
	if b[5] != '-' || b[18] != '-' {
		return Token{}, false
	}
	stream, ok1 := number(b[0:5])
	seq, ok2 := number(b[6:18])
	micros, ok3 := number(b[19:35])
	return Token{Stream: int(stream), Seq: seq, Micros: int64(micros)}, ok1 && ok2 && ok3
}

// digits fills b with v, right-aligned.
func digits(b []byte, v uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = '0' + byte(v%10)
		v /= 10
	}
}

func number(b []byte) (v uint64, ok bool) {
	var bad byte
	for _, c := range b {
		d := c - '0'
		if d > 9 {
			bad = 1
		}
		v = v*10 + uint64(d)
	}
	return v, bad == 0
}
