package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// decode fills the options structs that targets point to from one mapping that holds the keys of all of them and of
// others. Defaults come first, then the file, then what is required, then the structs' own checks.
func (l *loader) decode(n *node, path string, others []string, targets ...any) {
	before := len(l.problems)
	var values []reflect.Value
	for _, t := range targets {
		v := reflect.ValueOf(t).Elem()
		if err := setDefaults(v); err != nil {
			l.problem(n.pos, err.Error(), "")
		}
		values = append(values, v)
	}
	l.fill(n, path, others, values)
	if len(l.problems) > before {
		return
	}
	for _, v := range values {
		l.check(n, v)
	}
}

func (l *loader) check(n *node, v reflect.Value) {
	c, ok := v.Addr().Interface().(Checker)
	if !ok {
		return
	}
	c.Check(&Report{add: func(key, message, hint string) { l.problem(n.locate(key), l.hide(message), l.hide(hint)) }})
}

func (l *loader) fill(n *node, path string, others []string, values []reflect.Value) {
	if n.kind != mappingNode && n.kind != nullNode {
		l.problem(n.pos, fmt.Sprintf("%s: expected a mapping such as %s, found %s", path, exampleOf(values), n.found()), "")
		return
	}
	var fields []field
	owner := map[string]reflect.Value{}
	for _, v := range values {
		for _, f := range fieldsOf(v.Type()) {
			if _, ok := owner[f.key]; !ok {
				owner[f.key] = v
				fields = append(fields, f)
			}
		}
	}
	for _, p := range n.pairs {
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == p.key })
		if i < 0 {
			if !slices.Contains(others, p.key) {
				l.unknownKey(p, path, others, fields)
			}
			continue
		}
		f := &fields[i]
		v := owner[f.key].FieldByIndex(f.index)
		before := len(l.problems)
		if p.value.kind != nullNode {
			l.set(p.value, v, f, join(path, f.key))
		}
		if f.required && len(l.problems) == before && p.value.kind != nullNode && isEmpty(v) {
			l.problem(p.value.pos, fmt.Sprintf("%s is empty", join(path, f.key)), firstSentence(f.doc))
		}
	}
	for _, f := range fields {
		if f.required && n.get(f.key) == nil {
			l.problem(n.pos, fmt.Sprintf("%s is missing", join(path, f.key)), firstSentence(f.doc))
		}
	}
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String, reflect.Slice, reflect.Map:
		return v.Len() == 0
	}
	return false
}

// set decodes a value that is there into v.
func (l *loader) set(n *node, v reflect.Value, f *field, path string) {
	if n.kind == scalarNode && v.CanAddr() {
		if s, ok := v.Addr().Interface().(textSetter); ok {
			l.setText(n, v, s, f, path)
			return
		}
	}
	switch {
	case v.Kind() == reflect.Pointer:
		if b, ok := parseBool(n.text); ok && n.kind == scalarNode && n.plain && v.Type().Elem().Kind() == reflect.Struct {
			if !b {
				return // absent
			}
			n = &node{pos: n.pos} // true: with its defaults
		}
		v.Set(reflect.New(v.Type().Elem()))
		l.set(n, v.Elem(), f, path)
	case isScalar(v.Type()):
		l.setScalar(n, v, f, path)
	case v.Kind() == reflect.Struct:
		l.decode(n, path, nil, v.Addr().Interface())
	case v.Kind() == reflect.Slice:
		l.setList(n, v, f, path)
	case v.Kind() == reflect.Map && v.Type().Key().Kind() == reflect.String:
		l.setMap(n, v, f, path)
	default:
		l.problem(n.pos, fmt.Sprintf("%s: options of the type %s can't be read", path, v.Type()), "")
	}
}

func (l *loader) setText(n *node, v reflect.Value, s textSetter, f *field, path string) {
	before := len(l.problems)
	if v.Kind() == reflect.Struct {
		if err := setDefaults(v); err != nil {
			l.problem(n.pos, err.Error(), "")
		}
	}
	text, ok := l.text(n, f, path)
	if !ok {
		return
	}
	if err := s.SetText(text); err != nil {
		l.problem(n.pos, fmt.Sprintf("%s: %s: %s", path, n.found(), l.hide(err.Error())), "")
	}
	if len(l.problems) == before {
		l.check(n, v)
	}
}

func (l *loader) setList(n *node, v reflect.Value, f *field, path string) {
	items := n.items
	if n.kind == scalarNode {
		items = []*node{n}
	} else if n.kind != sequenceNode {
		hint := ""
		if n.kind == mappingNode && v.Type().Elem().Kind() == reflect.Struct {
			hint = "for a single one write [ { … } ]"
		}
		l.problem(n.pos, fmt.Sprintf("%s: expected a list such as [a, b], found %s", path, n.found()), hint)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		at := fmt.Sprintf("%s[%d]", path, i)
		if item.kind == nullNode {
			l.problem(n.pos, at+" is empty", "")
			continue
		}
		l.set(item, v.Index(i), f, at)
	}
}

