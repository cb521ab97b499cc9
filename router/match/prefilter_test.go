package match

import (
	"regexp"
	"testing"
)

func TestPrefilter(t *testing.T) {
	for _, c := range []struct {
		re, text string
		want     bool
	}{
		{`(?i)(password|secret)=\S+`, "no such thing = 5", false}, {`(?i)(password|secret)=\S+`, "my PassWord=5", true}, {`(?i)(password|secret)=\S+`, "a sEcret", true},
		{`key=\d+`, "kex=5", false}, {`key=\d+`, "a key=", true}, {`^abc$`, "xabcx", true}, {`^abc$`, "xabx", false}, {`\d+`, "x", false}, {`\w+`, "-", true}, {`a|`, "x", true},
	} {
		if got := NewPrefilter(regexp.MustCompile(c.re)).May([]byte(c.text)); got != c.want {
			t.Errorf("%s may match %q: %v", c.re, c.text, got)
		}
	}
}
