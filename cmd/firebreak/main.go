// Command firebreak routes container logs to destinations that can't harm each other.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/firebreak/firebreak/config"
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
			var names []string
			for _, c := range cmd.Commands() {
				names = append(names, c.Name())
			}
			hint := ""
			if near := likely(args[0], names); near != "" {
				hint = fmt.Sprintf(", did you mean %q?", near)
			}
			for _, c := range cmd.Commands() {
				for _, sub := range c.Commands() {
					if sub.Name() == args[0] {
						hint = fmt.Sprintf(", did you mean %q?", c.Name()+" "+sub.Name())
					}
				}
			}
			return usageError{fmt.Errorf("unknown command %q%s", args[0], hint)}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", fmt.Sprintf(".FlagUsagesWrapped %d", helpWidth)))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError{explainFlag(cmd, err)} })
	root.AddCommand(newBuffer(), newRun(), newDemo(), newCheck(), newHealth(), newReload(), newStatus(), newTap(), newTop(), newExplain(), newSchema(), newCompletion(), newVersion())
	completeFiles(root)
	groupCommands(root)
	helpByName(root)
	return root
}

// helpWidth is how wide help texts may be, in columns.
const helpWidth = 80

// helpByName lets `help` refuse a name that it doesn't know, as the command line does elsewhere.
func helpByName(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "help" {
			continue
		}
		cmd.Run = nil
		cmd.RunE = func(_ *cobra.Command, args []string) error {
			found, rest, err := root.Find(args)
			if err == nil && len(rest) > 0 {
				err = found.ValidateArgs(rest)
			}
			if err != nil {
				return err
			}
			found.InitDefaultHelpFlag()
			found.InitDefaultVersionFlag()
			return found.Help()
		}
	}
}

// explainFlag says what a flag takes, and adds the nearest one to the error about one that there isn't.
func explainFlag(cmd *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		takes := map[string]string{"int": "a whole number", "uint64": "a whole number", "float64": "a number", "duration": "a time such as 10s", "bool": "true or false"}
		if what, ok := takes[invalid.GetFlag().Value.Type()]; ok {
			return fmt.Errorf("--%s %q: %s", invalid.GetFlag().Name, invalid.GetValue(), what)
		}
		return err
	}
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if near := likely(unknown.GetSpecifiedName(), names); near != "" {
		return fmt.Errorf("%w, did you mean --%s?", err, near)
	}
	return err
}

// likely returns the name that was probably meant, or "".
func likely(name string, known []string) string {
	if near := config.Nearest(name, known); near != "" {
		return near
	}
	for _, k := range known {
		if len(name) > 1 && strings.HasPrefix(k, name) {
			return k
		}
	}
	return ""
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}

const configHelp = `configuration file; else $FIREBREAK_CONFIG, /etc/firebreak/firebreak.yaml, or an embedded default`
