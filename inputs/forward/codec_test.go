package forward

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var eof = io.EOF

var timeField = regexp.MustCompile(`\|(\d+)\.(\d+)\|`)

// nows replaces times of just now by "now", for events whose own time doesn't count.
func nows(events []string) []string {
	out := slices.Clone(events)
	for i, e := range out {
		m := timeField.FindStringSubmatch(e)
		if sec, _ := strconv.ParseInt(m[1], 10, 64); time.Since(time.Unix(sec, 0)).Abs() < time.Minute {
			out[i] = strings.Replace(e, m[0], "|now|", 1)
		}
	}
	return out
}

// byTag puts events together by tag: their order has a meaning within one tag only.
func byTag(events []string) []string {
	out := slices.Clone(events)
	slices.SortStableFunc(out, func(a, b string) int {
		x, _, _ := strings.Cut(a, "|")
		y, _, _ := strings.Cut(b, "|")
		return strings.Compare(x, y)
	})
	return out
}

func msg(parts ...any) []byte { return cat(parts...) }

var rec = kv("a", "b")

type codecCase struct {
	name    string
	in      []byte
	want    []string
	acks    []byte
	invalid map[string]uint64
	errors  map[string]uint64
}

const at = "t|1700000000.5|"

func codecCases() []codecCase {
	ok := []string{at + "a=b"}
	whole := []string{"t|1700000000.0|a=b"}
	now := []string{"t|now|a=b"}
	entry := cat(0x92, now0(), rec)
	marker := func(n uint32) []byte {
		return cat(0x92, cat(0x92, et(n, 0), kv("schema", "otlp")), kv("resource", "x"))
	}
	cases := []codecCase{
		// More nanoseconds than a second has: what reads them further on may wrap around.
		{name: "odd nanoseconds", in: msg(0x93, "t", et(t0, 1_000_000_000), rec), want: []string{"t|1700000000.999999999|a=b"}},
		{name: "odd nanoseconds in an entry", in: cat(0x92, "t", 0x91, cat(0x92, et(t0, 0xffffffff), rec)), want: []string{"t|1700000000.999999999|a=b"}},
		// Message mode.
		{name: "message", in: msg(0x93, "t", now0(), rec), want: ok},
		{name: "message with a nil option", in: msg(0x94, "t", now0(), rec, 0xc0), want: ok},
		{name: "message with an empty option", in: msg(0x94, "t", now0(), rec, 0x80), want: ok},
		{name: "message with an option of a wrong type", in: msg(0x94, "t", now0(), rec, "x"), want: ok},
		{name: "message with more elements", in: msg(0x95, "t", now0(), rec, chunkOpt("c"), "more"), want: ok, acks: ackOf("c")},
		{name: "message in an array16", in: msg(arr(4), "t", now0(), rec, chunkOpt("c")), want: ok, acks: ackOf("c")},
		{name: "message with metadata", in: msg(0x94, "t", now0(), rec, kv("metadata", kv("x", "y"), "fluent_signal", cat(0))), want: ok},
		{name: "tag as bin", in: msg(0x93, bin("t"), now0(), rec), want: ok},
		{name: "empty tag", in: msg(0x93, "", now0(), rec), want: []string{"|1700000000.5|a=b"}},
		{name: "message without a record", in: msg(0x92, "t", now0()), invalid: map[string]uint64{"bad_entry": 1}},
		{name: "keep-alive", in: msg(0xc0, 0xc0, 0x93, "t", now0(), rec, 0xc0), want: ok},

		// Times.
		{name: "signed int32, as Docker's", in: msg(0x93, "t", i32(t0), rec), want: whole},
		{name: "uint32", in: msg(0x93, "t", u32(t0), rec), want: whole},
		{name: "uint64", in: msg(0x93, "t", u64(t0), rec), want: whole},
		{name: "int64", in: msg(0x93, "t", i64(t0), rec), want: whole},
		{name: "small integers", in: msg(0x93, "t", 7, rec, 0x93, "t", cat(0xcc, 200), rec, 0x93, "t", cat(0xcd, 1, 0), rec),
			want: []string{"t|7.0|a=b", "t|200.0|a=b", "t|256.0|a=b"}},
		{name: "float64", in: msg(0x93, "t", f64(t0+0.25), rec), want: []string{"t|1700000000.250000000|a=b"}},
		{name: "float32", in: msg(0x93, "t", f32(1024.5), rec), want: []string{"t|1024.500000000|a=b"}},
		{name: "event time as ext8", in: msg(0x93, "t", ext8(t0, 5), rec), want: ok},
		{name: "nil time", in: msg(0x93, "t", 0xc0, rec), want: now},
		{name: "zero time", in: msg(0x93, "t", 0, rec), want: now},
		{name: "zero event time", in: msg(0x93, "t", et(0, 1), rec), want: now},
		{name: "zero int32", in: msg(0x93, "t", i32(0), rec), want: now},
		{name: "zero float", in: msg(0x93, "t", f64(0), rec), want: now},
		{name: "NaN", in: msg(0x93, "t", cat(0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 1), rec), want: now},
		{name: "before 1970", in: msg(0x93, "t", i32(-5), rec), want: now},
		{name: "milliseconds by mistake", in: msg(0x93, "t", u64(t0*1000), rec), want: now},
		{name: "beyond int64", in: msg(0x93, "t", u64(1<<63), rec), want: now},
		{name: "after 2038", in: msg(0x93, "t", et(1<<31, 0), rec), want: []string{"t|2147483648.0|a=b"}},
		{name: "time is another extension", in: msg(0x94, "t", cat(0xd6, 1, 1, 2, 3, 4), rec, chunkOpt("c")), acks: ackOf("c"), invalid: map[string]uint64{"bad_time": 1}},
		{name: "time is a fixext8 of another type", in: msg(0x93, "t", cat(0xd7, 1, 1, 2, 3, 4, 5, 6, 7, 8), rec), invalid: map[string]uint64{"bad_time": 1}},
		{name: "time is an ext8 of another size", in: msg(0x93, "t", cat(0xc7, 1, 0, 9), rec), invalid: map[string]uint64{"bad_time": 1}},

		// Records.
		{name: "record is not a map", in: msg(0x94, "t", now0(), "text", chunkOpt("c")), acks: ackOf("c"), invalid: map[string]uint64{"not_a_map": 1}},
		{name: "record is nil", in: msg(0x94, "t", now0(), 0xc0, chunkOpt("c")), acks: ackOf("c")},
		{name: "record is empty", in: msg(0x93, "t", now0(), 0x80), want: []string{at}},
		{name: "bytes that are not UTF-8", in: msg(0x93, "t", now0(), kv("log", "\xff\xfebin")), want: []string{at + "log=\xff\xfebin"}},
		{name: "bin values", in: msg(0x93, "t", now0(), kv("log", bin("raw"))), want: []string{at + "log=raw"}},
		{name: "keys that are no strings", in: msg(0x93, "t", now0(), kv("m", cat(0x81, 1, 2), cat(7), "x")), want: []string{at + "m=810102 07=x"}},
		{name: "other extensions", in: msg(0x93, "t", now0(), kv("e", cat(0xd4, 9, 1))), want: []string{at + "e=d40901"}},
		{name: "duplicate keys", in: msg(0x93, "t", now0(), kv("a", "1", "a", "2")), want: []string{at + "a=1 a=2"}},
		{name: "map32 and long strings", in: msg(0x93, "t", now0(), 0xdf, 0, 0, 0, 1, "k", strings.Repeat("v", 300)), want: []string{at + "k=vvvvvvvv…300"}},

		// Forward mode.
		{name: "forward", in: msg(0x92, "t", 0x92, entry, cat(0x92, i32(t0), rec)), want: []string{at + "a=b", "t|1700000000.0|a=b"}},
		{name: "forward with an option", in: msg(0x93, "t", arr(1), entry, kv("chunk", "c", "size", cat(1))), want: ok, acks: ackOf("c")},
		{name: "forward without entries", in: msg(0x93, "t", 0x90, chunkOpt("c")), acks: ackOf("c")},
		{name: "size is wrong", in: msg(0x93, "t", 0x91, entry, kv("size", u32(1<<31))), want: ok},
		{name: "size is text", in: msg(0x93, "t", 0x91, entry, kv("size", "many")), want: ok},
		{name: "forward with metadata", in: msg(0x92, "t", 0x91, cat(0x92, cat(0x92, now0(), kv("x", "y")), rec)), want: ok},
		{name: "metadata without a time", in: msg(0x92, "t", 0x91, cat(0x92, cat(0x90), rec)), invalid: map[string]uint64{"bad_time": 1}},
		{name: "entries of many kinds", in: msg(0x93, "t", 0x96, entry, cat(0x91, now0()), "x", cat(0x92, now0(), "no map"), cat(0x92, now0(), 0xc0), cat(0x93, now0(), rec, "more"), chunkOpt("c")),
			want: []string{at + "a=b", at + "a=b"}, acks: ackOf("c"), invalid: map[string]uint64{"bad_entry": 2, "not_a_map": 1}},
		{name: "time is text", in: msg(0x93, "t", 0x91, cat(0x92, "12:00", rec), chunkOpt("c")), acks: ackOf("c"), invalid: map[string]uint64{"bad_time": 1}},
		{name: "groups", in: msg(0x92, "t", 0x93, marker(1<<32-1), entry, marker(1<<32-2)), want: ok},
		{name: "groups of integers", in: msg(0x92, "t", 0x92, cat(0x92, i32(-1), rec), entry), want: ok},

		// PackedForward mode.
		{name: "packed as bin", in: msg(0x92, "t", bin(string(entry)+string(entry))), want: []string{ok[0], ok[0]}},
		{name: "packed as str", in: msg(0x93, "t", str(string(entry)), kv("chunk", "c", "compressed", "text")), want: ok, acks: ackOf("c")},
		{name: "packed and empty", in: msg(0x93, "t", bin(""), chunkOpt("c")), acks: ackOf("c")},
		{name: "packed with odd times", in: msg(0x92, "t", bin(string(cat(0x92, ext8(t0, 5), rec, 0x92, u64(t0), rec, 0x92, 0xc0, rec, 0x92, u32(0), rec)))),
			want: []string{ok[0], whole[0], now[0], now[0]}},
		{name: "packed with metadata and groups", in: msg(0x92, "t", bin(string(cat(marker(1<<32-1), 0x92, cat(0x92, now0(), 0x80), rec, marker(1<<32-2))))), want: ok},
		{name: "packed with invalid events", in: msg(0x93, "t", bin(string(cat(entry, "x", 0x92, now0(), 1, entry))), chunkOpt("c")),
			want: []string{ok[0], ok[0]}, acks: ackOf("c"), invalid: map[string]uint64{"bad_entry": 1, "not_a_map": 1}},

		// Options.
		{name: "chunk as bin comes back as bin", in: msg(0x94, "t", now0(), rec, kv("chunk", bin("c"))), want: ok, acks: cat(0x81, "ack", bin("c"))},
		{name: "chunk keeps its newline", in: msg(0x94, "t", now0(), rec, chunkOpt("YWJj\n")), want: ok, acks: ackOf("YWJj\n")},
		{name: "empty chunk", in: msg(0x94, "t", now0(), rec, chunkOpt("")), want: ok, acks: ackOf("")},
		{name: "nil chunk", in: msg(0x94, "t", now0(), rec, kv("chunk", cat(0xc0))), want: ok},
		{name: "the last chunk counts", in: msg(0x94, "t", now0(), rec, kv("chunk", "1", "chunk", "2")), want: ok, acks: ackOf("2")},
		{name: "chunk between unknown keys", in: msg(0x94, "t", now0(), rec, kv("x", kv("chunk", "no"), "chunk", "c", cat(1), "y")), want: ok, acks: ackOf("c")},
		{name: "logs by signal", in: msg(0x93, "t", 0x91, entry, kv("fluent_signal", cat(0))), want: ok},
		{name: "metrics", in: msg(0x93, "t", bin("\x81\xa4meta\x80"), kv("chunk", "c", "fluent_signal", cat(1))), acks: ackOf("c"), invalid: map[string]uint64{"not_logs": 1}},
		{name: "traces in forward mode", in: msg(0x93, "t", 0x91, entry, kv("fluent_signal", cat(2), "chunk", "c")), acks: ackOf("c"), invalid: map[string]uint64{"not_logs": 1}},
		{name: "profiles in message mode", in: msg(0x94, "t", now0(), rec, kv("fluent_signal", cat(4))), invalid: map[string]uint64{"not_logs": 1}},

		// Modes and tags mixed.
		{name: "modes and tags mixed", in: msg(0x93, "a", now0(), rec, 0x92, "b", 0x91, entry, 0x93, "a", bin(string(entry)), chunkOpt("c"), 0x94, "c", now0(), rec, chunkOpt("d")),
			want: []string{"a|1700000000.5|a=b", "b|1700000000.5|a=b", "a|1700000000.5|a=b", "c|1700000000.5|a=b"}, acks: cat(ackOf("c"), ackOf("d"))},

		// JSON.
		{name: "json message", in: []byte(`["t",1700000000,{"a":"b"}]`), want: whole},
		{name: "json messages with space", in: []byte("[\"t\", 1700000000, {\"a\":\"b\"}, {\"chunk\":\"x\\\"y\\n\"}]\n\r\n [\"t\",1700000000,{\"a\":\"]\\\"[\"}]\n"),
			want: []string{whole[0], `t|1700000000.0|a=]"[`}, acks: []byte(`{"ack":"x\"y\n"}`)},
		{name: "json forward", in: []byte(`["t",[[1700000000,{"a":"b"}],[1700000000.25,{"a":"b"}],[0,{"a":"b"}]],{"chunk":"c"}]`),
			want: []string{whole[0], "t|1700000000.250000000|a=b", now[0]}, acks: []byte(`{"ack":"c"}`)},
		{name: "json and msgpack mixed", in: msg([]byte(`["t",1700000000,{"a":"b"},{"chunk":"c"}]`), 0x94, "t", now0(), rec, chunkOpt("d")),
			want: []string{whole[0], ok[0]}, acks: cat([]byte(`{"ack":"c"}`), ackOf("d"))},

		// What ends the connection. What stands before it is good.
		{name: "json object", in: []byte(`{"a":1}`), errors: map[string]uint64{"bad_message": 1}},
		{name: "broken json", in: []byte(`["t",1700000000,{"a":}]`), errors: map[string]uint64{"bad_message": 1}},
		{name: "json is cut", in: []byte(`["t",1700000000,{"a":`), errors: map[string]uint64{"cut": 1}},
		{name: "bad bytes after a message", in: msg(0x94, "t", now0(), rec, chunkOpt("c"), 0xc1), want: ok, acks: ackOf("c"), errors: map[string]uint64{"bad_message": 1}},
		{name: "http", in: []byte("GET / HTTP/1.1\r\n\r\n"), errors: map[string]uint64{"bad_message": 1}},
		{name: "tls", in: []byte{0x16, 3, 1, 0}, errors: map[string]uint64{"bad_message": 1}},
		{name: "a map", in: kv("a", "b"), errors: map[string]uint64{"bad_message": 1}},
		{name: "an empty array", in: []byte{0x90}, errors: map[string]uint64{"bad_message": 1}},
		{name: "a tag alone", in: msg(0x91, "t"), errors: map[string]uint64{"bad_message": 1}},
		{name: "tag is a number", in: msg(0x93, 1, now0(), rec), errors: map[string]uint64{"bad_message": 1}},
		{name: "tag is too long", in: msg(0x93, strings.Repeat("t", maxTag+1), now0(), rec), errors: map[string]uint64{"bad_message": 1}},
		{name: "element 2 is a map", in: msg(0x93, "t", rec, rec), errors: map[string]uint64{"bad_message": 1}},
		{name: "element 2 is true", in: msg(0x93, "t", 0xc3, rec), errors: map[string]uint64{"bad_message": 1}},
		{name: "the reserved byte in a record", in: msg(0x93, "t", now0(), 0x81, "a", 0xc1), errors: map[string]uint64{"bad_message": 1}},
		{name: "a chunk id of 5000 bytes", in: msg(0x94, "t", now0(), rec, chunkOpt(strings.Repeat("c", 5000))), errors: map[string]uint64{"bad_message": 1}},
		{name: "a packed body that is cut", in: msg(0x93, "t", bin(string(entry)+string(entry[:5])), chunkOpt("c")), errors: map[string]uint64{"bad_message": 1}},
		{name: "a packed body of rubbish", in: msg(0x93, "t", bin(string(entry)+"\xc1"), chunkOpt("c")), errors: map[string]uint64{"bad_message": 1}},
		{name: "a record that nests too deeply", in: msg(0x93, "t", now0(), 0x81, "a", bytes.Repeat([]byte{0x91}, 64), 0xc0), errors: map[string]uint64{"bad_message": 1}},
		{name: "a record as deep as allowed", in: msg(0x93, "t", now0(), 0x81, "a", bytes.Repeat([]byte{0x91}, 63), 0xc0), want: []string{at + "a=" + strings.Repeat("91", 63) + "c0"}},
		{name: "metadata that nests too deeply", in: msg(0x92, "t", 0x91, 0x92, 0x92, now0(), bytes.Repeat([]byte{0x91}, 70)), errors: map[string]uint64{"bad_message": 1}},

		// Forged lengths cost nothing; the end of the connection cuts them.
		{name: "forged array32 of entries", in: msg(0x92, "t", 0xdd, 0xff, 0xff, 0xff, 0xff, entry), errors: map[string]uint64{"cut": 1}},
		{name: "forged map32", in: msg(0x93, "t", now0(), 0xdf, 0xff, 0xff, 0xff, 0xff, "a"), errors: map[string]uint64{"cut": 1}},
		{name: "forged str32", in: msg(0x93, "t", now0(), 0x81, "a", 0xdb, 0xff, 0xff, 0xff, 0xff, 1), errors: map[string]uint64{"cut": 1}},
		{name: "forged array32 of elements", in: msg(0xdd, 0xff, 0xff, 0xff, 0xff, "t", now0(), rec, 0x80), errors: map[string]uint64{"bad_message": 1}},
		{name: "cut at the end", in: msg(0x94, "t", now0(), rec, chunkOpt("c"), 0x94, "t", now0()), want: ok, acks: ackOf("c"), errors: map[string]uint64{"cut": 1}},
		{name: "nothing at all"},
	}
	return cases
}

