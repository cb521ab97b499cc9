package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

const (
	manDir      = "../../docs/man"
	commandsDoc = "../../docs/reference/commands.md"
)

// The man pages and the reference of the commands are what the commands say of themselves. -update makes them anew.
func TestManual(t *testing.T) {
	want := map[string]string{commandsDoc: commandsPage(newRoot())}
	for _, cmd := range allCommands(newRoot()) {
		want[filepath.Join(manDir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1")] = manPage(t, cmd)
	}
	old, err := filepath.Glob(filepath.Join(manDir, "*.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range old {
		if _, ok := want[name]; !ok && *update {
			err = os.Remove(name)
		} else if !ok {
			t.Errorf("%s is of no command", name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(manDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range want {
		if *update {
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, _ := os.ReadFile(name) // one that is missing differs
		if diff := cmp.Diff(text, string(got)); diff != "" {
			t.Errorf("%s is not what the commands say; make it with go test ./cmd/firebreak -run TestManual -update (-want +got):\n%s", name, diff)
		}
	}
}

const exitCodes = "Exit codes: 0 done; 1 the command failed, the configuration is bad, or what was asked isn't so; 2 it was called wrongly."

// allCommands returns a command and those below it that the help names, each behind the one above it.
func allCommands(cmd *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" {
			list = append(list, allCommands(sub)...)
		}
	}
	return list
}

var manHead = regexp.MustCompile(`(?m)^(\.TH "[^"]*" "1") "[^"]*"`)

func manPage(t *testing.T, cmd *cobra.Command) string {
	t.Helper()
	cmd.DisableAutoGenTag = true
	if !cmd.HasParent() {
		cmd.Long += "\n\nCommands, each with a page of its own:\n"
		for _, sub := range allCommands(cmd)[1:] {
			cmd.Long += fmt.Sprintf("\n  %-14s  %s", strings.TrimPrefix(sub.CommandPath(), "firebreak "), sub.Short)
		}
		cmd.Long += "\n\n" + exitCodes
	}
	cmd.Long = asMarkdown(cmd.Long)
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.NoOptDefVal != "" && f.Value.Type() != "bool" {
			f.DefValue = f.NoOptDefVal
		}
	})
	title := strings.ToUpper(strings.ReplaceAll(cmd.CommandPath(), " ", "-"))
	var b bytes.Buffer
	if err := doc.GenMan(cmd, &doc.GenManHeader{Title: title, Section: "1", Source: "Firebreak", Manual: "Firebreak", Date: new(time.Time)}, &b); err != nil {
		t.Fatal(err)
	}
	text := strings.TrimRight(b.String(), "\n") + "\n"
	if !manHead.MatchString(text) {
		t.Fatalf("the page of %s begins with %.100q", cmd.CommandPath(), text)
	}
	text = strings.ReplaceAll(text, `\fP[=false]`, `\fP`)
	return manHead.ReplaceAllString(text, `$1 ""`) // the same at every day
}

// asMarkdown makes blocks of code of indented lines.
func asMarkdown(long string) string {
	var out []string
	before := ""
	for line := range strings.SplitSeq(long, "\n") {
		indented := strings.HasPrefix(line, "  ")
		if indented && before != "" && !strings.HasPrefix(before, "  ") || !indented && line != "" && strings.HasPrefix(before, "  ") {
			out = append(out, "")
		}
		before = line
		if indented {
			line = "  " + line
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

func commandsPage(root *cobra.Command) string {
	var b strings.Builder
	fmt.Fprint(&b, `# Commands

<!-- made by go test ./cmd/firebreak -run TestManual -update -->

Every command explains itself with `+"`--help`"+`; the same as man pages is in [docs/man](../man).

`+exitCodes+` Results go to
stdout, everything else to stderr. Where something is listed, `+"`--output json`"+` gives it to programs. Colours are for terminals only, and
`+"`NO_COLOR`"+` turns them off.

| command | |
|---|---|
`)
	list := allCommands(root)[1:]
	for _, cmd := range list {
		fmt.Fprintf(&b, "| [%s](#%s) | %s |\n", cmd.CommandPath(), strings.ReplaceAll(cmd.CommandPath(), " ", "-"), cmd.Short)
	}
	for _, cmd := range list {
		long := cmd.Long
		if long == "" {
			long = cmd.Short + "."
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n```\n%s\n```\n", cmd.CommandPath(), asMarkdown(long), strings.TrimRight(cmd.UsageString(), "\n"))
	}
	return b.String()
}

// What makes man pages isn't part of the program.
func TestManualIsNotShipped(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := string(out)
	if !strings.Contains(deps, "github.com/spf13/cobra\n") {
		t.Fatalf("the list of packages lacks cobra:\n%s", deps)
	}
	for _, name := range []string{"github.com/spf13/cobra/doc", "md2man", "testing\n"} {
		if strings.Contains(deps, name) {
			t.Errorf("the program has the package %q in it", name)
		}
	}
}
