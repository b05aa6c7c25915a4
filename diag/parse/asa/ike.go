package asa

import (
	"net/netip"
	"strconv"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/redact"
)

var ikeKeys = set("ike peer", "type", "role", "rekey", "state", "encrypt", "hash", "auth", "lifetime", "lifetime remaining", "d/h group", "dh group", "dh grp", "active sa", "rekey sa", "total ike sa", "encr", "keysize",
	"auth sign", "auth verify", "life/active time", "session-id", "status", "ike count", "child count", "status description", "local spi", "remote spi", "local id", "remote id", "username", "assigned ip", "ip addr", "user", "standby", "total", "embryonic", "tunnel group", "total ikev1 sa", "total ikev2 sa")

// ikeSA reads show crypto isakmp|ikev1|ikev2 sa [detail] of 7.0 to 9.x, and PIX's table.
func (p *reader) ikeSA() {
	version := 1
	if strings.HasPrefix(p.out.Command, "show crypto ikev2") {
		version = 2
	}
	reading := 0
	for i := range p.dev.Outputs {
		o := &p.dev.Outputs[i]
		if o.Command == p.out.Command && o.Filter == p.out.Filter && !o.Refused {
			reading++
		}
	}
	begin := len(p.dev.IKE)
	var buf []pair
	var sa *facts.IKESA
	child := -1
	open := func(s facts.IKESA) {
		s.Reading = reading
		if len(p.dev.IKE) >= maxSAs {
			p.dev.Skipped++
			sa = &s
			return
		}
		p.dev.IKE = append(p.dev.IKE, s)
		sa = &p.dev.IKE[len(p.dev.IKE)-1]
		child = -1
	}
	pixTable := false
	for _, l := range p.out.Text {
		t := strings.TrimSpace(l.Text)
		switch {
		case t == "":
			continue
		case strings.HasPrefix(t, "IKEv1 SAs"):
			version, sa = 1, nil
			continue
		case strings.HasPrefix(t, "IKEv2 SAs"), strings.HasPrefix(t, "Tunnel-id"):
			version = 2
			continue
		case strings.HasPrefix(t, "There are no"), strings.HasPrefix(t, "Active SA:"), strings.HasPrefix(t, "Rekey SA:"), strings.HasPrefix(t, "Total IKE SA:"), strings.HasPrefix(t, "Standby SA:"):
			continue
		case strings.HasPrefix(t, "Child sa:"), strings.HasPrefix(t, "remote selector"), strings.HasPrefix(t, "ESP spi in/out"), strings.HasPrefix(t, "AH spi"), strings.HasPrefix(t, "CPI in/out"), strings.HasPrefix(t, "local selector"):
			if sa != nil {
				child = p.child(sa, child, t, l)
			}
			continue
		}
		f := strings.Fields(t)
		if len(f) >= 4 && f[0] == "dst" && f[1] == "src" {
			pixTable = true
			continue
		}
		if len(f) >= 3 {
			if pixTable {
				if s, ok := pixRow(f); ok {
					s.Place = p.place(l)
					open(s)
					continue
				}
			}
			if s, ok := ikev2Row(f); ok {
				s.Place = p.place(l)
				open(s)
				continue
			}
		}
		buf = pairs(t, ikeKeys, buf)
		if len(buf) == 0 {
			if sa == nil || !ikeNoise(t) {
				p.skip(l)
			}
			continue
		}
		for _, kv := range buf {
			if kv.key == "ike peer" {
				s := facts.IKESA{Version: version, Place: p.place(l)}
				s.Remote, s.RemotePort = address(firstWord(kv.value))
				if !s.Remote.IsValid() {
					s.RemoteName = redact.Strip(firstWord(kv.value))
				}
				open(s)
				continue
			}
			if sa != nil {
				p.ikeValue(sa, kv)
				if kv.key == "state" {
					sa.StatePlace = p.place(l)
				}
			}
		}
	}
	// A block that was cut before its state is no SA that anything could be said about.
	kept := p.dev.IKE[:begin]
	for _, s := range p.dev.IKE[begin:] {
		if s.State != "" || s.Role != "" || s.Remote.IsValid() {
			kept = append(kept, s)
		}
	}
	p.dev.IKE = kept
}

func firstWord(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), " ")
	return s
}

func ikeNoise(t string) bool {
	return strings.HasPrefix(t, "DPD") || strings.HasPrefix(t, "NAT") || strings.HasPrefix(t, "Local ") || strings.HasPrefix(t, "Remote ") || strings.HasPrefix(t, "Cisco Trust") || strings.HasPrefix(t, "Parent") || strings.HasPrefix(t, "Dynamic") || strings.HasPrefix(t, "Initiator of") || strings.HasPrefix(t, "IKEv2 Fragmentation") || strings.HasPrefix(t, "PEER TYPE") || strings.HasPrefix(t, "Quantum")
}

