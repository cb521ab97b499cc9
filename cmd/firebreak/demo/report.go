package demo

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firebreak/firebreak/internal/table"
)

var resultSpans = []column{{"", 41, true}, {"before outage", 16, false}, {"in the outage", 16, false}}

var resultColumns = []column{{"RECEIVED", 8, true}, {"lines", 7, false}, {"lost", 5, false}, {"twice", 5, false}, {"disorder", 8, false},
	{"lines/s", 7, false}, {"pause", 7, false}, {"lines/s", 7, false}, {"pause", 7, false}}

// report is the end of the story for people.
func (s *Summary) report(st style, width int) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("\nWhat the aggregators received, by the numbers in the lines:\n\n  %s\n  %s\n", st.head(resultSpans, width-2), st.head(resultColumns, width-2))
	for _, a := range s.Aggregators {
		p("  %s\n", st.row(resultColumns, width-2, cell{a.Kind, table.Plain}, cell{table.Number(a.Received), table.Plain}, bad(a.Lost), cell{table.Number(a.Duplicates), table.Plain}, bad(a.OutOfOrder),
			cell{rate(a.RateBefore), table.Plain}, pause(a.PauseBefore), cell{rate(a.RateOutage), table.Plain}, pause(a.PauseOutage)))
	}
	p("\n")
	item := func(text string) {
		for i, line := range wrap(text, width-4, 0) {
			p("%s%s\n", [...]string{"  - ", "    "}[min(i, 1)], line)
		}
	}
	item(s.others())
	item(s.containers())
	item(s.victim())
	item(s.ledger())
	p("\n")
	if s.Held {
		p("%s\n", st.Paint(table.Green, "The promise held: one aggregator died, and nothing else noticed."))
	} else {
		p("%s\n", st.Paint(table.Red, "The promise did not hold:"))
		for _, problem := range s.Problems {
			item(problem)
		}
	}
	if s.Directory != "" {
		p("\nKept: %s (firebreak.yaml, router.log, data)\n", s.Directory)
	}
	p(`
Next:
  firebreak run        the router on 127.0.0.1:24224, without configuration;
                       then, in another terminal:
  docker run --rm --name hello --log-driver=fluentd \
    --log-opt fluentd-address=127.0.0.1:24224 busybox echo "hello, firebreak"
`)
	return b.String()
}

func (s *Summary) others() string {
	var names, got, sent []string
	pause := 0.0
	for _, a := range s.Aggregators {
		if a.Kind == s.Killed {
			continue
		}
		names = append(names, a.Kind)
		got = append(got, rate(a.RateOutage))
		sent = append(sent, rate(a.SentOutage))
		pause = max(pause, a.PauseOutage)
	}
	text := fmt.Sprintf("%s, in the %.1f s that %s was dead: %s lines/s arrived, %s were sent; the longest pause was %s.",
		and(names), s.BackAt-s.KilledAt, s.Killed, and(got), and(sent), short(seconds(pause)))
	if s.Hiccup >= 0.1 {
		text += fmt.Sprintf(" (This machine is busy: it was up to %s late without the router.)", short(seconds(s.Hiccup)))
	}
	return text
}

func and(words []string) string { return strings.Join(words, " and ") }

func (s *Summary) containers() string {
	sent, failures, slowest := uint64(0), uint64(0), 0.0
	var late []string
	for _, c := range s.Containers {
		sent += c.Sent
		failures += c.Failed
		slowest = max(slowest, c.LongestSend)
		if c.InOutage {
			late = append(late, fmt.Sprintf("%s, started in the outage, was connected after %s.", c.Name, short(seconds(c.Connect))))
		}
	}
	text := fmt.Sprintf("containers: %s lines sent, %s sends failed, the longest took %s.", table.Number(sent), table.Number(failures), short(seconds(slowest)))
	return strings.Join(slices.Insert(late, 0, text), " ")
}

func (s *Summary) victim() string {
	for _, a := range s.Aggregators {
		if a.Kind != s.Killed {
			continue
		}
		end := "It never caught up"
		if s.CaughtUpAt > 0 {
			end = fmt.Sprintf("It had caught up %s after its return", short(seconds(s.CaughtUpAt-s.BackAt)))
		}
		order := "in order"
		if a.OutOfOrder > 0 {
			order = table.Number(a.OutOfOrder) + " out of order"
		}
		return fmt.Sprintf("%s: %s lines waited on disk and arrived late, %s lost, %s, %s twice. %s.", a.Kind, table.Number(a.Late), table.Number(a.LateLost), order, table.Number(a.Duplicates), end)
	}
	return ""
}

func (s *Summary) ledger() string {
	var t Aggregator
	for _, a := range s.Aggregators {
		t.Offered += a.Offered
		t.Delivered += a.Delivered
		t.DeadLettered += a.DeadLettered
		t.Shed += a.Shed
		t.Moved += a.Moved
		t.Buffered += a.Buffered
	}
	text := fmt.Sprintf("the router's ledger: offered %s = delivered %s + dead letters %s + shed %s + buffered %s", table.Number(t.Offered), table.Number(t.Delivered),
		table.Number(t.DeadLettered), table.Number(t.Shed), table.Number(t.Buffered))
	if t.Moved > 0 {
		text += " + moved " + table.Number(t.Moved)
	}
	return text + "."
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func rate(perSecond float64) string { return table.Number(uint64(perSecond + 0.5)) }

func pause(s float64) cell {
	if s == 0 {
		return cell{"-", table.Plain}
	}
	return cell{short(seconds(s)), table.Plain}
}
