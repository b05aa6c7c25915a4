// Package facts holds the typed evidence that diagnosis works on: what parsers and
// decoders made of device text, logs and captures, each piece with the place it came
// from. It has no behaviour beyond look-ups; parsers fill it, conditions read it.
package facts

import (
	"net/netip"
	"time"
)

// Place points to the evidence behind a fact: a line of a text or a packet of a capture.
type Place struct {
	Source string     // file relative to the bundle, or "device: command" for live output
	Line   int        // first line is 1; 0 for packets
	Packet int        // first packet is 1; 0 for lines, and for "the whole capture"
	Wire   bool       // true when Packet counts (also for packet 0, the whole file)
	Time   *time.Time // of the packet or log line, when known
	Text   string     // the line itself, or one line about the packet; redacted, never a secret
	// Datagram describes the packet in figures, for who reads no VPN terms; nil for lines and for what is no single packet.
	Datagram *Datagram
}

// Datagram is one IP packet of the evidence.
type Datagram struct {
	Src, Dst netip.AddrPort // port 0 when the protocol has none, or a later fragment does not carry it
	Proto    uint8          // IP protocol: 1 ICMP, 6 TCP, 17 UDP, 50 ESP
	Length   int            // bytes of the whole IP packet
	IPID     uint16
	DF       bool
	Fragment bool
	Offset   int    // bytes, of a fragment
	Fate     string // what became of it, in words: "arrived", "did not arrive"; "" not known
}

// Platform is the kind of device that wrote a text.
type Platform string

// Platforms as in device.yaml (contracts/bundle.md).
const (
	UnknownPlatform Platform = ""
	ASA             Platform = "asa"
	IOS             Platform = "ios" // also IOS XE
	Meraki          Platform = "meraki"
	Other           Platform = "other"
)

// Role of a device in its tunnel, as in device.yaml.
type Role string

// Roles as in device.yaml.
const (
	Headend Role = "headend"
	Spoke   Role = "spoke"
	Client  Role = "client"
	Path    Role = "path"
)

// Set is all evidence of one bundle or one live run.
type Set struct {
	Devices  []*Device
	Captures []*Capture
	Errors   []Error
}

// Error is a piece of evidence that could not be used.
type Error struct {
	Source  string
	Line    int
	Kind    string // contracts/report.md errors[].kind, "" when none fits
	Message string
}

// NothingKnown is the message about a text without VPN evidence. A complaint in it may
// still be heard.
const NothingKnown = "nothing in this text was recognised as VPN evidence"

// Device is what the texts of one device (or client) say.
type Device struct {
	Name      string // folder or inventory name; "" for loose texts
	Platform  Platform
	Version   Version
	Role      Role
	Hostname  string
	Addresses []netip.Addr // its own addresses that face a peer: device.yaml first, then the configuration's
	Inventory bool         // addresses came from the inventory, not from the text

	Outputs      []Output // every command output seen, also those with nothing in them
	IKE          []IKESA
	IPsec        []IPsecSA
	Sessions     []Session
	Config       *Config // nil when no configuration was seen
	Events       []Event
	Counters     []Counter
	Pings        []Ping
	Traces       []PacketTrace
	Routes       []RouteEntry // show route / show ip route
	Clock        *Clock
	Certificates []Certificate
	Notes        []Note // what people wrote around the evidence: a mail, a ticket; bounded
	Skipped      int    // lines that no parser understood, blank and comment lines excluded
}

// Note is a sentence that people wrote around the evidence: the complaint that an absent
// optional line needs before it means anything. It is in any language, and never proof alone.
type Note struct {
	Place Place
	Lower string // the text in lower case, blanks single
}

// Version of the device's software.
type Version struct {
	Text         string // "8.2(5)", "15.1", "9.1(7)23"
	Major, Minor int
}

// AtLeast tells whether the version is known and not older than major.minor.
func (v Version) AtLeast(major, minor int) bool {
	return v.Text != "" && (v.Major > major || v.Major == major && v.Minor >= minor)
}

// Before tells whether the version is known and older than major.minor.
func (v Version) Before(major, minor int) bool {
	return v.Text != "" && !v.AtLeast(major, minor)
}

