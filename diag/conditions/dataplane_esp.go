package conditions

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// about returns the events that name this tunnel's peer, or no address at all.
func (e *End) about(evs []facts.Event) []facts.Event {
	var out []facts.Event
	for _, ev := range evs {
		if e.Names(ev) || !ev.Peer.IsValid() && e.Concerns(ev) || e.alone() && !e.Peer.IsValid() {
			out = append(out, ev)
		}
	}
	return out
}

// often weighs repeated lines about single packets: a few beside traffic that flows are
// normal, many are not.
func (e *End) often(evs []facts.Event, many float64) float64 {
	n := len(evs)
	for _, ev := range evs {
		n += ev.Repeat
	}
	f := e.counters()
	flows := f.ok && f.encaps > 0 && f.decaps > 0
	switch {
	case !flows && n > 0:
		return many
	case n >= 5:
		return many
	case n >= 3:
		return many - 1
	}
	return 0.6
}

var antiReplay = Condition{
	ID:        "anti-replay-drop",
	Cause:     "packets arrive out of order beyond the replay window",
	Shows:     "402119, PKT_REPLAY_ERR, REPLAY_ERROR; captures: sequence numbers reordered beyond the window",
	Severity:  report.Minor,
	Reference: "%ASA-4-402119 failed anti-replay checking; %CRYPTO-4-PKT_REPLAY_ERR; %IPSEC-3-REPLAY_ERROR; RFC 4303 section 3.4.3",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			m := Match{Key: e.Label()}
			evs := e.Events()
			x := e.about(withID(evs, "402119", "PKT_REPLAY_ERR", "REPLAY_ERROR"))
			for _, ev := range append(e.about(withID(evs, "PACKET_ERROR")), e.about(withoutID(saying(evs, "anti-replay check", "replay check failed", "anti-replay error"), "402119"))...) {
				if hasAny(ev.Text, "replay") && !slices.ContainsFunc(x, func(o facts.Event) bool { return o.Place == ev.Place }) {
					x = append(x, ev)
				}
			}
			if len(x) > 0 {
				m.Clues = append(m.Clues, For(e.often(x, 3.6), e.Label()+" drops packets that arrive outside the replay window", at(x...)...))
			}
			for _, sa := range e.IPsec() {
				if sa.ReplayFailed > 100 {
					m.Clues = append(m.Clues, For(2.2, fmt.Sprintf("%d packets failed the replay check", sa.ReplayFailed), place(sa, "replay")))
					break
				}
			}
			if len(m.Clues) == 0 {
				continue
			}
			m.Title = fmt.Sprintf("Packets from %s reach %s out of order, beyond the anti-replay window", e.PeerLabel(), e.Label())
			m.Explanation = "The receiver drops an ESP packet whose sequence number is older than its window (64 by default). Parallel paths or QoS that queues after encryption reorder packets; the packets themselves are good. Traffic goes on, with losses."
			m.Actions = []report.Action{advise(e, []string{"crypto ipsec security-association replay window-size 1024"}, "may be ignored while traffic flows; or take QoS off one end", "the new window counts from the next SA on")}
			out = append(out, m)
		}
		return out
	},
}

// noHash tells whether a transform set carries no integrity check of its own.
func noHash(ts facts.TransformSet) bool {
	enc := false
	for _, a := range ts.Transforms {
		a = strings.ToLower(a)
		switch {
		case strings.Contains(a, "hmac") || strings.Contains(a, "gcm") || strings.Contains(a, "gmac") || strings.HasPrefix(a, "ah-"):
			return false
		case strings.HasPrefix(a, "esp-") && a != "esp-none":
			enc = true
		}
	}
	return enc
}

