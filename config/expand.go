package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"
)

const (
	maxSecret = 64 << 10 // bytes of a file that ${file:…} names
	minHidden = 4        // bytes of a value that are kept out of messages; shorter ones are in every word
)

// A Lookup is where ${env:NAME} and ${file:PATH} come from. A nil function finds nothing.
type Lookup struct {
	LookupEnv func(name string) (string, bool)
	ReadFile  func(path string) ([]byte, error)
}

// System returns the environment and the files of this machine. Only regular files are read, up to MaxFile bytes
// and one more.
func System() Lookup { return Lookup{LookupEnv: os.LookupEnv, ReadFile: readRegular} }

func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxFile+1))
}

func (e Lookup) env(name string) (string, bool) {
	if e.LookupEnv == nil {
		return "", false
	}
	return e.LookupEnv(name)
}

func (e Lookup) file(path string) ([]byte, error) {
	if e.ReadFile == nil {
		return nil, fs.ErrNotExist
	}
	return e.ReadFile(path)
}

var (
	envName   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	onlyRef   = regexp.MustCompile(`^\$\{((env|file):[^}]*|[A-Z_][A-Z0-9_]*)\}?$`)
	eventName = regexp.MustCompile(`^(tag|type|host|id|tag\[.*|time:.*|(record|ecs|k8s)\..*)(:-.*)?$`)
)

// expand replaces ${env:…} and ${file:…} in a scalar, and $${ by ${. It returns false after reporting what it could
// not replace.
//
// In a template other ${…} are left for the template's own parser, and what came from outside is escaped, so that a
// value of the environment can't hold event names.
func (l *loader) expand(n *node, template bool) (string, bool) {
	rest := n.text
	if !strings.Contains(rest, "${") {
		return rest, true
	}
	ok := true
	var out, literal strings.Builder // literal: text since the last event name
	flush := func() {
		s := literal.String()
		if template {
			s = strings.ReplaceAll(s, "${", "$${")
		}
		out.WriteString(s)
		literal.Reset()
	}
	for rest != "" {
		i := strings.IndexByte(rest, '$')
		if i < 0 {
			literal.WriteString(rest)
			break
		}
		literal.WriteString(rest[:i])
		rest = rest[i:]
		switch {
		case strings.HasPrefix(rest, "$${"):
			literal.WriteString("${")
			rest = rest[3:]
			continue
		case !strings.HasPrefix(rest, "${"):
			literal.WriteByte('$')
			rest = rest[1:]
			continue
		}
		end := strings.IndexByte(rest, '}')
		if end < 0 {
			l.problem(l.within(n, rest), "${ without a }", "close it, or write $${ for a literal ${")
			return "", false
		}
		ref := rest[:end+1]
		rest = rest[end+1:]
		name := ref[2 : len(ref)-1]
		value, outside, err := l.outside(name)
		switch {
		case err != nil:
			l.problem(l.within(n, ref), err.message, err.hint)
			ok = false
		case outside:
			if len(value) >= minHidden {
				l.outer = append(l.outer, value, ref)
			}
			literal.WriteString(value)
		case template:
			if strings.HasSuffix(literal.String(), "$") {
				l.problem(l.within(n, ref), fmt.Sprintf("a $ can't stand before %s", ref), "put another character between them")
				ok = false
			}
			flush()
			out.WriteString(ref)
		default:
			l.problem(l.within(n, ref), fmt.Sprintf("%s means nothing here", quote(ref)), hintForName(name))
			ok = false
		}
	}
	flush()
	return out.String(), ok
}

func hintForName(name string) string {
	switch {
	case eventName.MatchString(name):
		return "names of the event work only in options that are templates; here only ${env:NAME} and ${file:PATH} do"
	case envName.MatchString(name):
		return fmt.Sprintf("write ${env:%s} for a variable of the environment, or $${%s} for the text itself", name, name)
	}
	return "write ${env:NAME}, ${env:NAME:-default} or ${file:/path}, or $${ for a literal ${"
}

// outside returns the value of env:… and file:…, and false for other names.
func (l *loader) outside(name string) (value string, outside bool, err *wrong) {
	if name, ok := strings.CutPrefix(name, "env:"); ok {
		name, fallback, hasFallback := strings.Cut(name, ":-")
		if !envName.MatchString(name) {
			return "", true, &wrong{fmt.Sprintf("%s is not the name of an environment variable", quote(name)), "write ${env:NAME} or ${env:NAME:-default}"}
		}
		if strings.Contains(fallback, "${") {
			return "", true, &wrong{fmt.Sprintf("the default in ${env:%s:-…} holds another ${", name), "a default is plain text; give the variable a value instead"}
		}
		value, ok := l.env.env(name)
		switch {
		case hasFallback && value == "":
			return fallback, true, nil
		case !ok:
			return "", true, &wrong{fmt.Sprintf("environment variable %s is not set", name), fmt.Sprintf("set it, or give a default: ${env:%s:-default}", name)}
		case !utf8.ValidString(value):
			return "", true, &wrong{fmt.Sprintf("environment variable %s is not UTF-8 text", name), ""}
		}
		return value, true, nil
	}
	path, ok := strings.CutPrefix(name, "file:")
	if !ok {
		return "", false, nil
	}
	if !strings.HasPrefix(path, "/") {
		return "", true, &wrong{fmt.Sprintf("path %s in ${file:…} is not absolute", quote(path)), "write ${file:/run/secrets/name}"}
	}
	data, readErr := l.env.file(path)
	switch {
	case errors.Is(readErr, fs.ErrNotExist):
		return "", true, &wrong{fmt.Sprintf("file %s doesn't exist", path), ""}
	case readErr != nil:
		return "", true, &wrong{fmt.Sprintf("read ${file:%s}: %v", path, readErr), ""}
	case len(data) > maxSecret:
		return "", true, &wrong{fmt.Sprintf("file %s has more than %d bytes", path, maxSecret), ""}
	case !utf8.Valid(data):
		return "", true, &wrong{fmt.Sprintf("file %s is not UTF-8 text", path), ""}
	}
	value = strings.TrimSuffix(string(data), "\n")
	return strings.TrimSuffix(value, "\r"), true, nil
}

// hide replaces what came from outside in a message of somebody else.
func (l *loader) hide(message string) string {
	return strings.NewReplacer(l.outer...).Replace(message)
}

// within returns the place of a part of a scalar: its own column when it stands on the scalar's first line.
func (l *loader) within(n *node, part string) Pos {
	if n.pos.Line < 1 || n.pos.Line > len(l.lines) {
		return n.pos
	}
	part, _, _ = strings.Cut(part, "\n")
	line := []rune(l.lines[n.pos.Line-1])
	start := min(max(0, n.pos.Column-1), len(line))
	if before, _, ok := strings.Cut(string(line[start:]), part); ok {
		return Pos{n.pos.Line, n.pos.Column + utf8.RuneCountInString(before)}
	}
	return n.pos
}
