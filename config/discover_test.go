package config

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

func TestDiscover(t *testing.T) {
	files := map[string]string{"/a.yaml": "a", "/b.yaml": "b"}
	with := func(m map[string]string, path, text string) map[string]string {
		out := map[string]string{path: text}
		for k, v := range m {
			out[k] = v
		}
		return out
	}
	system := with(files, SystemPath, "system")
	for _, c := range []struct {
		name, flag string
		env, files map[string]string
		path, src  string // src: what the file begins with
		err        error
	}{
		{name: "flag first", flag: "/a.yaml", env: map[string]string{"FIREBREAK_CONFIG": "/b.yaml"}, files: system, path: "/a.yaml", src: "a"},
		{name: "then the environment", env: map[string]string{"FIREBREAK_CONFIG": "/b.yaml"}, files: system, path: "/b.yaml", src: "b"},
		{name: "then the system's", files: system, path: SystemPath, src: "system"},
		{name: "then the default", files: files, src: "# This is the configuration"},
		{name: "a named file must be there", flag: "/none.yaml", files: system, path: "/none.yaml", err: fs.ErrNotExist},
		{name: "so must the environment's", env: map[string]string{"FIREBREAK_CONFIG": "/none.yaml"}, files: system, path: "/none.yaml", err: fs.ErrNotExist},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, src, err := Discover(c.flag, testLookup(c.env, c.files))
			if path != c.path || !strings.HasPrefix(string(src), c.src) || !errors.Is(err, c.err) {
				t.Errorf("Discover = %q, %.40q, %v", path, src, err)
			}
		})
	}
	unreadable := Lookup{ReadFile: func(string) ([]byte, error) { return nil, fs.ErrPermission }}
	if _, _, err := Discover("", unreadable); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("an unreadable file of the system gave %v", err)
	}
}

func TestTheDefaultOfTheImageListensToOtherContainers(t *testing.T) {
	for inImage, want := range map[string]string{"": "tcp://127.0.0.1:24224", "1": "tcp://0.0.0.0:24224"} {
		env := testLookup(map[string]string{"FIREBREAK_IN_IMAGE": inImage}, nil)
		path, src, err := Discover("", env)
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := Load(path, src, testKinds, env)
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.Inputs[0].Options.(*testForwardIn).Listen; len(got) != 1 || got[0] != want {
			t.Errorf("in image %q: listen = %q", inImage, got)
		}
		dir := strings.TrimSuffix(cfg.DataDir, "/")
		if p := cfg.Outputs[0].Options.(*testFile).Path; p != dir+"/logs/${record.container_name:-other}.log" {
			t.Errorf("in image %q: path %q, data_dir %q", inImage, p, dir)
		}
	}
}

func TestDescribe(t *testing.T) {
	found := map[string]Option{}
	for _, o := range Describe(testKinds) {
		found[o.Kind+" "+o.Path] = o
	}
	for key, want := range map[string]string{
		" data_dir": "text /var/lib/firebreak", " shutdown.deadline": "duration 25s", " outputs.NAME.buffer.min_free": "percent 10%",
		"forward outputs.NAME.servers[].weight": "integer 60", "s3 outputs.NAME.region": "text ", "s3 outputs.NAME.object.max_age": "duration 5m",
		"forward inputs.NAME.shared_key": "secret ", "forward inputs.NAME.tls.min_version": "text 1.2", " processors[].size_guard.max_bytes": "size ",
		"forward outputs.NAME.headers": "mapping ", " outputs.NAME.workers": "integer 1", "s3 outputs.NAME.columns[]": "text time,log",
	} {
		if o, ok := found[key]; !ok || o.Type+" "+o.Default != want {
			t.Errorf("%s: %+v, want %s", key, o, want)
		}
	}
	if o := found["s3 outputs.NAME.compress"]; len(o.Enum) != 3 || o.Template || o.Required {
		t.Errorf("compress = %+v", o)
	}
}
