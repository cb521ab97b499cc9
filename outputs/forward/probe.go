package forward

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"

	"github.com/firebreak/firebreak/internal/mp"
	"github.com/firebreak/firebreak/outputs"
)

// Probe asks the server of a tag to acknowledge a message without events whose size is about the given one. nil: it
// did, so a message of that size which fails there again and again fails because of what is in it.
//
// Servers ignore options that they don't know (Forward Protocol Specification v1.5, "option"), which makes room for
// the size.
func (o *output) Probe(ctx context.Context, tag string, size int) error {
	if !o.opts.Ack {
		return errors.New("probe: nothing tells without acknowledgements whether a server takes a message")
	}
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails
	j := &job{messages: []message{{tag: tag, pad: size}}}
	base64.StdEncoding.Encode(j.messages[0].id[:], raw[:])
	for _, g := range o.assign(j, make([]bool, len(o.servers))) {
		o.sendGroup(ctx, j, g)
		if g.err != nil {
			return g.err
		}
	}
	if j.messages[0].state != done {
		return &outputs.Error{Err: errors.New("probe: no server is left")}
	}
	return nil
}

// appendPad appends the option that makes a probe large.
func appendPad(dst []byte, size int) []byte {
	dst = mp.AppendStr(dst, "probe")
	dst = mp.AppendBinHeader(dst, size)
	return append(dst, make([]byte, size)...)
}
