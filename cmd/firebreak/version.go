package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long:  `Prints the version, and the Go version and the platform that it was built with.`,
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintln(cmd.OutOrStdout(), versionText())
			return nil
		},
	}
}

func versionText() string {
	return fmt.Sprintf("firebreak %s %s %s/%s", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
