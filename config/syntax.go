package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a configuration file.
const (
	MaxFile   = 4 << 20 // bytes
	maxTokens = 50_000  // words and signs of the file; the time of the YAML parser grows with their square
	maxNodes  = 100_000 // values, with aliases expanded
	maxDepth  = 32      // values inside values
	maxIndent = 512     // column at which a list entry may begin
	maxKey    = 256     // bytes of a key
)

// parse reads the file into a tree; nil after a problem, or when the file is empty.
func (l *loader) parse(src []byte) *node {
	if len(src) > MaxFile {
		l.problem(Pos{}, fmt.Sprintf("file has %d bytes, more than the bound of %d", len(src), MaxFile), "")
		return nil
	}
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	src = bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n"))
	src = bytes.ReplaceAll(src, []byte("\r"), []byte("\n"))
	l.lines = strings.Split(string(src), "\n")
	if !l.checkText() {
		return nil
	}
	file, err := parseYAML(string(src))
	if err != nil {
		l.syntaxError(err)
		return nil
	}
	b := builder{loader: l, anchors: map[string]*node{}}
	var root *node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.NullType || doc.Body.Type() == ast.CommentType {
			continue
		}
		if doc.Body.Type() == ast.DirectiveType {
			l.problem(b.pos(doc.Body), "YAML directives are not supported", "remove the line")
			continue
		}
		if root != nil {
			l.problem(b.pos(doc.Body), "the file holds more than one YAML document", "remove the `---` before it, or put it into a file of its own")
			break
		}
		root = b.build(doc.Body, 0)
	}
	if b.stopped {
		return nil
	}
	return root
}

// checkText reports what no configuration may hold: bytes that aren't UTF-8, and control characters.
func (l *loader) checkText() bool {
	for i, line := range l.lines {
		column := 0
		for _, r := range line {
			column++
			switch {
			case r == utf8.RuneError:
				l.problem(Pos{i + 1, column}, "file is not UTF-8 text", "save it as UTF-8")
				return false
			case r < ' ' && r != '\t', r == 0x7f:
				l.problem(Pos{i + 1, column}, fmt.Sprintf("control character %U in the file", r), "remove it; inside double quotes it can be written as an escape such as \\x1b")
				return false
			}
		}
	}
	return true
}

// A place is where the syntax of the file breaks.
type syntaxProblem struct {
	pos           Pos
	message, hint string
}

func (e *syntaxProblem) Error() string { return e.message }

// parseYAML bounds the depth before the parser, which recurses, sees it.
func parseYAML(src string) (file *ast.File, err error) {
	defer func() {
		if recover() != nil { // the parser's own mistake; its state is gone with it
			file, err = nil, errors.New("the YAML parser can't read this file")
		}
	}()
	tokens := lexer.Tokenize(src)
	if err := checkTokens(tokens); err != nil {
		return nil, err
	}
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

func checkTokens(tokens token.Tokens) error {
	fail := func(tk *token.Token, message, hint string) error {
		return &syntaxProblem{tokenPos(tk), message, hint}
	}
	if len(tokens) > maxTokens {
		return fail(tokens[maxTokens], fmt.Sprintf("file has more than %d words and signs", maxTokens), "")
	}
	flow, inLine, line, run := 0, 0, 0, 0 // open brackets; entries that begin in this line; anchors and tags in a row
	for _, tk := range tokens {
		if tk.Position == nil {
			continue
		}
		first := tk.Position.Line != line
		if first {
			line, inLine = tk.Position.Line, 0
		}
		begins := first || tk.Type == token.SequenceEntryType || tk.Type == token.MappingKeyType
		tooFar := flow == 0 && begins && tk.Position.Column > maxIndent
		switch tk.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow = max(0, flow-1)
		case token.SequenceEntryType, token.MappingKeyType:
			inLine++
		case token.MappingValueType:
			if tk.Prev != nil && len(tk.Prev.Value) > maxKey {
				return fail(tk.Prev, fmt.Sprintf("key has %d bytes, more than the bound of %d", len(tk.Prev.Value), maxKey), "")
			}
		}
		switch tk.Type {
		case token.TagType, token.AnchorType, token.AliasType:
			run++
		default:
			run = 0
		}
		if flow > maxDepth || inLine > maxDepth || run > 4 || tooFar {
			return fail(tk, fmt.Sprintf("values are nested too deep, the bound is %d", maxDepth), "")
		}
	}
	return nil
}

func tokenPos(tk *token.Token) Pos {
	if tk == nil || tk.Position == nil {
		return Pos{}
	}
	return Pos{Line: tk.Position.Line, Column: tk.Position.Column}
}

// syntaxError reports an error of the YAML parser in our words where they help more than its own.
func (l *loader) syntaxError(err error) {
	var own *syntaxProblem
	if errors.As(err, &own) {
		l.problem(own.pos, own.message, own.hint)
		return
	}
	var y yaml.Error
	if !errors.As(err, &y) {
		l.problem(Pos{}, "read YAML: "+err.Error(), "")
		return
	}
	pos := tokenPos(y.GetToken())
	pos.Line = min(pos.Line, len(l.lines))
	message, hint := y.GetMessage(), "keys of one mapping begin in the same column; text that begins with one of { } [ ] & * ! | > % @ or holds \": \" goes in quotes"
	line := ""
	if pos.Line > 0 {
		line = l.lines[pos.Line-1]
	}
	at := ""
	if column := pos.Column - 1; column >= 0 && column < len(line) {
		at = line[column:]
	}
	switch trimmed := strings.TrimLeft(line, " "); {
	case strings.HasPrefix(trimmed, "\t") || strings.Contains(message, "tab character"):
		l.problem(pos, "a tab can't indent YAML", "use spaces")
		return
	case strings.Contains(message, "invalid header option") && strings.HasPrefix(at, ">"):
		l.problem(pos, "a > without quotes begins a block of text in YAML", `put a comparison in quotes: ">= 500"`)
		return
	case message == "value is not allowed in this context":
		hint = "keys of one mapping begin in the same column"
	case message == "mapping value is not allowed in this context":
		hint = "text with a colon and a space in it goes in quotes"
	case message == "non-map value is specified":
		message, hint = "expected a key and a colon", "entries of one mapping or list begin in the same column"
	case strings.Contains(message, "could not find end character of"):
		hint = "close the quote"
	case strings.Contains(message, "must be specified"), strings.Contains(message, "not found"), strings.Contains(message, "could not find flow map"):
		hint = "close each [ and {, and put a comma between the entries; text with one of [ ] { } , in it goes in quotes"
	case strings.Contains(message, "reserved character"):
		hint = "put the text in quotes"
	}
	l.problem(pos, "read YAML: "+message, hint)
}
