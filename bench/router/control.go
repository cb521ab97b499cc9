package router

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"syscall"
)

// Rewrite replaces the configuration file the way careful tools do: another file takes its name. The router doesn't
// look at it before it is told to.
func (r *Router) Rewrite(yaml string) error {
	next := r.cfg.file() + ".next"
	if err := os.WriteFile(next, []byte(yaml), 0o600); err != nil {
		return fmt.Errorf("rewrite the configuration: %w", err)
	}
	if err := os.Rename(next, r.cfg.file()); err != nil {
		return fmt.Errorf("rewrite the configuration: %w", err)
	}
	return nil
}

// Hangup sends SIGHUP. It doesn't wait for the reload.
func (r *Router) Hangup() error {
	if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return fmt.Errorf("send SIGHUP: %w", err)
	}
	return nil
}

// Reload runs the command that reloads, and waits for its end. ok is false when the command says that nothing has
// changed; said is what it wrote.
func (r *Router) Reload(ctx context.Context) (ok bool, said string, err error) {
	cmd := exec.CommandContext(ctx, r.cfg.Binary, "reload", "--data-dir", r.cfg.DataDir)
	cmd.Dir, cmd.Env = r.cfg.Dir, append(os.Environ(), r.cfg.Env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return false, out.String(), nil
	}
	if err != nil {
		return false, out.String(), fmt.Errorf("run firebreak reload: %w: %s", err, out.String())
	}
	return true, out.String(), nil
}

// Tap opens a tap over the control socket and calls each with every line, until ctx ends or the router ends the tap.
// opened is called once the router has answered.
func (r *Router) Tap(ctx context.Context, query url.Values, opened func(), each func(line []byte)) error {
	client := &http.Client{Transport: &http.Transport{DialContext: r.dialControl, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://firebreak/tap?"+query.Encode(), nil)
	if err != nil {
		return fmt.Errorf("tap: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("tap: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("tap: %s: %s", resp.Status, bytes.TrimSpace(why))
	}
	opened()
	sc := bufio.NewScanner(resp.Body)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		each(sc.Bytes())
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("tap: it has ended: %w", errors.Join(sc.Err(), io.ErrUnexpectedEOF))
}

// dialControl names the socket by its open directory: the system takes names of about 100 bytes only (unix(7)).
func (r *Router) dialControl(ctx context.Context, _, _ string) (net.Conn, error) {
	dir, err := os.Open(r.cfg.DataDir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var d net.Dialer
	return d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/control.sock", dir.Fd()))
}

// A Page asks the admin port over one connection that stays open, as browsers and Prometheus do.
type Page struct {
	at     string
	client http.Client
}

// NewPage connects with the first Get. It has to be closed.
func (r *Router) NewPage() *Page {
	return &Page{at: "http://" + r.cfg.Admin, client: http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}}
}

// Get asks for one path and returns how many bytes the answer has.
func (p *Page) Get(ctx context.Context, path string) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.at+path, nil)
	if err != nil {
		return 0, fmt.Errorf("ask for %s: %w", path, err)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("ask for %s: %w", path, err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	if err != nil {
		return n, fmt.Errorf("ask for %s: %w", path, err)
	}
	return n, nil
}

// Close closes the connection.
func (p *Page) Close() { p.client.CloseIdleConnections() }
