package config

import (
	"regexp"
	"strings"
)

// Defaults that are needed where no configuration could be loaded.
const (
	DefaultAdmin   = "127.0.0.1:24220"
	DefaultDataDir = "/var/lib/firebreak"
)

// Peek finds the plain value of a key at the top level of a text that may be no valid configuration, or "".
func Peek(src []byte, key string) string {
	re := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(key) + `:[ \t]*(.*?)[ \t]*(?:#.*)?$`)
	m := re.FindSubmatch(src)
	if m == nil {
		return ""
	}
	v := strings.Trim(string(m[1]), `"'`)
	if strings.Contains(v, "${") {
		return ""
	}
	return v
}
