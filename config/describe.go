package config

import (
	"reflect"
	"time"
)

// An Option describes one key of the configuration, for the reference and the schema.
type Option struct {
	Path     string   `json:"path"` // such as outputs.NAME.buffer.max_bytes; a list's entries have [] behind it
	Kind     string   `json:"kind,omitempty"`
	Type     string   `json:"type"`
	Default  string   `json:"default,omitempty"`
	Doc      string   `json:"doc,omitempty"`
	Enum     []string `json:"enum,omitempty"`
	Min      string   `json:"min,omitempty"`
	Max      string   `json:"max,omitempty"`
	Required bool     `json:"required,omitempty"`
	Template bool     `json:"template,omitempty"`
}

// Describe lists the options that tags declare: those of the whole, those that all outputs share, then those of each
// kind, and of the processors.
func Describe(kinds Kinds) []Option {
	var d describer
	d.walk("", reflect.TypeFor[Config]())
	for _, k := range kinds.Inputs {
		d.kind = k.Name
		d.walk("inputs.NAME", reflect.TypeOf(k.Options()).Elem())
	}
	d.kind = ""
	d.walk("outputs.NAME", reflect.TypeFor[Output]())
	for _, k := range kinds.Outputs {
		d.kind = k.Name
		d.walk("outputs.NAME", reflect.TypeOf(k.Options()).Elem())
	}
	d.kind = ""
	d.walk("processors[].parse_json", reflect.TypeFor[ParseJSON]())
	d.walk("processors[].redact", reflect.TypeFor[Redact]())
	d.walk("processors[].sample", reflect.TypeFor[Sample]())
	d.walk("processors[].throttle", reflect.TypeFor[Throttle]())
	d.walk("processors[].size_guard", reflect.TypeFor[SizeGuard]())
	return d.out
}

type describer struct {
	kind string
	out  []Option
}

func (d *describer) walk(path string, t reflect.Type) {
	for _, f := range fieldsOf(t) {
		at, typ := join(path, f.key), f.typ
		o := Option{
			Kind: d.kind, Default: f.def, Doc: f.doc, Enum: f.enum, Min: f.min, Max: f.max,
			Required: f.required, Template: f.template,
		}
		if typ.Kind() == reflect.Slice {
			typ, at = typ.Elem(), at+"[]"
		}
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		o.Path, o.Type = at, typeWord(typ)
		if typ.Kind() != reflect.Struct || f.doc != "" {
			d.out = append(d.out, o)
		}
		if typ.Kind() == reflect.Struct {
			d.walk(at, typ)
		}
	}
}

func typeWord(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Size]():
		return "size"
	case reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[Rate]():
		return "rate"
	case reflect.TypeFor[Percent]():
		return "percent"
	case reflect.TypeFor[Secret]():
		return "secret"
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "bool"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Struct, reflect.Map:
		return "mapping"
	case reflect.Slice:
		return "list"
	}
	return "integer"
}
