package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/internal/table"
)

func newStatus() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what the running router does, and what is wrong",
		Long: `Shows what the running router does: problems first, then each input, route and
destination with what became of every event since the start (of a destination:
since its buffer was made), and whether these numbers add up.

States of a destination:
  ok         delivers, or has nothing to deliver
  failing    the last attempt failed; it is tried again
  open       attempts fail: the breaker is open until the next try; events wait
  half-open  the breaker lets one chunk through to see whether it works again
  held       somebody has to change something, such as a password; events wait
  full       its buffer is at its bound: it sheds, blocks, or moves events
  moving     events move to its fallback
  limited    max_rate holds it back
  volatile   what it has is only in memory

Numbers of a million and more are shortened, and K, M, G of size/bound are KiB,
MiB, GiB; json has all of them exactly.
Exits 0 when the router has answered, however bad the news.

` + routerHelp,
		Example: `  firebreak status
  firebreak status -c /etc/firebreak/firebreak.yaml
  docker exec firebreak firebreak status
  firebreak status -o json | jq '.destinations[] | select(.breaker != "closed")'`,
		Args: noArgs,
	}
	flags := addRouterFlags(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "table", "form of the answer: table or json")
	completeWords(cmd, "output", "table", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := formOf(output, "table", "json"); err != nil {
			return err
		}
		router, err := flags.router()
		if err != nil {
			return err
		}
		s, text, err := router.status(cmd.Context(), answerTime)
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		if output == "json" {
			return printJSON(out, text)
		}
		width, _ := table.TerminalSize(out)
		v := statusView{style: table.StyleFor(out, os.Getenv), width: min(width, maxTextWidth)}
		_, err = fmt.Fprintln(out, strings.Join(v.lines(s), "\n"))
		return err
	}
	return cmd
}
