package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/internal/table"
)

const (
	answerTime   = 5 * time.Second // for a status, and for the beginning of a tap
	reloadTime   = 2 * time.Minute // removed destinations are closed in order
	completeTime = time.Second
	maxAnswer    = 64 << 20 // bytes
)

// A routerClient asks a running router over its control socket. It may be used concurrently.
type routerClient struct {
	dir  string
	http http.Client
}

func newRouterClient(dir, looked string) *routerClient {
	return &routerClient{dir: dir, http: http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, dir, looked) },
	}}}
}

// open sends a request and returns the answer's body. Only the head of the answer has a time limit.
func (c *routerClient) open(ctx context.Context, method, path string, limit time.Duration) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(limit, func() { cancel(c.late(limit)) })
	req, err := http.NewRequestWithContext(ctx, method, "http://control"+path, nil)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	resp, err := c.http.Do(req)
	timer.Stop()
	if err == nil {
		if err = c.refusal(method, path, resp); err == nil {
			return &body{resp.Body, cancel}, nil
		}
		_ = resp.Body.Close()
	} else {
		err = c.odd(method, path, err)
	}
	defer cancel(nil)
	return nil, cmp.Or(context.Cause(ctx), err)
}

func (c *routerClient) late(limit time.Duration) error {
	return fmt.Errorf("the router on %s doesn't answer within %v: it hangs or is overloaded; its log may say why", c.dir, limit)
}

type body struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

// refusal turns an answer that isn't 200 into an error.
func (c *routerClient) refusal(method, path string, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	path, _, _ = strings.Cut(path, "?")
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	said := strings.TrimSpace(string(text))
	switch {
	case said == "" || said == "404 page not found" || said == "Method Not Allowed":
		return fmt.Errorf("the router on %s doesn't know %s %s: is it of another version than this firebreak (%s)?", c.dir, method, path, version)
	case resp.StatusCode >= 500:
		return fmt.Errorf("the router on %s answers %s: %s", c.dir, resp.Status, said)
	}
	return errors.New(said)
}

// odd says that something else went wrong on the way.
func (c *routerClient) odd(method, path string, err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // the URL says nothing
	}
	path, _, _ = strings.Cut(path, "?")
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("the router on %s ended the connection without an answer to %s %s: has it stopped?", c.dir, method, path)
	case strings.Contains(err.Error(), "malformed HTTP"), strings.Contains(err.Error(), "readLoopPeekFail"): // net/http has no types for them
		return fmt.Errorf("what answers on %s/%s is no firebreak router", c.dir, agent.ControlSocket)
	}
	return err
}

// ask sends a request and returns the whole answer.
func (c *routerClient) ask(ctx context.Context, method, path string, limit time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, c.late(limit))
	defer cancel()
	in, err := c.open(ctx, method, path, limit)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, maxAnswer+1))
	switch {
	case context.Cause(ctx) != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, c.odd(method, path, err)
	case len(text) > maxAnswer:
		return nil, fmt.Errorf("the router on %s answers %s %s with more than %d MiB", c.dir, method, path, maxAnswer>>20)
	}
	return text, nil
}

// status asks for everything; text is the answer as it came.
func (c *routerClient) status(ctx context.Context, limit time.Duration) (s agent.Status, text []byte, err error) {
	text, err = c.ask(ctx, http.MethodGet, "/status", limit)
	if err != nil {
		return s, nil, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, nil, c.unexpected("status", text, err)
	}
	if s.Phase == "" || s.Inputs == nil || s.Routes == nil || s.Destinations == nil {
		return s, nil, c.unexpected("status", text, errors.New("phase, inputs, routes or destinations are missing"))
	}
	return s, text, nil
}

// reload asks for a reload; text is the answer as it came.
func (c *routerClient) reload(ctx context.Context) (r agent.Reloaded, text []byte, err error) {
	text, err = c.ask(ctx, http.MethodPost, "/reload", reloadTime)
	if err != nil {
		return r, nil, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, nil, c.unexpected("reload", text, err)
	}
	if r.At.IsZero() || !r.OK && r.Error == "" {
		return r, nil, c.unexpected("reload", text, errors.New("it doesn't say what has happened"))
	}
	return r, text, nil
}

func (c *routerClient) unexpected(what string, text []byte, err error) error {
	const shown = 100
	if len(text) > shown {
		text = append(bytes.Clone(text[:shown]), "…"...)
	}
	return fmt.Errorf("the router on %s answers %s in a form that this firebreak (%s) doesn't know: %w: %q", c.dir, what, version, err, text)
}

// untilInterrupted returns a context that ends with Ctrl-C or SIGTERM, for commands that look until they are told to end.
func untilInterrupted(parent context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
}

// formOf checks the value of --output.
func formOf(given string, allowed ...string) error {
	if err := oneOf("output", given, allowed...); err != nil {
		return usageError{err}
	}
	return nil
}

// printJSON writes an answer for people and programs.
func printJSON(out io.Writer, text []byte) error {
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, bytes.TrimSpace(text), "", "  "); err != nil {
		return err
	}
	_, err := out.Write(append(table.CleanJSON(pretty.Bytes()), '\n'))
	return err
}