func (l *loader) setMap(n *node, v reflect.Value, f *field, path string) {
	if n.kind != mappingNode {
		l.problem(n.pos, fmt.Sprintf("%s: expected a mapping such as { key: value }, found %s", path, n.found()), "")
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.pairs)))
	for _, p := range n.pairs {
		value := reflect.New(v.Type().Elem()).Elem()
		if p.value.kind != nullNode {
			l.set(p.value, value, f, join(path, p.key))
		}
		v.SetMapIndex(reflect.ValueOf(p.key).Convert(v.Type().Key()), value)
	}
}

// text returns the text of a scalar with ${…} replaced.
func (l *loader) text(n *node, f *field, path string) (string, bool) {
	if n.kind != scalarNode {
		if f.secret {
			l.mask(n)
		}
		name, _ := typeName(f.typ)
		l.problem(n.pos, fmt.Sprintf("%s: expected %s, found %s", path, name, n.found()), "")
		return "", false
	}
	if f.secret && (!onlyRef.MatchString(n.text) || strings.Contains(n.text, ":-")) {
		l.secrets = append(l.secrets, n.place)
	}
	text, ok := l.expand(n, f.template)
	if ok && f.template && l.kinds.CheckTemplate != nil {
		if message, hint := l.kinds.CheckTemplate(text); message != "" {
			l.problem(n.pos, fmt.Sprintf("%s: %s", path, l.hide(message)), l.hide(hint))
			return "", false
		}
	}
	return text, ok
}

func (l *loader) setScalar(n *node, v reflect.Value, f *field, path string) {
	name, example := typeName(v.Type())
	if f.def != "" && v.Type() == f.typ && example != "" {
		example = f.def
	}
	if example != "" {
		name += " such as " + example
	}
	if n.kind != scalarNode {
		if f.secret {
			l.mask(n)
		}
		l.problem(n.pos, fmt.Sprintf("%s: expected %s, found %s", path, name, n.found()), "")
		return
	}
	text, ok := l.text(n, f, path)
	if !ok {
		return
	}
	if w := setScalar(v, text); w != nil {
		if v.Kind() == reflect.Bool {
			w.hint = boolHint(text)
		}
		if text != n.text {
			w.hint = "" // it may hold the value
		}
		if w.message != "" {
			l.problem(n.pos, fmt.Sprintf("%s: %s %s", path, n.found(), w.message), w.hint)
			return
		}
		l.problem(n.pos, fmt.Sprintf("%s: expected %s, found %s", path, name, n.found()), w.hint)
		return
	}
	if len(f.enum) > 0 && v.Kind() == reflect.String && !slices.Contains(f.enum, v.String()) {
		l.problem(n.pos, fmt.Sprintf("%s: %s is not one of its values", path, n.found()), hintNames(n.text, "values", f.enum))
	}
	l.checkRange(n, v, f, path)
}

func (l *loader) checkRange(n *node, v reflect.Value, f *field, path string) {
	if x, low, ok := bound(v, f.min); ok && x < low {
		l.problem(n.pos, fmt.Sprintf("%s: %s is less than %s, the smallest value", path, n.found(), f.min), "")
	}
	if x, high, ok := bound(v, f.max); ok && x > high {
		l.problem(n.pos, fmt.Sprintf("%s: %s is more than %s, the largest value", path, n.found(), f.max), "")
	}
}

// bound returns the value and a bound of it as numbers.
func bound(v reflect.Value, text string) (x, limit float64, ok bool) {
	if text == "" || v.Kind() == reflect.String || v.Kind() == reflect.Bool {
		return 0, 0, false
	}
	b := reflect.New(v.Type()).Elem()
	if setScalar(b, text) != nil {
		return 0, 0, false
	}
	return number(v), number(b), true
}

func number(v reflect.Value) float64 {
	switch {
	case v.CanInt():
		return float64(v.Int())
	case v.CanUint():
		return float64(v.Uint())
	}
	return v.Float()
}

func (l *loader) unknownKey(p pair, path string, others []string, fields []field) {
	known := slices.Clone(others)
	for i := range fields {
		known = append(known, fields[i].key)
	}
	slices.Sort(known)
	near := Nearest(p.key, known)
	hint := hintNames(p.key, "known keys", known)
	for _, f := range fields { // one level deeper, such as max_bytes of buffer
		if f.typ.Kind() == reflect.Struct && slices.ContainsFunc(fieldsOf(f.typ), func(in field) bool { return in.key == p.key }) {
			hint = fmt.Sprintf("it belongs into %s: { %s: … }", f.key, p.key)
		}
	}
	for i := range fields {
		if fields[i].key == near && fields[i].secret {
			l.mask(p.value)
		}
	}
	l.problem(p.keyPos, "unknown key "+quote(p.key)+in(path), hint)
}

// mask keeps what stands under the key of a secret out of excerpts, whatever its form.
func (l *loader) mask(n *node) {
	if n.kind == scalarNode {
		l.secrets = append(l.secrets, n.place)
	}
	for _, p := range n.pairs {
		l.mask(p.value)
	}
	for _, item := range n.items {
		l.mask(item)
	}
}

func in(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func firstSentence(doc string) string {
	first, _, _ := strings.Cut(doc, ". ")
	return strings.TrimSuffix(first, ".")
}
