package facts

import (
	"net/netip"
	"time"
)

// Capture is what one vantage point saw: one packet capture, decoded and followed.
// The decoder (diag/ike) fills it; the comparison (diag/path) and conditions read it.
type Capture struct {
	Name    string // vantage point: folder name, or the file's name without extension
	Device  string // the device it belongs to, "" for a loose file
	Source  string // file relative to the bundle
	Packets int
	First   time.Time
	Last    time.Time
	Cut     bool // the file ended in the middle of a packet
	Snapped int  // packets shorter than on the wire
	Own     []netip.Addr
}