func (p *reader) ikeValue(sa *facts.IKESA, kv pair) {
	v := kv.value
	switch kv.key {
	case "type":
		sa.Type = firstWord(v)
	case "role":
		sa.Role = strings.ToLower(firstWord(v))
	case "rekey":
		sa.Rekey = strings.EqualFold(firstWord(v), "yes")
	case "state":
		sa.State = strings.ToUpper(firstWord(v))
	case "status":
		if sa.State == "" && !strings.HasPrefix(v, "UP-") {
			sa.State = strings.ToUpper(firstWord(v))
		}
	case "encrypt", "encr":
		if sa.Encryption == "" {
			sa.Encryption = firstWord(v)
		}
	case "keysize":
		if sa.Encryption != "" && !strings.ContainsAny(sa.Encryption, "0123456789") && v != "" {
			sa.Encryption += "-" + firstWord(v)
		}
	case "hash":
		if sa.Hash == "" {
			sa.Hash = firstWord(v)
		}
	case "auth", "auth sign":
		if sa.Auth == "" {
			sa.Auth = firstWord(v)
		}
	case "d/h group", "dh group", "dh grp":
		sa.DH = firstWord(v)
	case "lifetime":
		sa.Lifetime = atoi(v)
	case "lifetime remaining":
		sa.Remaining = atoi(v)
	case "life/active time":
		life, active, ok := strings.Cut(v, "/")
		sa.Lifetime = atoi(life)
		if ok {
			sa.Remaining = max(0, sa.Lifetime-atoi(active))
		}
	case "local spi":
		sa.SPI = firstWord(v)
	}
}

// ikev2Row: 1738689761 209.119.81.225/500 35.220.72.68/500 READY INITIATOR, with or without
// columns for VRFs, and with names in the place of addresses.
func ikev2Row(f []string) (facts.IKESA, bool) {
	if _, err := strconv.ParseUint(f[0], 10, 64); err != nil || !strings.Contains(f[1], "/") || !strings.Contains(f[2], "/") {
		return facts.IKESA{}, false
	}
	s := facts.IKESA{Version: 2, ConnID: f[0]}
	s.Local, s.LocalPort = address(f[1])
	s.Remote, s.RemotePort = address(f[2])
	if !s.Local.IsValid() && !s.Remote.IsValid() {
		return facts.IKESA{}, false
	}
	if !s.Remote.IsValid() {
		s.RemoteName, _, _ = strings.Cut(redact.Strip(f[2]), "/")
	}
	for _, w := range f[3:] {
		switch {
		case strings.EqualFold(w, "INITIATOR"), strings.EqualFold(w, "RESPONDER"):
			s.Role = strings.ToLower(w)
		case strings.Contains(w, "/"): // fvrf/ivrf
		case s.State == "":
			s.State = strings.ToUpper(w)
		}
	}
	s.Deleted = strings.HasPrefix(s.State, "DELET")
	return s, true
}

// pixRow: dst src state pending created. The initiator is src; which end is this device is not shown.
func pixRow(f []string) (facts.IKESA, bool) {
	dst, dport := address(f[0])
	src, sport := address(f[1])
	if !dst.IsValid() || !src.IsValid() {
		return facts.IKESA{}, false
	}
	return facts.IKESA{Version: 1, Local: src, LocalPort: sport, Remote: dst, RemotePort: dport, State: strings.ToUpper(f[2])}, true
}

// child reads the lines of a child SA; it returns the index of the child that is open.
func (p *reader) child(sa *facts.IKESA, at int, t string, l facts.Line) int {
	if strings.HasPrefix(t, "Child sa:") {
		sa.Children = append(sa.Children, facts.ChildSA{Place: p.place(l)})
		at = len(sa.Children) - 1
		t = strings.TrimSpace(t[len("Child sa:"):])
	}
	if at < 0 || at >= len(sa.Children) {
		return at
	}
	c := &sa.Children[at]
	switch {
	case strings.HasPrefix(t, "local selector"):
		c.Local = strings.Join(strings.Fields(t[len("local selector"):]), " ")
	case strings.HasPrefix(t, "remote selector"):
		c.Remote = strings.Join(strings.Fields(t[len("remote selector"):]), " ")
	case strings.HasPrefix(t, "ESP spi in/out"):
		_, v, _ := strings.Cut(t, ":")
		in, out, _ := strings.Cut(strings.TrimSpace(v), "/")
		c.SPIIn, c.SPIOut = spi(in), spi(out)
	}
	return at
}

// spi reads a SPI in any spelling: 0x1E8246FC, 1E8246FC, lower case, leading zeros dropped.
func spi(s string) uint32 {
	s = strings.TrimSpace(s)
	if i := strings.IndexAny(s, " (,"); i >= 0 {
		s = s[:i]
	}
	s = strings.TrimPrefix(strings.TrimPrefix(s, "0x"), "0X")
	v, err := strconv.ParseUint(s, 16, 32)
	if err != nil {
		return 0
	}
	return uint32(v)
}

// own tells whether an address is one of the device.
func own(dev *facts.Device, a netip.Addr) bool {
	for _, o := range dev.Addresses {
		if o == a {
			return true
		}
	}
	return false
}
