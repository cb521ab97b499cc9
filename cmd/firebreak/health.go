package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/config"
)

func newHealth() *cobra.Command {
	var admin, dest string
	var ready bool
	flags := &routerFlags{}
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Exit 0 when the running router accepts and stores",
		Long: `Asks the running router over its admin address, for health checks in an image
without a shell. Exits 0 when it accepts and stores events, else 1.

A dead destination never makes it fail: an orchestrator would kill the task for
it, and the aggregator would be a single point of failure again.
--ready also asks that every buffer stores as configured and has room.
--destination asks whether one destination delivers.`,
		Example: `  firebreak health
  firebreak health --ready
  firebreak health --destination audit`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ready && dest != "" {
				return usageError{errors.New("--ready and --destination exclude each other")}
			}
			addr, err := adminAddress(flags.config, admin)
			if err != nil {
				return err
			}
			path := "/health/live"
			switch {
			case dest != "":
				path = "/health/destinations/" + url.PathEscape(dest)
			case ready:
				path = "/health/ready"
			}
			return askHealth(cmd.OutOrStdout(), addr, path)
		},
	}
	cmd.Flags().StringVarP(&flags.config, "config", "c", "", configHelp+" (names the admin address)")
	cmd.Flags().StringVar(&admin, "admin", "", "admin address of the router, instead of the configuration's")
	cmd.Flags().BoolVar(&ready, "ready", false, "also ask that every buffer stores as configured and has room")
	cmd.Flags().StringVar(&dest, "destination", "", "ask whether this destination delivers")
	completeNames(cmd, flags, "destination", destinationNames)
	return cmd
}

// adminAddress finds where the router answers. A configuration that is bad is no reason to fail: the router may run
// the last one that ran.
func adminAddress(file, admin string) (string, error) {
	if admin == "" {
		src, err := findConfig(file)
		switch {
		case err == nil:
			admin = configuredAdmin(src)
		case file != "":
			return "", err
		default:
			admin = config.DefaultAdmin
		}
	}
	if admin == "off" {
		return "", errors.New("ask for health: the configuration says admin: off; give the router an admin address")
	}
	host, port, err := net.SplitHostPort(admin)
	if err != nil {
		return "", fmt.Errorf("ask for health: admin address %q: %w", admin, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

func configuredAdmin(src source) string {
	cfg, err := config.Load(src.path, src.text, agent.Kinds(), config.System())
	if err == nil {
		return cfg.Admin
	}
	if last, err := lastSource(src); err == nil {
		if cfg, err := config.Load(last.path, last.text, agent.Kinds(), config.System()); err == nil {
			return cfg.Admin
		}
	}
	return cmp.Or(config.Peek(src.text, "admin"), config.DefaultAdmin)
}

func askHealth(out io.Writer, addr, path string) error {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{Proxy: nil}}
	resp, err := client.Get("http://" + addr + path)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return fmt.Errorf("ask for health: %w; is the router running with admin: %s?", err, addr)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return fmt.Errorf("ask for health: %w", err)
	}
	text := strings.TrimSpace(string(body))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not healthy: %s", text)
	}
	fmt.Fprintln(out, text)
	return nil
}