var noIntegrity = Condition{
	ID:        "no-integrity-algorithm",
	Cause:     "the transform set has no hash",
	Shows:     "402130; esp-none, or a set without hmac and without GCM",
	Severity:  report.Major,
	Reference: "%ASA-6-402130 incorrect IPsec padding; Cisco: transform sets",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			c := e.Config()
			m := Match{Key: e.Label()}
			x := e.about(append(withID(e.Events(), "402130"), saying(withoutID(e.Events(), "402130"), "incorrect ipsec padding")...))
			if len(x) > 0 {
				m.Clues = append(m.Clues, For(3.6, "decrypted packets have wrong padding: damage that no check found before", at(x...)...))
			}
			name := ""
			if c != nil {
				entries := e.Entries()
				if len(entries) == 0 && !e.Peer.IsValid() {
					entries = c.MapEntries
				}
				for _, en := range entries {
					for _, ts := range c.TransformSets {
						if slices.Contains(en.Transforms, ts.Name) && noHash(ts) && name == "" {
							name = ts.Name
							w := 2.6
							if len(en.Transforms) > 1 {
								w = 1 // another set may be the one in use
							}
							m.Clues = append(m.Clues, For(w, fmt.Sprintf("transform set %s of crypto map %s %d has no hash", ts.Name, en.Map, en.Sequence), ts.Place, place2(en, "transform")))
						}
					}
				}
			}
			for _, sa := range e.IPsec() {
				if sa.Decrypt > 0 && sa.Verify == 0 && len(m.Clues) > 0 {
					m.Clues = append(m.Clues, For(0.8, "packets are decrypted and none is verified", place(sa, "decaps")))
				} else if sa.Verify > 0 && name == "" && len(x) > 0 {
					m.Clues = append(m.Clues, Against(0.6, "packets are verified on this tunnel", place(sa, "decaps")))
				} else {
					continue
				}
				break
			}
			if len(m.Clues) == 0 {
				continue
			}
			set := name
			if set == "" {
				set = "<name>"
			}
			word := "crypto ipsec ikev1 transform-set "
			if e.isIOS() || e.old() {
				word = "crypto ipsec transform-set "
			}
			m.Title = fmt.Sprintf("The tunnel between %s and %s has no integrity check", e.Label(), e.PeerLabel())
			if name != "" {
				m.Title = fmt.Sprintf("Transform set %s on %s (peer %s) has no integrity algorithm", name, e.Label(), e.PeerLabel())
			}
			m.Explanation = "Without esp-…-hmac (or AES-GCM) a damaged or forged packet is accepted and decrypted, and comes out as garbage: the device then finds wrong padding (402130). A hash drops such packets before decryption."
			m.Actions = []report.Action{advise(e, []string{word + set + " esp-aes esp-sha-hmac"}, "the same at the peer, or it becomes transform-set-mismatch", "captures at both ends show where packets are damaged")}
			out = append(out, m)
		}
		return out
	},
}

var hmacError = Condition{
	ID:        "hmac-packet-error",
	Cause:     "ESP fails its integrity check",
	Shows:     "402120, RECVD_PKT_MAC_ERR, HMAC_ERROR, VPN_HW PACKET_ERROR; #pkts verify behind #pkts decrypt",
	Severity:  report.Minor,
	Reference: "%VPN_HW-4-PACKET_ERROR; %ASA-4-402120; %CRYPTO-4-RECVD_PKT_MAC_ERR; %IPSEC-3-HMAC_ERROR",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			m := Match{Key: e.Label()}
			evs := e.Events()
			var x []facts.Event
			for _, ev := range e.about(withID(evs, "402120", "RECVD_PKT_MAC_ERR", "HMAC_ERROR", "PACKET_ERROR")) {
				if !hasAny(ev.Text, "replay") {
					x = append(x, ev)
				}
			}
			for _, ev := range e.about(withoutID(saying(evs, "receives hmac error", "hmac mismatch"), "402120")) {
				if !slices.ContainsFunc(x, func(o facts.Event) bool { return o.Place == ev.Place }) {
					x = append(x, ev)
				}
			}
			if len(x) > 0 {
				m.Clues = append(m.Clues, For(e.often(x, 3.6), e.Label()+" finds packets whose HMAC does not fit", at(x...)...))
			}
			if y := e.logged("402123", "402124", "402125"); len(y) > 0 {
				m.Clues = append(m.Clues, For(1.2, "the crypto hardware reports errors", at(y...)...))
			}
			for _, sa := range e.IPsec() {
				if sa.Verify > 0 && sa.Decrypt > sa.Verify && sa.Decrypt-sa.Verify > sa.Decrypt/1000 {
					m.Clues = append(m.Clues, For(2, fmt.Sprintf("%d of %d decrypted packets were not verified", sa.Decrypt-sa.Verify, sa.Decrypt), place(sa, "decaps")))
					if sa.RecvErrors > 0 {
						m.Clues = append(m.Clues, For(0.8, "receive errors", place(sa, "recv-errors")))
					}
					break
				}
			}
			if len(m.Clues) == 0 {
				continue
			}
			m.Title = fmt.Sprintf("ESP packets from %s fail their integrity check on %s", e.PeerLabel(), e.Label())
			m.Explanation = "The packet's HMAC does not fit its content. From one peer only: its packets are damaged on the path or by its own encryption. From all peers: this device's VPN hardware."
			m.Actions = []report.Action{advise(e, nil, "ignore when traffic is not disturbed", "a capture at both ends tells damaged packets from bad hardware", "errors with all peers: replace the VPN module")}
			m.Next = []report.Next{bothEnds("tells packets damaged on the path from bad hardware")}
			out = append(out, m)
		}
		return out
	},
}

