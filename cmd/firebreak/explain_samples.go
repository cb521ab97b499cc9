package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/internal/jsonmp"
	"github.com/firebreak/firebreak/internal/mp"
	"github.com/firebreak/firebreak/record"
)

// Bounds of what is explained.
const (
	maxSampleLine = 16 << 20 // bytes
	maxSamples    = 1_000_000
)

// A sample is an event to explain.
type sample struct {
	number int    // from 1; of a line in its file
	kind   string // line or event
	text   string // the line of a container
	record bool   // it isn't a line of a container
	chunk  record.Chunk
}

// A badSample is a line that can't be understood; the next one may be.
type badSample struct {
	number int
	err    error
}

func (b *badSample) Error() string { return fmt.Sprintf("line %d: %v", b.number, b.err) }

func (b *badSample) Unwrap() error { return b.err }

type pair struct{ key, value string }

// A sampleShape says what lines are, and what is around them.
type sampleShape struct {
	format string
	tag    string
	time   time.Time
	base   []pair // keys of a line's record, beside the line
	set    []pair // further keys; they replace those of the same name, as labels do in Docker
	host   record.Attr
}

// readSamples reads one event from each line. Behind an error that is no badSample there is nothing.
func readSamples(in io.Reader, shape sampleShape) iter.Seq2[sample, error] {
	return func(yield func(sample, error) bool) {
		r := bufio.NewReaderSize(in, 64<<10)
		for n := 1; ; n++ {
			line, err := readLine(r)
			switch {
			case err == io.EOF:
				return
			case n > maxSamples:
				yield(sample{}, fmt.Errorf("read the lines: there are more than %d", maxSamples))
				return
			case errors.Is(err, errLongLine):
				err = &badSample{n, err}
			case err != nil:
				yield(sample{}, fmt.Errorf("read the lines: %w", err))
				return
			case shape.format != "line" && len(bytes.TrimSpace(line)) == 0:
				continue
			}
			s := sample{number: n, kind: "line", record: shape.format != "line"}
			if err == nil {
				s.chunk, err = shape.chunk(line)
				if err != nil {
					err = &badSample{n, err}
				}
			}
			if shape.format == "line" {
				s.text = string(line)
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

var errLongLine = fmt.Errorf("longer than %d MiB", maxSampleLine>>20)

// readLine returns the next line without its end. Of one that is too long, it skips the rest.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if long = long || len(line)+len(part) > maxSampleLine+1; !long {
			line = append(line, part...)
		}
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case err == io.EOF && (long || len(line) > 0):
		case err != nil:
			return nil, err
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		if long || len(line) > maxSampleLine {
			return nil, errLongLine
		}
		return line, nil
	}
}

// chunk returns the event that a line stands for, as an input would give it.
func (s *sampleShape) chunk(line []byte) (record.Chunk, error) {
	switch s.format {
	case "event":
		return eventChunk(line)
	case "json":
		rec, err := jsonmp.Append(nil, line)
		if err != nil {
			return record.Chunk{}, err
		}
		return s.around(rec)
	}
	rec := mp.AppendMap(nil, len(s.base)+1)
	for _, p := range s.base {
		rec = mp.AppendStr(mp.AppendStr(rec, p.key), p.value)
	}
	return s.around(mp.AppendStr(mp.AppendStr(rec, "log"), line))
}

// around makes an event of a record.
func (s *sampleShape) around(rec []byte) (record.Chunk, error) {
	rec, err := setKeys(rec, s.set)
	if err != nil {
		return record.Chunk{}, err
	}
	return record.Chunk{
		Tag: s.tag, Attrs: record.NewAttrs(s.host), Arrived: s.time, Oldest: s.time, Newest: s.time,
		Events: 1, Data: record.AppendEntry(nil, s.time, rec),
	}, nil
}

var errNoRecord = errors.New("record is not a JSON object")

// setKeys sets keys of a record to texts.
func setKeys(rec []byte, set []pair) ([]byte, error) {
	n, at, err := mp.MapHeader(rec)
	if err != nil {
		return nil, errNoRecord
	}
	if len(set) == 0 {
		return rec, nil
	}
	var body []byte
	kept := 0
	for range n {
		keySize, err := mp.Skip(rec[at:])
		if err != nil {
			return nil, err
		}
		valueSize, err := mp.Skip(rec[at+keySize:])
		if err != nil {
			return nil, err
		}
		key, _, err := mp.Bytes(rec[at:])
		if err != nil || !slices.ContainsFunc(set, func(p pair) bool { return p.key == string(key) }) {
			body = append(body, rec[at:at+keySize+valueSize]...)
			kept++
		}
		at += keySize + valueSize
	}
	for i, p := range set {
		if slices.ContainsFunc(set[i+1:], func(o pair) bool { return o.key == p.key }) {
			continue // the last one counts
		}
		body = mp.AppendStr(mp.AppendStr(body, p.key), p.value)
		kept++
	}
	return append(mp.AppendMap(nil, kept), body...), nil
}

// eventChunk reads an event as tap and dump print it.
func eventChunk(line []byte) (record.Chunk, error) {
	var l agent.EventLine
	if err := json.Unmarshal(line, &l); err != nil {
		return record.Chunk{}, fmt.Errorf("read event: %w", err)
	}
	return chunkOf(&l)
}

func chunkOf(l *agent.EventLine) (record.Chunk, error) {
	c, err := l.Chunk()
	if err != nil {
		return c, err
	}
	it := record.Iterate(&c)
	if !it.Next() {
		return c, errNoRecord
	}
	if _, _, err := mp.MapHeader(it.Event().Record); err != nil {
		return c, errNoRecord
	}
	c.Route = "" // it is routed anew
	return c, nil
}
