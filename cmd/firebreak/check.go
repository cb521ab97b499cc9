package main

import (
	"cmp"
	"fmt"
	"io"

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
			cfg, err := config.Load(src.path, src.text, agent.Kinds(), config.System())
			if err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), err)
				return errSilent
			}
			warn(cmd.ErrOrStderr(), cfg)
			if err := agent.Check(cfg); err != nil {
				return fmt.Errorf("%s: %w", src.name(), err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: ok: %s, %s, %s\n", src.name(), plural(len(cfg.Inputs), "input"), plural(len(cfg.Routes), "route"), plural(len(cfg.Outputs), "output"))
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", configHelp)
	return cmd
}

func warn(w io.Writer, cfg *config.Config) {
	for _, p := range cfg.Warnings {
		fmt.Fprintf(w, "warning: %v\n\n", p)
	}
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

// findConfig reads the configuration that the flag, the environment or the usual places name.
func findConfig(flag string) (source, error) {
	path, text, err := config.Discover(flag, config.System())
	return source{path, text}, err
}