var duplicateRules = Condition{
	ID:        "duplicate-asp-rules",
	Cause:     "duplicate encrypt rules keep packets from being encrypted",
	Shows:     "show asp table classify: two encrypt rules of one flow; SA up with encaps 0",
	Severity:  report.Critical,
	Reference: "Cisco: tunnels do not pass traffic when very many are configured (show asp table classify domain encrypt)",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			type rule struct {
				id    string
				count facts.Counter
			}
			first := map[string]rule{}
			var clues []Clue
			what := ""
			for _, ct := range e.Device.Counters {
				if ct.Group != "asp-classify" || !strings.HasPrefix(ct.Name, "encrypt ") {
					continue
				}
				key := fmt.Sprintf("%d %s", ct.Reading, ct.Name)
				id := wordAfter(ct.Text, "cs_id=")
				old, seen := first[key]
				if !seen {
					first[key] = rule{id, ct}
					continue
				}
				if old.id == id || id == "" || !e.ruleFits(ct.Name) {
					continue
				}
				what = strings.TrimPrefix(ct.Name, "encrypt ")
				clues = append(clues, For(3.6, "two encrypt rules for "+what+" with different cs_id", old.count.Place, ct.Place))
				break
			}
			if len(clues) == 0 {
				continue
			}
			if f := e.counters(); f.ok && f.encaps == 0 {
				clues = append(clues, For(1.4, "the SA is up and encrypts nothing", f.place("encaps")))
			} else if f.ok && f.encaps > 0 && f.decaps > 0 {
				clues = append(clues, Against(2.4, "the tunnel carries traffic both ways: old and new rule side by side during a rekey are normal", f.place("encaps")))
			}
			a := clearIPsec(e)
			out = append(out, Match{Key: e.Label(), Clues: clues,
				Title:       fmt.Sprintf("%s has two encrypt rules for one flow (%s), so packets to %s hit the dead one", e.Label(), what, e.PeerLabel()),
				Explanation: "The ASP table holds two encrypt rules of the same source and destination with different contexts (cs_id). The first one belongs to an SA that is gone, so packets that match it are not encrypted. It happens on devices with very many tunnels. Clearing this peer's IPsec SAs makes the rules anew.",
				Actions:     []report.Action{a, advise(e, nil, "upgrade; a reload when it persists (everything drops: a maintenance window)")}})
		}
		return out
	},
}

// ruleFits tells whether an ASP rule is about this tunnel's networks ("encrypt SRC/MASK DST/MASK").
func (e *End) ruleFits(name string) bool {
	nets := e.protected()
	f := strings.Fields(name)
	if len(nets) == 0 || len(f) < 3 {
		return true
	}
	src, dst := addrOf(f[1]), addrOf(f[2])
	return slices.ContainsFunc(nets, func(n network) bool { return n.src.Contains(src) && n.dst.Contains(dst) })
}

