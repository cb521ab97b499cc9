// Command firebreak routes container logs to destinations that can't harm each other.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// version is set when the binary is built.
var version = "dev"

// Exit codes: 0 done, 1 the command failed (a bad configuration, not healthy), 2 it was called wrongly.
const (
	exitFailed = 1
	exitUsage  = 2
)

// errSilent is a failure that has been said already.
var errSilent = errors.New("")

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.Execute()
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "firebreak: %v\nRun 'firebreak --help' for the commands.\n", err)
		return exitUsage
	case !errors.Is(err, errSilent):
		fmt.Fprintf(os.Stderr, "firebreak: %v\n", err)
	}
	return exitFailed
}

// usageError is a command line that can't be understood.
type usageError struct{ error }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "firebreak",
		Short: "A log router that never blocks a container",
		Long: `Firebreak accepts container logs, tells them apart by type, and fans them out to
separate destinations, each behind its own durable buffer: no destination's
failure reaches another one, an application, or a container's start.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newRun(), newCheck(), newHealth(), newVersion())
	return root
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}

const configHelp = `configuration file; else $FIREBREAK_CONFIG, /etc/firebreak/firebreak.yaml, or an embedded default`
