package file

import (
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/zip"
)

func zipFormat(t *testing.T, name string) zip.Format {
	t.Helper()
	f, err := zip.ParseFormat(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// ignoreSizeSignal turns SIGXFSZ into the error of the write.
func ignoreSizeSignal(t *testing.T) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	t.Cleanup(func() { signal.Reset(syscall.SIGXFSZ) })
}

func TestCheckNamesTheKeyAndWhatToWrite(t *testing.T) {
	for _, c := range []struct {
		change func(*Options)
		key    string
		part   string
	}{
		{func(o *Options) { o.Path = "/var/log/${tga}.log" }, "path", "${tag}"},
		{func(o *Options) { o.Path = "/var/log/${id}.log" }, "path", "${id}"},
		{func(o *Options) { o.Path = "/${tag}/x.log" }, "path", "any file"},
		{func(o *Options) { o.Path = "/var/log/${tag}/" }, "path", "file name"},
		{func(o *Options) { o.Path = "/var/log/" }, "path", "file name"},
		{func(o *Options) { o.Path = "" }, "path", "file name"},
		{func(o *Options) { o.Path = "/var/log/${tag}/../x.log" }, "path", ".."},
		{func(o *Options) { o.Path = "/var/log/${tag}/${time:%Y/../%m}.log" }, "path", ".."},
		{func(o *Options) { o.Path = "/var/log/${tag}" }, "path", ".log"},
		{func(o *Options) { o.Path = "/var/log/${tag}.1" }, "path", ".log"},
		{func(o *Options) { o.Mode = "640x" }, "mode", "0640"},
		{func(o *Options) { o.DirMode = "10000" }, "dir_mode", "0640"},
		{func(o *Options) { o.Timezone = "Mars/Base" }, "timezone", "Mars/Base"},
		{func(o *Options) { o.Compress = "lz4" }, "compress", "lz4"},
	} {
		o := options("/var/log/apps/${tag}.log")
		c.change(o)
		got := ""
		o.Check(config.NewReport(func(key, message, hint string) { got += key + ": " + message + "; " + hint + "\n" }))
		if !strings.HasPrefix(got, c.key+": ") || !strings.Contains(got, c.part) || strings.Count(got, "\n") != 1 {
			t.Errorf("path %q: problems %q, want one at %s about %q", o.Path, got, c.key, c.part)
		}
	}
	for _, path := range []string{
		"/var/log/apps/${tag}.log", "logs/all.jsonl", "/all.log", "${tag}.log", "./firebreak-data/logs/${record.container_name:-none}.log",
		"/var/log/${time:%Y-%m-%d}", "/data/${time:%Y/%m/%d}/all.jsonl.gz", "/data/../x/${type}/y.log",
	} {
		options(path).Check(config.NewReport(func(key, message, hint string) {
			t.Errorf("path %q: %s: %s; %s", path, key, message, hint)
		}))
	}
}

func TestLongElementsAreCutAndStayApart(t *testing.T) {
	p := path{prefix: "/logs/", base: "/logs"}
	a, err := p.rel("/logs/" + strings.Repeat("é", 120) + "a.log")
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.rel("/logs/" + strings.Repeat("é", 120) + "b.log")
	if err != nil {
		t.Fatal(err)
	}
	if a == b || len(a) > maxElement || filepath.Ext(a) != ".log" || !strings.HasPrefix(a, "éé") || strings.ContainsRune(a, '\uFFFD') {
		t.Errorf("%q, %q", a, b)
	}
	for _, key := range []string{"/etc/passwd", "/logs/../x", "/logs/", "", "/logs//etc/x"} {
		if rel, err := p.rel(key); err == nil {
			t.Errorf("rel(%q) = %q, want an error", key, rel)
		}
	}
}

func TestOptionsFromAConfiguration(t *testing.T) {
	kinds := config.Kinds{
		Inputs:  []config.Kind{{Name: "none", Options: func() any { return &struct{}{} }}},
		Outputs: []config.Kind{{Name: Kind().Name, Summary: Kind().Summary, Options: func() any { return Kind().Options() }}},
	}
	load := func(options string) (*Options, error) {
		src := "inputs: { in: { type: none } }\noutputs: { out: { type: file, " + options + " } }\n"
		cfg, err := config.Load("test.yaml", []byte(src), kinds, config.Lookup{})
		if err != nil {
			return nil, err
		}
		return cfg.Outputs[0].Options.(*Options), nil
	}
	got, err := load(`path: "/var/log/apps/${record.container_name:-none}.log", mode: 0600, rotate: { max_bytes: 1MiB }`)
	if err != nil {
		t.Fatal(err)
	}
	want := &Options{
		Path: "/var/log/apps/${record.container_name:-none}.log", Timezone: "UTC", Format: "json_lines", TimeKey: "time", TagKey: "tag",
		Compress: "none", Rotate: Rotate{MaxBytes: 1 << 20, Keep: 5}, Mode: "0600", DirMode: "0750", MaxOpenFiles: 64, MaxNewFiles: 1000,
	}
	if *got != *want {
		t.Errorf("options %+v, want %+v", got, want)
	}
	for _, bad := range []string{`format: raw`, `path: "/var/log/${tag}"`, `path: /a/b.log, rotate: { keep: 0 }`, `path: /a/b.log, compress: lz4`} {
		if _, err := load(bad); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}
