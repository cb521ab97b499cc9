package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"

	"go.uber.org/zap"

	"github.com/firebreak/firebreak/buffer"
	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/destination"
	"github.com/firebreak/firebreak/inputs"
	"github.com/firebreak/firebreak/inputs/forward"
	"github.com/firebreak/firebreak/outputs"
	"github.com/firebreak/firebreak/outputs/file"
	outforward "github.com/firebreak/firebreak/outputs/forward"
	"github.com/firebreak/firebreak/outputs/null"
	"github.com/firebreak/firebreak/outputs/stdout"
	"github.com/firebreak/firebreak/record"
)

// outputKinds is the list of outputs: adding one is one line here.
func outputKinds() []outputs.Kind {
	return []outputs.Kind{
		outforward.Kind(),
		file.Kind(),
		stdout.Kind(),
		null.Kind(),
	}
}

// Kinds returns every type that a configuration may name.
func Kinds() config.Kinds {
	k := config.Kinds{CheckTemplate: checkTemplate, Inputs: []config.Kind{{
		Name:    "forward",
		Summary: "Receives the Fluent forward protocol: Docker's fluentd log driver, Fluentd, Fluent Bit.",
		Options: func() any { return new(forward.Options) },
	}}}
	for _, o := range outputKinds() {
		k.Outputs = append(k.Outputs, config.Kind{Name: o.Name, Summary: o.Summary, Options: func() any { return o.Options() }})
	}
	return k
}

func checkTemplate(text string) (message, hint string) {
	_, err := record.ParseTemplate(text)
	if e, ok := errors.AsType[*record.TemplateError](err); ok {
		return e.Message, e.Hint
	}
	if err != nil {
		return err.Error(), ""
	}
	return "", ""
}

// serving is what the agent needs of an input beside the contract.
type serving interface {
	inputs.Input
	inputs.Changer
	Listen() error // opens what peers connect to
	Addrs() []net.Addr
	Adjust(sync bool, shutdown config.Shutdown) // to another configuration
	Stop()                                      // cuts the shutdown short
	Close()                                     // of an input that was never run
	Stats() inputs.Stats
}

// inputEnv is what inputs get from the agent.
type inputEnv struct {
	name     string
	log      *zap.Logger
	attrs    record.Attrs
	dir      string
	sync     bool // some destination promises to survive a power cut
	shutdown config.Shutdown
}

// forwardInput gives the forward input's counters their common form.
type forwardInput struct{ *forward.Input }

func (f forwardInput) Stats() inputs.Stats {
	s := f.Input.Stats()
	return inputs.Stats{
		Received: s.Received, Invalid: s.Invalid, Errors: s.Errors, Broken: s.Broken, Connections: s.Connections, Accepted: s.ConnectionsTotal,
		Refused: s.Refused, Held: s.HeldLines, Bytes: s.BytesRead, Acks: s.Acks, Memory: s.Buffer + s.HeldBytes,
	}
}

// synced reports whether some destination promises to survive a power cut.
func synced(cfg *config.Config) bool {
	return slices.ContainsFunc(cfg.Outputs, func(o config.Output) bool { return o.Buffer.Type == "disk" && o.Buffer.Sync == "always" })
}

// openInputOf builds an input and lets it listen.
func (a *Agent) openInputOf(c config.Input, cfg *config.Config) (*input, error) {
	in, err := openInput(c, inputEnv{
		sync: synced(cfg), name: c.Name, attrs: record.NewAttrs(record.Attr{Key: "host", Value: a.parts.host}), shutdown: cfg.Shutdown,
		dir: filepath.Join(a.dataDir, "inputs", c.Name), log: a.parts.log,
	})
	if err == nil {
		err = in.Listen()
	}
	if err != nil {
		return nil, fmt.Errorf("start input %q: %w", c.Name, err)
	}
	return &input{name: c.Name, id: c.Name, kind: c.Type, in: in, done: make(chan struct{})}, nil
}

func openInput(c config.Input, env inputEnv) (serving, error) {
	switch o := c.Options.(type) {
	case *forward.Options:
		in, err := forward.New(o, forward.Env{Name: env.name, Log: env.log, Attrs: env.attrs, Dir: env.dir, Sync: env.sync, Shutdown: env.shutdown})
		if err != nil {
			return nil, err
		}
		return forwardInput{in}, nil
	}
	return nil, fmt.Errorf("build an input of type %q: unknown type", c.Type)
}

// parts are what all destinations share.
type parts struct {
	pool *destination.Pool
	log  *zap.Logger
	host string
}

