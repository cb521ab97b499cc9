package forward

import (
	"context"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/firebreak/firebreak/outputs"
)

// The most usual troubles say what to look at, and that nobody is needed for the events: they are sent again.
func TestDialErrorsSayWhatToDo(t *testing.T) {
	for want, err := range map[string]error{
		"start the server":     &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
		"and firewalls":        &net.OpError{Op: "dial", Err: context.DeadlineExceeded},
		"check the address":    &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)},
		"the name of the serv": &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}},
	} {
		if e := explain(err); !strings.Contains(e.Hint, want) || e.Class != outputs.Transient {
			t.Errorf("%v: class %v, hint %q", err, e.Class, e.Hint)
		}
	}
	if e := explain(&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}); e.Hint != "" {
		t.Errorf("a slow answer: %q", e.Hint)
	}
}
