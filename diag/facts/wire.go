package facts

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"iter"
	"net/netip"
	"slices"
	"time"
)

// Capture is what one vantage point saw: one packet capture, decoded and followed.
// The decoder (diag/ike) fills it; the comparison (diag/path) and conditions read it.
// Packet numbers count the file's records from 1. Every slice is bounded by the decoder;
// what it had to leave out is counted beside it.
type Capture struct {
	Name    string // vantage point: folder name, or the file's name without extension
	Device  string // the device it belongs to, "" for a loose file
	Source  string // file relative to the bundle
	Packets int
	First   time.Time // earliest and latest packet; records may be unsorted
	Last    time.Time
	Cut     bool // the file ended in the middle of a packet
	Snapped int  // packets shorter than on the wire
	Own     []netip.Addr
	// MadeUp tells that the outer headers are not those of the wire (ASA "type isakmp"
	// captures): fit for content, not for comparing.
	MadeUp bool
	// Undated tells that the packets' times have no date, or are not known at all (hex dumps of
	// some devices): only distances between them may be used, and none when all are equal.
	Undated bool

	Negotiations []*Negotiation // in order of their first message
	Dropped      int            // negotiations left out because there were too many
	ESP          []*ESPFlow     // one per direction, SPI, addresses and encapsulation
	Folded       Folded         // holds them instead, of a capture with very many peers; nil else
	ESPDropped   int            // flows left out
	ICMP         []ICMPError
	ICMPDropped  int
	Keepalives   []Keepalive
	CTCP         []*CTCPFlow
	Orphans      []FragmentGroup // fragments whose first one, with the ports, was not seen
	Garbage      []Garbage       // on IKE ports, and neither IKE nor ESP nor keepalive
	Hosts        []HostTraffic   // everything else between two hosts, one row per direction
	HostsDropped int
}

// Folded holds the negotiations and the ESP flows of a capture in little room. Each is made
// when it is asked for, and may be forgotten after it was looked at. It is for one goroutine.
type Folded interface {
	Negotiations() int
	Negotiation(i int) *Negotiation // in order of their first message
	Flows() int
	Flow(i int) *ESPFlow
}

// EachNegotiation goes through the negotiations in order of their first message, folded or not.
func (c *Capture) EachNegotiation() iter.Seq2[int, *Negotiation] {
	if c.Folded == nil {
		return slices.All(c.Negotiations)
	}
	return func(yield func(int, *Negotiation) bool) {
		for i := range c.Folded.Negotiations() {
			if !yield(i, c.Folded.Negotiation(i)) {
				return
			}
		}
	}
}

// EachESP goes through the ESP flows, folded or not.
func (c *Capture) EachESP() iter.Seq2[int, *ESPFlow] {
	if c.Folded == nil {
		return slices.All(c.ESP)
	}
	return func(yield func(int, *ESPFlow) bool) {
		for i := range c.Folded.Flows() {
			if !yield(i, c.Folded.Flow(i)) {
				return
			}
		}
	}
}

// NegotiationAt returns one of the negotiations.
func (c *Capture) NegotiationAt(i int) *Negotiation {
	if c.Folded == nil {
		return c.Negotiations[i]
	}
	return c.Folded.Negotiation(i)
}

// ESPAt returns one of the ESP flows.
func (c *Capture) ESPAt(i int) *ESPFlow {
	if c.Folded == nil {
		return c.ESP[i]
	}
	return c.Folded.Flow(i)
}

// Negotiation is one IKE SA being set up and used, as one capture shows it. One initiator
// cookie between two peers is one negotiation, though the responder's cookie may change
// (its half-open SA expired between two copies of the first message) and an address or
// port may move (NAT). A new attempt has a new initiator cookie and is another negotiation.
type Negotiation struct {
	InitSPI  uint64
	RespSPIs []uint64 // in order of appearance; empty when the responder was never heard
	Version  int      // 1 or 2
	Exchange string   // "main", "aggressive", "base", "ikev2"; "" when only later exchanges were seen

	// Initiator and Responder are the first addresses and ports seen for each side.
	Initiator, Responder netip.AddrPort
	// RoleKnown is false when the capture began later and the sides are a guess.
	RoleKnown bool
	// Paths are all pairs of ends seen, in order of appearance, initiator first.
	Paths []PathUse

	Transport   string // "udp", "ctcp"
	NATDetected bool   // a NAT-D / NAT_DETECTION payload differs from the addresses in the packet
	NATSide     string // "initiator", "responder", "both", "": who is behind NAT by these payloads
	// NATSeen are the first NAT detection payloads about the receiver of a message whose address in
	// the packet is another: what the sender calls the other end. At most one of each side.
	NATSeen     []NATSeen
	NATTOffered bool // both sides announced NAT-T (vendor id or NAT_DETECTION)
	Floated     bool // moved to UDP 4500

	VendorIDs []VendorID
	Offered   []Proposal // of the first message that carried a clear SA payload
	Chosen    []Proposal // of the answer
	Identity  string     // the initiator's identity when it is sent in the clear (aggressive mode), redacted
	FragIKE   bool       // a side announced IKE fragmentation (vendor id or RFC 7383 notify)

	Messages []Message // in order of time; retransmissions and network duplicates included
	Omitted  int       // messages left out of the middle because there were too many
}

