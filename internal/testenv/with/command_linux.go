package main

import "syscall"

// commandAttributes puts the command in a process group of its own, which gets signals as a whole
// and only from here, and makes the kernel end it when this process dies.
func commandAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
