package forward

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/firebreak/firebreak/internal/mp"
	"github.com/firebreak/firebreak/record"
)

// A piece whose message asks for an ack is on disk before the ack: the sender forgets it then, and the joined event
// is stored only when its last piece has come. Each piece has a file of its own, so that no line waits for another:
//
//	<hash of the line's key>-<ordinal, 8 digits>.piece
//
//	u32 length of the payload, u32 CRC-32C of the payload (both little endian), payload
//
// The payload is an array of the tag and the piece's canonical entry as bin. The files of a line are removed when its
// joined event is stored. A file that is cut short holds a piece that was not acked; one that can't be read is renamed
// to .bad.
//
// Files are synced only when the input is told to (Env.Sync): a kill loses nothing either way; without it a power cut
// may lose acked pieces of the last seconds, of lines that were not complete.
type pieceFiles struct {
	dir  string // "": there is none, the router keeps everything in memory
	sync atomic.Bool
}

const (
	pieceSuffix  = ".piece"
	frameHead    = 8
	maxPieceFile = 32 << 20 // largest that is read
	maxPieces    = 1 << 16  // most that are read at a start
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// write stores a piece and returns the name of its file. A piece that is there already stays.
func (f *pieceFiles) write(at stamp, p piece, rec []byte) (string, error) {
	if f.dir == "" {
		return "", nil
	}
	h := sha256.Sum256([]byte(strings.Join([]string{p.key.tag, p.key.container, p.key.source, p.key.id}, "\x00")))
	name := filepath.Join(f.dir, fmt.Sprintf("%s-%08d%s", hex.EncodeToString(h[:16]), p.ordinal, pieceSuffix))
	w, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return name, nil
	}
	if err != nil {
		return "", err
	}
	_, err = w.Write(appendFrame(nil, p.key.tag, at, rec))
	if err == nil && f.sync.Load() {
		err = w.Sync()
	}
	if err = errors.Join(err, w.Close()); err == nil && f.sync.Load() {
		err = syncDir(f.dir)
	}
	if err != nil {
		os.Remove(name)
		return "", err
	}
	return name, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (f *pieceFiles) remove(names []string) {
	for _, name := range names {
		os.Remove(name) // a file that stays gives the line once more after a restart, no worse
	}
}

// restore gives the pieces of an earlier run to adopt, in order, and reports what could not be read.
func (f *pieceFiles) restore(adopt func(file string, at stamp, p piece, rec []byte)) error {
	if f.dir == "" {
		return nil
	}
	err := os.MkdirAll(f.dir, 0o750)
	entries, readErr := os.ReadDir(f.dir) // sorted: the pieces of a line in order
	if err = errors.Join(err, readErr); err != nil {
		f.dir = "" // the buffers beside it are in memory, too
		return fmt.Errorf("keep pieces of long lines in memory: %w", err)
	}
	n := 0
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), pieceSuffix) {
			continue
		}
		if n++; n > maxPieces {
			return errors.Join(err, fmt.Errorf("read pieces in %q: more than %d files", f.dir, maxPieces))
		}
		name := filepath.Join(f.dir, e.Name())
		at, p, rec, pieceErr := readPieceFile(name)
		if pieceErr != nil {
			err = errors.Join(err, pieceErr, os.Rename(name, name+".bad"))
			continue
		}
		adopt(name, at, p, rec)
	}
	return err
}

func readPieceFile(name string) (at stamp, p piece, rec []byte, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return at, p, nil, err
	}
	if info.Size() > maxPieceFile {
		return at, p, nil, fmt.Errorf("read piece %q: %d bytes are too many", name, info.Size())
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return at, p, nil, err
	}
	tag, at, rec, ok := readFrame(b)
	if ok {
		p, ok = readPiece(tag, rec)
	}
	if !ok {
		return at, p, nil, fmt.Errorf("read piece %q: damaged or cut short", name)
	}
	return at, p, rec, nil
}

func appendFrame(dst []byte, tag string, at stamp, rec []byte) []byte {
	entry := append(at.append([]byte{0x92}), rec...)
	payload := mp.AppendBin(mp.AppendStr(mp.AppendArray(nil, 2), tag), entry)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(payload, castagnoli))
	return append(dst, payload...)
}

// readFrame reads the frame that b starts with.
func readFrame(b []byte) (tag string, at stamp, rec []byte, ok bool) {
	if len(b) < frameHead || int64(binary.LittleEndian.Uint32(b)) > int64(len(b)-frameHead) {
		return "", at, nil, false
	}
	payload := b[frameHead : frameHead+int(binary.LittleEndian.Uint32(b))]
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(b[4:]) {
		return "", at, nil, false
	}
	elems, i, err := mp.ArrayHeader(payload)
	if err != nil || elems != 2 {
		return "", at, nil, false
	}
	t, n, err := mp.Bytes(payload[i:])
	if err != nil {
		return "", at, nil, false
	}
	entry, _, err := mp.Bytes(payload[i+n:])
	if err != nil {
		return "", at, nil, false
	}
	it := record.Iterate(&record.Chunk{Data: entry})
	if !it.Next() || !mp.IsMap(it.Event().Record[0]) {
		return "", at, nil, false
	}
	at, _, _, err = readTime(entry[1:])
	return string(t), at, it.Event().Record, err == nil
}
