package facts

import "net/netip"

// Config is what a running configuration says, ASA and IOS in one form. Every item
// carries the place of its line; what has no typed form stays in Lines.
type Config struct {
	Place    Place
	Source   string
	Complete bool // reached its end marker
	Partial  bool // only a section (show run crypto, show run | section ...): absence of a line proves nothing outside it
	Tail     bool // its beginning is missing: what a device prints first need not be absent
	All      bool // show run all: defaults are printed
	Lines    []ConfigLine

	Hostname      string
	Names         map[string]netip.Addr // ASA name lines
	Interfaces    []Interface
	MapEntries    []MapEntry   // crypto map and dynamic-map entries, in file order
	MapBindings   []MapBinding // crypto map NAME interface IF / IOS interface crypto map
	TransformSets []TransformSet
	Proposals     []IKEv2Proposal // ipsec ikev2 ipsec-proposal (ASA), crypto ikev2 proposal (IOS)
	IKEPolicies   []IKEPolicy
	IKEEnabled    []IKEEnable
	Keys          []PSK
	Profiles      []Profile // IOS isakmp/ikev2/ipsec profiles
	TunnelGroups  []TunnelGroup
	GroupPolicies []GroupPolicy
	Users         []GroupPolicy // username NAME attributes, same shape
	ClientGroups  []GroupPolicy // IOS crypto isakmp client configuration group
	ACLs          []ACL
	Objects       []Object // object, object-group network
	NAT           []NATRule
	RouteMaps     []RouteMap
	Routes        []StaticRoute
	Pools         []Pool
	AAAServers    []AAAServer
	Settings      []Setting // one-line settings by key: see Setting

	lists  map[string]int // places in ACLs by name, made when asked
	listed int
}

// ConfigLine is a line of the configuration; Parent is the index of the line it stands under, -1 at top level.
type ConfigLine struct {
	N      int
	Text   string // trimmed, redacted
	Parent int
}

// Interface of a device.
type Interface struct {
	Name       string // ASA nameif, IOS interface name
	Hardware   string
	Address    netip.Prefix // zero when none or dynamic
	Dynamic    bool         // dhcp, pppoe, negotiated
	Security   int          // ASA security level, -1 not set
	Map        string       // IOS crypto map
	ACLIn      string
	ACLOut     string
	NATInside  bool // IOS ip nat inside
	NATOutside bool
	AdjustMSS  int
	MTU        int
	DFBit      string
	VRF        string
	Protection string // tunnel protection ipsec profile
	TunnelSrc  string
	TunnelDst  netip.Addr
	Shutdown   bool
	Place      Place
}

// MapEntry is one sequence of a crypto map or dynamic map.
type MapEntry struct {
	Map         string
	Sequence    int
	DynamicMap  bool   // entry of a crypto dynamic-map
	Dynamic     string // ipsec-isakmp dynamic NAME: the dynamic map it refers to
	Peers       []netip.Addr
	PeerNames   []string // set peer HOSTNAME, or "dynamic"
	ACL         string
	Transforms  []string // set [ikev1] transform-set
	Proposals   []string // set ikev2 ipsec-proposal
	PFS         string   // "", "group2", ...; "default" when set pfs stands alone
	NATTDisable bool
	ConnType    string // bidirectional when not set: ""
	Reverse     bool   // reverse-route
	Lifetime    int    // seconds
	Profile     string // isakmp-profile / ikev2-profile
	Trustpoint  string
	Place       Place
	Places      map[string]Place // "peer", "acl", "transform", "pfs", "nat-t", "type", "reverse-route", "dynamic"
}

// MapBinding binds a crypto map to an interface.
type MapBinding struct {
	Map, Interface string
	Place          Place
}

// TransformSet is an IKEv1 transform set.
type TransformSet struct {
	Name       string
	Transforms []string // normalised: esp-aes-256, esp-sha-hmac ...
	Transport  bool
	Place      Place
}

// IKEv2Proposal is an ASA ipsec-proposal or an IOS ikev2 proposal.
type IKEv2Proposal struct {
	Name       string
	IPsec      bool // phase 2 (ASA ipsec-proposal)
	Encryption []string
	Integrity  []string
	PRF        []string
	Groups     []string
	Place      Place
}

// IKEPolicy is a phase-1 policy. Defaults of the release are filled in and named in Defaulted.
type IKEPolicy struct {
	Version    int // 1 or 2
	Number     int
	Encryption []string // one for IKEv1: des, 3des, aes, aes-192, aes-256
	Hash       []string // md5, sha, sha256 ...
	Auth       string   // pre-share, rsa-sig, crack ...
	Groups     []string
	PRF        []string
	Lifetime   int      // seconds; 0 = none
	Defaulted  []string // names of attributes that stand in no line
	Place      Place
	Places     map[string]Place // "encryption", "hash", "auth", "group", "lifetime"
}

// IKEEnable is crypto isakmp|ikev1|ikev2 enable IF, or its "no" form.
type IKEEnable struct {
	Version   int // 0 for crypto isakmp enable (IKEv1 on images to 8.3), 1, 2
	Interface string
	No        bool
	Place     Place
}

// PSK is a pre-shared key. Token compares equal keys within one run and is never shown.
type PSK struct {
	Peer    netip.Prefix // /32 for address; 0.0.0.0/0 for any; zero for names
	Name    string       // hostname, tunnel-group or group name
	Version int          // 0 both, 1, 2
	Side    string       // IKEv2: local, remote, ""
	Token   string       // "" when the configuration masks the key or encrypts it (type 6)
	NoXAuth bool
	Keyring string
	Place   Place
}

