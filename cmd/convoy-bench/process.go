package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// clockTick is the unit of the times in /proc/<pid>/stat: USER_HZ, which is
// 100 on every architecture that Go supports (proc(5)).
const clockTick = time.Second / 100

// process is something to measure: a process and all its descendants.
type process struct {
	name string
	pid  int
	// fresh says that the process was started for this measurement, so that
	// its kernel-kept peak of memory is one of this measurement.
	fresh bool
	// alone leaves out the descendants: the harness is the parent of the
	// servers it starts.
	alone bool
}

// usage is what a process tree has used so far. Ended descendants are in it
// once their parent has waited for them.
type usage struct {
	cpu     time.Duration
	rss     int64 // bytes, pages shared inside the tree counted once
	peak    int64 // bytes; 0 for a tree of several processes, which has no counter
	written int64 // bytes handed to the storage layer
}

// usages reads what each process has used so far, or why that is unknown.
func usages(processes []process) ([]usage, error) {
	children, err := children()
	if err != nil {
		return nil, err
	}
	all := make([]usage, len(processes))
	for i, p := range processes {
		if all[i], err = p.usage(children); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// usage reads /proc; the field numbers are those of proc(5).
func (p process) usage(children map[int][]int) (usage, error) {
	tree := []int{p.pid}
	for i := 0; i < len(tree) && !p.alone; i++ {
		tree = append(tree, children[tree[i]]...)
	}
	var total usage
	var file, shared int64
	for i, pid := range tree {
		cpu, err := cpuTime(pid, p.alone)
		if err == nil {
			var m, io map[string]int64
			if m, err = numbers(pid, "status"); err == nil {
				io, err = numbers(pid, "io")
				total.cpu += cpu
				total.rss += m["RssAnon"]
				file, shared = max(file, m["RssFile"]), max(shared, m["RssShmem"])
				total.written += io["write_bytes"]
				if len(tree) == 1 {
					total.peak = m["VmHWM"]
				}
			}
		}
		// A descendant may end at any time; the process itself must not.
		if err != nil && i == 0 {
			return usage{}, fmt.Errorf("usage of %s (process %d): %w", p.name, pid, err)
		}
	}
	total.rss += file + shared
	return total, nil
}

// children returns the children of every process. It reads all of /proc, so one
// table serves all the processes of a measurement.
func children() (map[int][]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("list of processes: %w", err)
	}
	children := map[int][]int{}
	for _, path := range stats {
		id, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		fields, err := statFields(id)
		if err != nil {
			continue // ended meanwhile
		}
		if parent, err := strconv.Atoi(fields[1]); err == nil {
			children[parent] = append(children[parent], id)
		}
	}
	return children, nil
}

// statFields returns the fields of /proc/<pid>/stat from field 3 (state) on.
func statFields(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	// Field 2 is the command in parentheses and may itself hold some.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 15 {
		return nil, fmt.Errorf("stat of process %d: unexpected text", pid)
	}
	return fields, nil
}

// cpuTime sums utime, stime, and those of ended children unless alone, cutime
// and cstime (fields 14 to 17).
func cpuTime(pid int, alone bool) (time.Duration, error) {
	fields, err := statFields(pid)
	if err != nil {
		return 0, err
	}
	var total time.Duration
	last := 15
	if alone {
		last = 13
	}
	for _, field := range fields[11:last] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("times of process %d: %w", pid, err)
		}
		total += time.Duration(ticks) * clockTick
	}
	return total, nil
}

// numbers reads the "name: number [kB]" lines of a file of /proc/<pid>, in
// bytes.
func numbers(pid int, file string) (map[string]int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return nil, err
	}
	values := map[string]int64{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		value, kilo := strings.CutSuffix(strings.TrimSpace(value), " kB")
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			continue // not a number
		}
		if kilo {
			n <<= 10
		}
		values[name] = n
	}
	return values, nil
}

// meter measures several processes over a span of time.
type meter struct {
	processes []process
	before    []usage
	peaks     []int64 // of the sampling goroutine until it has ended
	stop      context.CancelFunc
	sampling  sync.WaitGroup
}

// sampleInterval is short enough to catch the peak of a run of seconds and
// long enough to cost under 1 % of a core.
const sampleInterval = 500 * time.Millisecond

// spent is what one process used during a measurement.
type spent struct {
	Name    string        `json:"name"`
	CPU     time.Duration `json:"cpu_ns"`
	Idle    int64         `json:"rss_before_bytes"`
	Peak    int64         `json:"rss_peak_bytes"`
	Written int64         `json:"written_bytes"`
}

// startMeter takes the figures before the load and samples memory until end.
func startMeter(ctx context.Context, processes []process) (*meter, error) {
	before, err := usages(processes)
	if err != nil {
		return nil, err
	}
	m := &meter{processes: processes, before: before, peaks: make([]int64, len(processes))}
	ctx, m.stop = context.WithCancel(ctx)
	m.sampling.Go(func() {
		for pause(ctx, sampleInterval) == nil {
			now, err := usages(processes)
			if err != nil {
				continue // a process has ended: end reports it
			}
			for i, u := range now {
				m.peaks[i] = max(m.peaks[i], u.rss)
			}
		}
	})
	return m, nil
}

// end returns what each process used since startMeter. It must be called once.
func (m *meter) end() ([]spent, error) {
	m.stop()
	m.sampling.Wait()
	now, err := usages(m.processes)
	if err != nil {
		return nil, err
	}
	all := make([]spent, len(now))
	for i, u := range now {
		before, peak := m.before[i], max(m.before[i].rss, m.peaks[i], u.rss)
		if m.processes[i].fresh {
			peak = max(peak, u.peak)
		}
		all[i] = spent{
			Name: m.processes[i].name, CPU: u.cpu - before.cpu,
			Idle: before.rss, Peak: peak, Written: u.written - before.written,
		}
	}
	return all, nil
}

// directorySize sums the sizes of the files below dir. Files that vanish
// meanwhile count as empty.
func directorySize(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", dir, err)
	}
	return total, nil
}
