// Package config reads Firebreak's configuration into a tree of plain values, and reports everything that is wrong
// with it at once, each with its place in the file and a hint.
//
// Options are declared once, as struct tags beside the code that uses them; the parser, the checks and the reference
// page are made from them:
//
//	key:"max_bytes"     the key in the file
//	default:"64MiB"     as it would be written in the file; a list as a,b or ["a", "b"]
//	doc:"…"             one or two sentences
//	enum:"disk,memory"  the allowed values
//	required:"true"     an error when absent
//	min:"1" max:"64"    bounds of numbers, sizes and durations
//	template:"true"     event names (${tag}, …) are allowed in this string
package config

import (
	"errors"
	"fmt"
	"regexp"
	"time"
)

// A Size is a number of bytes, written 64MiB, 1GiB, 500KB or as a plain number.
type Size int64

// A Rate is a number of bytes per second, written 10MiB/s or 10MiB. 0: no bound.
type Rate int64

// A Secret is a string that never shows in logs, errors or pages.
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "(hidden)"
}

// GoString hides the secret.
func (s Secret) GoString() string { return fmt.Sprintf("%q", s.String()) }

// MarshalText hides the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal returns the secret itself, for use on the wire.
func (s Secret) Reveal() string { return string(s) }

// A Percent is a share of something, written 10% and held as 10.
type Percent float64

// Of returns the share of n.
func (p Percent) Of(n int64) int64 { return int64(float64(n) * float64(p) / 100) }

// Config is a whole configuration.
type Config struct {
	Path string `json:"-"` // of the file; "" for the embedded default

	DataDir  string   `key:"data_dir" default:"/var/lib/firebreak" doc:"Directory for buffers, dead letters and the inputs' own files. If it can't be written, the router starts in memory and says so."`
	Admin    string   `key:"admin" default:"127.0.0.1:24220" doc:"Address for health, metrics and status; off to have none. An address that is taken is a warning, not an error."`
	Shutdown Shutdown `key:"shutdown"`
	Log      Log      `key:"log"`

	Inputs     []Input
	Processors []Processor
	Routes     []Route
	Outputs    []Output

	Warnings []Problem // what is odd but runs
}

// Shutdown bounds what happens after SIGTERM.
type Shutdown struct {
	Quiet    time.Duration `key:"quiet" default:"1s" doc:"After SIGTERM, intake goes on until no connection has sent anything for this long."`
	Deadline time.Duration `key:"deadline" default:"25s" min:"4s" doc:"Time from SIGTERM to the end of the process; keep it below the orchestrator's own limit."`
}

// Log sets the router's own log.
type Log struct {
	Level string `key:"level" default:"info" enum:"debug,info,warn,error" doc:"Least severity of the router's own log lines, which go to stderr as JSON."`
}

// Pos is a place in the configuration file; line and column count from 1.
type Pos struct{ Line, Column int }

// An Input is one entry of `inputs`. Options is what the kind's Options func returned, decoded.
type Input struct {
	Name    string
	Type    string
	Options any
	Pos     Pos
}

// An Output is one entry of `outputs`: a destination and the options of its kind.
type Output struct {
	Name string
	Type string
	Pos  Pos

	Buffer      Buffer      `key:"buffer"`
	Retry       Retry       `key:"retry"`
	Workers     int         `key:"workers" default:"1" min:"1" max:"64" doc:"Requests in flight at the same time. Events of one tag keep their order whatever the number."`
	MaxRate     Rate        `key:"max_rate" doc:"Bound of what is sent, in bytes of events per second, such as 10MiB/s, so that catching up doesn't overrun the other side. Unset: none."`
	DeadLetters DeadLetters `key:"dead_letters"`

	Options any
}

// Buffer configures a destination's buffer.
type Buffer struct {
	Type          string        `key:"type" default:"disk" enum:"disk,memory" doc:"Where events wait. What waits in memory is lost when the process ends."`
	MaxBytes      Size          `key:"max_bytes" doc:"Bound of the buffer: 1GiB on disk, 32MiB in memory unless set." min:"1MiB"`
	Memory        Size          `key:"memory" default:"8MiB" min:"1MiB" doc:"Memory share of a disk buffer: the newest events, and everything while its disk is in trouble."`
	MaxAge        time.Duration `key:"max_age" default:"0s" doc:"Events that arrived longer ago than this are shed, reason max_age; 0s: never."`
	Fallback      string        `key:"fallback" doc:"Name of another output, whose own on_full isn't block: near the bound (from three quarters of max_bytes on) the oldest events move there, and on_full applies only to what can't move fast enough. What has moved waits in that output's buffer, with its bounds and its durability."`
	FallbackAfter time.Duration `key:"fallback_after" default:"0s" doc:"Events also move to fallback once the breaker has not been closed for this long, such as 10m; 0s: only near the bound."`
	OnFull        string        `key:"on_full" default:"shed_oldest" enum:"shed_oldest,shed_newest,block" doc:"What happens at max_bytes. block stops the reading of the connections that send to this destination, and so the other types on them."`
	Sync          string        `key:"sync" default:"interval" enum:"interval,always,never" doc:"When written data is forced to the disk: each second, before an acknowledgement, or when the system does. Matters for a power cut only, not for a kill."`
	MinFree       Percent       `key:"min_free" default:"10%" doc:"Share of the volume to leave free; below it the destination sheds its own oldest events."`
}

