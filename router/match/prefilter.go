package match

import "regexp"

// A Prefilter tells, without the engine of regular expressions, that one can't match a text. It is immutable.
type Prefilter struct{ regex regex }

// NewPrefilter looks for texts that each match of re contains one of.
func NewPrefilter(re *regexp.Regexp) *Prefilter { return &Prefilter{regex: newRegex(re)} }

// May reports whether the expression may match the text. It is right when it says no.
func (p *Prefilter) May(text []byte) bool {
	return p.regex.literals == nil || p.regex.anyLiteral(text, false, false)
}
