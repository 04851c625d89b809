package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// processAttributes makes a child that gets the orphan signal when its parent dies, in a process
// group of its own: an interrupt from the terminal reaches the tests, which end first, and not
// the servers that they use.
func processAttributes(orphan syscall.Signal, acc *account) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Pdeathsig: orphan, Setpgid: true}
	if acc != nil {
		attr.Credential = &syscall.Credential{Uid: acc.uid, Gid: acc.gid}
	}
	return attr
}

// unprivileged returns the account for servers that refuse to run as root: user postgres for
// root, nil (the caller's own) for anyone else.
func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("account to run as instead of root: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user id of postgres: %w", err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("group id of postgres: %w", err)
	}
	return &account{uid: uint32(uid), gid: uint32(gid)}, nil
}

// clockTick is the unit of the times in /proc/<pid>/stat: USER_HZ, which is 100 on every
// architecture that Go supports (proc(5)).
const clockTick = time.Second / 100

// processUsage reads the processor time and the memory of a process and its children from /proc.
// Children that have ended are in their parent's counters.
func processUsage(pid int) (cpu time.Duration, rss int64, err error) {
	main, err := readStat(pid)
	if err != nil {
		return 0, 0, err
	}
	memory, err := readMemory(pid)
	if err != nil {
		return 0, 0, err
	}
	cpu = main.cpu
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, 0, err
	}
	children := 0
	for _, path := range stats {
		id, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		// A process that ends between two reads is not an error: it is gone, or in the counters
		// of its parent at the next call.
		st, err := readStat(id)
		if err != nil || st.parent != pid {
			continue
		}
		m, err := readMemory(id)
		if err != nil {
			continue
		}
		children++
		cpu += st.cpu
		memory.anonymous += m.anonymous
		memory.file = max(memory.file, m.file)
		memory.shared = max(memory.shared, m.shared)
	}
	rss = memory.anonymous + memory.file + memory.shared
	if children == 0 {
		rss = max(rss, memory.peak)
	}
	return cpu, rss, nil
}

type stat struct {
	parent int
	cpu    time.Duration // of the process and of its children that have ended
}

// readStat reads /proc/<pid>/stat (proc(5)): field 4 is the parent, 14 to 17 are utime, stime,
// cutime and cstime.
func readStat(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	return parseStat(string(text))
}

func parseStat(text string) (stat, error) {
	// Field 2 is the command in parentheses, and may itself hold spaces and parentheses.
	_, rest, ok := cutLast(text, ")")
	fields := strings.Fields(rest) // from field 3 on
	if !ok || len(fields) < 15 {
		return stat{}, fmt.Errorf("stat of a process: unexpected text %q", text)
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return stat{}, fmt.Errorf("parent of a process: %w", err)
	}
	s := stat{parent: parent}
	for _, f := range fields[11:15] {
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return stat{}, fmt.Errorf("times of a process: %w", err)
		}
		s.cpu += time.Duration(ticks) * clockTick
	}
	return s, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// memory is the resident memory of a process in bytes, by kind of page.
type memory struct{ anonymous, file, shared, peak int64 }

// readMemory reads /proc/<pid>/status (proc(5)); the values there are in KiB.
func readMemory(pid int) (memory, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	var m memory
	into := map[string]*int64{"RssAnon": &m.anonymous, "RssFile": &m.file, "RssShmem": &m.shared, "VmHWM": &m.peak}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		target, ok := into[key]
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return memory{}, fmt.Errorf("memory of a process: %w", err)
		}
		*target = kib << 10
	}
	return m, nil
}

// maxRSS returns the peak memory in bytes of the largest process of a tree that has ended.
func maxRSS(state *os.ProcessState) int64 {
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		return int64(usage.Maxrss) << 10 //nolint:unconvert // KiB (getrusage(2)), in 32 bits on some systems
	}
	return 0
}

// isDone reports whether a signal came too late, which is what it was for.
func isDone(err error) bool {
	return errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH)
}