func (c *codecCase) check(t interface{ Errorf(string, ...any) }, events []string, acks []byte, in *Input) {
	if diff := cmp.Diff(byTag(c.want), byTag(nows(events))); diff != "" && len(c.want)+len(events) > 0 {
		t.Errorf("%s: events (-want +got):\n%s", c.name, diff)
	}
	if !bytes.Equal(acks, c.acks) {
		t.Errorf("%s: acks %q, want %q", c.name, acks, c.acks)
	}
	s := in.Stats()
	if !maps.Equal(s.Invalid, c.invalid) {
		t.Errorf("%s: invalid %v, want %v", c.name, s.Invalid, c.invalid)
	}
	if !maps.Equal(s.Errors, c.errors) {
		t.Errorf("%s: errors %v, want %v", c.name, s.Errors, c.errors)
	}
	want := uint64(len(c.want))
	for _, n := range c.invalid {
		want += n
	}
	if s.Received != want {
		t.Errorf("%s: received %d, want %d", c.name, s.Received, want)
	}
	if s.Buffer != 0 {
		t.Errorf("%s: %d bytes of the budget are not given back", c.name, s.Buffer)
	}
}

func TestCodec(t *testing.T) {
	for _, c := range codecCases() {
		t.Run(c.name, func(t *testing.T) {
			events, acks, in, _ := codec(t, testOptions(), c.in)
			c.check(t, events, acks, in)
		})
	}
}