// Retry configures how failed requests are repeated. There is no limit on their number.
type Retry struct {
	Initial time.Duration `key:"initial" default:"500ms" min:"10ms" doc:"Largest wait before the first repetition; doubles each time, with full jitter."`
	Max     time.Duration `key:"max" default:"30s" min:"10ms" doc:"Largest wait between two attempts."`
	Timeout time.Duration `key:"timeout" default:"60s" min:"100ms" doc:"Deadline of one attempt."`
}

// DeadLetters configures where events go that the other side refuses for good.
type DeadLetters struct {
	MaxBytes Size `key:"max_bytes" default:"256MiB" min:"1MiB" doc:"Bound of the dead letters on disk; beyond it the oldest are discarded and counted."`
}

// A Route sends the events that match to destinations. Its name is the events' type.
type Route struct {
	Name       string
	Match      *Match // nil: everything
	To         []string
	Discard    bool
	Continue   bool
	Processors []Processor // of this route alone
	Pos        Pos
}

// A Processor changes or drops events, in order, before the router. Exactly one of its actions is set.
type Processor struct {
	Name  string // for counters; by default the action and its place in the list, such as drop-2
	Match *Match // nil: every event
	Pos   Pos

	Add       []Field    // add: {key: value}: sets top-level keys of the record
	Rename    []Field    // rename: {old: new}: moves values to other keys, in this order
	Remove    []string   // remove: [key, a.b, debug_*]
	ParseJSON *ParseJSON // parse_json: log, or {key: log, keep: false}
	Redact    *Redact    // redact: [email], or {patterns: [email], keys: [log], with: "[redacted]"}
	Sample    *Sample    // sample: 10%, or {keep: 10%, by: "${record.trace_id}"}
	Throttle  *Throttle  // throttle: {rate: 100, per: 1s}
	Drop      bool       // drop: true
	SizeGuard *SizeGuard // size_guard: {max_bytes: 256KiB, action: truncate}
}

// Field is a key of the record and the text to set it to, or its new name.
type Field struct{ Key, Value string }

// ParseJSON merges the JSON object in a text field into the record, and removes the text unless Keep is set. The json
// conditions of what comes after it (later processors, routes) see the merged keys, as if they still looked at the text.
type ParseJSON struct {
	Key  string `key:"key" default:"log" doc:"Record key that holds the JSON text. Anything that isn't a JSON object is left alone."`
	Keep bool   `key:"keep" default:"false" doc:"Keep the text beside the parsed keys. Without it, json conditions behind the processor look at the keys of the record, where the parsed ones are then, and line conditions find no text."`
}

// SetText sets the key: the short form is `parse_json: log`. `parse_json: true` means the key by default.
func (p *ParseJSON) SetText(text string) error {
	b, isBool := parseBool(text)
	switch {
	case text == "" || isBool && !b:
		return errors.New("expected the key that holds the JSON text")
	case !isBool:
		p.Key = text
	}
	return nil
}

// SizeGuard bounds the size of one event.
type SizeGuard struct {
	MaxBytes Size   `key:"max_bytes" required:"true" min:"64" doc:"Largest encoded record."`
	Action   string `key:"action" default:"truncate" enum:"truncate,dead_letter" doc:"truncate cuts the text under key and adds the marker; dead_letter gives the event to the dead letters of each destination that it is routed to, reason too_large."`
	Key      string `key:"key" default:"log" doc:"Record key that is cut. An event that is too large without it becomes a dead letter."`
	Marker   string `key:"marker" default:"...[truncated]" doc:"Text put at the cut."`
}

// Check reports a marker that leaves no room for text.
func (g *SizeGuard) Check(r *Report) {
	if int64(len(g.Marker)) >= int64(g.MaxBytes) {
		r.Problem("marker", fmt.Sprintf("size_guard.marker has %d bytes, and max_bytes allows a record of %d", len(g.Marker), g.MaxBytes), "shorten the marker")
	}
}

// A Match holds when all its tests hold.
type Match struct {
	Pos   Pos
	Tests []Test
	Any   []*Match // at least one must hold; nil: no such condition
	Not   []*Match // none may hold
}

// A Test compares one field with patterns; it holds when one of them does.
type Test struct {
	Pos      Pos
	Field    string // tag, container, source, line, json, record, k8s, ecs
	Path     string // for json, record, k8s, ecs: the key, with dots
	LineKey  string // for line and json: record key that holds the line; "": log, else message
	Patterns []Pattern
}

// A Pattern is one right side of a condition.
type Pattern struct {
	Kind   PatternKind
	Text   string         // Glob: the glob; Equal: the value's text; others: as written
	Regexp *regexp.Regexp // Regex
	Op     string         // Compare: ==, !=, <, <=, >, >=
	Number float64        // Compare
}

// PatternKind says how a pattern compares.
type PatternKind uint8

// The kinds of patterns.
const (
	Glob    PatternKind = iota // * any run, ? any one character; without those: equality. Numbers compare by value or text, booleans by text.
	Regex                      // /…/, and every pattern of `line`
	Present                    // true
	Absent                     // false
	Compare                    // ">= 500"
)
