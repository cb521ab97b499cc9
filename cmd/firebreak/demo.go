package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/cmd/firebreak/demo"
)

func newDemo() *cobra.Command {
	var o demo.Options
	var output string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show in 20 seconds what the router is for",
		Long: `Tells in one terminal why Firebreak exists: three containers log three kinds of
lines, each kind to an aggregator of its own. One aggregator is killed, a
container starts while it is dead, and it comes back. Then the demo counts what
every aggregator has received.

Everything is real but small: the router with its buffers on disk in a temporary
directory, aggregators and containers in the same process, TCP connections on
free ports of 127.0.0.1 between them. No Docker, no configuration, no root, and
nothing is left behind.

On a terminal a table is refreshed in place; elsewhere it is printed every few
seconds, without colour. Exits 0 when the promise held: nothing lost, nothing in
disorder, and nothing but the killed aggregator noticed. Else 1, and it says
what went wrong.`,
		Example: `  firebreak demo
  firebreak demo --rate 10000
  firebreak demo --keep                 # then look at configuration and log
  firebreak demo --output json | jq .   # the story goes to stderr`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Rate < demo.MinRate || o.Rate > demo.MaxRate {
				return usageError{fmt.Errorf("--rate %d: from %d to %d lines per second", o.Rate, demo.MinRate, demo.MaxRate)}
			}
			o.Out, o.Version = cmd.OutOrStdout(), version
			switch output {
			case "text":
			case "json":
				o.Out, o.JSON = cmd.ErrOrStderr(), cmd.OutOrStdout()
			default:
				return usageError{fmt.Errorf("--output %q: text or json", output)}
			}
			ctx, kill := signals()
			o.Kill = kill
			return demo.Run(ctx, o)
		},
	}
	cmd.Flags().IntVar(&o.Rate, "rate", demo.DefaultRate, "lines per second of all containers together")
	cmd.Flags().BoolVar(&o.NoColour, "no-color", false, "no colours on a terminal (as with NO_COLOR set)")
	cmd.Flags().BoolVar(&o.Keep, "keep", false, "keep the temporary directory and say where it is")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "form of the summary: text or json (then the story goes to stderr)")
	return cmd
}
