package command

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"time"
)

// CaptureFilter is what a capture takes.
type CaptureFilter int

// Filters. No ports between the peers: later fragments of a datagram have none.
const (
	PeerTraffic CaptureFilter = iota // all IP between own and peer, and ICMP from anyone to own
	ClientIKE                        // peer unknown: UDP 500, UDP 4500 and ESP between anyone and own
	NATTraffic                       // UDP 4500 between anyone and own: a NAT may change the peer's address
	ListTraffic                      // what the operator's access list takes
)

// CaptureOptions of one capture buffer.
type CaptureOptions struct {
	Name      string // CaptureName
	Interface string
	Own, Peer netip.Addr
	Filter    CaptureFilter
	ACL       string        // the operator's list, for ListTraffic and for IOS without match
	Bytes     int64         // size of the buffer
	Duration  time.Duration // where the device can stop by itself
	Ring      bool          // overwrite the oldest packets when full
}

var captureName = regexp.MustCompile(`^VB-[a-z0-9]{1,5}$`)

// CaptureName makes one of our names, VB-xxxx plus one letter; at most eight characters,
// which is what every image takes. random and letter are small letters and digits.
func CaptureName(random, letter string) (string, error) {
	n := "VB-" + random + letter
	if !IsOurs(n) {
		return "", fmt.Errorf("capture name %q: VB- and one to five small letters and digits", n)
	}
	return n, nil
}

// IsOurs tells whether a capture's name is one that CaptureName makes.
func IsOurs(name string) bool { return captureName.MatchString(name) }

// CaptureStart gives the exec commands that start a capture, in order. An error says why
// this device cannot capture, in words for the user.
func CaptureStart(t Target, o CaptureOptions) ([]Command, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	if !IsOurs(o.Name) {
		return nil, fmt.Errorf("capture name %q is not one of ours", o.Name)
	}
	if err := checkWord("interface", o.Interface); err != nil {
		return nil, err
	}
	if o.ACL != "" {
		if err := checkWord("capture_acl", o.ACL); err != nil {
			return nil, err
		}
	}
	if o.Filter == ListTraffic && o.ACL == "" {
		return nil, errors.New("cannot capture by list here: no capture_acl is configured for this device")
	}
	if o.Bytes < 64<<10 || o.Bytes > 32<<20 {
		return nil, fmt.Errorf("capture buffer of %d bytes: 64 KiB to 32 MiB", o.Bytes)
	}
	if t.asa() {
		return asaCapture(t, o)
	}
	if t.Version.XE || !t.Version.Known() {
		return xeCapture(t, o)
	}
	return iosCapture(t, o)
}

func captures(lines ...string) []Command {
	out := make([]Command, len(lines))
	for i, l := range lines {
		out[i] = Command{line: l, effect: Captures, evidence: "capture"}
	}
	return out
}

func asaCapture(t Target, o CaptureOptions) ([]Command, error) {
	ring := ""
	if o.Ring {
		ring = " circular-buffer"
	}
	head := fmt.Sprintf("capture %s", o.Name)
	size := fmt.Sprintf(" interface %s buffer %d packet-length 1522%s", o.Interface, o.Bytes, ring)
	if o.Filter == ListTraffic {
		return captures(head + " access-list " + o.ACL + size), nil
	}
	if t.Version.Before(7, 2) {
		return nil, fmt.Errorf("cannot capture here: ASA %s has no match filter; prepare an access list and name it in capture_acl", t.Version.Text)
	}
	own, err := address("own", o.Own)
	if err != nil {
		return nil, err
	}
	switch o.Filter {
	case PeerTraffic:
		peer, err := address("peer", o.Peer)
		if err != nil {
			return nil, err
		}
		if o.Own.Is6() != o.Peer.Is6() {
			return nil, fmt.Errorf("capture: own %v and peer %v are of different families", o.Own, o.Peer)
		}
		icmp := "icmp"
		if o.Own.Is6() {
			icmp = "icmp6"
		}
		return captures(head + size + fmt.Sprintf(" match ip host %s host %s match %s any host %s", own, peer, icmp, own)), nil
	case ClientIKE:
		return captures(head + size + fmt.Sprintf(" match udp any host %s eq 500 match udp any host %s eq 4500 match esp any host %s", own, own, own)), nil
	case NATTraffic:
		return captures(head + size + fmt.Sprintf(" match udp any host %s eq 4500", own)), nil
	}
	return nil, fmt.Errorf("capture filter %d is unknown", o.Filter)
}

