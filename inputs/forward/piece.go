package forward

import (
	"strconv"
	"time"

	"github.com/firebreak/firebreak/internal/mp"
)

// Docker cuts a line of more than 16 KiB into pieces. Each has the keys below, all strings, and the time of the first
// piece (moby daemon/logger/fluentd, daemon/logger/copier.go). Dockers before 19.03 have no partial_id: their pieces
// can't be told apart and are passed on as they are.

const (
	maxKeyPart   = 256     // bytes of a container_id, source or partial_id; Docker's have at most 64
	leastPiece   = 1 << 10 // bytes of a piece on average; Docker's have 16 KiB, all but the last
	fileOverhead = 4 << 10 // charged for a piece that is kept in a file, too: it takes a block there
)

// A lineKey names a line whose pieces are joined.
type lineKey struct{ tag, container, source, id string }

// A piece is a part of a line. Its slices are parts of the record that it was read from.
type piece struct {
	key     lineKey
	ordinal int // from 1
	last    bool
	log     []byte
}

// readPiece reads a record, whose structure is valid, as a piece. It reports false for one that can't be joined.
func readPiece(tag string, rec []byte) (p piece, ok bool) {
	p.key.tag = tag
	partial, hasLog := false, false
	eachPair(rec, func(key, _, v []byte) {
		text, _, err := mp.Bytes(v)
		if err != nil {
			return
		}
		switch string(key) {
		case partialKey:
			partial = string(text) == "true"
		case "partial_id":
			p.key.id = string(text)
		case "partial_ordinal":
			p.ordinal, _ = strconv.Atoi(string(text))
		case "partial_last":
			p.last = string(text) == "true"
		case "container_id":
			p.key.container = string(text)
		case "source":
			p.key.source = string(text)
		case "log":
			p.log, hasLog = text, true
		}
	})
	// What an attacker could fill the memory with is passed on as it is, too.
	small := max(len(p.key.container), len(p.key.source), len(p.key.id)) <= maxKeyPart
	return p, partial && hasLog && small && p.key.id != "" && p.ordinal > 0
}

// eachPair calls f for each pair of a map of valid structure: with the text of the key (nil when it is no string), the
// encoded key and the encoded value.
func eachPair(rec []byte, f func(text, key, value []byte)) {
	pairs, i, err := mp.MapHeader(rec)
	if err != nil {
		return
	}
	for range pairs {
		k, err := mp.Skip(rec[i:])
		if err != nil {
			return
		}
		v, err := mp.Skip(rec[i+k:])
		if err != nil {
			return
		}
		text, _, err := mp.Bytes(rec[i:])
		if err != nil {
			text = nil
		}
		f(text, rec[i:i+k], rec[i+k:i+k+v])
		i += k + v
	}
}

// A line is the pieces of a line that have come so far.
type line struct {
	key     lineKey
	at      stamp
	head    []byte // the pairs of the first piece, without log and the partial_ keys
	pairs   int    // in head
	log     []byte
	pieces  int   // that log is made of
	ordinal int   // of the last piece
	owner   *conn // the connection that the last piece came from; nil: none any more
	touched time.Time
	files   []string // where pieces that have been acked are kept
	done    bool
}

func newLine(p piece, at stamp, rec []byte) *line {
	l := &line{key: p.key, at: at}
	eachPair(rec, func(text, key, v []byte) {
		switch string(text) {
		case partialKey, "partial_id", "partial_ordinal", "partial_last", "log":
			return
		}
		l.head = append(append(l.head, key...), v...)
		l.pairs++
	})
	return l
}

// lineOverhead is charged for a line besides its bytes.
const lineOverhead = 512

func (l *line) size() int64 {
	key := len(l.key.container) + len(l.key.source) + len(l.key.id)
	return lineOverhead + int64(key+cap(l.head)+cap(l.log)+fileOverhead*len(l.files))
}

// appendRecord appends the joined record: the first piece's, with the whole text under log.
func (l *line) appendRecord(dst []byte) []byte {
	dst = append(mp.AppendMap(dst, l.pairs+1), l.head...)
	return mp.AppendStr(mp.AppendStr(dst, "log"), l.log)
}

// addLine appends the event of a joined line.
func (b *batch) addLine(l *line) {
	b.begin(l.key.tag, len(l.head)+len(l.log)+32, l.at.unixNano())
	b.out = l.appendRecord(l.at.append(append(b.out, 0x92)))
	b.lines = append(b.lines, l)
}
