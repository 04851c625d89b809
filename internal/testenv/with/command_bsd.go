//go:build unix && !linux

package main

import "syscall"

// commandAttributes puts the command in a process group of its own, which gets signals as a whole
// and only from here.
func commandAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