var expiredContext = Condition{
	ID:       "expired-vpn-context",
	Cause:    "outbound packets hit an expired VPN context",
	Shows:    "show asp drop: vpn-context-expired grows between two readings",
	Severity: report.Critical, Prefer: []string{"duplicate-asp-rules"},
	Reference: "Cisco: show asp drop, Expired VPN context (vpn-context-expired)",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			var low, high facts.Counter
			n := 0
			for _, ct := range e.Device.Counters {
				if ct.Group != "asp-drop" || !hasAny(ct.Name, "vpn-context-expired") && !hasAny(ct.Text, "expired vpn context") {
					continue
				}
				if n == 0 {
					low = ct
				}
				high = ct
				n++
			}
			var clues []Clue
			switch {
			case n == 0:
				continue
			case n > 1 && high.Value > low.Value:
				clues = append(clues, For(4, fmt.Sprintf("packets hit an expired VPN context: %d, then %d", low.Value, high.Value), high.Place, low.Place))
			case n > 1:
				clues = append(clues, For(0.4, "", low.Place), Against(2, "the count stands still between two readings"))
			case high.Value > 0:
				clues = append(clues, For(1, "packets have hit an expired VPN context; one reading proves little", high.Place))
			default:
				continue
			}
			if f := e.counters(); f.ok && f.encaps == 0 && f.decaps > 0 {
				clues = append(clues, For(1, "nothing is encrypted", f.place("encaps")))
			} else if f.ok && f.encaps > 0 && f.decaps > 0 && n < 2 {
				clues = append(clues, Against(1.5, "the tunnel carries traffic both ways"))
			}
			m := Match{Key: e.Label(), Clues: clues,
				Title:       fmt.Sprintf("Outbound packets on %s hit an expired VPN context and are dropped (tunnel to %s)", e.Label(), e.PeerLabel()),
				Explanation: "After several rekeys the ASP still sends packets to a context (SA) that is gone: show asp drop counts vpn-context-expired. Clearing this peer's IPsec SAs makes a new context; when it returns it is a known defect of the release.",
				Actions:     []report.Action{clearIPsec(e), advise(e, nil, "upgrade: known defect when it returns")}}
			if n < 2 {
				m.Next = []report.Next{readAlso("show asp drop a second time", "the difference shows whether packets hit it now")}
			}
			out = append(out, m)
		}
		return out
	},
}

