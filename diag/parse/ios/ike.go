package ios

import (
	"strconv"
	"strings"

	"vpnbot/diag/facts"
)

// isakmpSA parses show crypto isakmp sa, brief and detail, IPv4 and IPv6.
func (o *output) isakmpSA() {
	var (
		six    facts.IKESA // an IPv6 row is spread over three lines
		inSix  bool
		last   = -1
		header bool
	)
	reading := o.earlier()
	for _, l := range o.out.Text {
		t := strings.TrimSpace(l.Text)
		if t == "" {
			continue
		}
		f := strings.Fields(t)
		switch {
		case strings.Contains(t, "Crypto ISAKMP SA"), strings.HasPrefix(t, "Codes:"), strings.HasPrefix(t, "K - "), strings.HasPrefix(t, "X - "),
			strings.HasPrefix(t, "T - "), strings.HasPrefix(t, "psk - "), strings.HasPrefix(t, "renc - "), strings.HasPrefix(t, "Code:"), strings.Contains(t, "RSA encryption"):
			continue
		case f[0] == "dst" && len(f) > 1 && f[1] == "src", f[0] == "C-id", f[0] == "Conn" && !header && len(f) > 3 && addr(f[0]).Is4():
			header = true
			continue
		case f[0] == "Engine-id:Conn-id", strings.HasPrefix(t, "Engine-id"):
			continue
		case f[0] == "dst:" && len(f) > 1:
			six, inSix = facts.IKESA{Version: 1, Remote: addr(f[1]), Reading: reading, Place: o.place(l)}, true
			continue
		case f[0] == "src:" && inSix && len(f) > 1:
			six.Local = addr(f[1])
			continue
		case f[0] == "state:" && inSix && len(f) > 1:
			six.State = strings.ToUpper(f[1])
			if v, ok := after(t, "conn-id:"); ok {
				six.ConnID, _ = word(v)
			}
			six.Role = "initiator"
			six.Deleted = strings.Contains(strings.ToLower(t), "deleted")
			six.Place = o.place(l)
			o.dev.IKE = append(o.dev.IKE, six)
			inSix = false
			continue
		}
		if sa, ok := isakmpRow(f, header); ok {
			sa.Reading, sa.Place = reading, o.place(l)
			o.dev.IKE = append(o.dev.IKE, sa)
			last = len(o.dev.IKE) - 1
			continue
		}
		if sa, ok := isakmpDetail(f); ok {
			sa.Reading, sa.Place = reading, o.place(l)
			o.dev.IKE = append(o.dev.IKE, sa)
			last = len(o.dev.IKE) - 1
			continue
		}
		if last >= 0 && strings.EqualFold(t, "(deleted)") { // wrapped
			o.dev.IKE[last].Deleted = true
			continue
		}
		o.skip(t)
	}
}

// isakmpRow reads "dst src state conn-id [slot] [status] [(deleted)]". dst is the responder,
// src the initiator; until the own address is known the row counts as started here.
func isakmpRow(f []string, header bool) (facts.IKESA, bool) {
	if len(f) < 3 || !isakmpState(f[2]) {
		return facts.IKESA{}, false
	}
	dst, src := addr(f[0]), addr(f[1])
	if !dst.IsValid() && !src.IsValid() && !header {
		return facts.IKESA{}, false
	}
	sa := facts.IKESA{Version: 1, Remote: dst, Local: src, State: strings.ToUpper(f[2]), Role: "initiator"}
	if !dst.IsValid() {
		sa.RemoteName = f[0]
	}
	if len(f) > 3 {
		sa.ConnID = f[3]
	}
	for _, w := range f[3:] {
		switch {
		case strings.EqualFold(w, "(deleted)"), strings.EqualFold(w, "deleted"):
			sa.Deleted = true
		case strings.EqualFold(w, "(rekey)"):
			sa.Rekey = true
		}
	}
	return sa, true
}

