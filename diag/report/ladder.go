package report

import "time"

// Ladder is a negotiation drawn as lines of time, ready to be rendered: lanes from left
// to right (initiator, NAT when there is one, responder) and one step per message.
type Ladder struct {
	Tunnel   string
	Title    string   // "Easy VPN, aggressive mode: stuck at mode configuration"
	Lanes    []string // "spoke 203.0.113.10", "hq 198.51.100.1"
	Steps    []LadderStep
	Note     string // what a reader should see first, e.g. "fragments leave hq and never arrive"
	Recorded int    // of the ends, how many were captured
	// Shown are the numbers of the packets behind the steps, by capture (source as in Evidence): what a
	// reduced capture keeps.
	Shown map[string][]int
	// Sources are the captures' sources by the names that stand before the packet numbers of the steps.
	Sources map[string]string
}

// LadderStep is one message between two lanes.
type LadderStep struct {
	At        time.Time
	From, To  int    // lanes
	Label     string // "AM1", "MODECFG reply", "ESP 0x1a2b", "ICMP 11/1"
	Detail    string // "UDP 500→500, 1708 bytes in 2 fragments"
	Repeat    int    // 0 first copy, n-th retransmission else
	Fate      string // "arrived", "lost", "changed", "unseen" (only one end was captured), "injected"
	Fragments []LadderFragment
	Failing   bool            // the step that the diagnosis rests on
	Skipped   int             // steps before this one that are left out
	Packets   []string        // "hq.pcap 9"
	Decoded   []LadderPayload // for the HTML report; no secret material
}

// LadderPayload is one payload of a message, or what else is read of it.
type LadderPayload struct {
	Name string   // "header", "SA", "VID", "N", "encrypted"
	Text string   // in short
	Rows []string // transforms, attributes, selectors
}

// LadderFragment is one IP fragment of a message.
type LadderFragment struct {
	Offset, Length int // bytes
	Fate           string
	Packet         string
}
