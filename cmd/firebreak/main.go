// Command firebreak routes container logs to destinations that can't harm each other.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteC()
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "firebreak: %v\nRun '%s --help' for usage.\n", err, cmd.CommandPath())
		return exitUsage
	case !errors.Is(err, errSilent):
		fmt.Fprintf(stderr, "firebreak: %v\n", err)
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
		Version:       versionText(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := ""
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = fmt.Sprintf(", did you mean %q?", near[0])
			}
			return usageError{fmt.Errorf("unknown command %q%s", args[0], hint)}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SuggestionsMinimumDistance = 2
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError{suggestFlag(cmd, err)} })
	root.AddCommand(newBuffer(), newRun(), newDemo(), newCheck(), newHealth(), newReload(), newStatus(), newTap(), newTop(), newExplain(), newSchema(), newCompletion(), newVersion())
	completeFiles(root)
	groupCommands(root)
	return root
}

// suggestFlag adds the nearest flag to the error about an unknown one.
func suggestFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	names := &cobra.Command{SuggestionsMinimumDistance: 2} // measures distances as it does for commands
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		names.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
	})
	if near := names.SuggestionsFor(unknown.GetSpecifiedName()); len(near) > 0 {
		return fmt.Errorf("%w, did you mean --%s?", err, near[0])
	}
	return err
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}

const configHelp = `configuration file; else $FIREBREAK_CONFIG, /etc/firebreak/firebreak.yaml, or an embedded default`
