package main

import (
	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/config"
)

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON schema of the configuration",
		Long: `Prints the JSON schema (draft 2020-12) of the configuration, for completion and
checks in an editor. Editors with the YAML language server read it when the
first line of the configuration names it:

  # yaml-language-server: $schema=./firebreak.schema.json

It knows every option of this version. What needs more than one value, such as
the name of an output in a route, is for firebreak check.`,
		Example: `  firebreak schema > firebreak.schema.json`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := config.Schema(agent.Kinds())
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
}