var mapReapply = Condition{
	ID:        "crypto-map-reapply",
	Cause:     "the crypto map must be applied again",
	Shows:     "713063; an interface address that changed, or SAs with a local address that no interface has; clears that did not help",
	Severity:  report.Major,
	Prefer:    []string{"crypto-acl-unbound", "crypto-acl-mismatch", "transform-set-mismatch", "pfs-mismatch", "crypto-map-sequence", "crypto-map-no-policy", "phase1-policy-mismatch", "psk-mismatch", "peer-address-mismatch"},
	Reference: "%ASA-3-713063 IKE Peer address not configured for destination; Cisco: remove and re-apply crypto maps",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			m := Match{Key: e.Label()}
			c := e.Config()
			x := append(withID(e.Events(), "713063"), saying(withoutID(e.Events(), "713063"), "peer address not configured for destination")...)
			if len(x) > 0 {
				m.Clues = append(m.Clues, For(3.8, "the map has no peer for the destination although one is configured", at(x...)...))
				for _, en := range e.Entries() {
					if len(en.Peers) == 0 && len(en.PeerNames) == 0 {
						m.Clues = append(m.Clues, Against(3, "the entry has no set peer", en.Place))
					}
				}
			}
			clears := 0
			var where []facts.Place
			for _, o := range e.Device.Outputs {
				if strings.HasPrefix(o.Command, "clear crypto") && !o.Refused {
					clears++
					where = append(where, o.Place)
				}
			}
			if clears > 1 && len(t.phase1Up()) == 0 {
				m.Clues = append(m.Clues, For(1.6, "cleared twice without success", where...))
			}
			for _, ev := range e.logged("111008", "111010") {
				if hasAny(ev.Text, "ip address") && hasAny(ev.Text, "interface", "ip address") && len(t.phase1Up()) == 0 {
					m.Clues = append(m.Clues, For(1, "the interface's address was changed", ev.Place))
					break
				}
			}
			if old, now, ok := e.localGone(); ok {
				m.Clues = append(m.Clues, For(2.6, "the map works with "+old.Local.String()+", an address that no interface has any more", old.Place, now))
				if f := e.counters(); f.ok && f.encaps > 0 && f.decaps > 0 {
					m.Clues = append(m.Clues, Against(2, "the tunnel carries traffic both ways"))
				}
			}
			if !slices.ContainsFunc(m.Clues, func(cl Clue) bool { return cl.Weight >= 1.5 }) {
				continue
			}
			name, iface := "<map>", "outside"
			if en := e.Entries(); len(en) > 0 {
				name = en[0].Map
			} else if c != nil && len(c.MapBindings) > 0 {
				name = c.MapBindings[0].Map
			}
			if b := e.boundTo(); len(b) > 0 {
				iface = b[0]
			} else if c != nil && len(c.MapBindings) > 0 {
				iface = c.MapBindings[0].Interface
			}
			cmds := []string{"no crypto map " + name + " interface " + iface, "crypto map " + name + " interface " + iface}
			if e.isIOS() {
				cmds = []string{"interface " + iface, " no crypto map " + name, " crypto map " + name}
			}
			m.Title = fmt.Sprintf("The crypto map %s on %s (%s) must be taken off the interface and applied again", name, e.Label(), iface)
			m.Explanation = "Configuration and settings fit, and the map that is in force on the interface is not the one in the configuration: it was applied before an address or an entry changed (713063: no peer address for the destination). A targeted clear and any compared difference come before this."
			m.Actions = []report.Action{advise(e, cmds, "every tunnel of that interface drops: a maintenance window", "713063: give the entry another sequence number before applying the map again")}
			out = append(out, m)
		}
		return out
	},
}

// localGone returns the SA with this peer whose own address no interface of the device has,
// and where the interfaces' addresses stand. It needs a whole configuration, or a table of
// addresses; an address that comes from elsewhere (DHCP, PPPoE, a standby group, a NAT) proves nothing.
func (e *End) localGone() (facts.IPsecSA, facts.Place, bool) {
	var now facts.Place
	have := map[netip.Addr]bool{}
	if c := e.Config(); c != nil && !c.Partial {
		for _, i := range c.Interfaces {
			if i.Dynamic {
				return facts.IPsecSA{}, now, false
			}
			if i.Address.IsValid() && !i.Shutdown {
				have[i.Address.Addr()] = true
				if b := e.boundTo(); now.Line == 0 && len(b) > 0 && (i.Name == b[0]) {
					now = i.Place
				}
			}
		}
	}
	for _, o := range e.Device.Outputs {
		if o.Filter != "" || !strings.HasPrefix(o.Command, "show ip address") && !strings.HasPrefix(o.Command, "show interface ip brief") && !strings.HasPrefix(o.Command, "show ip interface brief") {
			continue
		}
		for _, l := range o.Text {
			for _, w := range strings.Fields(l.Text) {
				if a, err := netip.ParseAddr(w); err == nil {
					have[a] = true
					now = facts.Place{Source: o.Place.Source, Line: l.N, Text: l.Text}
				}
			}
			if hasAny(l.Text, "dhcp", "pppoe", "ipcp") {
				return facts.IPsecSA{}, now, false
			}
		}
	}
	if len(have) == 0 || now.Line == 0 {
		return facts.IPsecSA{}, now, false
	}
	for _, sa := range e.IPsec() {
		if !sa.Local.IsValid() || have[sa.Local] || sa.Local.IsPrivate() {
			continue
		}
		if c := e.Config(); c != nil && slices.ContainsFunc(c.Lines, func(l facts.ConfigLine) bool { return strings.Contains(l.Text, sa.Local.String()) }) {
			continue // a secondary, standby or translated address
		}
		return sa, now, true
	}
	return facts.IPsecSA{}, now, false
}
