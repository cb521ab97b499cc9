package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/config"
)

func newRun() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the router",
		Long: `Runs the router until SIGTERM or SIGINT. Then it goes on accepting until its
senders are quiet, delivers what it can within shutdown.deadline, and keeps the
rest on disk. A second signal stops it at once, still losing nothing that was
acknowledged.

SIGHUP, or firebreak reload, lets it read the same configuration anew. A bad
file changes nothing.

Without a configuration it listens on 127.0.0.1:24224 and writes one file per
container under ./firebreak-data/logs.`,
		Example: `  firebreak run
  firebreak run -c firebreak.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runRouter(cmd.ErrOrStderr(), file) },
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", configHelp)
	return cmd
}

func runRouter(stderr io.Writer, file string) error {
	src, err := findConfig(file)
	if err != nil {
		return err
	}
	cfg, degraded, err := loadOrLast(stderr, src)
	if err != nil {
		return err
	}
	level, err := zap.ParseAtomicLevel(cfg.Log.Level)
	if err != nil {
		return err
	}
	log, sink := newLog(level, stderr)
	defer sink.flush(100 * time.Millisecond)
	agent.LimitMemory(cfg)

	ctx, kill := signals()
	hangups := make(chan os.Signal, 1) // those that come during a reload are one
	signal.Notify(hangups, syscall.SIGHUP)
	o := agent.Options{
		Config: cfg, Source: src.kept(), Log: log, Version: version, Degraded: degraded, Kill: kill,
		Load: func() (*config.Config, []byte, error) { return loadAnew(file) },
		Applied: func(cfg *config.Config) {
			_ = level.UnmarshalText([]byte(cfg.Log.Level)) // a level that config has checked
			agent.LimitMemory(cfg)
		},
	}
	a, err := agent.New(o)
	if err != nil {
		return err
	}
	log.Info("listening", zap.Strings("addresses", a.Listening()), zap.String("admin", a.Admin()), zap.String("version", version),
		zap.String("config", source{path: cfg.Path}.name()), zap.String("data_dir", cfg.DataDir))
	if src.path == "" {
		greet(stderr, a.Listening(), cfg, a.Admin())
	}
	go reloadOn(ctx, hangups, a, sink)
	return a.Run(ctx)
}

// loadAnew finds and loads the configuration as at the start.
func loadAnew(file string) (*config.Config, []byte, error) {
	src, err := findConfig(file)
	if err != nil {
		return nil, nil, err
	}
	cfg, err := src.load()
	return cfg, src.kept(), err
}

// kept is what is kept for a start with a bad file. The embedded default is never bad.
func (s source) kept() []byte {
	if s.path == "" {
		return nil
	}
	return s.text
}

// reloadOn reloads the configuration at each signal, until ctx ends.
func reloadOn(ctx context.Context, c <-chan os.Signal, a *agent.Agent, errs io.Writer) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c:
		}
		if !started(ctx, a) {
			return
		}
		if res := a.Reload(); !res.OK {
			_, _ = errs.Write([]byte(notReloaded(res.Error)))
		}
	}
}

// started waits until the router can be reloaded.
func started(ctx context.Context, a *agent.Agent) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for a.Status().Phase == "starting" {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

// loadOrLast loads the configuration, or, when it is bad, the last one that ran on the same data directory; then it
// also says why.
func loadOrLast(stderr io.Writer, src source) (cfg *config.Config, degraded string, err error) {
	cfg, err = src.load()
	if err == nil {
		return cfg, "", nil
	}
	fmt.Fprintln(stderr, err)
	last, e := lastSource(src)
	if e != nil {
		return nil, "", errSilent
	}
	cfg, e = last.load()
	if e != nil {
		fmt.Fprintf(stderr, "\nthe last configuration that ran can't be used either:\n%v\n", e)
		return nil, "", errSilent
	}
	fmt.Fprintf(stderr, "\n%s is bad: running the last configuration that ran, %s\n", src.name(), last.path)
	return cfg, firstLine(err), nil
}

// lastSource finds the last configuration that ran on the data directory that a bad one names.
func lastSource(src source) (source, error) {
	dir := config.Peek(src.text, "data_dir")
	if dir == "" && hasDataDir.Match(src.text) {
		return source{}, errors.New("data_dir is not known") // the default one may be another router's
	}
	text, name, err := agent.LastConfig(cmp.Or(dir, config.DefaultDataDir))
	return source{path: name, text: text}, err
}

var hasDataDir = regexp.MustCompile(`\bdata_dir["']?[ \t]*:`)

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// signals returns a context that ends with the first SIGTERM or SIGINT, and one that ends with the second. SIGHUP does
// nothing until somebody asks for it.
func signals() (stop, kill context.Context) {
	stop, cancelStop := context.WithCancel(context.Background())
	kill, cancelKill := context.WithCancel(context.Background())
	c := make(chan os.Signal, 4)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT)
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	go func() {
		<-c
		cancelStop()
		<-c
		cancelKill()
	}()
	return stop, kill
}

// newLog writes JSON lines; who may repeat samples them.
func newLog(level zapcore.LevelEnabler, out io.Writer) (*zap.Logger, *logSink) {
	enc := zap.NewProductionEncoderConfig()
	enc.TimeKey = "time"
	enc.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	enc.EncodeDuration = zapcore.StringDurationEncoder
	sink := newLogSink(out)
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(enc), zapcore.AddSync(sink), level)), sink
}

// greet tells who runs Firebreak for the first time what to paste next.
func greet(w io.Writer, listening []string, cfg *config.Config, admin string) {
	addr := "127.0.0.1:24224"
	if len(listening) > 0 {
		if host, port, err := net.SplitHostPort(strings.TrimPrefix(listening[0], "tcp://")); err == nil {
			if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
				host = "127.0.0.1"
			}
			addr = net.JoinHostPort(host, port)
		}
	}
	logs := cfg.DataDir + "/logs"
	show, look := "cat "+logs+"/hello.log", ""
	if os.Getenv("FIREBREAK_IN_IMAGE") != "" {
		name := containerName()
		show = "docker cp " + name + ":" + logs + "/hello.log . && cat hello.log"
		look = "What it does: docker exec " + name + " firebreak status\n\n"
	} else {
		if admin != "" {
			look = "Status page, health, metrics: http://" + admin + "/\n"
		}
		look += "Stop with Ctrl-C.\n\n"
	}
	fmt.Fprintf(w, `
Firebreak runs with its embedded default: it listens on %s and
writes one file per container under %s.
Paste this in another terminal:

  docker run --rm --name hello --log-driver=fluentd \
    --log-opt fluentd-address=%s busybox echo "hello, firebreak"
  %s

%s`, addr, logs, addr, show, look)
}

// containerName is what Docker calls the container that this runs in, unless it got another host name.
func containerName() string {
	if name, err := os.Hostname(); err == nil && containerID.MatchString(name) {
		return name
	}
	return "CONTAINER"
}

var containerID = regexp.MustCompile(`^[0-9a-f]{12}$`)
