package forward

import (
	"io"
	"testing"
)

var eof = io.EOF

func TestSmoke(t *testing.T) {
	ev, acks, in, err := codec(t, testOptions(), docker("a", "hello", []byte{0x80}), docker("a", "x", chunkOpt("id\n")))
	t.Log(ev, acks, in.Stats(), err)
}
