package command

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"vpnbot/devices/inventory"
)

// Version is a device's software version. The zero value is "not known": the forms that
// most images understand are used then.
type Version struct {
	Major, Minor int
	XE           bool   // IOS XE
	Text         string // "8.4(7)", "12.4(24)T8", "16.09.05"
}

// Known tells whether the version was read.
func (v Version) Known() bool { return v.Major > 0 }

// Before tells whether v is a known version older than major.minor.
func (v Version) Before(major, minor int) bool {
	return v.Known() && (v.Major < major || v.Major == major && v.Minor < minor)
}

var (
	asaVersion = regexp.MustCompile(`(?m)^(?:Cisco (?:Adaptive Security Appliance|PIX Security Appliance) Software|Hardware.*)?\s*[Vv]ersion (\d{1,2})\.(\d{1,2})([^\s,]{0,20})`)
	iosVersion = regexp.MustCompile(`(?m)^.{0,120}IOS.{0,120}Version (\d{1,2})\.(\d{1,2})([^\s,]{0,20})`)
)

// ParseVersion reads the output of "show version" (or of "show version | include ersion").
// What it does not understand yields the zero Version.
func ParseVersion(p inventory.Platform, text string) Version {
	re := asaVersion
	if p == inventory.CiscoIOS {
		re = iosVersion
	}
	m := re.FindStringSubmatch(text)
	if m == nil {
		return Version{}
	}
	major, err1 := strconv.Atoi(m[1])
	minor, err2 := strconv.Atoi(m[2])
	if err1 != nil || err2 != nil {
		return Version{}
	}
	v := Version{Major: major, Minor: minor, Text: m[1] + "." + m[2] + m[3]}
	if p == inventory.CiscoIOS {
		head := text[:min(len(text), 4096)]
		v.XE = strings.Contains(head, "IOS-XE") || strings.Contains(head, "IOS XE") || strings.Contains(head, "LINUX_IOSD") || major >= 16
	}
	return v
}

// Target is the device that a command is made for.
type Target struct {
	Platform inventory.Platform
	Version  Version
	VRF      string // front-door VRF, "" for none; IOS only
}

// TargetOf is the target for a configured device whose version is v.
func TargetOf(d inventory.Device, v Version) Target {
	return Target{Platform: d.Platform, Version: v, VRF: d.VRF}
}

func (t Target) asa() bool { return t.Platform == inventory.CiscoASA }

func (t Target) check() error {
	if t.Platform != inventory.CiscoASA && t.Platform != inventory.CiscoIOS {
		return fmt.Errorf("platform %q is unknown; known: cisco_asa, cisco_ios", t.Platform)
	}
	if t.VRF != "" {
		if t.asa() {
			return fmt.Errorf("vrf %q: an ASA has none", t.VRF)
		}
		return checkWord("vrf", t.VRF)
	}
	return nil
}

// word is the alphabet of interface, list and context names: what a device's own names
// need and nothing that a command line could mean something else by.
var word = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./:-]{0,47}$`)

func checkWord(what, s string) error {
	if !word.MatchString(s) {
		return fmt.Errorf("%s %q: letters, digits and _ - . / : only, at most 48, no blanks", what, s)
	}
	return nil
}

// address refuses what is no plain host address: zones, mapped forms, unspecified, multicast.
func address(what string, a netip.Addr) (string, error) {
	switch {
	case !a.IsValid():
		return "", fmt.Errorf("%s address is missing", what)
	case a.Zone() != "" || a.Is4In6():
		return "", fmt.Errorf("%s address %v: write a plain IPv4 or IPv6 address", what, a)
	case a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a == broadcast:
		return "", fmt.Errorf("%s address %v is not the address of one host", what, a)
	}
	return a.String(), nil
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})
