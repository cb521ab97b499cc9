package agent

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"

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
	Listen() error // opens what peers connect to
	Addrs() []net.Addr
	Stop()  // cuts the shutdown short
	Close() // of an input that was never run
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

func (a *Agent) inputEnv(name string, attrs record.Attrs) inputEnv {
	sync := false
	for _, o := range a.cfg.Outputs {
		sync = sync || o.Buffer.Type == "disk" && o.Buffer.Sync == "always"
	}
	return inputEnv{
		sync: sync, name: name, attrs: attrs, shutdown: a.cfg.Shutdown, dir: filepath.Join(a.cfg.DataDir, "inputs", name),
		log: a.sampled(),
	}
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

// openDestinations builds every configured output behind its own buffer.
func (a *Agent) openDestinations(host string) error {
	pool := destination.NewPool()
	parts := a.sampled()
	for i := range a.cfg.Outputs {
		c := &a.cfg.Outputs[i]
		log := parts.With(zap.String("destination", c.Name))
		out, err := openOutput(c, outputs.Env{Name: c.Name, Log: log, Host: host, Work: pool.Do})
		if err != nil {
			return fmt.Errorf("build output %q: %w", c.Name, err)
		}
		buf, err := a.openBuffer(c, log)
		if err != nil {
			return fmt.Errorf("open the buffer of %q: %w", c.Name, err)
		}
		dead := &deadLetters{dir: filepath.Join(a.deads(), c.Name)}
		dead.Dead = buffer.NewDead(dead.dir, int64(c.DeadLetters.MaxBytes), nil, log)
		a.dests = append(a.dests, &target{cfg: c, dead: dead, ended: make(chan struct{}), Destination: destination.New(destination.Options{
			Name: c.Name, Buffer: buf, Output: out, Workers: c.Workers, Pool: pool, Log: log,
			Retry:  destination.Retry{Initial: c.Retry.Initial, Max: c.Retry.Max, Timeout: c.Retry.Timeout},
			Dead:   dead,
			Blocks: c.Buffer.OnFull == "block",
		})})
	}
	return nil
}

func openOutput(c *config.Output, env outputs.Env) (outputs.Output, error) {
	opts, ok := c.Options.(outputs.Options)
	if !ok {
		return nil, fmt.Errorf("options of type %T", c.Options)
	}
	return opts.Open(env)
}

func (a *Agent) openBuffer(c *config.Output, log *zap.Logger) (buffer.Buffer, error) {
	policy := map[string]buffer.OnFull{"shed_oldest": buffer.ShedOldest, "shed_newest": buffer.ShedNewest, "block": buffer.Block}[c.Buffer.OnFull]
	if c.Buffer.Type == "memory" {
		return buffer.OpenMemory(buffer.MemoryOptions{Name: c.Name, MaxBytes: int64(c.Buffer.MaxBytes), OnFull: policy, MaxAge: c.Buffer.MaxAge, Log: log}), nil
	}
	return buffer.OpenDisk(buffer.DiskOptions{
		Dir: filepath.Join(a.buffers(), c.Name), Name: c.Name, MaxBytes: int64(c.Buffer.MaxBytes), Memory: int64(c.Buffer.Memory),
		OnFull: policy, MaxAge: c.Buffer.MaxAge, MinFree: float64(c.Buffer.MinFree) / 100, Log: log,
		Sync: map[string]buffer.Sync{"interval": buffer.SyncInterval, "always": buffer.SyncAlways, "never": buffer.SyncNever}[c.Buffer.Sync],
	})
}
