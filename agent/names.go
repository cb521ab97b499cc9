package agent

import (
	"fmt"
	"slices"
	"strings"
)

// isOneOf says which names there are when one is not among them.
func isOneOf(kind, name string, known []string) error {
	if slices.Contains(known, name) {
		return nil
	}
	if len(known) == 0 {
		return fmt.Errorf("there is no %s", kind)
	}
	return fmt.Errorf("no %s is called %q; there are: %s", kind, name, strings.Join(known, ", "))
}
