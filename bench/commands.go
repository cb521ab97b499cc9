package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/sink"
)

// runSink serves until ctx ends and prints a line per second.
func runSink(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("sink", flag.ContinueOnError)
	listen := fs.String("listen", "127.0.0.1:24225", "address, or unix:///path")
	fault := fs.String("fault", "", fmt.Sprintf("one of %q", sink.Faults()))
	after := fs.Duration("after", 0, "start of the fault")
	length := fs.Duration("for", 0, "length of the fault; 0: until the end")
	number := fs.Int("bytes", 0, "bytes per second of slow, bytes before a reset")
	delay := fs.Duration("ack-delay", 0, "from reading to ack")
	key := fs.String("shared-key", "", "ask for the handshake")
	if err := fs.Parse(args); err != nil {
		return err
	}
	faults, err := parseFaults(*fault)
	if err != nil {
		return err
	}
	s, err := sink.Start(sink.Config{Addr: *listen, SharedKey: *key, Hostname: "bench-sink"})
	if err != nil {
		return err
	}
	defer s.Close()
	s.SetAcks(sink.Acks{Delay: *delay})
	var begin, heal <-chan time.Time
	if len(faults) > 0 {
		begin = time.After(*after)
	}
	fmt.Println("listening on", s.Addr())
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last, lat := s.Counts(), s.Latency()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-begin:
			err = s.Set(sink.Fault{Mode: faults[0], Bytes: *number})
			fmt.Println("fault:", *fault)
			if *length > 0 {
				heal = time.After(*length)
			}
		case <-heal:
			err = s.Set(sink.Fault{})
			fmt.Println("healed")
		case <-tick.C:
			now, h := s.Counts(), s.Latency()
			d := h.Sub(&lat)
			fmt.Printf("%d events/s, %s; total %d, duplicates %d, out of order %d, ignored %d, invalid %d, connections %d\n", now.Events-last.Events,
				d.Summary(), now.Events, now.Duplicates, now.Disorder, now.Ignored, now.Invalid, now.Conns)
			last, lat = now, h
		}
		if err != nil {
			return err
		}
	}
}

// runLoad sends and prints what the senders felt.
func runLoad(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("load", flag.ContinueOnError)
	var cfg load.Config
	fs.StringVar(&cfg.Addr, "addr", "127.0.0.1:24224", "address, or unix:///path")
	fs.IntVar(&cfg.Conns, "conns", 4, "connections")
	fs.Float64Var(&cfg.Rate, "rate", 0, "events per second; 0: as fast as possible")
	fs.Uint64Var(&cfg.Events, "events", 0, "events in all; 0: until interrupted")
	fs.IntVar(&cfg.Size, "size", 300, "bytes of one message")
	fs.IntVar(&cfg.Batch, "batch", 128, "events of one write or packed message")
	fs.IntVar(&cfg.Window, "window", 0, "messages without an ack; 0: the default")
	fs.BoolVar(&cfg.Ack, "ack", false, "ask for acks")
	fs.BoolVar(&cfg.Mixed, "mixed", false, "all kinds on each connection")
	mode := fs.String("mode", "", "forward or packed; empty: one event per message")
	if err := fs.Parse(args); err != nil {
		return err
	}
	cfg.Mode = load.Mode(*mode)
	l, err := load.New(cfg)
	if err != nil {
		return err
	}
	begin := time.Now()
	l.Run(ctx)
	st := l.Stats()
	fmt.Printf("%d events in %.1f s, %.0f per second, acked %d, sent again %d, reconnects %d, failed dials %d\n", st.Sent, time.Since(begin).Seconds(),
		float64(st.Sent)/time.Since(begin).Seconds(), st.Acked, st.Resent, st.Reconnects, st.DialErrors)
	fmt.Printf("writes: %s, longest %v\ndials: %s\n", st.Writes.Summary(), st.Longest(), st.Dials.Summary())
	if cfg.Ack {
		fmt.Println("acks:", st.AckTimes.Summary())
	}
	if st.LastError != "" {
		fmt.Println("last error:", st.LastError)
	}
	return nil
}