// NATSeen is how one side sees the other's address: as a hash only.
type NATSeen struct {
	FromInitiator bool
	InitSPI       uint64
	RespSPI       uint64
	Sum           []byte
}

// Of tells whether the address, with whatever port, is the one that was seen.
func (s NATSeen) Of(a netip.Addr) bool {
	ip := a.Unmap().AsSlice()
	for port := range 1 << 16 {
		// 500 and 4500 come early; a NAT may have taken any.
		same, known := SameNATSum(s.Sum, s.InitSPI, s.RespSPI, ip, uint16(port))
		if !known || same {
			return same
		}
	}
	return false
}

// SameNATSum compares HASH(CKY-I | CKY-R | address | port) with the one given (RFC 3947 3.2,
// RFC 7296 2.23). Which hash it is, its length tells; another length is not known.
func SameNATSum(sum []byte, initSPI, respSPI uint64, ip []byte, port uint16) (same, known bool) {
	var buf [8 + 8 + 16 + 2]byte
	binary.BigEndian.PutUint64(buf[:], initSPI)
	binary.BigEndian.PutUint64(buf[8:], respSPI)
	n := 16 + copy(buf[16:32], ip)
	binary.BigEndian.PutUint16(buf[n:], port)
	n += 2
	switch len(sum) {
	case md5.Size:
		return md5.Sum(buf[:n]) == [md5.Size]byte(sum), true
	case sha1.Size:
		return sha1.Sum(buf[:n]) == [sha1.Size]byte(sum), true
	case sha256.Size:
		return sha256.Sum256(buf[:n]) == [sha256.Size]byte(sum), true
	case sha512.Size384:
		return sha512.Sum384(buf[:n]) == [sha512.Size384]byte(sum), true
	case sha512.Size:
		return sha512.Sum512(buf[:n]) == [sha512.Size]byte(sum), true
	}
	return false, false
}

// PathUse is one pair of ends under which a negotiation was seen.
type PathUse struct {
	Initiator, Responder netip.AddrPort
	First, Last          time.Time
	FromInitiator        int // messages
	FromResponder        int
	Packet               int // the first
}

// VendorID is one vendor id payload.
type VendorID struct {
	Name          string // "NAT-T RFC 3947", "Cisco Unity", ...; hexadecimal when not known
	FromInitiator bool
}

// Proposal is one proposal of an SA payload in the clear.
type Proposal struct {
	Number     int
	Protocol   string // "IKE", "ESP", "AH"
	SPI        uint32 // of an IPsec SA, 0 of an IKE SA
	Transforms []Transform
}

// Transform is one transform. For IKEv2 one kind per transform is filled.
type Transform struct {
	Number     int
	Encryption string // "AES-CBC-256", "3DES", ...
	Hash       string // "SHA1", "SHA2-256", IKEv2: integrity
	PRF        string
	Group      string // "MODP-2048 (14)"
	Auth       string // "PSK", "RSA-SIG", "XAUTH-PSK", ...
	Mode       string // "tunnel", "transport in UDP" of IKEv1 IPsec SAs
	Lifetime   int    // seconds, 0 not given
}

// Message steps. They are the names of report.stopped_at, and a few for what follows.
const (
	StepXAUTH   = "XAUTH"
	StepMODECFG = "MODECFG"
	StepInfo    = "INFORMATIONAL" // IKEv1 exchange type 5, IKEv2 exchange type 37
	StepNewGrp  = "NEW-GROUP"
	StepUnknown = "UNKNOWN"
)

