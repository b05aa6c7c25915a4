// Package ios turns outputs of Cisco IOS and IOS XE into facts.
//
// In comes one output of a session at a time (facts.Output: normalised command and
// lines, secrets already replaced), out go facts added to the device. No output fails as
// a whole: what is not understood is skipped and counted in Device.Skipped.
//
// Counters by group: "cerm" (Value available, Limit maximum), "nat" (one per translation),
// "access-list" (hits, named after the list), "ip-local-pool" (free of all), "memory" (free
// of all), "cpu", "debug" (debugs that run), "interface" ("<name> mtu"), "logging", "version".
package ios

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/parse/pki"
)

// output is the work on one output.
type output struct {
	dev     *facts.Device
	out     facts.Output
	source  string
	piped   bool // the command filters its lines: absence proves nothing
	skipped int
}

// maxFacts bounds the rows of one kind (SAs, sessions, routes, counters) of one device; what
// comes after them is counted as skipped.
const maxFacts = 100_000

// handler parses the outputs of the commands that start with words.
type handler struct {
	words string
	parse func(*output)
}

// handlers in order: the first whose words the command starts with is taken.
var handlers = []handler{
	{"show crypto isakmp sa", (*output).isakmpSA},
	{"show crypto ikev2 session", (*output).ikev2SA},
	{"show crypto ikev2 sa", (*output).ikev2SA},
	{"show crypto ikev2 diagnose", (*output).noted},
	{"show crypto ikev2 stats", (*output).noted},
	{"show crypto ikev2", (*output).noted},
	{"show crypto session brief", (*output).sessionBrief},
	{"show crypto session", (*output).session},
	{"show crypto ipsec sa", (*output).ipsecSA},
	{"show crypto map", (*output).cryptoMap},
	{"show crypto isakmp policy", (*output).isakmpPolicy},
	{"show crypto pki certificates", (*output).certificates},
	{"show crypto pki certificate", (*output).certificates},
	{"show crypto ca certificates", (*output).certificates},
	{"show crypto", (*output).noted},
	{"show running-config", (*output).config},
	{"show startup-config", (*output).config},
	{"show configuration", (*output).config},
	{"more system:running-config", (*output).config},
	{"write terminal", (*output).config},
	{"show access-list", (*output).accessLists},
	{"show access-lists", (*output).accessLists},
	{"show ip access-list", (*output).accessLists},
	{"show ipv6 access-list", (*output).accessLists},
	{"show ip route", (*output).routes},
	{"show ipv6 route", (*output).routes},
	{"show ip nat translations", (*output).natTranslations},
	{"show ip nat statistics", (*output).noted},
	{"show ip nat", (*output).noted},
	{"show platform cerm-information", (*output).cerm},
	{"show version", (*output).version},
	{"show ip interface brief", (*output).interfaceBrief},
	{"show interface", (*output).interfaces},
	{"show ip interface", (*output).interfaces},
	{"show ip local pool", (*output).localPool},
	{"show logging", (*output).logging},
	{"show clock", (*output).clock},
	{"show debug", (*output).debugging},
	{"show memory", (*output).memory},
	{"show processes", (*output).processes},
	{"show aaa servers", (*output).noted},
	{"show ip arp", (*output).noted},
	{"show dmvpn", (*output).noted},
	{"show monitor capture", (*output).captured},
	{"show platform", (*output).noted},
	{"show license", (*output).noted},
	{"ping", (*output).ping},
}

// Parse adds the facts of one output to the device. It reports whether the command is
// one whose answer it understands. A device's outputs are handed over in their order.
func Parse(dev *facts.Device, out facts.Output) (understood bool) {
	cmd := strings.TrimPrefix(strings.TrimSpace(out.Command), "do ")
	for _, h := range handlers {
		if !strings.HasPrefix(cmd, h.words) || len(cmd) > len(h.words) && isWord(cmd[len(h.words)]) && !strings.HasPrefix(cmd, h.words+"s") &&
			!strings.HasSuffix(h.words, "debug") {
			continue
		}
		o := &output{dev: dev, out: out, source: out.Place.Source, piped: out.Filter != "" || strings.ContainsRune(cmd, '|')}
		if out.Refused {
			return true
		}
		if o.piped && strings.Contains(cmd, "show running-config") {
			o.config()
		} else {
			h.parse(o)
		}
		dev.Skipped += o.skipped + bound(&dev.IKE) + bound(&dev.IPsec) + bound(&dev.Sessions) + bound(&dev.Routes) + bound(&dev.Counters) + bound(&dev.Pings)
		settle(dev)
		return true
	}
	return false
}

