package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/table"
)

const (
	// dockerTag is a tag as Docker's fluentd log driver gives it: the first 12 hex digits of the container's id.
	dockerTag = "4ae1c4d2b7f0"
	dockerID  = dockerTag + "9c3e5a6d8b1f2e3c4d5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c0d1e"

	maxLive = 10000
)

// explainOptions are the flags of explain.
type explainOptions struct {
	config, file string
	format       string
	output       string
	tag          string
	container    string
	source       string
	at           string
	set          []string
	live         int
	dataDir      string
	timeout      time.Duration
	all          bool
	noColour     bool
}

func newExplain() *cobra.Command {
	var o explainOptions
	cmd := &cobra.Command{
		Use:   "explain [FILE|-]",
		Short: "Show what a configuration does with log lines, and why",
		Long: `Shows for each sample line what the processors change, which route takes it and
why the ones before it don't, where it goes, and what the options with event
names in them come out as. Nothing is sent and nothing is counted, and no
router needs to run.

Lines are read from FILE, from stdin with -, or from a pipe. --format says what
they are:

  line   what a container prints; the rest of the record and the tag are those
         that Docker's fluentd log driver sends (--container, --source, --set)
  json   a whole record as JSON
  event  an event as firebreak tap and buffer dump print it, as json or raw

With --tag and no lines, it shows what the tag alone decides. With --live, it
takes events from the running router and explains them with the configuration
that -c names: a new configuration meets real traffic before a reload.

Of more than 20 events only the summary is shown, unless --all is given. With
--output json there is one object for each event and no summary.

Exits 0; 1 when the configuration is bad or a line can't be read; 2 when it was
called wrongly.`,
		Example: `  echo 'GET /healthz 200' | firebreak explain -c firebreak.yaml --container web
  firebreak explain -c firebreak.yaml --source stderr --set team=blue app.log
  firebreak explain -c firebreak.yaml --format json --tag app.web records.jsonl
  firebreak explain -c firebreak.yaml --tag app.web
  firebreak explain -c new.yaml --live 20
  firebreak explain -o json samples.log | jq -r .type | sort | uniq -c`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("unexpected argument %q: explain reads one file", args[1])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.file = args[0]
			}
			if n, err := strconv.Atoi(o.file); err == nil && cmd.Flags().Changed("live") { // --live 20
				o.live, o.file = n, ""
			}
			if err := o.check(cmd); err != nil {
				return usageError{err}
			}
			return o.run(cmd)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.config, "config", "c", "", configHelp)
	f.StringVar(&o.format, "format", "line", "what each line is: line, json or event")
	f.StringVar(&o.tag, "tag", dockerTag, "tag of the events")
	f.StringVar(&o.container, "container", "sample", "name of the container that prints the lines")
	f.StringVar(&o.source, "source", "stdout", "where the container prints them: stdout or stderr")
	f.StringArrayVar(&o.set, "set", nil, "another key of the record, `KEY=VALUE`, such as a label; may be repeated")
	f.StringVar(&o.at, "time", "", "time of the events, such as 2026-01-31T12:00:00Z (default now)")
	f.IntVar(&o.live, "live", 0, "explain `N` events of the running router (5 unless given)")
	f.Lookup("live").NoOptDefVal = "5"
	f.StringVar(&o.dataDir, "data-dir", "", "data_dir of the running router, instead of the configuration's")
	f.DurationVar(&o.timeout, "timeout", 10*time.Second, "how long --live waits for events")
	f.BoolVar(&o.all, "all", false, "show each event, however many there are")
	f.StringVarP(&o.output, "output", "o", "text", "form of the result: text or json")
	f.BoolVar(&o.noColour, "no-color", false, "no colours on a terminal (as with NO_COLOR set)")
	completeWords(cmd, "format", "line", "json", "event")
	completeWords(cmd, "source", "stdout", "stderr")
	completeWords(cmd, "output", "text", "json")
	return cmd
}

// check finds flags that don't go together.
func (o *explainOptions) check(cmd *cobra.Command) error {
	given := cmd.Flags().Changed
	live := given("live")
	for _, err := range []error{oneOf("output", o.output, "text", "json"), oneOf("format", o.format, "line", "json", "event"), oneOf("source", o.source, "stdout", "stderr")} {
		if err != nil {
			return err
		}
	}
	switch {
	case live && o.file != "":
		return fmt.Errorf("--live reads no file: leave out %q", o.file)
	case live && (o.live < 1 || o.live > maxLive):
		return fmt.Errorf("--live %d: from 1 to %d events", o.live, maxLive)
	case live && given("format"):
		return errors.New("--format is for lines, and --live reads none")
	case live && o.timeout <= 0:
		return fmt.Errorf("--timeout %v: it must be above 0s", o.timeout)
	case !live && (given("data-dir") || given("timeout")):
		return errors.New("--data-dir and --timeout are for --live")
	}
	for _, name := range []string{"container", "source"} {
		if given(name) && (live || o.format != "line") {
			return fmt.Errorf("--%s is for --format line: other events have a record of their own", name)
		}
	}
	for _, name := range []string{"tag", "time", "set"} {
		if given(name) && (live || o.format == "event") {
			return fmt.Errorf("--%s is for --format line or json: other events have what they have", name)
		}
	}
	if o.tag == "" {
		return errors.New("--tag is empty")
	}
	return nil
}

