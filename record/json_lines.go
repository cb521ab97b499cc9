package record

import (
	"bytes"
	"slices"
)

// A LineFormat encodes events as lines of text, for files, standard output and objects.
type LineFormat struct {
	JSON JSONOptions // for format json_lines, and for raw where the record has no text

	// Raw are the keys whose text is the line: the first that the record has. Without any, lines are JSON.
	Raw []Path
}

// RawKeys returns the keys of the format raw: lineKey, unless it is "", then log and message.
func RawKeys(lineKey string) []Path {
	keys := []Path{ParsePath("log"), ParsePath("message")}
	if lineKey != "" {
		keys = slices.Insert(keys, 0, ParsePath(lineKey))
	}
	return keys
}

// Append appends e as one line that ends in a newline. A raw text is appended as it is; a newline at its end is not
// doubled. An event without a text becomes a JSON line.
func (f *LineFormat) Append(dst []byte, e Event) []byte {
	for _, key := range f.Raw {
		if text, ok := Text(key.Lookup(e.Record)); ok {
			dst = append(dst, text...)
			if !bytes.HasSuffix(text, []byte{'\n'}) {
				dst = append(dst, '\n')
			}
			return dst
		}
	}
	return append(AppendJSONEvent(dst, e, f.JSON), '\n')
}
