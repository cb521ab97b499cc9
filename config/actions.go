package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// RedactNames are the patterns of redact that have a name.
var RedactNames = []string{"credit_card", "email", "aws_key", "jwt", "bearer_token", "ipv4"}

// Bounds of what the options of processors hold.
const (
	maxRedacts   = 100 // patterns
	maxPaths     = 1000
	maxPathBytes = 512
	maxPathParts = 32
	maxWith      = 256 // bytes
)

// Redact replaces what nobody should read in the texts of a record, bin ones included, and counts the events that it
// changes. The short forms are `redact: email` and `redact: [email, jwt]`.
//
//	credit_card   13 to 19 digits, in groups of at least three (the last may be shorter) with single spaces or dashes
//	              between or in one, that begin as the numbers of a card network do, have a length that it uses, and
//	              pass the Luhn check. Letters, digits and decimal points right beside them make it another number, unless
//	              they are the end of an escape: \u0022, \x22, %22.
//	              Whole numbers of the record count too and become text; in a line of JSON the text gets its quotes.
//	email         addresses in ASCII, with @ or %40
//	aws_key       ids of access keys (AKIA, ASIA, ABIA, ACCA and 16 more letters and digits), and 40 characters of base64
//	              shortly behind a word with "secret" in it, such as aws_secret_access_key = …
//	jwt           JSON web tokens: eyJ… with at least two dots
//	bearer_token  16 and more characters behind "Bearer "
//	ipv4          four numbers up to 255 with dots between
//
// Lines are looked at as they are: text that JSON escapes, such as \u0040, is not decoded before. Names of keys stay. A
// record grows by no more than 64 KiB: then matches are replaced by nothing.
type Redact struct {
	Patterns []string `key:"patterns" required:"true" doc:"What is replaced, in this order: credit_card, email, aws_key, jwt, bearer_token, ipv4, or a /regex/."`
	Keys     []string `key:"keys" doc:"Keys of the record, or dotted paths, whose texts are searched, with all that is nested in them; * and ? work in the last part. Unset: every text of the record."`
	With     string   `key:"with" default:"[redacted]" doc:"What stands in the place of a match. $1 is the first group of a regex, $$ a dollar sign."`
}

// SetText sets a single pattern.
func (o *Redact) SetText(text string) error {
	o.Patterns = []string{text}
	return nil
}

var groupRef = regexp.MustCompile(`\$(\$|[\pL\pN_]+|\{[^}]*\})`)

// Check reports patterns that are none.
func (o *Redact) Check(r *Report) {
	if len(o.Patterns) > maxRedacts {
		r.Problem("patterns", fmt.Sprintf("redact.patterns: %d patterns are more than the bound of %d", len(o.Patterns), maxRedacts), "write one regex with | between the words")
		return
	}
	for i, text := range o.Patterns {
		o.checkPattern(r, fmt.Sprintf("patterns[%d]", i), text)
	}
	for i, path := range o.Keys {
		checkPath(r, fmt.Sprintf("keys[%d]", i), "redact.keys", path, true)
	}
	if len(o.With) > maxWith {
		r.Problem("with", fmt.Sprintf("redact.with has %d bytes, more than the bound of %d", len(o.With), maxWith), "")
	}
}

func (o *Redact) checkPattern(r *Report, key, text string) {
	if len(text) < 2 || text[0] != '/' || text[len(text)-1] != '/' {
		hint := hintNames(text, "patterns", RedactNames)
		if strings.ContainsAny(text, `\[(*+^$|`) {
			hint = "a regex stands between slashes: /…/"
		}
		if !slices.Contains(RedactNames, text) {
			r.Problem(key, fmt.Sprintf("redact.patterns: %s is not the name of a pattern", quote(text)), hint)
		} else if ref := o.reference(0); ref != "" {
			r.Problem("with", fmt.Sprintf("redact.with: %s stands for a group of a regex, and %s has none", ref, text), "write two processors, or $$ for a dollar sign")
		}
		return
	}
	expr := text[1 : len(text)-1]
	if len(text) > maxPattern {
		r.Problem(key, fmt.Sprintf("redact.patterns: %s has %d bytes, more than the bound of %d", quote(text), len(text), maxPattern), "")
		return
	}
	re, err := regexp.Compile(expr)
	switch {
	case err != nil:
		w := regexProblem(expr, err)
		r.Problem(key, "redact.patterns: "+quote(text)+" "+w.message, w.hint)
	case re.MatchString(""):
		r.Problem(key, "redact.patterns: "+quote(text)+" matches the empty text", "write + instead of *, so that a match has a character")
	default:
		if ref := o.reference(re.NumSubexp(), re.SubexpNames()...); ref != "" {
			r.Problem("with", fmt.Sprintf("redact.with: %s has no group %s", quote(text), ref), "$1 stands for the first ( ) of the regex, $$ for a dollar sign")
		}
	}
}

