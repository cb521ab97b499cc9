package forward

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/tlsconf"
	"github.com/firebreak/firebreak/outputs"
	"github.com/google/go-cmp/cmp"
)

var _ config.Checker = (*Options)(nil)

func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"agg":                "agg:24224",
		"agg:1234":           "agg:1234",
		"tcp://agg:1234":     "agg:1234",
		"10.0.0.1":           "10.0.0.1:24224",
		"::1":                "[::1]:24224",
		"[::1]":              "[::1]:24224",
		"[2001:db8::1]:5":    "[2001:db8::1]:5",
		"unix:///run/x.sock": "unix:///run/x.sock",
		"":                   "", ":24224": "", "agg:": "", "agg:0": "", "agg:65536": "", "agg:http": "", "a:b:c": "",
		"unix://x": "", "udp://agg": "", "a b": "", "user@agg": "", "agg/path": "",
	} {
		a, err := parseAddress(in)
		if got := a.String(); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"good":            {func(o *Options) { o.Servers = append(o.Servers, Server{Address: "b", Standby: true}) }, ""},
		"no servers":      {func(o *Options) { o.Servers = nil }, "servers"},
		"only standbys":   {func(o *Options) { o.Servers[0].Standby = true }, "servers"},
		"bad address":     {func(o *Options) { o.Servers = append(o.Servers, Server{Address: "b:x"}) }, "servers[1]"},
		"twice":           {func(o *Options) { o.Servers = append(o.Servers, Server{Address: "a:24224"}) }, "servers[1]"},
		"lonely password": {func(o *Options) { o.Password = "topsecret" }, "password"},
		"TLS over unix":   {func(o *Options) { o.Servers[0].Address, o.TLS = "unix:///x", &tlsconf.Client{} }, "tls"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options("a")
			tt.change(o)
			var keys []string
			o.Check(config.NewReport(func(key, message, hint string) {
				if message == "" || hint == "" {
					t.Errorf("%s: message %q, hint %q", key, message, hint)
				}
				keys = append(keys, key)
			}))
			if got := strings.Join(keys, " "); got != tt.want {
				t.Errorf("problems at %q, want %q", got, tt.want)
			}
			_, err := o.Open(outputs.Env{})
			if (err == nil) != (tt.want == "") || err != nil && strings.Contains(err.Error(), "topsecret") {
				t.Errorf("open: %v", err)
			}
		})
	}
}

func TestConfiguration(t *testing.T) {
	kinds := config.Kinds{
		Inputs:  []config.Kind{{Name: "in", Options: func() any { return &struct{}{} }}},
		Outputs: []config.Kind{{Name: "forward", Options: func() any { return Kind().Options() }}},
	}
	load := func(options string) (*Options, error) {
		src := "inputs: { i: { type: in } }\noutputs: { o: { type: forward, " + options + " } }\n"
		c, err := config.Load("test.yaml", []byte(src), kinds, config.Lookup{})
		if err != nil {
			return nil, err
		}
		return c.Outputs[0].Options.(*Options), nil
	}
	o, err := load(`servers: [agg-1, { address: "agg-2:1", standby: true, weight: 3 }], tls: true, shared_key: topsecret`)
	if err != nil {
		t.Fatal(err)
	}
	want := []Server{{Address: "agg-1", Weight: 1}, {Address: "agg-2:1", Standby: true, Weight: 3}}
	if diff := cmp.Diff(want, o.Servers); diff != "" {
		t.Error(diff)
	}
	if !o.Ack || o.AckTimeout != 30*time.Second || o.ConnectTimeout != 3*time.Second || o.TLS == nil || o.SharedKey != "topsecret" || o.Compress != "none" {
		t.Errorf("options: %+v", o)
	}
	open(t, o)
	_, err = load(`servers: [agg-1, "agg-1:24224", "b:x"], tls: { ca_file: /nope }, compress: lz4, username: u`)
	for _, part := range []string{"/nope", "lz4"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error doesn't name %q: %v", part, err)
		}
	}
	_, err = load(`servers: [agg-1, "agg-1:24224", "b:x"]`)
	for _, part := range []string{"listed twice", "b:x"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error doesn't name %q: %v", part, err)
		}
	}
}

func TestTagsAreSharedByWeight(t *testing.T) {
	o := options("a", "b", "c")
	o.Servers[0].Weight, o.Servers[1].Standby, o.Servers[2].Standby = 2, false, false
	f := open(t, o)
	count := make([]int, 3)
	const n = 12000
	moved := 0
	for i := range n {
		tag := fmt.Sprint("docker.", i)
		k := f.choose(tag, make([]bool, 3), false)
		count[k]++
		if without := f.choose(tag, []bool{false, false, true}, false); k != 2 && without != k {
			moved++
		}
	}
	for i, want := range []float64{n / 2, n / 4, n / 4} {
		if math.Abs(float64(count[i])-want) > want/10 {
			t.Errorf("server %d has %d of %d tags, want about %.0f", i, count[i], n, want)
		}
	}
	if moved > 0 {
		t.Errorf("%d tags of healthy servers moved when another one was lost", moved)
	}
}
