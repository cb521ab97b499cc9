package forward

import (
	"net"
	"syscall"
)

// Some file descriptors are left to the rest of the router: with none, destinations could neither connect nor write.
const mostSpare = 256

// fileBound returns the number that a connection's file descriptor must be below, from the bound of the process; 0
// means any.
func fileBound() int {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil || lim.Cur > 1<<30 {
		return 0
	}
	cur := int(lim.Cur)
	return cur - min(mostSpare, cur/2)
}

// beyond reports whether nc's file descriptor is not below bound. The kernel gives the lowest number that is free, so
// at least as many files are open in the whole process then.
func beyond(nc net.Conn, bound int) bool {
	sc, ok := nc.(syscall.Conn)
	if !ok || bound == 0 {
		return false
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	over := false
	err = rc.Control(func(fd uintptr) { over = int(fd) >= bound })
	return err == nil && over
}