// Message is one IKE message as it passed the vantage point: one UDP datagram, put
// together from its fragments when there are some.
type Message struct {
	Packet   int   // its packet; with fragments the first fragment's (the first seen when that is missing)
	Packets  []int // all packets of it, in file order
	Time     time.Time
	Src, Dst netip.AddrPort

	// Of the (first) IP packet.
	IPLength int // bytes of the IP packet on the wire; with fragments, of the datagram put together
	IPID     uint16
	DF       bool // or IPv6, which no router cuts
	TTL      uint8
	DSCP     uint8

	Exchange  uint8 // exchange type as in the header
	Flags     uint8
	Encrypted bool
	MessageID uint32
	// Part and Parts number the pieces of an IKE-level fragment (RFC 7383 SKF, payload 132); 0 when it is none.
	Part, Parts      uint16
	InitSPI, RespSPI uint64
	Length           int // bytes in the IKE header's length field
	Captured         int // IKE bytes at hand; less than Length when snapped or incomplete

	// Step is "MM1".."MM6", "AM1".."AM3", "XAUTH", "MODECFG", "QM1".."QM3", "IKE_SA_INIT",
	// "IKE_AUTH", "CREATE_CHILD_SA" or one of the Step constants. A rekey counts QM1 to QM3 again
	// under its own message id.
	Step          string
	Label         string // for people: "MM5", "XAUTH request", "MODECFG reply", "IKE_AUTH response", "DPD R-U-THERE?"
	FromInitiator bool   // sent by the end that began the negotiation
	Response      bool   // answers another message: IKEv2 R flag, IKEv1 MM2/4/6, AM2, QM2, XAUTH reply, MODECFG reply ...
	Complete      bool   // false when fragments are missing

	Payloads []Payload // the clear ones
	Notifies []Notify
	Deletes  int // delete payloads in the clear

	// Hash is of the IKE bytes without the non-ESP marker, all of them; 0 when not all are at hand.
	// Head is of the first min(44, Length) IKE bytes; 0 when not even those are at hand.
	// Equal bytes have equal hashes in every capture of one run.
	Hash, Head uint64

	// CopyOf is the index in Negotiation.Messages of the first message with the same bytes and
	// direction when the sender sent it again (new IP id), -1 else. Copy counts: 0 first, 1 first resend.
	CopyOf, Copy int
	// DuplicateOf is the index of the message that the network doubled (same IP id, within a second), -1 else.
	DuplicateOf int

	Fragments []Fragment // IP fragments; empty when it came whole
	Malformed string     // what is wrong with it, "" when nothing is
}

// Payload is one clear payload of a message.
type Payload struct {
	Type   uint8
	Name   string // "SA", "KE", "Nonce", "ID", "VID", "NAT-D", "N", "D", "SK", ...
	Length int
	Text   string // no secret material: the first line in short, further ones in detail
}

// Notify is one clear notify payload.
type Notify struct {
	Type  uint16
	Name  string // "NO_PROPOSAL_CHOSEN"
	Error bool   // an error by its number, not a status
	SPI   uint32 // of INVALID_SPI and the like, 0 else
}

// Fragment is one IP fragment.
type Fragment struct {
	Packet int
	Time   time.Time
	Offset int // bytes
	Length int // bytes of IP payload
	Last   bool
}

// FragmentGroup is the later fragments of a datagram whose first one was not seen.
type FragmentGroup struct {
	Src, Dst  netip.Addr
	Proto     uint8
	IPID      uint16
	Fragments []Fragment
}

// ESPFlow is the ESP of one SA in one direction between two ends.
type ESPFlow struct {
	SPI      uint32
	Src, Dst netip.AddrPort // port 0 for IP protocol 50
	UDP      bool           // ESP in UDP
	CTCP     bool
	// Trusted is false for ESP in UDP that may be something else: no finished negotiation
	// between these ends, sequence numbers that do not rise.
	Trusted bool
	TTL     uint8 // of its first packet; 0 not known

	Count       int // packets, network duplicates included
	Duplicates  int // same sequence number again
	Reordered   int // sequence number lower than one before
	Late        int // of these, 64 or more behind the highest: outside of the usual replay window (RFC 4303 3.4.3)
	Missing     int // gaps within the sequence numbers seen
	FirstSeq    uint32
	LastSeq     uint32 // highest
	First, Last time.Time
	FirstPacket int
	LastPacket  int
	Bytes       int64 // of IP packets

	Sizes     []SizeCount  // by length of the IP packet, ascending; bounded, rare sizes merged into the next greater
	Sample    []ESPPacket  // the first ones and the last ones, in order; all when Sampled is false
	Sampled   bool         // Sample leaves some out
	Ranges    []SeqRange   // sequence numbers seen, ascending; bounded
	RangesCut bool         // Ranges were merged because there were too many: loss is then a lower bound
	PerSecond []RateBucket // bytes per second, bounded; empty for flows with little traffic
}

