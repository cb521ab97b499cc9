package agent

import (
	"reflect"
	"regexp"

	"github.com/firebreak/firebreak/config"
)

// same reports whether two parts of a configuration say the same, wherever in the file they stand.
func same(a, b any) bool { return equal(reflect.ValueOf(a), reflect.ValueOf(b)) }

func equal(a, b reflect.Value) bool {
	if a.IsValid() != b.IsValid() {
		return false
	}
	if !a.IsValid() {
		return true
	}
	if a.Type() != b.Type() {
		return false
	}
	switch a.Type() {
	case reflect.TypeFor[config.Pos]():
		return true
	case reflect.TypeFor[*regexp.Regexp]():
		x, y := a.Interface().(*regexp.Regexp), b.Interface().(*regexp.Regexp)
		return x == y || x != nil && y != nil && x.String() == y.String()
	}
	switch a.Kind() {
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return equal(a.Elem(), b.Elem())
	case reflect.Struct:
		for i := range a.NumField() {
			if a.Type().Field(i).IsExported() && !equal(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !equal(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Map:
		if a.Len() != b.Len() {
			return false
		}
		for _, k := range a.MapKeys() {
			if !equal(a.MapIndex(k), b.MapIndex(k)) {
				return false
			}
		}
		return true
	}
	return a.Equal(b)
}

// differing names the keys in which two parts of a configuration differ.
func differing(a, b any) []string {
	x, y := reflect.Indirect(reflect.ValueOf(a)), reflect.Indirect(reflect.ValueOf(b))
	if x.Kind() != reflect.Struct || x.Type() != y.Type() {
		return nil
	}
	var keys []string
	for i := range x.NumField() {
		f := x.Type().Field(i)
		if !f.IsExported() || equal(x.Field(i), y.Field(i)) {
			continue
		}
		switch key := f.Tag.Get("key"); {
		case key != "":
			keys = append(keys, key)
		case f.Anonymous || f.Name == "Options":
			keys = append(keys, differing(dynamic(x.Field(i)), dynamic(y.Field(i)))...)
		}
	}
	return keys
}

func dynamic(v reflect.Value) any {
	if !v.IsValid() {
		return nil
	}
	return v.Interface()
}
