//go:build race

package deliver

// overflow is how many deliveries TestOverflow hands over: more than a lane
// holds, and not many more, because the detector makes the SQLite engine slow.
const overflow = 6_000
