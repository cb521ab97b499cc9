package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/agent"
)

// completeNames completes a flag with names that the running router knows. Without a router there are none.
func completeNames(cmd *cobra.Command, f *routerFlags, flag string, names func(agent.Status) []string) {
	complete := func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		router, err := f.router()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		s, _, err := router.status(cmd.Context(), completeTime)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		for _, n := range names(s) {
			if strings.HasPrefix(n, begun) {
				out = append(out, n)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
	_ = cmd.RegisterFlagCompletionFunc(flag, complete) // fails only for a flag that the command doesn't have
}

// completeWords completes a flag with fixed words.
func completeWords(cmd *cobra.Command, flag string, words ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

func inputNames(s agent.Status) []string {
	var out []string
	for _, in := range s.Inputs {
		out = append(out, in.Name)
	}
	return out
}

// routeNames leaves out routes that discard: they have no events to show.
func routeNames(s agent.Status) []string {
	var out []string
	for _, r := range s.Routes {
		if !r.Discard {
			out = append(out, r.Name)
		}
	}
	return out
}

func destinationNames(s agent.Status) []string {
	var out []string
	for _, d := range s.Destinations {
		out = append(out, d.Name)
	}
	return out
}
