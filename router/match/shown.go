package match

import (
	"strconv"
	"strings"

	"github.com/firebreak/firebreak/internal/jsonmp"
	"github.com/firebreak/firebreak/internal/mp"
)

// A shown is the value that a test looks at, to be put in words. At most one field is set.
type shown struct {
	absent bool
	odd    string // there is nothing to look into: why
	thing  string // neither text nor number nor boolean: what it is
	bare   []byte // a number or boolean
	text   []byte // not nil: a text
}

// look returns what a test sees of the event.
func (r *Reasons) look(c *Cond) shown {
	v := &r.view
	if c.op == opKnown {
		attr := r.table.known[c.known].attr
		if attr == "" {
			return shown{text: append([]byte{}, r.tag...)}
		}
		if value := v.attrs.Get(attr); value != "" {
			return shown{text: []byte(value)}
		}
		return shown{absent: true}
	}
	f := c.field
	if !v.located {
		v.locate()
	}
	switch {
	case f.doc != nil:
		value, at := v.inDoc(f)
		switch at {
		case inText:
			return fromJSON(value)
		case inRecord:
			return fromMsgpack(value)
		}
		if line, ok := v.text(f.doc.line); ok {
			return shown{odd: "the line " + quote(line) + " is no JSON object"}
		}
		return shown{odd: "there is no line, as" + r.noText(f.doc.line)}
	case f.text:
		text, ok := v.text(f)
		if !ok {
			return shown{absent: true}
		}
		if f.trim && len(text) > 0 && text[0] == '/' {
			text = text[1:]
		}
		return shown{text: text}
	}
	return fromMsgpack(v.slots[f.slots[0]].value)
}

// noText says where a text was looked for.
func (r *Reasons) noText(f *field) string {
	var keys []string
	for _, s := range f.slots {
		keys = append(keys, escape(r.table.paths[s]))
	}
	return " the record has no text under " + strings.Join(keys, " or ")
}

func fromMsgpack(v []byte) shown {
	if len(v) == 0 {
		return shown{absent: true}
	}
	switch c := v[0]; {
	case mp.IsStr(c), mp.IsBin(c):
		if text, _, err := mp.Bytes(v); err == nil {
			return shown{text: text}
		}
	case c == 0xc0:
		return shown{thing: "null"}
	case c == 0xc2, c == 0xc3:
		return shown{bare: strconv.AppendBool(nil, c == 0xc3)}
	case mp.IsMap(c):
		return shown{thing: "an object"}
	case mp.IsArray(c):
		return shown{thing: "a list"}
	}
	if n, ok := appendNumber(nil, v); ok {
		return shown{bare: n}
	}
	return shown{thing: "neither text nor number"}
}

func fromJSON(v []byte) shown {
	if len(v) == 0 {
		return shown{absent: true}
	}
	switch v[0] {
	case '{':
		return shown{thing: "an object"}
	case '[':
		return shown{thing: "a list"}
	case 'n':
		return shown{thing: "null"}
	case '"':
		text, escaped := jsonmp.Inner(v)
		if escaped {
			var ok bool
			if text, ok = jsonmp.AppendText([]byte{}, text); !ok {
				return shown{thing: "a text with an escape that JSON doesn't have"}
			}
		}
		return shown{text: text}
	}
	return shown{bare: v}
}
