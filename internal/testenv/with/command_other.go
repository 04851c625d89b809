//go:build !unix

package main

import (
	"os"
	"syscall"
)

func commandAttributes() *syscall.SysProcAttr { return nil }

func signalCommand(p *os.Process, sig syscall.Signal) error { return p.Signal(sig) }

func exitStatus(state *os.ProcessState) int { return state.ExitCode() }
