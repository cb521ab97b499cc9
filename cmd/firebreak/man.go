package main

import (
	"slices"

	"github.com/spf13/cobra"
)

// groupCommands puts the commands in the order in which somebody comes to need them.
func groupCommands(root *cobra.Command) {
	for _, g := range []struct {
		title string
		names []string
	}{
		{"Running:", []string{"run", "demo"}},
		{"Configuration:", []string{"check", "explain", "convert", "schema"}},
		{"A running router:", []string{"status", "top", "tap", "reload", "health"}},
		{"Buffers and dead letters:", []string{"buffer"}},
	} {
		found := false
		for _, cmd := range root.Commands() {
			if slices.Contains(g.names, cmd.Name()) {
				cmd.GroupID, found = g.title, true
			}
		}
		if found {
			root.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
		}
	}
}