// bound cuts a list to maxFacts and returns how many it took off.
func bound[T any](list *[]T) int {
	n := len(*list) - maxFacts
	if n <= 0 {
		return 0
	}
	clear((*list)[maxFacts:])
	*list = (*list)[:maxFacts]
	return n
}

func (o *output) certificates() { pki.Parse(o.dev, o.out) }

// noted takes nothing from an output that conditions read as text, if at all.
func (o *output) noted() {}

// skip counts a line that was not understood; blanks and comments do not count.
func (o *output) skip(text string) {
	if t := strings.TrimSpace(text); t != "" && t[0] != '!' {
		o.skipped++
	}
}

func (o *output) place(l facts.Line) facts.Place {
	return facts.Place{Source: o.source, Line: l.N, Text: strings.TrimRight(l.Text, " \t\r")}
}

// earlier counts the outputs of the same command before this one.
func (o *output) earlier() int {
	n := 0
	for _, e := range o.dev.Outputs {
		if e.Place.Source == o.out.Place.Source && e.Place.Line == o.out.Place.Line {
			break
		}
		if e.Command == o.out.Command && !e.Refused {
			n++
		}
	}
	return n
}

// settle brings what several outputs say together, whatever their order: which address of
// an ISAKMP row is the device's own, and which rows of the session table are told in
// more detail elsewhere.
func settle(dev *facts.Device) {
	own := ownAddresses(dev)
	if len(own) == 0 {
		own = notPeers(dev)
	}
	for i := range dev.IKE {
		sa := &dev.IKE[i]
		if sa.Version != 1 || sa.Local == sa.Remote || own[sa.Local] || !own[sa.Remote] {
			continue
		}
		sa.Local, sa.Remote = sa.Remote, sa.Local
		switch sa.Role {
		case "initiator":
			sa.Role = "responder"
		case "responder":
			sa.Role = "initiator"
		}
	}
	for i := range dev.IKE {
		if sa := &dev.IKE[i]; sa.Type == rowType && own[sa.Local] {
			sa.Type = ""
		}
	}
	ike := map[netip.Addr]bool{}
	told := false
	for _, sa := range dev.IKE {
		if sa.Type != sessionType {
			ike[sa.Remote] = true
		} else {
			told = true
		}
	}
	if told && len(ike) > 0 {
		dev.IKE = slices.DeleteFunc(dev.IKE, func(sa facts.IKESA) bool { return sa.Type == sessionType && ike[sa.Remote] })
	}
	told = false
	for i := range dev.IPsec {
		if _, ok := dev.IPsec[i].Places.At("flow"); ok {
			told = true
			break
		}
	}
	if told {
		peers := map[netip.Addr]bool{}
		for i := range dev.IPsec {
			if _, ok := dev.IPsec[i].Places.At("flow"); !ok {
				peers[dev.IPsec[i].Peer] = true
			}
		}
		dev.IPsec = slices.DeleteFunc(dev.IPsec, func(sa facts.IPsecSA) bool {
			_, flow := sa.Places.At("flow")
			return flow && peers[sa.Peer]
		})
	}
}

// Types of IKE SAs between parsing and settling: rows whose own side is still open keep
// the first, SAs from the session table keep the second as long as no table tells more.
const (
	rowType     = ""
	sessionType = "crypto session"
)

// ownAddresses collects the addresses that are known to be the device's own.
func ownAddresses(dev *facts.Device) map[netip.Addr]bool {
	own := map[netip.Addr]bool{}
	for _, a := range dev.Addresses {
		own[a] = true
	}
	if dev.Config != nil {
		for _, i := range dev.Config.Interfaces {
			if i.Address.IsValid() {
				own[i.Address.Addr()] = true
			}
		}
	}
	for i := range dev.IPsec {
		if a := dev.IPsec[i].Local; a.IsValid() {
			own[a] = true
		}
	}
	for _, sa := range dev.IKE {
		if (sa.Version == 2 || sa.Type == sessionType) && sa.Local.IsValid() {
			own[sa.Local] = true
		}
	}
	if len(own) == 0 {
		// The address that stands in every row of a table of several peers.
		count := map[netip.Addr]int{}
		peers := map[netip.Addr]bool{}
		rows := 0
		for _, sa := range dev.IKE {
			if sa.Version == 1 && sa.Remote.IsValid() && sa.Local.IsValid() {
				rows++
				count[sa.Local]++
				count[sa.Remote]++
				peers[sa.Local], peers[sa.Remote] = true, true
			}
		}
		for a, n := range count {
			if n == rows && len(peers) > 2 {
				own[a] = true
			}
		}
	}
	return own
}

