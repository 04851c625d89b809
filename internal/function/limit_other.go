//go:build !linux

package function

// limitAddressSpace does nothing here; the watch on the heap is what remains.
func limitAddressSpace(uint64) error { return nil }
