package config

import (
	"errors"
	"io/fs"
	"strings"
	"time"
)

// Options of kinds as the inputs and outputs declare them.

type testForwardIn struct {
	Listen     []string      `key:"listen" default:"[\"tcp://127.0.0.1:24224\"]" doc:"Addresses to listen on."`
	SharedKey  Secret        `key:"shared_key" doc:"Key of the handshake."`
	MaxMessage Size          `key:"max_message" default:"64MiB" min:"1KiB" max:"1GiB" doc:"Largest message."`
	Idle       time.Duration `key:"idle_timeout" default:"2m" min:"1s" doc:"Idle time."`
	TLS        *testTLS      `key:"tls"`
}

type testTLS struct {
	CertFile   string `key:"cert_file" required:"true" doc:"PEM file with the certificate. Read again."`
	KeyFile    string `key:"key_file"`
	MinVersion string `key:"min_version" default:"1.2" enum:"1.2,1.3"`
}

func (t *testTLS) Check(r *Report) {
	if t.KeyFile == "" {
		r.Problem("cert_file", "cert_file needs a key_file", "name the key that belongs to it")
	}
}

type testServer struct {
	Address string `key:"address" required:"true" doc:"HOST:PORT of the aggregator."`
	Standby bool   `key:"standby" default:"false"`
	Weight  uint16 `key:"weight" default:"60" min:"1" max:"1000"`
}

func (s *testServer) SetText(text string) error {
	if !strings.Contains(text, ":") {
		return errors.New("address " + text + " has no port")
	}
	s.Address = text
	return nil
}

type testForwardOut struct {
	Servers   []testServer      `key:"servers" required:"true" doc:"Aggregators, in order. The first is used."`
	SharedKey Secret            `key:"shared_key"`
	Headers   map[string]string `key:"headers" template:"true"`
	Tag       string            `key:"tag" template:"true" doc:"Tag to send."`
	TLS       *testTLS          `key:"tls"`
}

func (o *testForwardOut) Check(r *Report) {
	for i, s := range o.Servers {
		if strings.HasSuffix(s.Address, ":0") {
			r.Problem("servers["+string(rune('0'+i))+"].address", "port 0 can't be sent to", "")
		}
	}
}

type testAWS struct {
	Region string `key:"region" doc:"AWS region."`
}

type testS3 struct {
	testAWS
	Bucket   string   `key:"bucket" required:"true" doc:"Name of the bucket."`
	Key      string   `key:"key" required:"true" template:"true"`
	Format   string   `key:"format" default:"json_lines" enum:"json_lines,raw"`
	Compress string   `key:"compress" default:"zstd" enum:"none,gzip,zstd"`
	Columns  []string `key:"columns" default:"time,log"`
	Sample   float64  `key:"sample" default:"1" min:"0" max:"1"`
	Object   struct {
		MaxBytes Size          `key:"max_bytes" default:"64MiB"`
		MaxAge   time.Duration `key:"max_age" default:"5m"`
	} `key:"object"`
}

type testFile struct {
	Path   string `key:"path" required:"true" template:"true" doc:"Path of the file."`
	Format string `key:"format" default:"json_lines" enum:"json_lines,raw"`
}

var testKinds = Kinds{
	Inputs: []Kind{
		{Name: "forward", Options: func() any { return new(testForwardIn) }},
		{Name: "pods", Options: func() any { return new(struct{}) }, Supplies: []string{"k8s", "ecs"}},
	},
	Outputs: []Kind{
		{Name: "forward", Options: func() any { return new(testForwardOut) }},
		{Name: "s3", Options: func() any { return new(testS3) }},
		{Name: "file", Options: func() any { return new(testFile) }},
	},
	CheckTemplate: func(s string) (message, hint string) {
		if strings.Contains(strings.ReplaceAll(s, "$${", ""), "${tga}") {
			return "unknown name ${tga}", "write ${tag}"
		}
		return "", ""
	},
}

// testLookup is an environment and files for tests.
func testLookup(env, files map[string]string) Lookup {
	return Lookup{
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		ReadFile: func(path string) ([]byte, error) {
			if v, ok := files[path]; ok {
				return []byte(v), nil
			}
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		},
	}
}

var testEnv = testLookup(
	map[string]string{"KEY": "hunter2", "PORT": "24224", "EMPTY": "", "NUMBER": "four", "EVIL": "${tga}", "DOLLAR": "cost$"},
	map[string]string{"/run/secrets/key": "s3cret\n", "/run/secrets/binary": "\xff\xfe", "/run/secrets/big": strings.Repeat("x", maxSecret+1)},
)
