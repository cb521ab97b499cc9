package main

import (
	"strings"
	"testing"

	"github.com/firebreak/firebreak/internal/table"
)

// A terminal of 80 columns breaks no line of any help.
func TestHelpFitsATerminal(t *testing.T) {
	for _, cmd := range allCommands(newRoot()) {
		code, text, _ := call(append(strings.Fields(cmd.CommandPath())[1:], "--help")...)
		if code != 0 || !strings.Contains(text, "Usage:") {
			t.Errorf("%s: %d %s", cmd.CommandPath(), code, text)
		}
		for line := range strings.Lines(text) {
			if w := table.Width(strings.TrimSuffix(line, "\n")); w > helpWidth {
				t.Errorf("%s: %d wide: %s", cmd.CommandPath(), w, line)
			}
		}
	}
}

func TestHelpOfACommand(t *testing.T) {
	for _, c := range []struct{ args, stdout, stderr string }{
		{"help", "Usage:\n  firebreak", ""},
		{"help status", "firebreak status [flags]", ""},
		{"help buffer ls", "firebreak buffer ls [NAME...]", ""},
		{"help statsu", "", `unknown command "statsu", did you mean "status"?`},
		{"replay access", "", `unknown command "replay", did you mean "buffer replay"?`},
		{"help buffer list", "", `unknown command "list" for buffer: ls, dump, verify or replay`},
	} {
		code, stdout, stderr := call(strings.Fields(c.args)...)
		if c.stderr == "" {
			if code != 0 || !strings.Contains(stdout, c.stdout) || stderr != "" {
				t.Errorf("%s: %d %s%s", c.args, code, stdout, stderr)
			}
		} else if code != exitUsage || stdout != "" || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%s: %d %s%s", c.args, code, stdout, stderr)
		}
	}
}

func TestFlagsSayWhatTheyTake(t *testing.T) {
	for args, want := range map[string]string{
		"tap --count -1":        `firebreak: --count "-1": a whole number`,
		"tap --rate much":       `firebreak: --rate "much": a number`,
		"top --interval 5":      `firebreak: --interval "5": a time such as 10s`,
		"buffer dump a -n some": `firebreak: --limit "some": a whole number`,
		"tap --rout x":          `firebreak: unknown flag: --rout, did you mean --route?`,
	} {
		if code, _, stderr := call(strings.Fields(args)...); code != exitUsage || !strings.HasPrefix(stderr, want+"\n") {
			t.Errorf("%s: %d %s", args, code, stderr)
		}
	}
}
