// Package path compares captures of the same time, taken at several points of one
// tunnel: which packet arrived, was lost, changed, doubled or made up on the way. It
// matches packets by what NAT, fragmentation and clocks cannot change: the bytes of an
// IKE message put together from its fragments, SPI and sequence number of ESP, the
// packet that an ICMP error quotes. In: captures as diag/ike followed them. Out: one
// Wire per tunnel, with one capture as with many; it judges packets, never causes.
package path

import (
	"net/netip"
	"slices"
	"time"

	"vpnbot/diag/facts"
)

// Wire is what all captures show of one tunnel.
type Wire struct {
	// Addrs are the ends' addresses as the world sees them, lower first; one when only one is known,
	// none for captures in which no tunnel was found.
	Addrs []netip.Addr
	Ends  [2]End // 0 began the attempt that is judged, 1 answered
	Views []*View
	// Attempts are the negotiations, all captures merged, in order of time on the reference clock.
	Attempts []*Attempt
	Flows    []*Flow // ESP
	ICMP     []ICMP  // errors about packets of this tunnel
	CTCP     []*CTCP
	// Common counts packets that were matched between captures.
	Common int
	// Comparable is false when two captures have IKE between the ends and nothing in common.
	Comparable bool
}

// End is one end of a tunnel under all addresses it was seen with.
type End struct {
	Addrs []netip.Addr // in order of appearance
	View  *View        // the capture taken at this end, nil when there is none
	Name  string       // of the vantage point, "" when there is none
	// Ports are this peer's UDP ports where several peers were seen behind one address at once,
	// and Peers how many; a Wire is one of them.
	Ports []uint16
	Peers int
}

// View is one capture's share in a tunnel.
type View struct {
	Capture *facts.Capture
	End     int           // 0 or 1: taken at this end; -1: somewhere between, or it cannot be told
	Guessed bool          // the end is a guess
	Offset  time.Duration // to be added to this capture's times for the reference clock (the first view's)
	Synced  bool          // Offset was measured from common packets
	// Began and Ended are the times, on the reference clock, before and after which the capture
	// surely did not run, though the other end's shows packets of this one there; zero when
	// nothing proves it. What was sent to this end outside of them was not lost: nobody looked.
	Began, Ended time.Time
	Blind        bool // it saw nothing of the tunnel though the tunnel ran: another time, interface or filter

	Negotiations []*facts.Negotiation
	ESP          []*facts.ESPFlow
	Keepalives   []facts.Keepalive
	CTCP         []*facts.CTCPFlow
	Orphans      []facts.FragmentGroup
	Hosts        []facts.HostTraffic // other traffic from or to an end
	Garbage      []facts.Garbage
}

// Fate of a packet or message.
type Fate string

// Fates. Unseen says that only the sender's (or only the receiver's) side was captured.
const (
	Arrived  Fate = "arrived"
	Lost     Fate = "lost"
	Partial  Fate = "partial" // some fragments only
	Unseen   Fate = "unseen"
	Injected Fate = "injected" // arrived, and never left the other end though that was captured
)

// Msg is one copy of one IKE message, as seen at one or both ends.
type Msg struct {
	*facts.Message                   // as its sender's capture has it, else the receiver's
	From           int               // end
	At             time.Time         // reference clock
	Seen           [2]*facts.Message // at end 0, at end 1
	Mid            []*facts.Message  // at captures between
	Copies         []*facts.Message  // network duplicates at the receiver
	Fate           Fate
	Sure           bool     // of a loss: the receiver's capture goes on after it
	Changes        []string // "source address 10.20.0.10 became 203.0.113.65", ...
	Got            int      // fragments that arrived
	GotFirst       bool     // the first fragment arrived
	Seq            int      // place in the attempt's order
}

// Sent returns the message as the sender's capture has it, or nil.
func (m *Msg) Sent() *facts.Message { return m.Seen[m.From] }

// Rcvd returns the message as the receiver's capture has it, or nil.
func (m *Msg) Rcvd() *facts.Message { return m.Seen[1-m.From] }

// Gone tells whether the message did not arrive whole although the receiver's end was captured.
func (m *Msg) Gone() bool { return m.Fate == Lost || m.Fate == Partial }

// Attempt is one negotiation as all captures show it.
type Attempt struct {
	InitSPI   uint64
	Initiator int // end
	Negs      []*facts.Negotiation
	NegViews  []*View
	Msgs      []*Msg // in order of time
	Units     []*Unit
	Start     time.Time
	End       time.Time
}

