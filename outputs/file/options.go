// Package file is the output that writes events as lines to files, one for each rendered path.
//
// A file is only ever appended to, one batch with one write. What a failed write left is cut off again, and so is a
// line that a crash tore: its batch was not acknowledged and comes again. So after a crash lines may be there twice,
// but not in part. A compressed file is a row of stand-alone gzip members or zstd frames, one for each batch, each
// followed by a mark of some 20 bytes that readers skip. A compressed file without the mark at its end is torn: it is
// rotated away, since nothing can be read behind a torn member.
package file

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/internal/zip"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/record"
)

const (
	maxBytes = 1 << 20
	// A line should be in its file when somebody looks; members of a few lines would not compress.
	linger       = 20 * time.Millisecond
	zippedLinger = time.Second
)

// Kind declares the output.
func Kind() outputs.Kind {
	return outputs.Kind{
		Name:    "file",
		Summary: "Appends events as lines to local files, with rotation and optional compression.",
		Options: func() outputs.Options { return &Options{} },
	}
}

// Options of the output.
type Options struct {
	Path         string `key:"path" required:"true" template:"true" doc:"File to append to, such as /var/log/apps/${record.container_name:-unknown}.log. Values can't lead out of the directory in front of the first variable."`
	Timezone     string `key:"timezone" default:"UTC" doc:"Time zone of ${time:…} in path, such as Europe/Berlin."`
	Format       string `key:"format" default:"json_lines" enum:"json_lines,raw" doc:"json_lines: one JSON object a line. raw: the text of the log (or message) field as it is; an event without it becomes a JSON line."`
	LineKey      string `key:"line_key" doc:"Record key whose text is the line with format raw, tried before log and message."`
	TimeKey      string `key:"time_key" default:"time" doc:"Key of the event's time in JSON lines, unless the record has that key itself; empty for none."`
	TagKey       string `key:"tag_key" default:"tag" doc:"Key of the tag in JSON lines, unless the record has that key itself; empty for none."`
	TypeKey      string `key:"type_key" doc:"Key of the event's type (the route) in JSON lines; empty for none."`
	Compress     string `key:"compress" default:"none" enum:"none,gzip,zstd" doc:"Compression of the files; each batch is a gzip member or zstd frame of its own. Batches then wait up to 1 s for more events."`
	Rotate       Rotate `key:"rotate"`
	Mode         string `key:"mode" default:"0640" doc:"Permissions of new files, octal, before the umask."`
	DirMode      string `key:"dir_mode" default:"0750" doc:"Permissions of new directories, octal, before the umask."`
	MaxOpenFiles int    `key:"max_open_files" default:"64" min:"1" max:"65536" doc:"Files kept open; the one used longest ago is closed for the next."`
	MaxNewFiles  int    `key:"max_new_files" default:"1000" min:"1" doc:"New files per hour. What would need more becomes dead letters, reason too_many_files: a sender that makes up names can't fill the disk with files."`
	Sync         bool   `key:"sync" default:"false" doc:"Force each batch to the disk before it counts as delivered. Matters for a power cut only."`
}

// Rotate bounds the size of a file and the number of its predecessors.
type Rotate struct {
	MaxBytes config.Size `key:"max_bytes" default:"100MiB" min:"1KiB" doc:"A file is renamed to FILE.1, and FILE.1 to FILE.2 and so on, before it would grow over this size."`
	Keep     int         `key:"keep" default:"5" min:"1" max:"1000" doc:"Rotated files to keep; the oldest is removed."`
}

// Check reports what is wrong with the options.
func (o *Options) Check(r *config.Report) { o.build(r.Problem) }

// Open checks the options and returns the output. No file is opened.
func (o *Options) Open(env outputs.Env) (outputs.Output, error) {
	var errs []error
	out := o.build(func(key, message, hint string) {
		errs = append(errs, fmt.Errorf("option %q: %s; %s", key, message, hint))
	})
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	out.work, out.dir.log = env.Work, env.Log
	out.keyer = record.NewKeyer(out.path.template, record.RenderContext{Host: env.Host, Location: out.zone, Sanitize: record.PathElement})
	return out, nil
}

// build makes the output, or reports why it can't be made.
func (o *Options) build(problem func(key, message, hint string)) *output {
	format := record.LineFormat{JSON: record.JSONOptions{TimeKey: o.TimeKey, TagKey: o.TagKey, TypeKey: o.TypeKey}}
	if o.Format == "raw" {
		format.Raw = record.RawKeys(o.LineKey)
	}
	z, err := zip.ParseFormat(o.Compress)
	if err != nil {
		problem("compress", err.Error(), "write none, gzip or zstd")
	}
	loc, err := time.LoadLocation(o.Timezone)
	if err != nil {
		problem("timezone", fmt.Sprintf("unknown time zone %q", o.Timezone), "write a name such as UTC or Europe/Berlin")
	}
	path, message, hint := parsePath(o.Path)
	if message != "" {
		problem("path", message, hint)
	}
	return &output{
		path: path, zone: loc, format: format, zip: zip.NewPool(z),
		dir: dir{
			base: path.base, format: z, keep: max(o.Rotate.Keep, 1), sync: o.Sync, budget: &budget{max: o.MaxNewFiles},
			mode: parseMode("mode", o.Mode, problem), dirMode: parseMode("dir_mode", o.DirMode, problem),
		},
		maxFile: int64(o.Rotate.MaxBytes),
		files:   newFiles(o.MaxOpenFiles),
	}
}

func parseMode(key, s string, problem func(key, message, hint string)) fs.FileMode {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o777 {
		problem(key, fmt.Sprintf("%q is no file mode", s), "write octal permissions in quotes, such as \"0640\"")
	}
	return fs.FileMode(n) & fs.ModePerm
}