func (o *explainOptions) run(cmd *cobra.Command) error {
	shape, err := o.shape()
	if err != nil {
		return usageError{err}
	}
	in, done, err := o.open(cmd)
	if err != nil {
		return err
	}
	defer done()
	src, err := findConfig(o.config)
	if err != nil {
		return err
	}
	cfg, err := src.load()
	if err != nil {
		fmt.Fprintln(cmd.ErrOrStderr(), err)
		return errSilent
	}
	x, err := agent.NewExplainer(cfg)
	if err != nil {
		return err
	}
	defer x.Close()
	shape.host = x.Host()
	out := o.newExplainOutput(cmd.OutOrStdout(), cfg)
	var list iter.Seq2[sample, error]
	switch {
	case o.live > 0:
		list = o.liveSamples(cmd.Context(), cmd.ErrOrStderr())
	case in == nil:
		return out.tag(explainTag(cfg, o.tag))
	default:
		list = readSamples(in, shape)
	}
	n, err := explainAll(x, list, out, cmd.ErrOrStderr())
	switch {
	case n > 0 || err != nil:
		return err
	case o.live > 0:
		return errSilent // it has been said that none came
	case o.file == "" && cmd.Flags().Changed("tag"): // started without a terminal, by a script or a service
		return out.tag(explainTag(cfg, o.tag))
	}
	return errors.New("there are no lines to explain")
}

// explainAll explains one sample after the other and returns how many. A sample that can't be read is said, and the
// others are explained.
func explainAll(x *agent.Explainer, list iter.Seq2[sample, error], out explainOutput, stderr io.Writer) (n int, err error) {
	bad := false
	for s, err := range list {
		if wrong, ok := errors.AsType[*badSample](err); ok {
			fmt.Fprintf(stderr, "firebreak: %v\n", wrong)
			bad = true
			continue
		}
		if err != nil {
			return n, err
		}
		for _, e := range x.Explain(s.chunk) {
			n++
			if err := out.event(s, e); err != nil {
				return n, err
			}
		}
	}
	if err := out.end(); err != nil {
		return n, err
	}
	if bad {
		return n, errSilent
	}
	return n, nil
}

// open returns where samples are read; nil when there is nothing to read.
func (o *explainOptions) open(cmd *cobra.Command) (in io.Reader, done func(), err error) {
	done = func() {}
	switch {
	case o.live > 0:
		return nil, done, nil
	case o.file == "-", o.file == "" && isPiped(cmd.InOrStdin()):
		return cmd.InOrStdin(), done, nil
	case o.file != "":
		f, err := os.Open(o.file)
		if err != nil {
			return nil, done, fmt.Errorf("read the lines: %w", err)
		}
		return f, func() { _ = f.Close() }, nil
	case !cmd.Flags().Changed("tag"):
		return nil, done, usageError{errors.New("nothing to explain: name a file of log lines, - for stdin, --tag, or --live")}
	}
	return nil, done, nil
}

// isPiped reports whether somebody gives lines: a terminal doesn't yet, and the null device never.
func isPiped(in io.Reader) bool {
	f, ok := in.(*os.File)
	if !ok {
		return true
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice == 0
}

// shape returns what is around each line.
func (o *explainOptions) shape() (sampleShape, error) {
	s := sampleShape{format: o.format, tag: o.tag, time: time.Now()}
	if o.at != "" {
		at, err := time.Parse(time.RFC3339Nano, o.at)
		if err != nil {
			return s, fmt.Errorf("--time %q: write it as 2026-01-31T12:00:00Z", o.at)
		}
		s.time = at
	}
	if o.format == "line" {
		s.base = []pair{{"container_id", dockerID}, {"container_name", "/" + strings.TrimPrefix(o.container, "/")}, {"source", o.source}}
	}
	for _, text := range o.set {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return s, fmt.Errorf("--set %q: write it as KEY=VALUE", text)
		}
		s.set = append(s.set, pair{key, value})
	}
	return s, nil
}

// An explainOutput prints explanations.
type explainOutput interface {
	event(s sample, e agent.Explained) error
	tag(t tagExplained) error
	end() error
}

func (o *explainOptions) newExplainOutput(w io.Writer, cfg *config.Config) explainOutput {
	if o.output == "json" {
		return &explainJSON{out: w}
	}
	return &explainText{out: w, style: o.style(w), all: o.all, sum: newExplainSum(cfg)}
}

func (o *explainOptions) style(w io.Writer) table.Style {
	if o.noColour {
		return table.Style{}
	}
	return table.StyleFor(w, os.Getenv)
}