func (p *parts) output(c *config.Output) (outputs.Output, error) {
	out, err := openOutput(c, outputs.Env{Name: c.Name, Log: p.log.With(zap.String("destination", c.Name)), Host: p.host, Work: p.pool.Do})
	if err != nil {
		return nil, fmt.Errorf("build output %q: %w", c.Name, err)
	}
	return out, nil
}

// openTarget puts an output behind its own buffer. It has no fallback yet.
func (a *Agent) openTarget(c *config.Output, out outputs.Output) (*target, error) {
	log := a.parts.log.With(zap.String("destination", c.Name))
	buf, err := a.openBuffer(c, log)
	if err != nil {
		return nil, fmt.Errorf("open the buffer of %q: %w", c.Name, err)
	}
	dead := &deadLetters{dir: filepath.Join(a.deads(), c.Name)}
	dead.Dead = buffer.NewDead(dead.dir, int64(c.DeadLetters.MaxBytes), nil, log)
	s := &standing{dead: dead, buf: buf, taps: &a.taps, ended: make(chan struct{})}
	return &target{cfg: c, standing: s, Destination: destination.New(destination.Options{
		Name: c.Name, Buffer: buf, Output: out, Workers: c.Workers, Pool: a.parts.pool, Log: log,
		Retry:   retryOf(c),
		Dead:    dead,
		Blocks:  c.Buffer.OnFull == "block",
		MaxRate: int64(c.MaxRate),
	})}, nil
}

func retryOf(c *config.Output) destination.Retry {
	return destination.Retry{Initial: c.Retry.Initial, Max: c.Retry.Max, Timeout: c.Retry.Timeout}
}

// settingsOf are the settings of a destination in a setup that may change while it runs. out nil: the output stays.
func (s *setup) settingsOf(c *config.Output, out outputs.Output) destination.Settings {
	return destination.Settings{
		Output: out, Workers: c.Workers, Retry: retryOf(c), Blocks: c.Buffer.OnFull == "block", MaxRate: int64(c.MaxRate), Fallback: s.fallbackOf(c),
	}
}

// fallbackOf returns where events of a destination move; nil: nowhere.
func (s *setup) fallbackOf(c *config.Output) *destination.Fallback {
	to := s.target(c.Buffer.Fallback)
	if c.Buffer.Fallback == "" || to == nil {
		return nil
	}
	return &destination.Fallback{Name: to.Name(), Sink: moveTo{to}, After: c.Buffer.FallbackAfter, Room: to.Room}
}

// moveTo stores what another destination gives up. When it fails, the events stay where they are.
type moveTo struct{ *target }

// Append stores chunks, and shows some of them to who taps.
func (m moveTo) Append(ctx context.Context, chunks []record.Chunk) error {
	m.taps.see(tapDestination, m.Name(), chunks)
	return m.Destination.Append(ctx, chunks)
}

func openOutput(c *config.Output, env outputs.Env) (outputs.Output, error) {
	opts, ok := c.Options.(outputs.Options)
	if !ok {
		return nil, fmt.Errorf("options of type %T", c.Options)
	}
	return opts.Open(env)
}

func (a *Agent) openBuffer(c *config.Output, log *zap.Logger) (buffer.Buffer, error) {
	p := policyOf(c)
	if c.Buffer.Type == "memory" {
		return buffer.OpenMemory(buffer.MemoryOptions{Name: c.Name, MaxBytes: p.MaxBytes, OnFull: p.OnFull, MaxAge: p.MaxAge, Spills: p.Spills, Log: log}), nil
	}
	return buffer.OpenDisk(buffer.DiskOptions{
		Dir: filepath.Join(a.buffers(), c.Name), Name: c.Name, MaxBytes: p.MaxBytes, Memory: p.Memory,
		OnFull: p.OnFull, MaxAge: p.MaxAge, MinFree: p.MinFree, Sync: p.Sync, Spills: p.Spills, Log: log,
	})
}

func policyOf(c *config.Output) buffer.Policy {
	return buffer.Policy{
		MaxBytes: int64(c.Buffer.MaxBytes), Memory: int64(c.Buffer.Memory), MaxAge: c.Buffer.MaxAge, MinFree: float64(c.Buffer.MinFree) / 100,
		OnFull: map[string]buffer.OnFull{"shed_oldest": buffer.ShedOldest, "shed_newest": buffer.ShedNewest, "block": buffer.Block}[c.Buffer.OnFull],
		Sync:   map[string]buffer.Sync{"interval": buffer.SyncInterval, "always": buffer.SyncAlways, "never": buffer.SyncNever}[c.Buffer.Sync],
		Spills: c.Buffer.Fallback != "",
	}
}
