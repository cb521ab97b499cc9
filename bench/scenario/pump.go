package scenario

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"
)

// Pump does the least that a router with a disk buffer can do: read from a socket, append to a file, write to a
// socket. It understands nothing and keeps no promise; its cost is what the kernel asks. It returns when ctx ends.
func Pump(ctx context.Context, listen, forward, path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("pump: %w", err)
	}
	defer f.Close()
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("pump: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	for {
		in, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("pump: %w", err)
		}
		go pumpOne(in, forward, f)
	}
}

func pumpOne(in net.Conn, forward string, f *os.File) {
	defer in.Close()
	out, err := net.Dial("tcp", forward)
	if err != nil {
		return
	}
	defer out.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			if _, err := f.Write(buf[:n]); err != nil {
				return
			}
			if _, err := out.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// connectable waits until something listens.
func connectable(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			return c.Close()
		}
		if !pause(ctx, 5*time.Millisecond) {
			return err
		}
	}
}
