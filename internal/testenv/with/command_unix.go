//go:build unix

package main

import (
	"os"
	"syscall"
)

// signalCommand sends a signal to the command and all that it started: go test dies of a SIGTERM
// without passing it on to the tests.
func signalCommand(p *os.Process, sig syscall.Signal) error { return syscall.Kill(-p.Pid, sig) }

func exitStatus(state *os.ProcessState) int {
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return exitSignal + int(ws.Signal())
	}
	return state.ExitCode()
}
