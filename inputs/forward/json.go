package forward

import (
	"github.com/firebreak/firebreak/internal/jsonmp"
	"github.com/firebreak/firebreak/internal/mp"
)

const (
	jsonMax     = 2 << 20  // bytes of a JSON message
	keepScratch = 64 << 10 // a larger one isn't kept for the next message
)

// jsonMessage takes a message of the JSON variant, which Fluentd's server takes too: the same arrays, as JSON, without
// anything between them but space. Its ack is JSON as well.
func (c *conn) jsonMessage(b []byte) (int, error) {
	var f frame
	done, err := f.scan(b)
	if err != nil {
		return 0, err
	}
	if !done {
		return 0, mp.ErrShort
	}
	if b[0] == '{' {
		return 0, badf(errMessage, "message is a JSON object, not an array")
	}
	c.scratch, err = jsonmp.Append(c.scratch[:0], b[:f.pos])
	if err != nil {
		return 0, badf(errMessage, "read JSON message: %w", err)
	}
	c.json = true
	n, err := c.message(c.scratch)
	if err == nil && n != len(c.scratch) || err == mp.ErrShort {
		err = badf(errMessage, "JSON message of an unknown form")
	}
	if cap(c.scratch) > keepScratch {
		c.scratch = nil
	}
	return f.pos, err
}

// ackJSON queues an ack for a JSON message. chunk is encoded as msgpack; only a string is answered.
func (c *conn) ackJSON(chunk []byte) {
	if id, _, err := mp.Bytes(chunk); err == nil {
		c.batch().addAck(nil, append(appendJSONString([]byte(`{"ack":`), id), '}'))
	}
}

func appendJSONString(dst, s []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, b := range s {
		switch {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
		case b == '\n':
			dst = append(dst, '\\', 'n')
		case b < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&0xf])
		default:
			dst = append(dst, b)
		}
	}
	return append(dst, '"')
}