func TestCodecByteByByte(t *testing.T) {
	for _, c := range codecCases() {
		if c.name == "forged array32 of elements" {
			continue // the end of the connection is seen first
		}
		var feed [][]byte
		for i := range c.in {
			feed = append(feed, c.in[i:i+1])
		}
		events, acks, in, _ := codec(t, testOptions(), feed...)
		c.check(t, events, acks, in)
	}
}

// All good cases one after the other, cut anywhere, give the same as each alone.
func TestAnySplitGivesTheSame(t *testing.T) {
	var cases []codecCase
	for _, c := range codecCases() {
		if c.errors == nil {
			cases = append(cases, c)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		all := codecCase{name: "all", invalid: map[string]uint64{}}
		for _, c := range rapid.SliceOfN(rapid.SampledFrom(cases), 1, 40).Draw(rt, "cases") {
			all.in = append(all.in, c.in...)
			all.want = append(all.want, c.want...)
			all.acks = append(all.acks, c.acks...)
			for k, n := range c.invalid {
				all.invalid[k] += n
			}
			all.name += fmt.Sprintf(", %s", c.name)
		}
		var feed [][]byte
		for rest := all.in; len(rest) > 0; {
			n := rapid.IntRange(1, min(len(rest), 300)).Draw(rt, "size")
			feed, rest = append(feed, rest[:n]), rest[n:]
		}
		events, acks, in, _ := codec(t, testOptions(), feed...)
		all.check(rt, events, acks, in)
	})
}