// Clock is one reading of show clock.
type Clock struct {
	Device time.Time // what the device said, in its own zone
	Read   time.Time // when the bot read it; zero in bundles
	Unsure bool      // IOS marks it with an asterisk: set by nobody since the start
	Place  Place
}

// Certificate is one block of show crypto ca certificates or show crypto pki certificates.
type Certificate struct {
	CA, Self            bool // of a certification authority; signed by the device itself
	Serial, Subject     string
	Status              string    // "Available", "Pending"
	NotBefore, NotAfter time.Time // zero when not shown
	Trustpoints         []string
	Place               Place // of the block's first line
	From, Until         Place // of the lines with the dates
}

// Output is one command of a transcript and how it was answered.
type Output struct {
	Command  string // normalised: lower case, abbreviations expanded where known ("show crypto isakmp sa")
	Filter   string // what stood behind the pipe: "include encaps|decaps"; "" when there was none
	Typed    string // as it stands in the text
	Place    Place  // of the command line, or of the first line of a file without prompts
	Empty    bool   // nothing but blanks, or a sentence such as "There are no IKEv1 SAs"
	Refused  bool   // answered by an error caret, "ERROR:", "% Invalid input" or failed authorisation
	Complete bool   // the next prompt followed; false when the text ended within the output
	Time     time.Time
	Text     []Line // the output's lines, redacted; for conditions that look at rare outputs
}

// Line is one line of text with its number in its file.
type Line struct {
	N    int
	Text string
}

// IKESA is one IKE SA as a device lists it.
type IKESA struct {
	Version    int        // 1 or 2
	Local      netip.Addr // own address when the output names it (IOS: dst or src by role)
	Remote     netip.Addr // the peer
	RemoteName string     // when the device prints a name or masked text in the peer's place
	LocalPort  int        // 0 when not shown
	RemotePort int
	State      string // as printed, upper case: MM_WAIT_MSG2, AM_TM_INIT_XAUTH_V6H, QM_IDLE, READY, MM_ACTIVE ...
	Role       string // initiator, responder, ""
	Type       string // L2L, user, ...; "" when not shown
	ConnID     string // IOS conn-id or IKEv2 tunnel-id
	Deleted    bool   // IOS "(deleted)" or "DELETED"
	Rekey      bool
	Encryption string
	Hash       string
	Auth       string // preshared, rsa, ...
	DH         string
	Lifetime   int // seconds, 0 unknown
	Remaining  int // seconds, 0 unknown
	SPI        string
	Children   []ChildSA // IKEv2
	Reading    int       // 0 for the first output of this command, 1 for the second ...
	Place      Place
	StatePlace Place // of the state where it stands in a line of its own (ASA); zero otherwise
}

// ChildSA is an IKEv2 child as printed below its IKE SA.
type ChildSA struct {
	Local, Remote string // selectors as printed
	SPIIn, SPIOut uint32
	Place         Place
}

// Selector is one side of a proxy identity. The zero Prefix means "not shown".
type Selector struct {
	Prefix netip.Prefix
	Proto  int // IP protocol, 0 any
	Port   int // 0 any
	Text   string
}

// Places are the places of a fact's parts, by their names. There are a few: a list is
// smaller than a map, and found in as fast.
type Places []NamedPlace

// NamedPlace is the place of one part.
type NamedPlace struct {
	Name  string
	Place Place
}

// At returns the place of a part, false when it has none.
func (ps Places) At(name string) (Place, bool) {
	for i := range ps {
		if ps[i].Name == name {
			return ps[i].Place, true
		}
	}
	return Place{}, false
}

// Set sets the place of a part.
func (ps *Places) Set(name string, at Place) {
	for i := range *ps {
		if (*ps)[i].Name == name {
			(*ps)[i].Place = at
			return
		}
	}
	*ps = append(*ps, NamedPlace{name, at})
}

// NotShown is the value of a counter that the output does not contain.
const NotShown int64 = -1

