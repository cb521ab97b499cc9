package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/internal/table"
)

func newBufferLs() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "ls [NAME...]",
		Short: "List buffers, dead letters and orphans",
		Long: `Lists what each output has on disk: the events that wait, their size and age,
the dead letters by reason, the ledger of its life, and whether it is an orphan
that no configured output delivers. Works while a router runs and while none
does, and changes nothing.`,
		Example: `  firebreak buffer ls
  firebreak buffer ls access --output json
  firebreak buffer ls --data-dir /var/lib/firebreak`,
	}
	flags := addRouterFlags(cmd)
	cmd.ValidArgsFunction = completeBuffers(flags)
	cmd.Flags().StringVarP(&output, "output", "o", "table", "form of the answer: table or json (with every segment)")
	completeWords(cmd, "output", "table", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := formOf(output, "table", "json"); err != nil {
			return err
		}
		s, names, err := flags.chosen(cmd.Context(), args)
		if err != nil {
			return err
		}
		list := []bufferEntry{}
		known := s.configured()
		for _, name := range names {
			e, err := s.entry(name, known)
			if err != nil {
				return err
			}
			list = append(list, e)
		}
		if output == "json" {
			text, err := json.Marshal(struct {
				DataDir string        `json:"data_dir"`
				Running bool          `json:"running"`
				Outputs []bufferEntry `json:"outputs"`
			}{s.dir, s.running, list})
			if err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), text)
		}
		writeBuffers(cmd.OutOrStdout(), s, list, time.Now())
		return nil
	}
	return cmd
}

func writeBuffers(out io.Writer, s *shelf, list []bufferEntry, now time.Time) {
	state := "no router runs on it"
	if s.running {
		state = "a router runs on it: what is only in its memory is not shown"
	}
	fmt.Fprintf(out, "%s (%s)\n\n", table.Clean(s.dir), state)
	if len(list) == 0 {
		fmt.Fprintln(out, "No output has written anything yet.")
		return
	}
	t := table.Table{Columns: []table.Column{
		{Title: "OUTPUT", Left: true}, {Title: "buffered"}, {Title: "size"}, {Title: "oldest"}, {Title: "segments"}, {Title: "dead"}, {Title: "state", Left: true},
	}}
	for _, e := range list {
		row := []string{e.Name, "-", "-", "-", "-", "-", e.State}
		if b := e.Buffer; b != nil {
			row[1], row[2], row[4] = table.Count(b.Buffered), table.Size(b.Bytes), table.Number(uint64(len(b.Segments)))
			if b.Buffered > 0 {
				row[3] = table.Short(now.Sub(b.Oldest))
			}
		}
		if d := e.Dead; d != nil {
			row[5] = table.Count(d.Events)
		}
		cells := make([]table.Cell, len(row))
		for i := range row {
			cells[i] = table.Cell{Text: row[i]}
		}
		t.Add(cells...)
	}
	width, _ := table.TerminalSize(out)
	for _, line := range t.Lines(table.StyleFor(out, os.Getenv), width) {
		fmt.Fprintln(out, line)
	}
	for _, e := range list {
		writeBuffer(out, &e, s.same, min(width, maxTextWidth))
	}
}

// writeBuffer says what deserves more than a cell, on lines of at most width columns; 0: any. same are the flags that
// commands need for the same directory.
func writeBuffer(out io.Writer, e *bufferEntry, same string, width int) {
	var lines []string
	if b := e.Buffer; b != nil {
		l := b.Ledger
		lines = append(lines, fmt.Sprintf("offered %s = delivered %s + dead letters %s + shed %s + moved %s + buffered %s%s",
			table.Number(l.Offered), table.Number(l.Delivered), totalOf(l.DeadLettered), totalOf(l.Shed), totalOf(l.Moved), table.Number(l.Buffered), unknownOf(l)))
		for _, p := range b.Problems {
			lines = append(lines, "problem: "+p)
		}
	}
	if d := e.Dead; d != nil {
		if d.Events > 0 {
			lines = append(lines, "dead letters: "+reasonsOf(d.Reasons)+"; look: firebreak buffer dump "+e.Name+" --dead"+same)
		}
		if d.Replayed+d.Removed > 0 {
			lines = append(lines, fmt.Sprintf("dead letters replayed so far: %s", table.Number(d.Replayed)))
		}
		for _, p := range d.Problems {
			lines = append(lines, "problem: "+p)
		}
	}
	if e.Command != "" {
		lines = append(lines, "no configured output delivers this: "+e.Command)
	}
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(out, "\n%s\n", table.Clean(e.Name))
	for _, l := range lines {
		for i, part := range table.Wrap(l, max(width-4, 0)) {
			if i > 0 {
				part = "  " + part
			}
			fmt.Fprintf(out, "  %s\n", part)
		}
	}
}

func unknownOf(l buffer.Ledger) string {
	if l.Unknown == 0 {
		return ""
	}
	return " + not known yet " + table.Number(l.Unknown)
}

// totalOf writes a sum, with its parts if there are any.
func totalOf(m map[string]uint64) string {
	total := uint64(0)
	for _, n := range m {
		total += n
	}
	if total == 0 {
		return "0"
	}
	return table.Number(total) + " (" + reasonsOf(m) + ")"
}

func reasonsOf(m map[string]uint64) string {
	var parts []string
	for reason, n := range m {
		if n > 0 {
			parts = append(parts, table.Number(n)+" "+reason)
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
