package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newCompletion takes the place of cobra's own command of that name.
func newCompletion() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print what lets a shell complete firebreak's commands",
		Long: `Prints a script that lets a shell complete commands, flags, files and names. To
have it in every new shell:

bash, which needs the package bash-completion:
  firebreak completion bash | sudo tee /etc/bash_completion.d/firebreak

zsh; $fpath says where such files may be:
  firebreak completion zsh | sudo tee "${fpath[1]}/_firebreak"

fish:
  firebreak completion fish > ~/.config/fish/completions/firebreak.fish

PowerShell:
  firebreak completion powershell >> $PROFILE`,
		Example: `  source <(firebreak completion bash)   # this shell alone; the same with zsh
  firebreak completion fish | source`,
		ValidArgs:             []string{"bash", "zsh", "fish", "powershell"},
		DisableFlagsInUseLine: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("name one shell: bash, zsh, fish or powershell")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(out)
			}
			return usageError{fmt.Errorf("unknown shell %q: bash, zsh, fish or powershell", args[0])}
		},
	}
}

// completeFiles says of all commands what their arguments and flags take where files are concerned: -c a file in YAML,
// --data-dir a directory, a command without arguments none.
func completeFiles(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		switch f.Name { // the errors are about flags that aren't there
		case "config":
			_ = cmd.MarkFlagFilename(f.Name, "yaml", "yml")
		case "data-dir":
			_ = cmd.MarkFlagDirname(f.Name)
		}
	})
	if cmd.ValidArgsFunction == nil && cmd.ValidArgs == nil && cmd.Use == cmd.Name() {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, sub := range cmd.Commands() {
		completeFiles(sub)
	}
}
