package config

import (
	"reflect"
	"strings"
)

// A field is an option as its tags declare it.
type field struct {
	key, def, doc    string
	enum             []string
	required         bool
	template, secret bool
	min, max         string
	typ              reflect.Type
	index            []int
}

// fieldsOf returns the options of a struct type. Those of an embedded struct without a key of its own count as its.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		sf := t.Field(i)
		key, tagged := sf.Tag.Lookup("key")
		switch {
		case sf.Anonymous && !tagged && sf.Type.Kind() == reflect.Struct:
			for _, f := range fieldsOf(sf.Type) {
				f.index = append([]int{i}, f.index...)
				out = append(out, f)
			}
		case tagged && sf.IsExported():
			f := field{key: key, typ: sf.Type, index: []int{i}}
			f.def, f.doc = sf.Tag.Get("default"), sf.Tag.Get("doc")
			f.min, f.max = sf.Tag.Get("min"), sf.Tag.Get("max")
			f.required, f.template = sf.Tag.Get("required") == "true", sf.Tag.Get("template") == "true"
			if e := sf.Tag.Get("enum"); e != "" {
				f.enum = strings.Split(e, ",")
			}
			f.secret = holdsSecret(sf.Type)
			out = append(out, f)
		}
	}
	return out
}

func holdsSecret(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return holdsSecret(t.Elem())
	}
	return t == reflect.TypeFor[Secret]()
}

// A textSetter has a short form: one scalar instead of a mapping.
type textSetter interface{ SetText(text string) error }

// setDefaults sets v, a struct, to the defaults of its tags.
func setDefaults(v reflect.Value) error {
	for _, f := range fieldsOf(v.Type()) {
		if err := f.setDefault(v.FieldByIndex(f.index)); err != nil {
			return err
		}
	}
	return nil
}

func (f *field) setDefault(v reflect.Value) error {
	if v.Kind() == reflect.Struct {
		if err := setDefaults(v); err != nil {
			return err
		}
	}
	if f.def == "" {
		return nil
	}
	if s, ok := v.Addr().Interface().(textSetter); ok {
		return s.SetText(f.def)
	}
	target, texts := v, []string{f.def}
	if v.Kind() == reflect.Slice {
		texts = splitList(f.def)
		v.Set(reflect.MakeSlice(v.Type(), len(texts), len(texts)))
	}
	for i, text := range texts {
		if v.Kind() == reflect.Slice {
			target = v.Index(i)
		}
		if !isScalar(target.Type()) || setScalar(target, text) != nil {
			return &defaultError{f.key, f.def}
		}
	}
	return nil
}

// splitList splits the default of a list: a,b or ["a", "b"].
func splitList(s string) []string {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		s = strings.TrimSuffix(inner, "]")
	}
	texts := strings.Split(s, ",")
	for i, text := range texts {
		texts[i] = strings.Trim(text, ` "'`)
	}
	return texts
}

// A defaultError is a mistake in the tags of an option, not in the file.
type defaultError struct{ key, def string }

func (e *defaultError) Error() string {
	return "option " + e.key + " declares the default " + quote(e.def) + ", which can't be read"
}