func xeCapture(t Target, o CaptureOptions) ([]Command, error) {
	n := "monitor capture " + o.Name
	match := ""
	switch {
	case o.ACL != "":
		match = n + " access-list " + o.ACL
	case o.Filter == PeerTraffic:
		own, err := address("own", o.Own)
		if err != nil {
			return nil, err
		}
		peer, err := address("peer", o.Peer)
		if err != nil {
			return nil, err
		}
		family := "ipv4"
		if o.Own.Is6() {
			family = "ipv6"
		}
		match = fmt.Sprintf("%s match %s host %s host %s bidirectional", n, family, own, peer)
	default:
		return nil, errors.New("cannot capture this here: IOS XE filters one pair of hosts; prepare an access list and name it in capture_acl")
	}
	size := fmt.Sprintf("%s buffer size %d", n, max(1, o.Bytes>>20))
	if o.Ring {
		size = fmt.Sprintf("%s buffer circular size %d", n, max(1, o.Bytes>>20))
	}
	lines := []string{n + " interface " + o.Interface + " both", match, size}
	if s := int(o.Duration / time.Second); s > 0 && !o.Ring {
		lines = append(lines, fmt.Sprintf("%s limit duration %d", n, min(s, 3600)))
	}
	return captures(append(lines, n+" start")...), nil
}

func iosCapture(t Target, o CaptureOptions) ([]Command, error) {
	if o.ACL == "" {
		return nil, errors.New("cannot capture here: this IOS filters by access list only; prepare one with both directions and name it in capture_acl")
	}
	form := "linear"
	if o.Ring {
		form = "circular"
	}
	buffer := "monitor capture buffer " + o.Name
	cef, proc := o.Name+"C", o.Name+"P"
	return captures(
		fmt.Sprintf("%s size %d max-size 1518 %s", buffer, min(o.Bytes>>10, 65535), form),
		buffer+" filter access-list "+o.ACL,
		"monitor capture point ip cef "+cef+" "+o.Interface+" both",
		"monitor capture point ip process-switched "+proc+" both",
		"monitor capture point associate "+cef+" "+o.Name,
		"monitor capture point associate "+proc+" "+o.Name,
		"monitor capture point start "+cef,
		"monitor capture point start "+proc,
	), nil
}

// CaptureStop ends a capture and keeps its packets.
func CaptureStop(t Target, name, iface string) ([]Command, error) {
	if err := checkCapture(t, name, iface); err != nil {
		return nil, err
	}
	switch {
	case t.asa():
		return captures("no capture " + name + " interface " + iface), nil
	case t.Version.XE || !t.Version.Known():
		return captures("monitor capture " + name + " stop"), nil
	}
	return captures("monitor capture point stop "+name+"C", "monitor capture point stop "+name+"P"), nil
}

// CaptureRemove ends a capture and deletes it with its packets. Lines for what is not
// there any more are refused by the device and do no harm.
func CaptureRemove(t Target, name, iface string) ([]Command, error) {
	if err := checkCapture(t, name, iface); err != nil {
		return nil, err
	}
	switch {
	case t.asa():
		return captures("no capture " + name), nil
	case t.Version.XE || !t.Version.Known():
		return captures("monitor capture "+name+" stop", "no monitor capture "+name), nil
	}
	return captures(
		"monitor capture point stop "+name+"C",
		"monitor capture point stop "+name+"P",
		"no monitor capture point ip cef "+name+"C "+iface+" both",
		"no monitor capture point ip process-switched "+name+"P both",
		"no monitor capture buffer "+name,
	), nil
}

// CaptureDump shows a capture's packets as hexadecimal text.
func CaptureDump(t Target, name string) (Command, error) {
	if err := t.check(); err != nil {
		return Command{}, err
	}
	if !IsOurs(name) {
		return Command{}, fmt.Errorf("capture name %q is not one of ours", name)
	}
	c := Command{effect: Reads, evidence: "capture", timeout: 10 * time.Minute}
	switch {
	case t.asa():
		c.line = "show capture " + name + " dump"
	case t.Version.XE || !t.Version.Known():
		c.line = "show monitor capture " + name + " buffer dump"
	default:
		c.line = "show monitor capture buffer " + name + " dump"
	}
	return c, nil
}

func checkCapture(t Target, name, iface string) error {
	if err := t.check(); err != nil {
		return err
	}
	if !IsOurs(name) {
		return fmt.Errorf("capture name %q is not one of ours: it is not touched", name)
	}
	return checkWord("interface", iface)
}
