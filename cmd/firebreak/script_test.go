package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write the outputs in testdata anew")

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"firebreak": main}) }

// The command line from the outside, as scripts. Beside testscript's own, they have these commands:
//
//	exits CODE COMMAND…   run it; it must end with that code
//	live ADDRESS          wait until the router answers there
//	answers DIR           wait until the router on a data directory answers `firebreak status`
//	waits DIR REGEXP      wait until its status, as JSON, matches
//	hangup FILE           send SIGHUP to the process that a file names
//	masked FILE           replace what differs between runs: ports, times, paths, versions
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: *update,
		Setup: func(e *testscript.Env) error {
			for _, name := range []string{"ADMIN", "ADMIN2", "PORT"} {
				addr, err := freeAddress()
				if err != nil {
					return err
				}
				e.Setenv(name, addr)
			}
			return expandConfigs(e)
		},
		Condition: func(cond string) (bool, error) {
			if cond != "no-system-config" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			_, err := os.Stat("/etc/firebreak")
			return errors.Is(err, os.ErrNotExist), nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "live": live, "masked": masked, "answers": answers, "waits": waits, "hangup": hangup},
	})
}

func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// expandConfigs puts this run's addresses and directory into the configurations of a script.
func expandConfigs(e *testscript.Env) error {
	files, err := filepath.Glob(filepath.Join(e.WorkDir, "*.yaml"))
	if err != nil {
		return err
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		re := regexp.MustCompile(`@(WORK|ADMIN|ADMIN2|PORT)@`)
		b = re.ReplaceAllFunc(b, func(m []byte) []byte { return []byte(e.Getenv(string(m[1 : len(m)-1]))) })
		if err := os.WriteFile(name, b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func live(ts *testscript.TestScript, _ bool, args []string) {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		resp, err := client.Get("http://" + args[0] + "/health/live")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
	}
	ts.Fatalf("nobody answers on %s", args[0])
}

func answers(ts *testscript.TestScript, _ bool, args []string) {
	waits(ts, false, append(args, `"phase": "running"`))
}

func waits(ts *testscript.TestScript, _ bool, args []string) {
	router := newRouterClient(args[0], args[0])
	want := regexp.MustCompile(args[1])
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, text, err := router.status(context.Background(), time.Second); err == nil && want.Match(text) {
			return
		}
	}
	ts.Fatalf("the status of the router on %s doesn't match %s", args[0], args[1])
}

func hangup(ts *testscript.TestScript, _ bool, args []string) {
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(args[0])))
	ts.Check(err)
	ts.Check(syscall.Kill(pid, syscall.SIGHUP))
}

func masked(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	for _, m := range [][2]string{
		{regexp.QuoteMeta(ts.Getenv("WORK")), "WORK"}, {regexp.QuoteMeta(ts.Getenv("ADMIN")), "ADMIN"},
		{`go1\.\S+ \w+/\w+`, "GO OS/ARCH"}, {`\(process \d+\)`, "(process PID)"},
	} {
		text = regexp.MustCompile(m[0]).ReplaceAllString(text, m[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs("masked"), []byte(text), 0o600))
}
