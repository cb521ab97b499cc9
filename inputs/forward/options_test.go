package forward

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/firebreak/firebreak/config"
)

func load(options string) (*Options, error) {
	kinds := config.Kinds{
		Inputs:  []config.Kind{{Name: "forward", Options: func() any { return new(Options) }}},
		Outputs: []config.Kind{{Name: "none", Options: func() any { return &struct{}{} }}},
	}
	src := "inputs: { in: { type: forward" + options + " } }\noutputs: { out: { type: none } }\nroutes: [ { name: all, to: [out] } ]\n"
	cfg, err := config.Load("test.yaml", []byte(src), kinds, config.Lookup{})
	if err != nil {
		return nil, err
	}
	return cfg.Inputs[0].Options.(*Options), nil
}

func TestDefaults(t *testing.T) {
	got, err := load("")
	if err != nil {
		t.Fatal(err)
	}
	want := testOptions()
	want.Listen = []string{"tcp://127.0.0.1:24224"}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOptionsFromAConfiguration(t *testing.T) {
	got, err := load(`, listen: ["unix:///run/f.sock", "127.0.0.1:1"], shared_key: s3cret, users: [ { username: u, password: p } ], idle_timeout: 1h, unix_mode: "0600"`)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Listen) != 2 || got.SharedKey.Reveal() != "s3cret" || got.Users[0].Password.Reveal() != "p" || got.IdleTimeout != time.Hour || got.UnixMode != "0600" {
		t.Errorf("%+v", got)
	}
	_, err = load(`, listen: ["tls://127.0.0.1:1"]`)
	if err == nil || !strings.Contains(err.Error(), "needs a certificate") {
		t.Errorf("tls without a certificate: %v", err)
	}
}

func TestOptionsCheck(t *testing.T) {
	check := func(o Options) (keys []string) {
		o.check(func(key, message, hint string) {
			if message == "" || hint == "" {
				t.Errorf("%s: message %q, hint %q", key, message, hint)
			}
			keys = append(keys, key)
		})
		return keys
	}
	good := testOptions()
	good.Listen = []string{"tcp://0.0.0.0:24224", "127.0.0.1:1", "[::1]:24225", "tcp://localhost", ":24226", "unix:///run/f.sock"}
	if keys := check(good); len(keys) > 0 {
		t.Errorf("good options: %v", keys)
	}
	for _, s := range []string{"udp://1.2.3.4:1", "unix://relative", "unix:///" + strings.Repeat("x", 200), "tcp://1.2.3.4:port", "tcp://1.2.3.4:70000", "tcp://", "", "a:b:c", "tcp://h/p:1", "tls://1.2.3.4:1"} {
		o := testOptions()
		o.Listen = []string{s}
		if keys := check(o); !slices.Equal(keys, []string{"listen[0]"}) {
			t.Errorf("%q: %v", s, keys)
		}
	}
	bad := testOptions()
	bad.Listen = []string{"h:1", "tcp://h:1"}
	bad.UnixMode = "rw"
	bad.Users = []User{{Username: "u"}, {Username: "u"}}
	if keys := check(bad); !slices.Equal(keys, []string{"listen[1]", "unix_mode", "users[1]"}) {
		t.Errorf("%v", keys)
	}
	bad.Listen = nil
	if keys := check(bad); keys[0] != "listen" {
		t.Errorf("%v", keys)
	}
}
