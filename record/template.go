package record

import (
	"fmt"
	"strings"
)

// Bounds of templates.
const (
	// MaxTemplate is the longest template in bytes.
	MaxTemplate = 4096
	// MaxValue is how many bytes of one value a template renders; the rest is cut at a character.
	MaxValue = 255

	maxTagPart = 99
)

// IDMark stands in a rendered name where ${id} does while the id is not known yet. See [FillID].
const IDMark = "\x00"

// A Template renders a name, such as a key, a path or a group, from an event:
//
//	${tag} ${tag[0]}        the tag, its parts between the dots
//	${type}                 the name of the route
//	${record.a.b}           a text, number or boolean of the record; see [Path.Lookup]
//	${ecs.x} ${k8s.x}       what the input knows about the origin
//	${host}                 the host that the event comes from
//	${id}                   unique for each object or batch, equal at every attempt
//	${time:%Y-%m-%d}        the event's time, in UTC or the context's zone
//	${record.x:-none}       with a default for an absent or empty value; without one it is "none"
//	$${                     a literal ${
//
// A Template is immutable and may be used concurrently.
type Template struct {
	source string
	parts  []part
	times  int // parts of kind partTime
}

type partKind uint8

const (
	partLiteral partKind = iota
	partTag
	partTagPart
	partType
	partRecord
	partAttr // ecs.x and k8s.x
	partHost
	partID
	partTime
)

type part struct {
	kind  partKind
	text  string // literal; key of an attribute
	index int    // of the tag part; number of the time part
	path  Path
	def   string
	time  timeFormat
}

// A TemplateError says what is wrong in a template.
type TemplateError struct {
	Template string
	Offset   int // of the byte where the mistake starts
	Message  string
	Hint     string // what to write instead; may be empty
}

func (e *TemplateError) Error() string {
	s := fmt.Sprintf("parse template %q at byte %d: %s", e.Template, e.Offset, e.Message)
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// String returns the template as it was written.
func (t *Template) String() string { return t.source }

// Uses reports whether the template names field: tag, type, record, ecs, k8s, host, id or time.
func (t *Template) Uses(field string) bool {
	for i := range t.parts {
		if t.parts[i].field() == field {
			return true
		}
	}
	return false
}

func (p *part) field() string {
	switch p.kind {
	case partTag, partTagPart:
		return "tag"
	case partType:
		return "type"
	case partRecord:
		return "record"
	case partAttr:
		return p.text[:strings.IndexByte(p.text, '.')]
	case partHost:
		return "host"
	case partID:
		return "id"
	case partTime:
		return "time"
	}
	return ""
}

// PerEvent reports whether events of one chunk can render differently: the template needs the record or the time.
func (t *Template) PerEvent() bool {
	for i := range t.parts {
		if k := t.parts[i].kind; k == partRecord || k == partTime {
			return true
		}
	}
	return false
}

// PerChunk reports whether chunks can render differently: the template needs anything but literals and the id.
func (t *Template) PerChunk() bool {
	for i := range t.parts {
		if k := t.parts[i].kind; k != partLiteral && k != partID {
			return true
		}
	}
	return false
}

// HasID reports whether the template contains ${id}.
func (t *Template) HasID() bool { return t.Uses("id") }

// Prefix returns the literal text before the first variable: all of the template when there is none.
func (t *Template) Prefix() string {
	if len(t.parts) > 0 && t.parts[0].kind == partLiteral {
		return t.parts[0].text
	}
	return ""
}

// Suffix returns the literal text behind the last variable: all of the template when there is none.
func (t *Template) Suffix() string {
	if n := len(t.parts); n > 0 && t.parts[n-1].kind == partLiteral {
		return t.parts[n-1].text
	}
	return ""
}

// FillID puts id where ${id} stands in a name that was rendered without one.
func FillID(name, id string) string { return strings.ReplaceAll(name, IDMark, id) }
