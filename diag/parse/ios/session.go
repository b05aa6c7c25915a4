package ios

import (
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
)

// session parses show crypto session and show crypto session detail.
func (o *output) session() {
	reading := o.earlier()
	var (
		s       *facts.Session
		iface   string
		state   string
		profile string
		uptime  string
		flow    = -1 // index of the IPsec SA made for the flow at hand
		local   netip.Addr
		half    string // an IKE SA line that goes on
		inLocal bool
		place   facts.Place
		ident   [2]facts.Selector
		flowAt  facts.Place
	)
	for _, l := range o.out.Text {
		t := strings.TrimSpace(l.Text)
		if t == "" {
			continue
		}
		if half != "" {
			if strings.HasPrefix(t, "remote ") {
				t = half + " " + t
			}
			half = ""
		}
		key, value, _ := strings.Cut(t, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "Interface":
			s, flow, state, profile, uptime, local = nil, -1, "", "", "", netip.Addr{}
			iface, inLocal = value, false
			if strings.HasPrefix(value, "(") {
				iface = ""
			}
			continue
		case "Profile":
			profile = value
			continue
		case "Uptime":
			uptime = value
			continue
		case "Username", "Group", "Assigned address", "User":
			if s != nil {
				switch key {
				case "Username", "User":
					s.Name = value
				case "Group":
					s.Group = value
				default:
					s.Assigned = addr(value)
				}
			}
			continue
		case "Session status":
			state, _ = word(value)
			s = nil
			place = o.place(l)
			continue
		case "Peer":
			w, rest := word(value)
			a, _ := endpoint(w)
			o.dev.Sessions = append(o.dev.Sessions, facts.Session{Type: "crypto session", Peer: a, Status: state, BytesTx: facts.NotShown, BytesRx: facts.NotShown,
				Fields: map[string]string{}, Place: place})
			s = &o.dev.Sessions[len(o.dev.Sessions)-1]
			flow, local = -1, netip.Addr{}
			if place.Line == 0 {
				s.Place = o.place(l)
			}
			if !a.IsValid() {
				s.Name = w
			}
			for k, v := range map[string]string{"interface": iface, "profile": profile, "uptime": uptime} {
				if v != "" {
					s.Fields[k] = v
				}
			}
			if p, ok := after(rest, "port "); ok {
				p, _ = word(p)
				s.Fields["port"] = p
			}
			if v, ok := after(rest, "fvrf: "); ok {
				s.Fields["fvrf"], _ = word(v)
			}
			continue
		}
		switch {
		case strings.HasPrefix(t, "Crypto session"), strings.HasPrefix(t, "Code:"), strings.Contains(t, "Keepalives, N - "), strings.HasPrefix(t, "K - "), strings.HasPrefix(t, "X - "),
			strings.HasPrefix(t, "R - "), strings.HasPrefix(t, "S - "), strings.HasPrefix(t, "T - "), strings.HasPrefix(t, "Session ID"), strings.HasPrefix(t, "System IP"):
			continue
		case s == nil:
			o.skip(t)
		case key == "Phase1_id":
			s.Fields["phase1_id"] = value
		case key == "Desc":
			s.Fields["desc"] = value
		case key == "IKE SA" || key == "IKEv1 SA" || key == "IKEv2 SA":
			if !strings.Contains(value, "remote ") {
				half, inLocal = t, true
				continue
			}
			sa := facts.IKESA{Version: 1, Type: sessionType, Reading: reading, Place: o.place(l)}
			if key == "IKEv2 SA" {
				sa.Version = 2
			}
			f := strings.Fields(value)
			for i := 0; i+1 < len(f); i++ {
				switch f[i] {
				case "local":
					sa.Local, sa.LocalPort = endpoint(f[i+1])
				case "remote":
					sa.Remote, sa.RemotePort = endpoint(f[i+1])
				}
			}
			sa.State = strings.ToUpper(f[len(f)-1])
			local = sa.Local
			s.Fields["ike"] = value
			s.Fields["version"] = map[int]string{1: "IKEv1", 2: "IKEv2"}[sa.Version]
			o.dev.IKE = append(o.dev.IKE, sa)
		case strings.HasPrefix(t, "Capabilities:"):
			v, _ := word(value)
			s.Fields["capabilities"] = v
			if c, ok := after(t, "connid:"); ok && len(o.dev.IKE) > 0 {
				c, _ = word(c)
				o.dev.IKE[len(o.dev.IKE)-1].ConnID = c
				s.Fields["connid"] = c
			}
		case key == "IPSEC FLOW":
			flow, flowAt = -1, o.place(l)
			ident[0], ident[1] = flowSelectors(value)
			if old := s.Fields["flow"]; len(old) < 2000 {
				s.Fields["flow"] = strings.TrimPrefix(old+"; "+value, "; ")
			}
		case strings.HasPrefix(t, "Active SAs:"):
			n, _, _ := strings.Cut(value, ",")
			s.Fields["active-sas"] = itoaAdd(s.Fields["active-sas"], atoi(strings.TrimSpace(n)))
		case strings.HasPrefix(t, "Inbound:"), strings.HasPrefix(t, "Outbound:"):
			if flow < 0 {
				o.dev.IPsec = append(o.dev.IPsec, facts.IPsecSA{
					Interface: iface, Local: local, Peer: s.Peer, PeerName: s.Name, LocalID: ident[0], RemoteID: ident[1],
					Encaps: facts.NotShown, Encrypt: facts.NotShown, Digest: facts.NotShown, Decaps: facts.NotShown, Decrypt: facts.NotShown, Verify: facts.NotShown,
					SendErrors: facts.NotShown, RecvErrors: facts.NotShown, InvalidSARecv: facts.NotShown, PMTUsSent: facts.NotShown, PMTUsRcvd: facts.NotShown,
					FragFailures: facts.NotShown, ReplayFailed: facts.NotShown, Complete: true, Reading: reading,
					Places: facts.Places{{Name: "flow", Place: flowAt}, {Name: "ident", Place: flowAt}}, Place: flowAt,
				})
				flow = len(o.dev.IPsec) - 1
			}
			sa := &o.dev.IPsec[flow]
			if v, ok := after(t, "dec'ed "); ok {
				v, _ = word(v)
				sa.Decaps = int64(atoi(v))
				sa.Places.Set("decaps", o.place(l))
			}
			if v, ok := after(t, "enc'ed "); ok {
				v, _ = word(v)
				sa.Encaps = int64(atoi(v))
				sa.Places.Set("encaps", o.place(l))
			}
			if v, ok := after(t, "drop "); ok {
				v, _ = word(v)
				if strings.HasPrefix(t, "Out") {
					sa.SendErrors = int64(atoi(v))
				} else {
					sa.RecvErrors = int64(atoi(v))
				}
			}
		case inLocal:
		}
	}
}

