package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/internal/table"
)

func newReload() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Let the running router read its configuration anew",
		Long: `Lets the running router read the configuration that it was started with anew, as
SIGHUP does, and prints what has changed, one line each. Everything that can
fail is done first: when the file is bad, nothing changes, the errors are
printed with their places, and the exit code is 1. What the old and the new
configuration say alike is not touched; no connection is closed, no event is
lost.

data_dir and the type of an input or a buffer need a restart. -c only says which
router: it reads the file that it was started with.

` + routerHelp,
		Example: `  firebreak check -c firebreak.yaml && firebreak reload -c firebreak.yaml
  docker exec firebreak firebreak reload
  firebreak reload --output json`,
		Args: noArgs,
	}
	flags := addRouterFlags(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "text", "form of the answer: text or json")
	completeWords(cmd, "output", "text", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := formOf(output, "text", "json"); err != nil {
			return err
		}
		return reloadRouter(cmd, flags, output == "json")
	}
	return cmd
}

func reloadRouter(cmd *cobra.Command, flags *routerFlags, asJSON bool) error {
	router, err := flags.router()
	if err != nil {
		return err
	}
	r, text, err := router.reload(cmd.Context())
	if err != nil {
		return err
	}
	out, errs := cmd.OutOrStdout(), cmd.ErrOrStderr()
	if asJSON {
		if err := printJSON(out, text); err != nil {
			return err
		}
	} else {
		for _, c := range r.Changes {
			fmt.Fprintln(out, table.Clean(c))
		}
		for _, w := range r.Warnings {
			fmt.Fprintf(errs, "warning: %s\n", table.Clean(w))
		}
	}
	if r.OK {
		return nil
	}
	if !asJSON {
		fmt.Fprint(errs, notReloaded(table.CleanLines(r.Error)))
	}
	return errSilent
}

// notReloaded says why a reload has failed, and that it has done no harm.
func notReloaded(why string) string {
	return why + "\n\nnothing has changed: the router goes on with the configuration that it has\n"
}
