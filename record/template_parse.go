package record

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseTemplate parses a template. The error is a [*TemplateError].
func ParseTemplate(s string) (*Template, error) {
	p := templateParser{source: s, t: &Template{source: s}}
	if len(s) > MaxTemplate {
		return nil, p.fail(MaxTemplate, fmt.Sprintf("it has %d bytes, at most %d are allowed", len(s), MaxTemplate), "")
	}
	if err := p.parse(); err != nil {
		return nil, err
	}
	return p.t, nil
}

type templateParser struct {
	source  string
	t       *Template
	literal strings.Builder
}

func (p *templateParser) fail(at int, message, hint string) error {
	return &TemplateError{Template: p.source, Offset: at, Message: message, Hint: hint}
}

func (p *templateParser) parse() error {
	s := p.source
	for i := 0; i < len(s); {
		switch {
		case s[i] < ' ' || s[i] == 0x7f:
			return p.fail(i, fmt.Sprintf("control character 0x%02x", s[i]), "")
		case strings.HasPrefix(s[i:], "$${"):
			p.literal.WriteString("${")
			i += 3
		case strings.HasPrefix(s[i:], "${"):
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				return p.fail(i, "${ without a }", "write $${ for a literal ${")
			}
			p.flush()
			if err := p.variable(i+2, i+end); err != nil {
				return err
			}
			i += end + 1
		default:
			p.literal.WriteByte(s[i])
			i++
		}
	}
	p.flush()
	return nil
}

func (p *templateParser) flush() {
	if p.literal.Len() > 0 {
		p.t.parts = append(p.t.parts, part{kind: partLiteral, text: p.literal.String()})
		p.literal.Reset()
	}
}

// variable parses what stands between ${ and }.
func (p *templateParser) variable(from, to int) error {
	s := p.source[from:to]
	if i := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
		return p.fail(from+i, fmt.Sprintf("control character 0x%02x", s[i]), "")
	}
	if i := strings.Index(s, "${"); i >= 0 {
		return p.fail(from+i, "a variable inside a variable", "a default is plain text")
	}
	name, def, _ := strings.Cut(s, ":-")
	v := part{def: def}
	head, rest, dotted := strings.Cut(name, ".")
	switch {
	case name == "":
		return p.fail(from, "empty variable", "write $${ for a literal ${")
	case strings.HasPrefix(name, "time:"):
		return p.time(from, strings.TrimPrefix(name, "time:"), v)
	case name == "time":
		return p.fail(from, "time without a format", "write ${time:%Y-%m-%d}")
	case name == "tag":
		v.kind = partTag
	case strings.HasPrefix(name, "tag["):
		digits, ok := strings.CutSuffix(name[len("tag["):], "]")
		n, err := strconv.ParseUint(digits, 10, 8)
		if !ok || err != nil || n > maxTagPart {
			return p.fail(from, fmt.Sprintf("%q is not a part of the tag", name), "write ${tag[0]} for the part before the first dot")
		}
		v.kind, v.index = partTagPart, int(n)
	case name == "type":
		v.kind = partType
	case name == "host":
		v.kind = partHost
	case name == "id":
		v.kind = partID
	case head == "record" || head == "ecs" || head == "k8s":
		if !dotted || rest == "" {
			return p.fail(from, fmt.Sprintf("%q names no field", name), "write ${"+head+".name}")
		}
		if head == "record" {
			v.kind, v.path = partRecord, ParsePath(rest)
		} else {
			v.kind, v.text = partAttr, name
		}
	default:
		return p.fail(from, fmt.Sprintf("unknown variable %q", name), variableHint(head))
	}
	p.t.parts = append(p.t.parts, v)
	return nil
}

func (p *templateParser) time(from int, format string, v part) error {
	f, at, message := parseTimeFormat(format)
	if message != "" {
		return p.fail(from+len("time:")+at, message, "allowed are "+timeLetters)
	}
	v.kind, v.time, v.index = partTime, f, p.t.times
	p.t.times++
	p.t.parts = append(p.t.parts, v)
	return nil
}

func variableHint(name string) string {
	switch name {
	case "uuid", "chunk_id", "index":
		return "write ${id}"
	case "hostname":
		return "write ${host}"
	case "namespace", "pod", "container":
		return "write ${k8s." + name + "}"
	case "cluster", "task_id", "family":
		return "write ${ecs." + name + "}"
	}
	name, _, _ = strings.Cut(name, "[")
	name, _, _ = strings.Cut(name, ":")
	best, distance := "", min(len(name)/2+2, 3)
	for _, known := range []string{"tag", "type", "record", "ecs", "k8s", "host", "id", "time"} {
		if d := editDistance(name, known); d < distance {
			best, distance = known, d
		}
	}
	switch best {
	case "":
		return "known are tag, tag[n], type, record.key, ecs.key, k8s.key, host, id and time:format; a key of the record is written ${record.key}"
	case "record", "ecs", "k8s":
		return "write ${" + best + ".key}"
	case "time":
		return "write ${time:%Y-%m-%d}"
	}
	return "write ${" + best + "}"
}

// editDistance counts the inserted, removed and changed bytes between a and b; names beyond 32 bytes resemble nothing.
func editDistance(a, b string) int {
	if len(a) > 32 || len(b) > 32 {
		return 64
	}
	var row [33]int
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
