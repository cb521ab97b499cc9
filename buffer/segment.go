package buffer

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
)

// A segment is an append-only file of frames. Its name says its number and the running number of its first event, so
// that `ls` shows the queue: 00000007-00000000000000012345.seg
type segment struct {
	no    uint64
	first uint64
	size  int64
	file  File // open while it is written or read
	bad   bool // something in it could not be read: set aside, not deleted

	dropped bool   // given up
	after   uint64 // and not needed when this position is written
}

const (
	segMagic    = "FBSEG\x00\x00\x01" // the last byte is the version
	segHeadSize = 40
	segSuffix   = ".seg"
	badSuffix   = ".bad"
	maxNumber   = 1 << 62 // of segments and events: no buffer gets there
)

func segName(no, first uint64) string { return fmt.Sprintf("%08d-%020d%s", no, first, segSuffix) }

// parseSegName returns false for other files.
func parseSegName(name string) (no, first uint64, ok bool) {
	base, ok := strings.CutSuffix(name, segSuffix)
	if !ok {
		return 0, 0, false
	}
	a, b, ok := strings.Cut(base, "-")
	if !ok {
		return 0, 0, false
	}
	no, err1 := strconv.ParseUint(a, 10, 64)
	first, err2 := strconv.ParseUint(b, 10, 64)
	return no, first, err1 == nil && err2 == nil && no > 0 && no <= maxNumber
}

// blank reports whether there are only zeros: a power cut leaves them where nothing was written yet.
func blank(b []byte) bool { return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) }

func appendSegHead(dst []byte, id [8]byte, no, first uint64) []byte {
	start := len(dst)
	dst = append(dst, segMagic...)
	dst = append(dst, id[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, no)
	dst = binary.LittleEndian.AppendUint64(dst, first)
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], crcTable))
	return append(dst, 0, 0, 0, 0)
}

func parseSegHead(b []byte) (id [8]byte, no, first uint64, err error) {
	if len(b) < segHeadSize || string(b[:len(segMagic)]) != segMagic || binary.LittleEndian.Uint32(b[32:]) != crc32.Checksum(b[:32], crcTable) {
		return id, 0, 0, fmt.Errorf("read segment: no valid header")
	}
	copy(id[:], b[8:])
	return id, binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:]), nil
}