// notPeers guesses the own address of a table with one peer: the other address is the one
// that log lines, sessions, IPsec SAs or crypto maps name as peer.
func notPeers(dev *facts.Device) map[netip.Addr]bool {
	peers := map[netip.Addr]bool{}
	for i := range dev.Events {
		if a := dev.Events[i].Peer; a.IsValid() {
			peers[a] = true
		}
	}
	for i := range dev.Sessions {
		if a := dev.Sessions[i].Peer; a.IsValid() {
			peers[a] = true
		}
	}
	for i := range dev.IPsec {
		if a := dev.IPsec[i].Peer; a.IsValid() {
			peers[a] = true
		}
	}
	if c := dev.Config; c != nil {
		for i := range c.MapEntries {
			for _, a := range c.MapEntries[i].Peers {
				peers[a] = true
			}
		}
	}
	own := map[netip.Addr]bool{}
	for _, sa := range dev.IKE {
		if sa.Version == 1 && sa.Local.IsValid() && sa.Remote.IsValid() && peers[sa.Local] && !peers[sa.Remote] {
			own[sa.Remote] = true
		}
	}
	return own
}

// ---- words and numbers

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// addr reads an address; anything else gives the zero Addr.
func addr(s string) netip.Addr {
	if s == "" || !(isDigit(s[0]) || s[0] == ':' || isHexLetter(s[0])) {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.WithZone("")
}

func isHexLetter(c byte) bool { return c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

// endpoint reads "192.0.2.1/500", "2001:db8::1/500", "192.0.2.1:500" or a bare address.
func endpoint(s string) (netip.Addr, int) {
	if a := addr(s); a.IsValid() {
		return a, 0
	}
	for _, sep := range [...]string{"/", ":"} {
		if i := strings.LastIndex(s, sep); i > 0 {
			if a := addr(s[:i]); a.IsValid() {
				p, _ := strconv.Atoi(s[i+1:])
				if p < 0 || p > 65535 {
					p = 0
				}
				return a, p
			}
		}
	}
	return netip.Addr{}, 0
}

// atoi reads a small number; 0 when it is none.
func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

// maskBits gives the prefix length of a contiguous netmask.
func maskBits(m netip.Addr) (int, bool) {
	if !m.Is4() {
		return 0, false
	}
	b := m.As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	n := 0
	for v&0x80000000 != 0 {
		n++
		v <<= 1
	}
	return n, v == 0
}

// wildcardBits gives the prefix length of a contiguous wildcard mask.
func wildcardBits(m netip.Addr) (int, bool) {
	if !m.Is4() {
		return 0, false
	}
	b := m.As4()
	return maskBits(netip.AddrFrom4([4]byte{^b[0], ^b[1], ^b[2], ^b[3]}))
}

// masked makes a prefix of an address and a dotted mask; zero when they make none.
func masked(a, m string) netip.Prefix {
	ad := addr(a)
	n, ok := maskBits(addr(m))
	if !ad.Is4() || !ok {
		return netip.Prefix{}
	}
	p, err := ad.Prefix(n)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// host is the prefix of one address.
func host(a netip.Addr) netip.Prefix {
	if !a.IsValid() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, a.BitLen())
}

// word cuts the first word off a text.
func word(s string) (first, rest string) {
	s = strings.TrimLeft(s, " \t")
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], strings.TrimLeft(s[i:], " \t")
	}
	return s, ""
}

// after returns what follows key in s, without blanks around it.
func after(s, key string) (string, bool) {
	i := strings.Index(s, key)
	if i < 0 {
		return "", false
	}
	return strings.TrimSpace(s[i+len(key):]), true
}

// duration reads hh:mm:ss and IOS's "3d18h", "1w2d" into seconds.
func duration(s string) int {
	if strings.Count(s, ":") == 2 {
		p := strings.Split(s, ":")
		return atoi(p[0])*3600 + atoi(p[1])*60 + atoi(p[2])
	}
	total, n, digits := 0, 0, false
	for i := 0; i < len(s) && i < 16; i++ {
		c := s[i]
		if isDigit(c) {
			n, digits = n*10+int(c-'0'), true
			if n > 1_000_000 {
				return 0
			}
			continue
		}
		unit := map[byte]int{'y': 31536000, 'w': 604800, 'd': 86400, 'h': 3600, 'm': 60, 's': 1}[c]
		if unit == 0 || !digits {
			return 0
		}
		total += n * unit
		n, digits = 0, false
	}
	return total
}
