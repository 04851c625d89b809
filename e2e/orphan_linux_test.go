package e2e

import "syscall"

// orphaned makes a process die with the tests that started it.
func orphaned() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
