package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/config"
)

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// A source is the text of a configuration and where it comes from.
type source struct {
	path string // "" for the embedded default
	text []byte
}

func (s source) name() string { return cmp.Or(s.path, "embedded default") }

// load reads the configuration and builds what it names, without network. Its error is all that is wrong.
func (s source) load() (*config.Config, error) {
	cfg, err := config.Load(s.path, s.text, agent.Kinds(), config.System())
	if err != nil {
		return nil, err
	}
	if err := agent.Check(cfg); err != nil {
		return nil, err
	}
	return cfg, nil
}

// findConfig reads the configuration that the flag, the environment or the usual places name.
func findConfig(flag string) (source, error) {
	path, text, err := config.Discover(flag, config.System())
	return source{path, text}, err
}

// oneOf checks the value of a flag.
func oneOf(flag, given string, allowed ...string) error {
	if slices.Contains(allowed, given) {
		return nil
	}
	last := len(allowed) - 1
	return usageError{fmt.Errorf("--%s %q: %s or %s", flag, given, strings.Join(allowed[:last], ", "), allowed[last])}
}