// SizeCount counts packets of one length.
type SizeCount struct {
	Length int // bytes of the IP packet
	Count  int
	DF     int // how many had DF
	Frag   int // how many were fragmented (length put together)
	First  int // packet numbers
	Last   int
}

// ESPPacket is one ESP packet.
type ESPPacket struct {
	Packet   int
	Time     time.Time
	Seq      uint32
	Length   int // bytes of the IP packet (put together)
	IPID     uint16
	DF       bool
	DSCP     uint8
	Pieces   int  // IP fragments, 0 when whole
	Complete bool // all fragments seen
}

// SeqRange is a run of sequence numbers, both ends included.
type SeqRange struct{ From, To uint32 }

// RateBucket is the traffic of one second.
type RateBucket struct {
	At      time.Time
	Bytes   int
	Packets int
}

// Keepalive counts the one-byte NAT keepalives (RFC 3948) from one end to another.
type Keepalive struct {
	Src, Dst    netip.AddrPort
	Count       int
	First, Last time.Time
	FirstPacket int
	LastPacket  int
	Packets     []int // the first ones, bounded
	Times       []time.Time
}

// ICMPError is an ICMP (or ICMPv6) error with what it quotes.
type ICMPError struct {
	Packet   int
	Time     time.Time
	From, To netip.Addr
	Type     uint8 // as in ICMPv4; ICMPv6 too big is given as 3/4, port unreachable as 3/3, time exceeded as 11/0 or 11/1
	Code     uint8
	MTU      int // of 3/4, 0 else
	Quoted   Quoted
}

// Quoted is the packet inside an ICMP error: it went from Src to Dst, against the ICMP's way.
type Quoted struct {
	Src, Dst  netip.AddrPort // port 0 when the protocol has none or it is not quoted
	Proto     uint8
	IPID      uint16
	Length    int // total length of the quoted IP header
	DF        bool
	Offset    int
	More      bool
	SPI       uint32 // ESP, 0 else
	Seq       uint32
	IKE       bool // an IKE header is quoted
	InitSPI   uint64
	RespSPI   uint64
	Exchange  uint8
	MessageID uint32
}

// CTCPFlow is one TCP connection that carries IPsec (Cisco's IPsec over TCP).
type CTCPFlow struct {
	Client, Server netip.AddrPort // the client sends the SYN; a guess when none was seen
	Content        bool           // IKE or ESP was recognised in it; false: a configured port only
	SYNs           int
	SYNACKs        int
	ResetBy        string // "client", "server", "" : who sent the first RST
	ResetPacket    int
	FINs           int
	First, Last    time.Time
	FirstPacket    int
	LastPacket     int
	Segments       []CTCPSegment // in order of time; the first ones and the last ones, bounded
	Omitted        int
}

// CTCPSegment is one TCP segment of a cTCP connection.
type CTCPSegment struct {
	Packet     int
	Time       time.Time
	FromClient bool
	Seq, Ack   uint32
	Flags      uint8 // TCP flags: FIN 1, SYN 2, RST 4, PSH 8, ACK 16
	Length     int   // bytes of TCP payload
	IPID       uint16
	Hash       uint64 // of the payload, 0 when it is empty or cut
	Label      string // "SYN", "IKE AM1", "ESP 0x…", "ACK", "duplicate ACK", "RST"
	Resend     bool   // sequence number seen before with payload
	DupAck     bool   // same acknowledgement again, no payload
}

// Garbage counts what arrived on an IKE port and is neither IKE nor ESP nor a keepalive.
type Garbage struct {
	Src, Dst    netip.AddrPort
	What        string // "STUN", "too short", "length field lies", "unknown version"
	IKE         bool   // its header is one of IKE all the same: version and exchange type are right
	Count       int
	FirstPacket int
	LastPacket  int
}

// HostTraffic counts what is not VPN from one host to another.
type HostTraffic struct {
	Src, Dst    netip.Addr
	Count       int
	First, Last time.Time
	FirstPacket int
	LastPacket  int
	Protocols   []string // "icmp", "tcp/443", "udp/53": the lower port; bounded
}

// SPIHex writes an IKE SPI as it is shown everywhere.
func SPIHex(v uint64) string {
	const digits = "0123456789abcdef"
	var b [16]byte
	for i := 15; i >= 0; i-- {
		b[i] = digits[v&15]
		v >>= 4
	}
	return string(b[:])
}
