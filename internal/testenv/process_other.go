//go:build !linux

package testenv

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// processAttributes has nothing to set: only Linux can tie a child's life to its parent's.
func processAttributes(syscall.Signal, *account) *syscall.SysProcAttr { return nil }

// unprivileged refuses root, which PostgreSQL would refuse with less of an explanation.
func unprivileged() (*account, error) {
	if os.Geteuid() == 0 {
		return nil, errors.New("PostgreSQL does not run as root: use another account")
	}
	return nil, nil
}

// processUsage needs Linux's /proc.
func processUsage(int) (time.Duration, int64, error) {
	return 0, 0, fmt.Errorf("usage of a process on this system: %w", errors.ErrUnsupported)
}

func maxRSS(*os.ProcessState) int64 { return 0 }

func isDone(err error) bool { return errors.Is(err, os.ErrProcessDone) }
