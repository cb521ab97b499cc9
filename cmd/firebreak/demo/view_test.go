package demo

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firebreak/firebreak/internal/table"
)

var update = flag.Bool("update", false, "write the texts in testdata anew")

func someState() state {
	return state{
		At: 9 * time.Second, End: 17 * time.Second,
		Containers: []containerRow{
			{"web", 13_500, 1499.6, 0, 1_234_567 * time.Nanosecond},
			{"api", 8_100, 899.5, 2, 25 * time.Millisecond},
			{"mailer", 1_234_567, 20_000, 0, 1_250 * time.Millisecond},
		},
		Destinations: []destinationRow{
			{"access", false, 1881.2, 1890, 18, 4096, "closed", 30 * time.Millisecond, 0},
			{"error", true, 487, 0, 1_234_567, 345 << 20, "half-open", 17_100 * time.Millisecond, 12},
			{"audit", false, 12_345, 12_345, 0, 0, "open", 0, 0},
		},
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	file = "testdata/" + file
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

func TestTable(t *testing.T) {
	golden(t, "table.txt", strings.Join(style{}.table(someState(), 80), "\n")+"\n")
}

func TestTableFits(t *testing.T) {
	widest := 0
	for width := range 120 {
		for _, line := range (style{}).table(someState(), width) {
			if n := len([]rune(line)); n > width {
				t.Errorf("%d characters of at most %d: %q", n, width, line)
			}
			widest = max(widest, len([]rune(line)))
		}
	}
	if widest > 79 {
		t.Errorf("the table is %d wide", widest)
	}
}

// Colours change nothing but the colour.
func TestColours(t *testing.T) {
	without := strings.Join(style{}.table(someState(), 80), "\n")
	with := strings.Join(style{table.Style{Colour: true}}.table(someState(), 80), "\n")
	if !strings.Contains(with, "\x1b[31merror (dead)\x1b[0m") {
		t.Errorf("%q", with)
	}
	if diff := cmp.Diff(without, regexp.MustCompile(`\x1b\[[0-9]*m`).ReplaceAllString(with, "")); diff != "" {
		t.Error(diff)
	}
}

func someSummary() Summary {
	return Summary{
		Killed: failed, KilledAt: 5, BackAt: 12, CaughtUpAt: 12.25, DirectError: "refused", Limit: 1, Router: Router{Received: 300},
		Aggregators: []Aggregator{
			{Kind: access, Sent: 100, Received: 100, RateBefore: 10, RateOutage: 11, SentOutage: 11, PauseBefore: 0.012, PauseOutage: 0.034, Offered: 100, Delivered: 100},
			{Kind: failed, Sent: 100, Received: 100, Late: 40, RateBefore: 10, SentOutage: 11, PauseBefore: 0.012, PauseAfter: 7, Duplicates: 3, Offered: 100, Delivered: 100},
			{Kind: audit, Sent: 100, Received: 100, RateBefore: 10, RateOutage: 11, SentOutage: 11, PauseBefore: 0.012, PauseOutage: 0.034, Offered: 100, Delivered: 100},
		},
		Containers: []Container{{Name: "web", Sent: 280, LongestSend: 0.001, Connect: 0.001}, {Name: "mailer", Sent: 20, LongestSend: 0.002, Connect: 0.0002, InOutage: true}},
	}
}

func TestReport(t *testing.T) {
	s := someSummary()
	s.judge()
	golden(t, "held.txt", s.report(style{}, 80))
	table := func(width int) []string { return strings.Split(s.report(style{}, width), "\n")[:8] }
	if diff := cmp.Diff(table(80), table(79)); diff != "" {
		t.Errorf("a terminal of 80 columns, of which the last one stays empty, has no room for everything: %s", diff)
	}
	s = someSummary()
	s.Aggregators[0].Lost, s.Aggregators[0].OutOfOrder, s.CaughtUpAt, s.Hiccup, s.Directory = 2, 1, 0, 0.5, "/somewhere"
	s.judge()
	golden(t, "broken.txt", s.report(style{}, 80))
}

// Each figure that is not as promised breaks the promise, alone.
func TestJudge(t *testing.T) {
	s := someSummary()
	if s.judge(); !s.Held {
		t.Fatalf("%q", s.Problems)
	}
	for name, spoil := range map[string]func(*Summary){
		"lost":            func(s *Summary) { s.Aggregators[1].Lost = 1 },
		"disorder":        func(s *Summary) { s.Aggregators[1].OutOfOrder = 1 },
		"strange":         func(s *Summary) { s.Aggregators[0].Strange = 1 },
		"twice":           func(s *Summary) { s.Aggregators[0].Duplicates = 1 },
		"pause":           func(s *Summary) { s.Aggregators[2].PauseOutage = 1.1 },
		"behind":          func(s *Summary) { s.Aggregators[2].Behind = 12 },
		"no outage":       func(s *Summary) { s.Aggregators[1].Late = 0 },
		"not caught up":   func(s *Summary) { s.CaughtUpAt = 0 },
		"shed":            func(s *Summary) { s.Aggregators[1].Shed, s.Aggregators[1].Delivered = 1, 99 },
		"ledger":          func(s *Summary) { s.Aggregators[1].Buffered = 1 },
		"discarded":       func(s *Summary) { s.Router.Received++ },
		"send failed":     func(s *Summary) { s.Containers[0].Failed = 1 },
		"send waited":     func(s *Summary) { s.Containers[0].LongestSend = 1.1 },
		"start waited":    func(s *Summary) { s.Containers[1].Connect = 1.1 },
		"never delivered": func(s *Summary) { s.Aggregators[0].Delivered, s.Aggregators[0].Buffered = 0, 100 },
	} {
		s := someSummary()
		spoil(&s)
		if s.judge(); s.Held || len(s.Problems) != 1 && name != "ledger" {
			t.Errorf("%s: held %v, problems %q", name, s.Held, s.Problems)
		}
	}
}

// A screen does what a terminal does with the escapes that the view uses, and no others.
type screen struct {
	t     *testing.T
	lines []string
	y     int
}

func (s *screen) Write(b []byte) (int, error) {
	text := string(b)
	for text != "" {
		esc := regexp.MustCompile(`^\x1b\[([0-9]*)([A-JL-Z])`).FindStringSubmatch(text)
		switch {
		case esc != nil && esc[2] == "A":
			n, _ := strconv.Atoi(esc[1])
			if s.y -= n; s.y < 0 {
				s.t.Fatal("the cursor has left the screen")
			}
		case esc != nil && esc[2] == "J":
			s.lines = s.lines[:s.y]
		case esc != nil:
			s.t.Fatalf("unknown escape %q", esc[0])
		default:
			line, rest, ok := strings.Cut(text, "\n")
			if !ok {
				s.t.Fatalf("a line without end: %q", text)
			}
			for len(s.lines) <= s.y {
				s.lines = append(s.lines, "")
			}
			var cleared bool
			if line, cleared = strings.CutSuffix(line, "\x1b[K"); !cleared && s.lines[s.y] != "" {
				s.t.Fatalf("%q is written over %q", line, s.lines[s.y])
			}
			s.lines[s.y] = line
			s.y++
			text = rest
			continue
		}
		text = text[len(esc[0]):]
	}
	return len(b), nil
}

func TestTerminalRefreshesInPlace(t *testing.T) {
	s := &screen{t: t}
	height := 30
	v := &terminalView{out: s, size: func() (int, int) { return 80, height }}
	tell := func(n int) {
		if err := v.say(time.Duration(n)*time.Second, fmt.Sprintf("sentence %d %s", n, strings.Repeat("long ", 20)), table.Red); err != nil {
			t.Fatal(err)
		}
	}
	tell(1)
	for i := range 3 {
		st := someState()
		st.Containers = st.Containers[:i+1]
		if err := v.show(st); err != nil {
			t.Fatal(err)
		}
		tell(i + 2)
	}
	height = 8 // the window has been made smaller
	if err := v.show(someState()); err != nil {
		t.Fatal(err)
	}
	height = 30
	if err := v.show(someState()); err != nil {
		t.Fatal(err)
	}
	if err := v.print("the end\n"); err != nil {
		t.Fatal(err)
	}
	golden(t, "screen.txt", strings.Join(s.lines, "\n")+"\n")
}

func TestView(t *testing.T) {
	none := func(string) string { return "" }
	if _, ok := newView(&bytes.Buffer{}, false, none, time.Second).(*plainView); !ok {
		t.Error("a buffer is no terminal")
	}
	f, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, ok := newView(f, false, none, time.Second).(*plainView); !ok {
		t.Error("a file is no terminal")
	}
}
