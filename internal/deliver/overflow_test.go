//go:build !race

package deliver

// overflow is how many deliveries TestOverflow hands over: more than twice what
// the process buffers.
const overflow = 20_000