// isakmpState tells whether a word is a state of an IOS ISAKMP SA.
func isakmpState(s string) bool {
	s = strings.ToUpper(s)
	for _, p := range [...]string{"MM_", "AG_", "AM_", "QM_", "OAK_", "CONF_", "GDOI_", "XAUTH", "INFO_", "MODE_", "IKE_"} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return s == "UNKNOWN" || s == "CONF_ADDR"
}

// isakmpDetail reads "C-id Local Remote [I-VRF] Status Encr Hash Auth DH Lifetime Cap.".
func isakmpDetail(f []string) (facts.IKESA, bool) {
	if len(f) < 4 || atoi(f[0]) == 0 {
		return facts.IKESA{}, false
	}
	local, remote := addr(f[1]), addr(f[2])
	if !local.IsValid() && !strings.Contains(f[1], ":") {
		return facts.IKESA{}, false
	}
	sa := facts.IKESA{Version: 1, Local: local, Remote: remote, ConnID: f[0]}
	if !remote.IsValid() {
		sa.RemoteName = f[2]
	}
	rest := f[3:]
	if len(rest) > 1 && !status(rest[0]) { // I-VRF
		rest = rest[1:]
	}
	if len(rest) > 0 && status(rest[0]) {
		sa.State = strings.ToUpper(rest[0])
		rest = rest[1:]
	}
	for len(rest) > 0 && strings.HasPrefix(rest[0], "(") {
		sa.Deleted = sa.Deleted || strings.EqualFold(rest[0], "(deleted)")
		rest = rest[1:]
	}
	for i, dst := range []*string{&sa.Encryption, &sa.Hash, &sa.Auth, &sa.DH} {
		if i < len(rest) {
			*dst = rest[i]
		}
	}
	if len(rest) > 4 {
		sa.Remaining = duration(rest[4])
	}
	switch sa.Auth {
	case "psk":
		sa.Auth = "preshared"
	case "rsig":
		sa.Auth = "rsa"
	}
	return sa, true
}

func status(s string) bool {
	switch strings.ToUpper(s) {
	case "ACTIVE", "INACTIVE", "DELETED", "NEGOTIATING", "UP", "DOWN":
		return true
	}
	return isakmpState(s)
}

