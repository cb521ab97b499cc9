package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/config"
)

// routerFlags say which running router a command talks to.
type routerFlags struct {
	dataDir string
	config  string
}

// addRouterFlags gives a command the flags that all commands have that ask a running router.
func addRouterFlags(cmd *cobra.Command) *routerFlags {
	f := &routerFlags{}
	cmd.Flags().StringVar(&f.dataDir, "data-dir", "", "data_dir of the running router, instead of the configuration's")
	cmd.Flags().StringVarP(&f.config, "config", "c", "", configHelp+" (names data_dir)")
	return f
}

// same returns the flags that name the same router in another command.
func (f *routerFlags) same() string {
	switch {
	case f.dataDir != "":
		return " --data-dir " + f.dataDir
	case f.config != "":
		return " -c " + f.config
	}
	return ""
}

// routerHelp says in the long help of a command how it finds the router.
const routerHelp = `Asks the router over data_dir/` + agent.ControlSocket + `, which only its own user can open:
run this as that user, on the same host or in the same container. Which data_dir
that is, the configuration says, or --data-dir.`

// dirs returns the data directories that the router may run on, the likeliest first.
func (f *routerFlags) dirs() ([]string, error) {
	if f.dataDir != "" {
		return []string{f.dataDir}, nil
	}
	src, err := findConfig(f.config)
	switch {
	case err == nil:
		return configuredDirs(src)
	case f.config != "" || os.Getenv("FIREBREAK_CONFIG") != "":
		return nil, fmt.Errorf("%w; or name the router's data_dir with --data-dir", err)
	}
	return []string{config.DefaultDataDir}, nil // the usual file is there, and only the router may read it
}

// configuredDirs finds the data_dir of a configuration. It may be a bad one, or need an environment that only the
// router has: what the router runs with, it has loaded before.
func configuredDirs(src source) ([]string, error) {
	cfg, err := config.Load(src.path, src.text, agent.Kinds(), config.System())
	switch {
	case err == nil && src.path == "" && cfg.DataDir != config.DefaultDataDir:
		return []string{cfg.DataDir, config.DefaultDataDir}, nil
	case err == nil:
		return []string{cfg.DataDir}, nil
	}
	dir := config.Peek(src.text, "data_dir")
	if dir == "" && hasDataDir.Match(src.text) {
		return nil, fmt.Errorf("find the router: %s doesn't say plainly what data_dir is (%s); name it with --data-dir", src.name(), firstLine(err))
	}
	return []string{cmp.Or(dir, config.DefaultDataDir)}, nil
}

// router returns the router that the flags name. It may not run.
func (f *routerFlags) router() (*routerClient, error) {
	dirs, err := f.dirs()
	if err != nil {
		return nil, err
	}
	dir := dirs[0]
	for _, d := range dirs {
		if _, err := os.Lstat(filepath.Join(d, agent.ControlSocket)); !errors.Is(err, fs.ErrNotExist) {
			dir = d
			break
		}
	}
	return newRouterClient(dir, strings.Join(dirs, " or ")), nil
}

// dial connects to the router on a data directory; looked names the directories where it could have been. The error
// says what to do.
func dial(ctx context.Context, dir, looked string) (net.Conn, error) {
	conn, err := agent.DialControl(ctx, dir)
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, fs.ErrNotExist):
		unmade := ""
		if looked == dir && unix.Access(dir, unix.W_OK) != nil {
			unmade = "; one that can't write there answers only on its admin address"
		}
		return nil, fmt.Errorf("no router runs on %s: start one with `firebreak run`, or name its directory with --data-dir%s", looked, unmade)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("ask the router on %s: %w", dir, denied(dir))
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("no router runs on %s any more: it was killed, or is starting again; start one with `firebreak run`", dir)
	case errors.Is(err, syscall.ENOTDIR):
		return nil, fmt.Errorf("ask the router on %s: this is no directory; --data-dir names what the configuration calls data_dir", dir)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("ask the router on %s: %w", dir, err)
}

// denied says that only the owner of a data directory may look into it, and how to become that.
func denied(dir string) error {
	const what = "permission denied: run this as the router's user"
	info, err := os.Stat(filepath.Join(dir, agent.ControlSocket))
	if err != nil {
		info, err = os.Stat(dir)
	}
	if err != nil {
		return errors.New(what + " (in a container: docker exec -u USER CONTAINER firebreak …)")
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New(what)
	}
	sudo := "sudo"
	if st.Uid != 0 {
		sudo = fmt.Sprintf("sudo -u '#%d'", st.Uid)
	}
	return fmt.Errorf("%s: %s firebreak …, or for a container docker exec -u %d CONTAINER firebreak …", what, sudo, st.Uid)
}