// One read is one call of Accept, and one chunk for each tag.
func TestOneReadIsOneAccept(t *testing.T) {
	opts := testOptions()
	in, err := New(&opts, Env{})
	if err != nil {
		t.Fatal(err)
	}
	s := newSink()
	in.accept, in.work = s.accept, t.Context()
	p := &pipe{feed: [][]byte{
		cat(docker("a", "1", []byte{0x80}), docker("a", "2", []byte{0x80}), docker("b", "3", []byte{0x80}), docker("a", "4", chunkOpt("x"))),
		cat(docker("a", "5", chunkOpt("y")), docker("a", "6", chunkOpt("z"))),
	}}
	c := newConn(in, in.set.Load(), p)
	c.win.buf = make([]byte, baseWindow)
	c.finish(c.serve())
	if diff := cmp.Diff([]int{3, 1, 2}, s.chunks); diff != "" || s.calls != 2 {
		t.Errorf("%d calls, chunks %v", s.calls, s.chunks)
	}
	if p.writes != 3 || !bytes.Equal(p.written, cat(ackOf("x"), ackOf("y"), ackOf("z"))) {
		t.Errorf("%d writes: %q", p.writes, p.written)
	}
}

func FuzzMessages(f *testing.F) {
	for _, c := range codecCases() {
		f.Add(c.in, uint8(7))
	}
	f.Add(cat(0x92, "t", bin(string(gzipOf(cat(0x92, now0(), rec))))), uint8(3))
	f.Add(cat(0x92, "t", bin(string(zstdOf(cat(0x92, now0(), rec))))), uint8(3))
	f.Add(dockerPiece("t", "id", "text", 1, false, []byte{0x80}), uint8(30))
	f.Fuzz(func(t *testing.T, b []byte, step uint8) {
		opts := testOptions()
		opts.MaxDecompressed = 1 << 20
		whole, acks, in, _ := codec(t, opts, bytes.Clone(b))
		var feed [][]byte
		for rest := bytes.Clone(b); len(rest) > 0; {
			n := min(len(rest), int(step)+1)
			feed, rest = append(feed, rest[:n]), rest[n:]
		}
		parts, acks2, in2, _ := codec(t, opts, feed...)
		if diff := cmp.Diff(byTag(nows(whole)), byTag(nows(parts))); diff != "" {
			t.Errorf("events differ:\n%s", diff)
		}
		if !bytes.Equal(acks, acks2) || in.Stats().Buffer != 0 || in2.Stats().Buffer != 0 {
			t.Errorf("acks %q and %q, budget %d and %d", acks, acks2, in.Stats().Buffer, in2.Stats().Buffer)
		}
	})
}