// Profile is an IOS isakmp, ikev2 or ipsec profile.
type Profile struct {
	Kind  string // isakmp, ikev2, ipsec
	Name  string
	Attrs []Attr
	Place Place
}

// Attr is one line under a group: key, value.
type Attr struct {
	Key, Value string
	No         bool
	Place      Place
}

// TunnelGroup is an ASA tunnel-group.
type TunnelGroup struct {
	Name  string
	Type  string // ipsec-l2l, remote-access (ipsec-ra is normalised)
	Attrs []Attr // of general-, ipsec-, ppp-, webvpn-attributes
	Place Place
}

// GroupPolicy is an ASA group policy, username attributes, or IOS client group.
type GroupPolicy struct {
	Name     string
	External bool
	From     string // group-policy X internal from Y
	Attrs    []Attr
	Place    Place
}

// Get returns the last attribute with that key, and whether it is there.
func Get(attrs []Attr, key string) (Attr, bool) {
	for i := len(attrs) - 1; i >= 0; i-- {
		if attrs[i].Key == key {
			return attrs[i], true
		}
	}
	return Attr{}, false
}

// ACL is an access list with its entries; object groups are expanded into Src and Dst.
type ACL struct {
	Name     string
	Standard bool
	Entries  []ACE
	Place    Place
}

// ACE is one access-list entry.
type ACE struct {
	Permit   bool
	Proto    string         // ip, tcp, udp, esp, icmp ...; a service group's name when it is one
	Src, Dst []netip.Prefix // expanded; empty with SrcAny/DstAny false means "not resolved"
	SrcName  string         // object or object-group (or ASA name) that Src came from, "" for literals
	DstName  string
	SrcAny   bool
	DstAny   bool
	SrcPort  string // "eq 25", "range 1 2", ""
	DstPort  string
	Hits     int64 // NotShown when absent
	Inactive bool
	Sequence int // IOS sequence number, 0 when not shown
	Place    Place
}

// Object is an ASA object or object-group of networks.
type Object struct {
	Name     string
	Group    bool
	Prefixes []netip.Prefix // with those of nested groups
	Refs     []string       // nested objects and groups, as named
	Service  bool           // a service or protocol object: no networks
	FQDN     string
	NAT      *NATRule
	Place    Place
}

// NATRule is one translation rule in either ASA form or in IOS form.
type NATRule struct {
	Form       string // "nat0" (8.2 exemption), "dynamic" (8.2 nat N / IOS overload), "static", "twice", "object", "global"
	RealIf     string
	MappedIf   string // "any" where it says so
	ACL        string // nat 0 access-list X, IOS list
	RouteMap   string
	ID         int // 8.2 nat id
	SrcReal    []netip.Prefix
	SrcMapped  []netip.Prefix
	Names      NATNames // the objects that the prefixes came from
	SrcAny     bool
	DstReal    []netip.Prefix
	DstMapped  []netip.Prefix
	DstAny     bool
	Identity   bool // source real = mapped
	Dynamic    bool
	Interface  bool // mapped to the interface address
	Service    string
	NoProxyARP bool
	RouteLook  bool
	After      bool // after-auto
	Inactive   bool
	Order      int
	Place      Place
}

// NATNames are the objects or groups that an ASA rule names, "" for literals and any.
type NATNames struct{ SrcReal, SrcMapped, DstReal, DstMapped string }

// RouteMap is one sequence of an IOS route-map.
type RouteMap struct {
	Name     string
	Permit   bool
	Sequence int
	ACLs     []string
	Place    Place
}

// StaticRoute is route / ip route.
type StaticRoute struct {
	Interface string
	Prefix    netip.Prefix
	Via       netip.Addr
	Metric    int
	VRF       string
	Place     Place
}

// Pool is ip local pool.
type Pool struct {
	Name     string
	From, To netip.Addr
	Mask     netip.Addr
	Place    Place
}

// AAAServer is an aaa-server host or radius-server host.
type AAAServer struct {
	Group, Protocol, Interface, Host string
	Timeout                          int // seconds, 0 not set
	Place                            Place
}

// Setting is a one-line setting by key, the words before its value:
// "sysopt connection permit-vpn", "sysopt connection tcpmss", "crypto isakmp nat-traversal",
// "crypto isakmp identity", "same-security-traffic permit intra-interface",
// "management-access", "crypto isakmp am-disable", "threat-detection scanning-threat", "logging queue" ...
type Setting struct {
	Key, Value string
	No         bool
	Place      Place
}

// Setting returns the last setting with that key.
func (c *Config) Setting(key string) (Setting, bool) {
	if c == nil {
		return Setting{}, false
	}
	for i := len(c.Settings) - 1; i >= 0; i-- {
		if c.Settings[i].Key == key {
			return c.Settings[i], true
		}
	}
	return Setting{}, false
}

// ACL returns the access list of that name; ASA names are case-sensitive. Not for use by
// several goroutines at once.
func (c *Config) ACL(name string) *ACL {
	if c == nil || name == "" {
		return nil
	}
	if c.lists == nil {
		c.lists = map[string]int{}
	}
	for ; c.listed < len(c.ACLs); c.listed++ {
		if _, ok := c.lists[c.ACLs[c.listed].Name]; !ok {
			c.lists[c.ACLs[c.listed].Name] = c.listed
		}
	}
	if i, ok := c.lists[name]; ok && i < len(c.ACLs) && c.ACLs[i].Name == name {
		return &c.ACLs[i]
	}
	for i := range c.ACLs { // not there, or the lists were put in another order since
		if c.ACLs[i].Name == name {
			return &c.ACLs[i]
		}
	}
	return nil
}