// ikev2SA parses show crypto ikev2 sa [detailed] and show crypto ikev2 session [detailed].
func (o *output) ikev2SA() {
	reading := o.earlier()
	var sa *facts.IKESA
	var child *facts.ChildSA
	begin := func(l facts.Line) {
		o.dev.IKE = append(o.dev.IKE, facts.IKESA{Version: 2, Reading: reading, Place: o.place(l)})
		sa, child = &o.dev.IKE[len(o.dev.IKE)-1], nil
	}
	for _, l := range o.out.Text {
		t := strings.TrimSpace(l.Text)
		if t == "" {
			continue
		}
		f := strings.Fields(t)
		if atoi(f[0]) > 0 && len(f) >= 3 {
			if a, p := endpoint(f[1]); len(f) >= 4 && (a.IsValid() || strings.Contains(f[1], "/") && strings.Contains(f[2], "/")) {
				begin(l)
				sa.ConnID, sa.Local, sa.LocalPort = f[0], a, p
				sa.Remote, sa.RemotePort = endpoint(f[2])
				if !sa.Remote.IsValid() {
					sa.RemoteName = f[2]
				}
				rest := f[3:]
				if strings.ContainsRune(rest[0], '/') {
					rest = rest[1:]
				}
				for _, w := range rest {
					switch strings.ToUpper(w) {
					case "INITIATOR", "RESPONDER":
						sa.Role = strings.ToLower(w)
					case "DELETED", "(DELETED)":
						sa.Deleted = true
						if sa.State == "" {
							sa.State = "DELETED"
						}
					default:
						if sa.State == "" {
							sa.State = strings.ToUpper(w)
						}
					}
				}
				continue
			}
			if strings.ContainsRune(f[1], '/') && len(f) == 3 { // IPv6: addresses on lines of their own
				begin(l)
				sa.ConnID, sa.State = f[0], strings.ToUpper(f[2])
				continue
			}
		}
		switch {
		case strings.HasPrefix(t, "Tunnel-id"), strings.Contains(t, "Crypto IKEv2"), strings.HasPrefix(t, "Session-id"):
			continue
		case sa == nil:
			o.skip(t)
			continue
		case (f[0] == "Local" || f[0] == "Remote") && len(f) == 2:
			a, p := endpoint(f[1])
			if f[0] == "Local" {
				sa.Local, sa.LocalPort = a, p
			} else {
				sa.Remote, sa.RemotePort = a, p
			}
		case strings.HasPrefix(t, "Encr:"):
			o.ikev2Crypto(sa, t)
		case strings.HasPrefix(t, "Life/Active Time:"):
			v, _ := after(t, ":")
			a, b, _ := strings.Cut(v, "/")
			b, _ = word(b)
			sa.Lifetime = atoi(strings.TrimSpace(a))
			if act := atoi(b); sa.Lifetime > act {
				sa.Remaining = sa.Lifetime - act
			}
		case strings.HasPrefix(t, "Local spi:"):
			v, _ := after(t, "Local spi:")
			a, _ := word(v)
			b, _ := after(t, "Remote spi:")
			b, _ = word(b)
			sa.SPI = a + "/" + b
		case strings.HasPrefix(t, "Initiator of SA"):
			if v, _ := after(t, ":"); strings.HasPrefix(v, "Yes") {
				sa.Role = "initiator"
			} else {
				sa.Role = "responder"
			}
		case strings.HasPrefix(t, "Status Description:"):
			if v, _ := after(t, ":"); strings.Contains(v, "delet") {
				sa.Deleted = true
			}
		case strings.HasPrefix(t, "Child sa"):
			if len(sa.Children) >= 4096 {
				continue
			}
			sa.Children = append(sa.Children, facts.ChildSA{Place: o.place(l)})
			child = &sa.Children[len(sa.Children)-1]
			if v, ok := after(t, "local selector"); ok && !strings.Contains(v, "->") {
				child.Local = v
			}
		case child != nil && strings.HasPrefix(t, "ESP spi in/out:"):
			v, _ := after(t, ":")
			a, b, _ := strings.Cut(v, "/")
			child.SPIIn, child.SPIOut = spiValue(a), spiValue(b)
		case child != nil && strings.HasPrefix(t, "local selector"):
			if v, _ := after(t, "local selector"); !strings.Contains(v, "->") && child.Local == "" {
				child.Local = v
			}
		case child != nil && strings.HasPrefix(t, "remote selector"):
			if v, _ := after(t, "remote selector"); child.Remote == "" {
				child.Remote = v
			}
		case child != nil && strings.Contains(t, "->"):
			if a, b, _ := strings.Cut(t, "->"); child.Local == "" {
				child.Local, child.Remote = strings.TrimSpace(a), strings.TrimSpace(b)
			}
		}
	}
}

func (o *output) ikev2Crypto(sa *facts.IKESA, t string) {
	for _, part := range strings.Split(t, ",") {
		k, v, _ := strings.Cut(part, ":")
		v = strings.TrimSpace(v)
		switch strings.TrimSpace(k) {
		case "Encr":
			sa.Encryption = strings.ToLower(v)
		case "keysize":
			sa.Encryption += "-" + v
		case "Hash":
			sa.Hash = strings.ToLower(v)
		case "DH Grp":
			sa.DH = v
		case "Auth sign":
			sa.Auth = strings.ToLower(v)
			if sa.Auth == "psk" {
				sa.Auth = "preshared"
			}
		}
	}
}

// spiValue reads an SPI: 0x1E8246FC, 0x50A0FB1C(1352727324), DC15BF68; 0 when it is none.
func spiValue(s string) uint32 {
	s = strings.TrimSpace(s)
	if i := strings.IndexAny(s, "( ,"); i >= 0 {
		s = s[:i]
	}
	s = strings.TrimPrefix(strings.TrimPrefix(s, "0x"), "0X")
	v, err := strconv.ParseUint(s, 16, 32)
	if err != nil {
		return 0
	}
	return uint32(v)
}
