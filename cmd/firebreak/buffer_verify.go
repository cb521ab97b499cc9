package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/internal/table"
)

// A verified directory.
type verified struct {
	Name string `json:"name"`
	Kind string `json:"kind"` // buffer or dead letters
	buffer.Report
}

func newBufferVerify() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "verify [NAME...]",
		Short: "Read every byte of buffers and dead letters, and check it",
		Long: `Reads all segments of buffers and dead letters, checks every checksum and
running number against the position record, and lists what is damaged or
missing. Exits 1 when something is. Works while a router runs and while none
does, and changes nothing: a router skips damage by itself, and counts what it
has lost by it.

What a crash has cut off at the end of the newest segment (a torn tail) is no
damage: it was never acknowledged.`,
		Example: `  firebreak buffer verify
  firebreak buffer verify access --output json`,
	}
	flags := addRouterFlags(cmd)
	cmd.ValidArgsFunction = completeBuffers(flags)
	cmd.Flags().StringVarP(&output, "output", "o", "text", "form of the answer: text or json")
	completeWords(cmd, "output", "text", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := formOf(output, "text", "json"); err != nil {
			return err
		}
		s, names, err := flags.chosen(cmd.Context(), args)
		if err != nil {
			return err
		}
		list, err := s.verify(names, cmd.OutOrStdout(), output == "text")
		if err != nil {
			return err
		}
		if output == "json" {
			text, err := json.Marshal(list)
			if err != nil {
				return err
			}
			if err := printJSON(cmd.OutOrStdout(), text); err != nil {
				return err
			}
		}
		for _, v := range list {
			if !v.OK {
				return errSilent
			}
		}
		return nil
	}
	return cmd
}

// verify reads directories one after the other, and says at once what it has found in each: reading takes its time.
func (s *shelf) verify(names []string, out io.Writer, say bool) ([]verified, error) {
	list := []verified{}
	for _, name := range names {
		for _, dir := range []struct{ kind, path string }{{"buffer", s.buffer(name)}, {"dead letters", s.dead(name)}} {
			if !exists(dir.path) {
				continue
			}
			r, err := buffer.Verify(dir.path, nil)
			if err != nil {
				return list, err
			}
			v := verified{Name: name, Kind: dir.kind, Report: r}
			list = append(list, v)
			if say {
				writeVerified(out, &v)
			}
		}
	}
	if say && len(list) == 0 {
		fmt.Fprintln(out, "No output has written anything yet.")
	}
	return list, nil
}

func writeVerified(out io.Writer, v *verified) {
	state := "ok"
	if !v.OK {
		state = "DAMAGED"
	}
	fmt.Fprintf(out, "%s, %s: %s: %s in %s, %s\n", table.Clean(v.Name), v.Kind, state, events(v.Events), plural(v.Segments, "segment"), table.Size(v.Bytes))
	if v.TornTail > 0 {
		fmt.Fprintf(out, "  a torn tail of %s: never acknowledged\n", table.Size(v.TornTail))
	}
	for i, d := range v.Bad {
		if i == 20 {
			fmt.Fprintf(out, "  and %d more places: --output json lists them\n", uint64(len(v.Bad)-i)+v.BadMore)
			break
		}
		fmt.Fprintf(out, "  %s, %d bytes at %d: %s\n", table.Clean(d.Segment), d.Length, d.Offset, table.Clean(d.What))
	}
	if v.Missing > 0 {
		fmt.Fprintf(out, "  events missing: %s\n", table.Number(v.Missing))
	}
	for _, p := range v.Problems {
		fmt.Fprintf(out, "  %s\n", table.Clean(p))
	}
}
