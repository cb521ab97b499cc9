package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/config"
)

func newCheck() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Report everything that is wrong with a configuration",
		Long: `Reads a configuration as run does and reports every error at once, each with
its place and a hint. Connects to nothing. Exits 0 when the configuration can
run, else 1; warnings don't change that.`,
		Example: `  firebreak check -c firebreak.yaml`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			src, err := findConfig(file)
			if err != nil {
				return err
			}
			cfg, err := src.load()
			if err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), err)
				return errSilent
			}
			for _, p := range cfg.Warnings {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: %v\n\n", p)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: ok: %s, %s, %s\n", src.name(), plural(len(cfg.Inputs), "input"), plural(len(cfg.Routes), "route"), plural(len(cfg.Outputs), "output"))
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", configHelp)
	return cmd
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// A source is the text of a configuration and where it comes from.
type source struct {
	path string // "" for the embedded default
	text []byte
}

func (s source) name() string { return cmp.Or(s.path, "embedded default") }

// load reads the configuration and builds what it names, without network. Its error is all that is wrong.
func (s source) load() (*config.Config, error) {
	cfg, err := config.Load(s.path, s.text, agent.Kinds(), config.System())
	if err != nil {
		return nil, err
	}
	if err := agent.Check(cfg); err != nil {
		return nil, err
	}
	return cfg, nil
}

// findConfig reads the configuration that the flag, the environment or the usual places name.
func findConfig(flag string) (source, error) {
	path, text, err := config.Discover(flag, config.System())
	return source{path, text}, err
}
