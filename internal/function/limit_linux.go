package function

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// limitAddressSpace lets the process map so many bytes more than it has.
func limitAddressSpace(more uint64) error {
	mapped := uint64(4 << 30) // more than the runtime reserves, for where /proc is not mounted
	if status, err := os.ReadFile("/proc/self/statm"); err == nil {
		first, _, _ := strings.Cut(string(status), " ")
		pages, err := strconv.ParseUint(first, 10, 64)
		if err != nil {
			return fmt.Errorf("address space: %w", err)
		}
		mapped = pages * uint64(os.Getpagesize())
	}
	limit := mapped + more
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
		return fmt.Errorf("address space: %w", err)
	}
	return nil
}
