package record

import "github.com/firebreak/firebreak/internal/mp"

// A Path names a value inside a record: the keys from the outside in, as in record.a.b.
// A key that contains a dot itself (as Docker labels do) is found too: see [Path.Lookup].
type Path struct {
	whole string // all keys joined by dots
}

// ParsePath splits s at its dots when it is looked up.
func ParsePath(s string) Path { return Path{whole: s} }

// String returns the path as it was written.
func (p Path) String() string { return p.whole }

// Lookup returns the encoded value at the path inside the msgpack map rec, as a part of rec, or nil.
//
// At each level the whole rest of the path is tried as one key before its part up to a dot is: a label
// com.example.type is found by the path com.example.type, and so is {com: {example: {type: …}}}.
// Of duplicate keys the last one counts. Nothing is allocated.
func (p Path) Lookup(rec []byte) []byte { return lookup(rec, p.whole) }

func lookup(rec []byte, path string) []byte {
	pairs, i, err := mp.MapHeader(rec)
	if err != nil {
		return nil
	}
	var exact, nested []byte
	nestedLen := -1
	for ; pairs > 0; pairs-- {
		var key []byte
		if i >= len(rec) {
			return nil
		}
		if c := rec[i]; mp.IsStr(c) || mp.IsBin(c) {
			k, n, err := mp.Bytes(rec[i:])
			if err != nil {
				return nil
			}
			key, i = k, i+n
		} else {
			n, err := mp.Skip(rec[i:])
			if err != nil {
				return nil
			}
			i += n
		}
		n, err := mp.Skip(rec[i:])
		if err != nil {
			return nil
		}
		v := rec[i : i+n : i+n]
		i += n
		if len(key) == 0 || len(key) > len(path) || path[0] != key[0] || path[:len(key)] != string(key) {
			continue
		}
		switch {
		case len(key) == len(path):
			exact = v
		case path[len(key)] == '.' && len(key) >= nestedLen && mp.IsMap(v[0]):
			if found := lookup(v, path[len(key)+1:]); found != nil {
				nested, nestedLen = found, len(key)
			}
		}
	}
	if exact != nil {
		return exact
	}
	return nested
}

// Text returns the payload of an encoded str or bin value, or false for every other type.
func Text(v []byte) ([]byte, bool) {
	if len(v) == 0 {
		return nil, false
	}
	b, _, err := mp.Bytes(v)
	return b, err == nil
}
