package file

import (
	"errors"
	"fmt"
	"hash/fnv"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/firebreak/firebreak/record"
)

// A path is the parsed option: rendered names are files below base, whatever the values are.
type path struct {
	template *record.Template
	prefix   string // of every rendered name: the directories in front of the first variable
	base     string // the same as a directory
}

// maxElement leaves room for the number of a rotated file in the 255 bytes of a file name.
const maxElement = 240

// parsePath returns the parsed option, or what is wrong with it and what to write.
func parsePath(s string) (p path, message, hint string) {
	t, err := record.ParseTemplate(s)
	if err != nil {
		var te *record.TemplateError
		if errors.As(err, &te) {
			return p, fmt.Sprintf("%s at byte %d", te.Message, te.Offset), te.Hint
		}
		return p, err.Error(), ""
	}
	p.template = t
	p.prefix = t.Prefix()[:strings.LastIndexByte(t.Prefix(), '/')+1]
	p.base = filepath.Clean(p.prefix) // "" is the working directory
	switch {
	case t.HasID():
		return p, "${id} is new in each batch: every batch would be a file", "name files by ${tag}, ${type}, ${record.…} or ${time:…}"
	case t.PerChunk() && p.base == "/":
		return p, "a variable in the first directory would let events choose any file of the system", "put a directory in front of it, such as /var/log/apps/${tag}.log"
	}
	// With every value an x, the elements that the configuration itself writes show.
	ctx := record.RenderContext{Sanitize: func(dst, _ []byte) []byte { return append(dst, 'x') }}
	sample := string(t.Append(nil, &record.Chunk{}, nil, &ctx))
	rel := sample[len(p.prefix):]
	if rel == "" || strings.HasSuffix(rel, "/") {
		return p, "path names a directory", "add a file name, such as ${tag}.log"
	}
	for element := range strings.SplitSeq(rel, "/") {
		if element == "" || element == "." || element == ".." {
			return p, fmt.Sprintf("element %q behind the first variable", element), "write the path without it"
		}
	}
	// Otherwise a value could end in .1 and name the rotated file of another value.
	if suffix := t.Suffix(); usesValues(t) && (suffix == "" || isDigit(suffix[len(suffix)-1])) {
		return p, "path ends in a variable or a digit, so that a value could name the rotated file of another one", "add an ending such as .log"
	}
	return p, "", ""
}

// usesValues reports whether names depend on what senders choose.
func usesValues(t *record.Template) bool {
	for _, field := range []string{"tag", "type", "record", "ecs", "k8s", "host"} {
		if t.Uses(field) {
			return true
		}
	}
	return false
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// rel returns the part of a rendered name below base. Elements too long for a file system are cut and made unique by
// a hash.
func (p *path) rel(key string) (string, error) {
	rel, ok := strings.CutPrefix(key, p.prefix)
	if !ok || !filepath.IsLocal(rel) {
		return "", fmt.Errorf("name %q is not below %q", key, p.base)
	}
	if len(rel) <= maxElement {
		return rel, nil
	}
	elements := strings.Split(rel, "/")
	for i, e := range elements {
		elements[i] = shorten(e)
	}
	return strings.Join(elements, "/"), nil
}

func shorten(element string) string {
	if len(element) <= maxElement {
		return element
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(element)) // a hash takes everything
	ext := filepath.Ext(element)
	if len(ext) > 16 {
		ext = ""
	}
	n := maxElement - len("~0123456789abcdef") - len(ext)
	for n > 0 && !utf8.RuneStart(element[n]) {
		n--
	}
	return fmt.Sprintf("%s~%016x%s", element[:n], h.Sum64(), ext)
}