// sessionBrief parses show crypto session brief: peer, interface, user, group or identity, uptime
// and the letters of the status.
func (o *output) sessionBrief() {
	if !slices.ContainsFunc(o.out.Text, func(l facts.Line) bool { return strings.Contains(l.Text, "I/F") && strings.Contains(l.Text, "Status") }) {
		o.session() // images that do not know the word print the long form
		return
	}
	for _, l := range o.out.Text {
		f := strings.Fields(l.Text)
		if len(f) < 3 {
			continue
		}
		a, _ := endpoint(f[0])
		last := f[len(f)-1]
		if !a.IsValid() || len(last) > 3 || strings.Trim(last, "UDAISNK") != "" {
			o.skip(l.Text)
			continue
		}
		state := "DOWN"
		switch up, has := strings.Contains(last, "U"), func(s string) bool { return strings.Contains(last, s) }; {
		case up && has("K"):
			state = "UP-NO-IKE"
		case up && has("I"):
			state = "UP-IDLE"
		case up:
			state = "UP-ACTIVE"
		case has("N"):
			state = "DOWN-NEGOTIATING"
		}
		o.dev.Sessions = append(o.dev.Sessions, facts.Session{Type: "crypto session", Peer: a, Status: state, BytesTx: facts.NotShown, BytesRx: facts.NotShown,
			Fields: map[string]string{"interface": f[1]}, Place: o.place(l)})
	}
}

func itoaAdd(s string, n int) string {
	n += atoi(s)
	if n < 10 {
		return string(rune('0' + n))
	}
	var b [12]byte
	i := len(b)
	for ; n > 0; n /= 10 {
		i--
		b[i] = byte('0' + n%10)
	}
	return string(b[i:])
}

// flowSelectors reads "permit ip 10.0.0.0/255.0.0.0 10.1.0.0/255.255.0.0" and
// "permit 47 host 192.0.2.1 host 192.0.2.2".
func flowSelectors(s string) (local, remote facts.Selector) {
	f := strings.Fields(s)
	if len(f) < 3 {
		return
	}
	proto := 0
	switch f[1] {
	case "ip", "ipv6":
	case "tcp":
		proto = 6
	case "udp":
		proto = 17
	case "icmp":
		proto = 1
	default:
		proto = atoi(f[1])
	}
	sel := [2]*facts.Selector{&local, &remote}
	n := 0
	for i := 2; i < len(f) && n < 2; i++ {
		v := f[i]
		if v == "host" && i+1 < len(f) {
			i++
			sel[n].Prefix = host(addr(f[i]))
			v = f[i]
		} else if a, m, ok := strings.Cut(v, "/"); ok {
			if sel[n].Prefix = masked(a, m); !sel[n].Prefix.IsValid() {
				if p, err := netip.ParsePrefix(v); err == nil {
					sel[n].Prefix = p.Masked()
				}
			}
		} else if !addr(v).IsValid() {
			continue // "port 500"
		}
		sel[n].Text, sel[n].Proto = v, proto
		n++
	}
	return
}