// IPsecSA is one block of show crypto ipsec sa: a pair of proxy identities with its
// counters and the SPIs of both directions. Counters are NotShown (-1) when absent.
type IPsecSA struct {
	Interface string
	Map       string // crypto map tag
	Sequence  int
	Local     netip.Addr // local crypto endpoint
	Peer      netip.Addr // current peer
	PeerName  string     // when a name stands in the peer's place
	LocalID   Selector
	RemoteID  Selector
	ACL       string // ASA prints the entry's access list
	ACLText   string
	Username  string // remote access
	Dynamic   string // dynamic peer / assigned address

	Encaps, Encrypt, Digest int64
	Decaps, Decrypt, Verify int64
	SendErrors, RecvErrors  int64
	InvalidSARecv           int64
	PMTUsSent, PMTUsRcvd    int64
	FragFailures            int64
	ReplayFailed            int64

	PathMTU, MediaMTU, Overhead int
	SPIIn, SPIOut               []SPI
	PFS                         string // "N", "Y", group; "" not shown
	Complete                    bool   // the block was not cut off
	Reading                     int    // 0 first output, 1 second ... of the same command
	Time                        time.Time
	Places                      Places // by counter or field name: "encaps", "decaps", "peer", "ident", "spi-in", "spi-out", "send-errors", ...
	Place                       Place
}

// SPI is one SA of a direction.
type SPI struct {
	Value     uint32
	Transform string // "esp-aes-256 esp-sha-hmac no compression"
	Settings  string // "L2L, Tunnel, NAT-T-Encaps, IKEv1"
	Seconds   int    // remaining lifetime, 0 unknown
	KBytes    int64  // remaining, 0 unknown
	Status    string // ACTIVE, ""
	Place     Place
}

// Session is a row of show vpn-sessiondb or show crypto session.
type Session struct {
	Type     string // L2L, IPsec, AnyConnect, ...; IOS: "crypto session"
	Peer     netip.Addr
	Name     string // connection or user
	Group    string
	Policy   string
	Assigned netip.Addr
	Status   string // IOS: UP-ACTIVE, UP-IDLE, UP-NO-IKE, DOWN, DOWN-NEGOTIATING
	BytesTx  int64  // NotShown when absent
	BytesRx  int64
	Fields   map[string]string // further fields as printed
	Place    Place
}

// Event is one line of a log, a debug, a console or a client log, or a pasted message.
type Event struct {
	Kind     string // "asa", "ios", "debug", "client", "console", "swan" (charon and pluto)
	ID       string // "713123"; "CRYPTO-4-IKMP_NO_SA" without the percent sign; "Reason 412"; "IKE/0xE3000056"
	Severity int    // -1 unknown
	Time     time.Time
	HasTime  bool
	Host     string
	Text     string     // the message body without header, redacted
	Peer     netip.Addr // IP = x, from x, srcaddr=x ...; zero when none
	PeerPort int
	Group    string // Group = x
	User     string // Username = x
	Session  string
	Addrs    []netip.Addr // all addresses in the body, in order
	Repeat   int          // "last message repeated n times", 0
	Place    Place
}

// Counter is a named count: asp drop, cerm, memory, pools, host licence ...
// Readings of the same name are kept in order, so that growth can be seen.
type Counter struct {
	Group   string // "asp-drop", "memory", "ip-local-pool", "cerm", "aaa-server", "version", "shun", "xlate", "nat", "local-host", "access-list", "threat-detection", "failover", "asp-classify"
	Name    string
	Value   int64
	Limit   int64 // NotShown when there is none
	Text    string
	Reading int
	Place   Place
}

// Ping is a ping of a transcript, on the device or on a client.
type Ping struct {
	Target   netip.Addr
	Source   string // interface or address it was sourced from, "" when not sourced
	Size     int    // bytes as given, 0 default
	DF       bool
	Sent     int
	Received int
	TooBig   bool // 'M', "Packet needs to be fragmented but DF set", "Frag needed"
	MillisRT int  // average round trip in ms, -1 unknown
	Place    Place
}

// PacketTrace is an ASA packet-tracer output.
type PacketTrace struct {
	Input      string // interface
	Proto      string
	Src, Dst   netip.Addr
	Phases     []TracePhase
	Result     string // "allow", "drop"
	DropReason string
	Place      Place
}

// TracePhase is one phase of a packet-tracer output.
type TracePhase struct {
	Type, Subtype, Result string
	Text                  []string
	Place                 Place
}

// RouteEntry is a row of show route or show ip route.
type RouteEntry struct {
	Prefix    netip.Prefix
	Via       netip.Addr
	Interface string
	Kind      string // S, C, B, V ...
	Place     Place
}