// reference returns the first $… in With that is none of these groups, or "".
func (o *Redact) reference(groups int, names ...string) string {
	for _, m := range groupRef.FindAllStringSubmatch(o.With, -1) {
		name := strings.Trim(m[1], "{}")
		n, err := strconv.Atoi(name)
		switch {
		case m[1] == "$", err == nil && n <= groups && groups > 0, slices.Contains(names, name) && name != "":
		default:
			return m[0]
		}
	}
	return ""
}

// Sample keeps a share of the events and drops the others. With by, the value decides: all events with the same value
// are kept or none, on every host and after every restart, and a processor that keeps more keeps all that one that
// keeps less does. Events without the value (what by renders is none) are drawn one by one, as all are without by. The
// short form is `sample: 10%`.
type Sample struct {
	Keep Percent `key:"keep" required:"true" doc:"Share of the events to keep, such as 10%."`
	By   string  `key:"by" template:"true" doc:"What is kept or dropped as a whole, such as ${record.trace_id}. Unset: each event by itself, by chance."`
}

// SetText sets the share.
func (o *Sample) SetText(text string) error {
	p, w := parsePercent(text)
	if w != nil {
		message := "not a percentage such as 10%"
		if w.message != "" {
			message = w.message
		}
		if w.hint != "" {
			message += "; " + w.hint
		}
		return errors.New(message)
	}
	o.Keep = p
	return nil
}

// Check reports a share of nothing.
func (o *Sample) Check(r *Report) {
	if o.Keep == 0 {
		r.Problem("keep", "sample keeps 0%: nothing", "to drop all events write drop: true")
	}
	checkBy(r, "sample", o.By)
}

// Throttle drops the events over a rate. Each key has a bucket of burst events, which fills with rate events in each
// period. Beyond max_keys the key that was seen longest ago is forgotten, and would begin with a full bucket. All inputs
// share the buckets. They begin anew, full, after a start and after a reload of the configuration. Events without the
// value of by share the bucket of the text none.
type Throttle struct {
	Rate    int64         `key:"rate" required:"true" min:"1" max:"1000000000" doc:"Events of one key that pass in each period."`
	Per     time.Duration `key:"per" default:"1s" min:"1ms" max:"24h" doc:"The period."`
	Burst   int64         `key:"burst" min:"1" max:"1000000000" doc:"Events of one key that pass at once after a pause; the rate unless set."`
	By      string        `key:"by" template:"true" doc:"What has a rate of its own, such as ${tag} or ${record.container_name}. Unset: all events together."`
	MaxKeys int           `key:"max_keys" default:"10000" min:"1" max:"1000000" doc:"Keys that are remembered, about 100 bytes each, whatever their length; beyond it the one that was seen longest ago is forgotten, and begins with a full bucket."`
}

// Check reports a key that is the same for all events.
func (o *Throttle) Check(r *Report) { checkBy(r, "throttle", o.By) }

func checkBy(r *Report, action, by string) {
	switch {
	case by == "":
	case !strings.Contains(by, "${"):
		r.Problem("by", fmt.Sprintf("%s.by: %s is the same for all events", action, quote(by)), "write ${record.KEY} for a key of the record, or ${tag}")
	case strings.Contains(by, "${id"):
		r.Problem("by", action+".by: an event has no ${id}; objects and batches have", "write ${record.KEY} for a key of the record")
	}
}

// checkPath reports a path that leads nowhere.
func checkPath(r *Report, key, option, path string, globs bool) {
	last := strings.LastIndexByte(path, '.') + 1
	switch {
	case path == "":
		r.Problem(key, option+": a key is empty", "")
	case len(path) > maxPathBytes:
		r.Problem(key, fmt.Sprintf("%s: %s has %d bytes, more than the bound of %d", option, quote(path), len(path), maxPathBytes), "")
	case strings.Count(path, ".") >= maxPathParts:
		r.Problem(key, fmt.Sprintf("%s: %s has more than %d parts", option, quote(path), maxPathParts), "")
	case path[0] == '.' || path[len(path)-1] == '.' || strings.Contains(path, ".."):
		r.Problem(key, fmt.Sprintf("%s: %s has a part without a name", option, quote(path)), "write KEY, or KEY.KEY for a key in a map")
	case strings.HasPrefix(path, "$"):
		r.Problem(key, fmt.Sprintf("%s: keys of the record are written without $, unlike %s", option, quote(path)), "write KEY, or KEY.KEY for a key in a map")
	case !globs && strings.ContainsAny(path, "*?"):
		r.Problem(key, fmt.Sprintf("%s: %s is a glob, and one name is needed", option, quote(path)), "")
	case strings.ContainsAny(path[:last], "*?"):
		r.Problem(key, fmt.Sprintf("%s: %s has a glob before its last part", option, quote(path)), "only the last part may hold * and ?")
	}
}
