package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
)

// The forms of values as regular expressions that Go and JavaScript read alike.
const (
	anywhere = `\$\{(?:env|file):` // a value that is only known when the router starts
	decimal  = `(?:[0-9]+\.?[0-9]*|\.[0-9]+)`
	size     = decimal + ` *(?:[bB]|[kKmMgGtT](?:[iI]?[bB]|[iI]))?`
	duration = `(?:` + decimal + `d)?(?:0|(?:` + decimal + `(?:ns|us|µs|μs|ms|s|m|h))+)?`
	boolean  = `(?:true|True|TRUE|false|False|FALSE)`
)

// like fits text of a form as a whole, and what holds a reference.
func like(form string) string { return `^\+?` + form + `$|` + anywhere }

// text is any scalar: YAML has types for what isn't in quotes, and the parser reads the text of all of them.
func text(description string) schema {
	s := schema{"type": []string{"string", "number", "boolean"}}
	if description != "" {
		s["description"] = description
	}
	return s
}

// choice is one of some names, or a reference.
func choice(description string, names []string) schema {
	var values []any
	for _, name := range names {
		values = append(values, name)
		if _, err := parseDecimal(name); err == nil { // without quotes it is a number
			values = append(values, json.Number(name))
		}
	}
	return schema{"description": description, "anyOf": []schema{{"enum": values}, {"type": "string", "pattern": anywhere}}}
}

// nullable allows a key without a value, which means the same as no key.
func nullable(s schema) schema {
	switch t := s["type"].(type) {
	case string:
		s["type"] = []string{t, "null"}
	case []string:
		s["type"] = append(t, "null")
	case nil:
		choices, _ := s["anyOf"].([]schema)
		s["anyOf"] = append(choices, schema{"type": "null"})
	}
	return s
}

// fieldSchema describes an option.
func fieldSchema(f *field) (schema, error) {
	s, err := typeSchema(f.typ, f)
	if err != nil {
		return nil, fmt.Errorf("option %s: %w", f.key, err)
	}
	if !f.required {
		s = nullable(s)
	}
	if f.def != "" {
		s["default"] = defaultJSON(f.typ, f.def)
	}
	o := Option{Doc: f.doc, Min: f.min, Max: f.max, Template: f.template}
	if text := o.Text(); text != "" {
		s["description"] = text
	}
	return s, nil
}

// typeSchema describes a value of a type; the field says what is allowed of it.
func typeSchema(t reflect.Type, f *field) (schema, error) {
	short := reflect.PointerTo(t).Implements(reflect.TypeFor[textSetter]())
	switch {
	case isScalar(t):
		return scalarSchema(t, f), nil
	case t.Kind() == reflect.Pointer:
		return pointerSchema(t.Elem(), f)
	case t.Kind() == reflect.Struct:
		s, err := objectSchema(t)
		if short && err == nil {
			s["type"] = []string{"object", "string", "number", "boolean"}
		}
		return s, err
	case t.Kind() == reflect.Slice:
		return listSchema(t.Elem(), f)
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
		s, err := typeSchema(t.Elem(), f)
		if err != nil {
			return nil, err
		}
		return schema{"type": "object", "additionalProperties": nullable(s)}, nil
	}
	return nil, fmt.Errorf("a value of the type %s has no form", t)
}

// pointerSchema describes what may be absent: true means its defaults, false that it is absent.
func pointerSchema(t reflect.Type, f *field) (schema, error) {
	s, err := typeSchema(t, f)
	if err != nil || t.Kind() != reflect.Struct {
		return s, err
	}
	if s["type"] == "object" {
		s["type"] = []string{"object", "boolean"}
	}
	if s["required"] != nil {
		s["not"] = schema{"const": true}
	}
	return s, nil
}

// listSchema describes a list. A single scalar is a list of one.
func listSchema(t reflect.Type, f *field) (schema, error) {
	item, err := typeSchema(t, f)
	if err != nil {
		return nil, err
	}
	list := schema{"type": "array", "items": item}
	if f.required {
		list["minItems"] = 1
	}
	types, mixed := item["type"].([]string)
	switch {
	case item["anyOf"] != nil:
		return schema{"anyOf": append([]schema{list}, item["anyOf"].([]schema)...)}, nil
	case isScalar(t):
		maps.Copy(list, item)
		if !mixed {
			types = []string{item["type"].(string)}
		}
		list["type"] = append([]string{"array"}, types...)
	case mixed && types[0] == "object":
		list["type"] = append([]string{"array"}, types[1:]...)
	}
	return list, nil
}

func scalarSchema(t reflect.Type, f *field) schema {
	if len(f.enum) > 0 && t.Kind() == reflect.String {
		return choice("", f.enum)
	}
	s := schema{}
	set := func(pattern string, types ...string) {
		s["type"], s["pattern"] = append([]string{"string"}, types...), pattern
	}
	switch {
	case t == reflect.TypeFor[Size]():
		set(like(size), "number")
		s["minimum"] = 0
	case t.String() == "time.Duration":
		set(like(duration))
		if f.min == "" { // 0 needs no unit, any other number does
			set(like(duration), "integer")
			s["minimum"], s["maximum"] = 0, 0
		}
		return s
	case t == reflect.TypeFor[Rate]():
		set(like(size+`(?:/s)?`), "number")
		s["exclusiveMinimum"] = 0
	case t == reflect.TypeFor[Percent]():
		set(like(decimal + `%`))
		return s
	case t.Kind() == reflect.Bool:
		set(like(boolean), "boolean")
		return s
	case t.Kind() == reflect.String:
		s = text("")
		if f.required {
			s["minLength"] = 1
		}
		return s
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		set(`^[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?$|`+anywhere, "number")
	default:
		set(`^[-+]?[0-9]+$|`+anywhere, "integer")
	}
	v := reflect.New(t).Elem()
	if _, low, ok := bound(v, f.min); ok {
		s["minimum"] = low
	}
	if _, high, ok := bound(v, f.max); ok {
		s["maximum"] = high
	}
	return s
}

// defaultJSON returns a default as it would stand in a JSON file.
func defaultJSON(t reflect.Type, text string) any {
	switch t.Kind() {
	case reflect.Slice:
		var list []any
		for _, item := range splitList(text) {
			list = append(list, defaultJSON(t.Elem(), item))
		}
		return list
	case reflect.Bool:
		return text == "true"
	}
	if _, err := parseDecimal(text); err == nil && isScalar(t) && t.Kind() != reflect.String {
		return json.Number(strings.TrimPrefix(text, "+"))
	}
	return text
}
