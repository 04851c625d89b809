//go:build !linux

package e2e

import "syscall"

// orphaned has no way here to make a process die with the tests that started
// it.
func orphaned() *syscall.SysProcAttr { return nil }
