package forward

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/firebreak/firebreak/internal/mp"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

// maxMessage bounds the data of one message, in bytes, unless a single chunk is larger. Fluent Bit closes connections
// on messages above its buffer_max_size, 6,144,000 bytes by default.
const maxMessage = 1 << 20

// idSize is the length of the base64 form of 16 bytes, as Docker and Fluent Bit use it.
const idSize = 24

// A message is what one acknowledgement covers: chunks of one tag.
type message struct {
	id     [idSize]byte // equal at every attempt at the same chunks
	tag    string
	chunks []int32 // indexes into the batch's
	bytes  int
	events int
	pad    int // of a probe

	state   state
	visited bool // a server was chosen for it in this Send
}

type state uint8

const (
	waiting state = iota // not sent, or sent in vain to a server that can be replaced
	failed               // goes back to the destination
	done                 // delivered
)

// A job is one Send. Its slices are reused.
type job struct {
	batch    outputs.Batch
	order    []int32 // of the chunks, sorted by tag, in their order within each tag
	messages []message
	hash     []byte
}

// build groups the batch's chunks into messages. Chunks of a tag come together even when others stand between them;
// only the order within a tag has a meaning.
func (j *job) build(b outputs.Batch) {
	j.batch = b
	j.order, j.messages = j.order[:0], j.messages[:0]
	sorted := true
	for i := range b.Chunks {
		j.order = append(j.order, int32(i))
		sorted = sorted && (i == 0 || b.Chunks[i-1].Tag <= b.Chunks[i].Tag)
	}
	if !sorted {
		slices.SortFunc(j.order, func(x, y int32) int {
			if c := strings.Compare(b.Chunks[x].Tag, b.Chunks[y].Tag); c != 0 {
				return c
			}
			return int(x - y)
		})
	}
	start := 0
	var m message
	for i, ci := range j.order {
		c := &b.Chunks[ci]
		if i > start && (c.Tag != m.tag || m.bytes+len(c.Data) > maxMessage) {
			j.add(m, start, i)
			m, start = message{}, i
		}
		m.tag = c.Tag
		m.bytes += len(c.Data)
		m.events += c.Events
	}
	if len(j.order) > 0 {
		j.add(m, start, len(j.order))
	}
}

func (j *job) add(m message, from, to int) {
	m.chunks = j.order[from:to]
	j.hash = j.hash[:0]
	for _, i := range m.chunks {
		if int(i) < len(j.batch.IDs) {
			j.hash = append(j.hash, j.batch.IDs[i][:]...)
		} else {
			j.hash = mp.AppendInt(append(j.hash, j.batch.ID[:]...), int64(i))
		}
	}
	sum := sha256.Sum256(j.hash)
	base64.StdEncoding.Encode(m.id[:], sum[:16])
	j.messages = append(j.messages, m)
}

// result names the events of the messages that were not delivered.
func (j *job) result(err error) outputs.Result {
	undelivered := 0
	for i := range j.messages {
		if j.messages[i].state != done {
			undelivered++
		}
	}
	switch undelivered {
	case 0:
		return outputs.Result{}
	case len(j.messages):
		return outputs.Result{Err: err}
	}
	retry := make([]bool, len(j.batch.Chunks))
	for i := range j.messages {
		for _, c := range j.messages[i].chunks {
			retry[c] = j.messages[i].state != done
		}
	}
	return outputs.Result{Retry: ranges(j.batch.Chunks, retry), Err: err}
}

// ranges returns the events of the marked chunks, neighbours joined.
func ranges(chunks []record.Chunk, marked []bool) []outputs.Range {
	var list []outputs.Range
	at := 0
	for i := range chunks {
		next := at + chunks[i].Events
		if marked[i] {
			if n := len(list); n > 0 && list[n-1].To == at {
				list[n-1].To = next
			} else {
				list = append(list, outputs.Range{From: at, To: next})
			}
		}
		at = next
	}
	return list
}

// release forgets everything borrowed, so that the job can be kept.
func (j *job) release() {
	clear(j.messages)
	j.batch = outputs.Batch{}
}

// appendHead appends a message up to its data of n bytes: [tag, bin …
func (m *message) appendHead(dst []byte, n int) []byte {
	dst = mp.AppendArray(dst, 3)
	dst = mp.AppendStr(dst, m.tag)
	return mp.AppendBinHeader(dst, n)
}

// appendTail appends the options, which end the message. compressed may be "".
func (m *message) appendTail(dst []byte, ack bool, compressed string) []byte {
	pairs := 1
	if ack {
		pairs++
	}
	if compressed != "" {
		pairs++
	}
	if m.pad > 0 {
		pairs++
	}
	dst = mp.AppendMap(dst, pairs)
	dst = mp.AppendInt(mp.AppendStr(dst, "size"), int64(m.events))
	if ack {
		dst = mp.AppendStr(mp.AppendStr(dst, "chunk"), m.id[:])
	}
	if compressed != "" {
		dst = mp.AppendStr(mp.AppendStr(dst, "compressed"), compressed)
	}
	if m.pad > 0 {
		dst = appendPad(dst, m.pad)
	}
	return dst
}