// Any returns a negotiation value that answers what does not differ between captures, the
// one of the responder's capture first: that is where NAT shows.
func (a *Attempt) Any() *facts.Negotiation {
	for i, v := range a.NegViews {
		if v.End == 1-a.Initiator {
			return a.Negs[i]
		}
	}
	return a.Negs[0]
}

// Version is 1 or 2.
func (a *Attempt) Version() int { return a.Any().Version }

// Exchange is "main", "aggressive", "ikev2", ...
func (a *Attempt) Exchange() string {
	for _, n := range a.Negs {
		if n.Exchange != "" {
			return n.Exchange
		}
	}
	return ""
}

// NAT tells whether a NAT was seen by the messages themselves or by comparing addresses.
func (a *Attempt) NAT() bool {
	for _, n := range a.Negs {
		if n.NATDetected {
			return true
		}
	}
	return len(a.Negs) > 0 && slices.ContainsFunc(a.Msgs, func(m *Msg) bool { return addrChanged(m) })
}

// Floated tells whether the exchange moved to UDP 4500.
func (a *Attempt) Floated() bool {
	return slices.ContainsFunc(a.Negs, func(n *facts.Negotiation) bool { return n.Floated })
}

func addrChanged(m *Msg) bool {
	s, r := m.Sent(), m.Rcvd()
	return s != nil && r != nil && (s.Src.Addr() != r.Src.Addr() || s.Dst.Addr() != r.Dst.Addr())
}

// Unit is one message with all its copies: same bytes, same direction.
type Unit struct {
	Step, Label   string
	From          int // end
	FromInitiator bool
	Response      bool
	Msgs          []*Msg
	Sent          int // copies known to have left, or, when the sender was not captured, seen to arrive
	Arrived       int
	Lost          int // not arrived whole, receiver captured
	Sure          int // of the lost: how many with a receiver's capture that goes on
	Partial       int
}

// First copy.
func (u *Unit) First() *Msg { return u.Msgs[0] }

// Last copy.
func (u *Unit) Last() *Msg { return u.Msgs[len(u.Msgs)-1] }

// Flow is one direction's ESP of one SA.
type Flow struct {
	SPI      uint32
	From     int
	UDP      bool
	CTCP     bool
	Seen     [2]*facts.ESPFlow
	Sent     int
	Arrived  int
	Lost     int // left and did not arrive while the receiver's capture was running or its end is not known
	Sure     int // of the lost: the receiver's capture goes on after them
	LostPkts []facts.ESPPacket
	Start    time.Time
	End      time.Time
}

// Any returns the flow as one of the captures has it, the sender's first.
func (f *Flow) Any() *facts.ESPFlow {
	if f.Seen[f.From] != nil {
		return f.Seen[f.From]
	}
	return f.Seen[1-f.From]
}

// ICMP is an ICMP error about a packet of this tunnel.
type ICMP struct {
	*facts.ICMPError
	View  *View
	About int // end that sent the quoted packet, -1 unknown
	At    time.Time
}

// CTCP is one cTCP connection at up to two captures.
type CTCP struct {
	Client int // end
	Seen   [2]*facts.CTCPFlow
}

// Any returns the flow of one capture, the server's first: that is where a gap shows.
func (c *CTCP) Any() *facts.CTCPFlow {
	if c.Seen[1-c.Client] != nil {
		return c.Seen[1-c.Client]
	}
	return c.Seen[c.Client]
}

// Both tells whether both ends were captured.
func (w *Wire) Both() bool { return w.Ends[0].View != nil && w.Ends[1].View != nil }

// Has tells whether an address is one of this tunnel's.
func (w *Wire) Has(a netip.Addr) bool {
	return slices.Contains(w.Ends[0].Addrs, a) || slices.Contains(w.Ends[1].Addrs, a)
}

// EndOf returns the end that has the address, -1 when none has.
func (w *Wire) EndOf(a netip.Addr) int {
	for i := range w.Ends {
		if slices.Contains(w.Ends[i].Addrs, a) {
			return i
		}
	}
	return -1
}

// Public is the address under which the other end knows this one.
func (w *Wire) Public(end int) netip.Addr {
	e := w.Ends[end]
	if len(e.Addrs) == 0 {
		return netip.Addr{}
	}
	if o := w.Ends[1-end].View; o != nil {
		for _, n := range o.Negotiations {
			if a := n.Initiator.Addr(); slices.Contains(e.Addrs, a) {
				return a
			}
			if a := n.Responder.Addr(); slices.Contains(e.Addrs, a) {
				return a
			}
		}
	}
	for _, a := range e.Addrs {
		if !a.IsPrivate() {
			return a
		}
	}
	return e.Addrs[0]
}
