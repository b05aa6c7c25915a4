package conditions

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

var entryIncomplete = Condition{
	ID:        "crypto-acl-unbound",
	Cause:     "a crypto map entry is incomplete",
	Shows:     "no match address, peer or transform set, or a list that does not exist; 713223, 713224; 'crypto map entry is incomplete'",
	Severity:  report.Critical,
	Reference: "Cisco: crypto map entry incomplete; %ASA-3-713223, %ASA-3-713224",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			c := e.Config()
			if e.sifted() {
				c = nil
			}
			warned := append(e.logSays("crypto map entry incomplete", "crypto map entry is incomplete", "crypto map is in an incomplete state", "crypto map will remain disabled"), withID(e.Events(), "713223", "713224")...)
			found := false
			if c != nil {
				open := len(c.MapEntries) // the entries that a cut configuration may not have in whole
				if cutInMap(c) {
					// The last line may be half a line, of another entry by its looks.
					if open--; open > 0 && c.MapEntries[open].Place.Line == c.Lines[len(c.Lines)-1].N {
						open--
					}
				}
				for _, i := range e.ownOrPeerless() {
					m := c.MapEntries[i]
					if m.DynamicMap || m.Dynamic != "" || i >= open || e.filteredEntry(m) {
						continue
					}
					var missing []string
					var fix []string
					where := []facts.Place{m.Place}
					id := fmt.Sprintf("crypto map %s %d", m.Map, m.Sequence)
					if m.ACL == "" && m.Profile == "" {
						missing = append(missing, "match address")
						fix = append(fix, e.inEntry(id, "match address "+cmp.Or(unusedList(c, ""), "<acl>"))...)
					} else if m.ACL != "" && c.ACL(m.ACL) == nil && e.printsLists() {
						missing = append(missing, "the access list "+m.ACL+" itself")
						where = append([]facts.Place{place2(m, "acl")}, where...)
						if l := unusedList(c, m.ACL); l != "" {
							where = append(where, c.ACL(l).Place)
							missing[len(missing)-1] += fmt.Sprintf(" (%s exists and is used nowhere)", l)
							fix = append(fix, e.inEntry(id, "match address "+l)...)
						} else {
							fix = append(fix, "access-list "+m.ACL+" extended permit ip <local> <remote>")
						}
					}
					if len(m.Peers) == 0 && len(m.PeerNames) == 0 {
						missing = append(missing, "set peer")
						fix = append(fix, e.inEntry(id, "set peer <peer>")...)
					}
					if len(m.Transforms) == 0 && len(m.Proposals) == 0 {
						missing = append(missing, "transform-set")
						fix = append(fix, e.inEntry(id, "set "+map[bool]string{true: "", false: "ikev1 "}[e.isIOS() || e.old()]+"transform-set <name>")...)
					}
					if len(missing) == 0 {
						continue
					}
					found = true
					clues := []Clue{For(4.4, "entry "+fmt.Sprint(m.Sequence)+" lacks "+strings.Join(missing, " and "), where...)}
					if len(warned) > 0 {
						clues = append(clues, For(1, "the device says so", at(warned...)...))
					}
					out = append(out, Match{Key: id, Clues: clues,
						Title:       fmt.Sprintf("%s on %s is incomplete: %s missing", id, e.Label(), strings.Join(missing, " and ")),
						Explanation: "A crypto map entry needs an access list, a peer and a transform set (or IKEv2 proposal). Without one of them it protects nothing and the tunnel never starts.",
						Actions:     []report.Action{advise(e, fix)}})
				}
			}
			if !found && len(warned) > 0 {
				w := 3.0
				if len(withID(warned, "713223", "713224")) > 0 {
					w = 4.6 // said while a tunnel was wanted, not while somebody typed
				} else if c != nil {
					w = 0.5 // the entry is complete now: the warning came while it was typed
				}
				out = append(out, Match{Key: "warning", Clues: []Clue{For(w, "the device warns of an incomplete entry", at(warned...)...)},
					Title:       "A crypto map entry on " + e.Label() + " is incomplete" + entryNamed(warned),
					Explanation: "The device warned that an entry lacks match address, peer or transform set. While an entry is being typed the warning is harmless.",
					Actions:     []report.Action{advise(e, []string{"crypto map <map> <seq> match address <acl>", "crypto map <map> <seq> set peer <peer>", "crypto map <map> <seq> set transform-set <name>"})},
					Next:        []report.Next{readAlso("the configuration (crypto map)", "shows whether the entry is complete now")}})
			}
		}
		return out
	},
}

// entryNamed reads which entry a message names: "map = outside_map, seq = 20".
func entryNamed(evs []facts.Event) string {
	for _, ev := range evs {
		if m := wordAfter(ev.Text, "map = "); m != "" {
			return ": " + m + " " + wordAfter(ev.Text, "seq = ") + " (peer " + ev.Peer.String() + ")"
		}
	}
	return ""
}

// lastLine is the top-level line that a configuration without its end stops at, or within; ""
// when it is complete.
func lastLine(c *facts.Config) string {
	if c == nil || c.Complete || len(c.Lines) == 0 {
		return ""
	}
	l := c.Lines[len(c.Lines)-1]
	if l.Parent >= 0 && l.Parent < len(c.Lines) {
		l = c.Lines[l.Parent]
	}
	return l.Text
}

// within tells whether a line begins with one of the words, or was cut within them.
func within(line string, words ...string) bool {
	return line != "" && slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(line, w) || strings.HasPrefix(w, line) })
}

// cutInMap: the configuration has no end and its last lines are those of a crypto map, so
// that the last entry, and the binding of the map, may only be missing in the text.
func cutInMap(c *facts.Config) bool {
	l := lastLine(c)
	return within(l, "crypto map ", "crypto dynamic-map ") && !strings.Contains(l, " interface ")
}

// cutAtMap: the configuration has no end and its last lines are those of crypto maps or what
// an ASA prints next, so that the line that enables IKE may only be missing in the text.
func cutAtMap(c *facts.Config) bool {
	return within(lastLine(c), "crypto map ", "crypto dynamic-map ", "crypto ca ", "crypto ikev2 policy ", "crypto isakmp identity ", "crypto isakmp enable ", "crypto ikev1 enable ", "crypto ikev2 enable ")
}

// sifted: every configuration text at hand that would print the crypto map was filtered line
// by line, so that a line that is not there proves nothing.
func (e *End) sifted() bool {
	any := false
	for _, o := range e.Device.Outputs {
		if !strings.HasPrefix(o.Command, "show running-config") && !strings.HasPrefix(o.Command, "show startup-config") && !strings.HasPrefix(o.Command, "show configuration") {
			continue
		}
		if f := strings.Fields(o.Command); len(f) > 2 && f[0] == "show" && f[1] == "running-config" && f[2] != "all" && f[2] != "section" && f[2] != "crypto" {
			continue // other sections: show running-config access-list
		}
		any = true
		f := strings.ToLower(o.Filter)
		if f == "" || strings.HasPrefix(f, "s") || strings.HasPrefix(f, "b") { // section, begin
			return false
		}
	}
	return any
}

// configOutput tells whether an answer is a configuration or a part of one.
func configOutput(o *facts.Output) bool {
	return strings.HasPrefix(o.Command, "show running-config") || strings.HasPrefix(o.Command, "show startup-config") || strings.HasPrefix(o.Command, "show configuration")
}

// filteredEntry: the lines of a crypto map entry were picked by a filter (| include), so that
// it may have others.
func (e *End) filteredEntry(m facts.MapEntry) bool {
	picked := false
	for i := range e.Device.Outputs {
		o := &e.Device.Outputs[i]
		if !configOutput(o) || len(o.Text) == 0 || o.Place.Source != m.Place.Source || m.Place.Line < o.Text[0].N || m.Place.Line > o.Text[len(o.Text)-1].N {
			continue
		}
		picked = picked || byLine(o.Filter) || e.bySection(o.Filter, fmt.Sprintf("crypto map %s %d ", m.Map, m.Sequence)) || o.Typed == "" && e.Config().Partial && m.Place.Line == o.Text[0].N || o.Typed == "" && e.Config().Partial && !showsWhole(o, m)
	}
	return picked && !ofBox(e, "whole crypto map entries", e.wholeEntries)[fmt.Sprintf("%s %d", m.Map, m.Sequence)]
}

// showsWhole tells whether a part of a configuration that stands without its command holds
// all of an entry: on IOS its block, on an ASA the map down to its interface.
func showsWhole(o *facts.Output, m facts.MapEntry) bool {
	for i, l := range o.Text {
		if strings.HasPrefix(l.Text, "crypto map "+m.Map+" interface ") {
			return true
		}
		if l.N == m.Place.Line && strings.Contains(l.Text, " ipsec-isakmp") && i+1 < len(o.Text) && len(m.Places) > 1 {
			return true
		}
	}
	return false
}

// bySection tells whether a filter for sections picks single lines of a block that begin alike:
// on an ASA a crypto map's lines are sections each.
func (e *End) bySection(filter, line string) bool {
	f := strings.ToLower(filter)
	_, what, ok := strings.Cut(f, " ")
	return ok && !e.isIOS() && strings.HasPrefix(f, "s") && !strings.Contains(strings.ToLower(line), strings.Trim(what, "^ "))
}

// byLine tells whether a filter picks single lines: include, exclude, grep, not begin or
// section.
func byLine(filter string) bool {
	f := strings.ToLower(filter)
	return f != "" && !strings.HasPrefix(f, "s") && !strings.HasPrefix(f, "b")
}

// wholeEntries are the crypto map entries that an answer prints as a whole.
func (e *End) wholeEntries() map[string]bool {
	out := map[string]bool{}
	for i := range e.Device.Outputs {
		o := &e.Device.Outputs[i]
		if !configOutput(o) || byLine(o.Filter) || o.Typed == "" && e.Config().Partial {
			continue
		}
		for _, l := range o.Text {
			if rest, ok := strings.CutPrefix(l.Text, "crypto map "); ok {
				if f := strings.Fields(rest); len(f) > 1 && !e.bySection(o.Filter, "crypto map "+f[0]+" "+f[1]+" ") {
					out[f[0]+" "+f[1]] = true
				}
			}
		}
	}
	return out
}

// printsLists: what is at hand would print every access list, so that one that is not there
// does not exist. An ASA prints them before the crypto map, IOS behind it.
func (e *End) printsLists() bool {
	c := e.Config()
	if c == nil {
		return false
	}
	if !c.Partial {
		if !e.isIOS() || c.Complete {
			return true
		}
		for _, l := range c.Lines[max(0, len(c.Lines)-40):] {
			if l.Parent < 0 && (strings.HasPrefix(l.Text, "route-map ") || strings.HasPrefix(l.Text, "line ") || strings.HasPrefix(l.Text, "control-plane")) {
				return true
			}
		}
		return false
	}
	for i := range e.Device.Outputs {
		o := &e.Device.Outputs[i]
		f := strings.ToLower(o.Filter)
		switch o.Command {
		case "show running-config access-list", "show access-lists", "show access-list", "show ip access-lists":
			if f == "" {
				return true
			}
		case "show running-config", "show running-config section":
			_, what, _ := strings.Cut(f, " ")
			if what == "access-list" || what == "access" || what == "^access-list" {
				return true
			}
		}
	}
	return false
}

var mapSequence = Condition{
	ID:        "crypto-map-sequence",
	Cause:     "a dynamic crypto map entry stands before static ones",
	Shows:     "sequence numbers of one map; QM FSM error",
	Severity:  report.Critical,
	Prefer:    []string{"quick-mode-unanswered", "quick-mode-last-message-lost", "crypto-acl-mismatch", "transform-set-mismatch", "pfs-mismatch"},
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, verify crypto map sequence numbers",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			c := e.Config()
			if c == nil {
				continue
			}
			for _, d := range ofBox(e, "entries with a dynamic map", func() []facts.MapEntry { return dynamicEntries(c) }) {
				var above []string
				var where []facts.Place
				mine := false
				for i := range c.MapEntries {
					s := &c.MapEntries[i]
					if s.Map == d.Map && !s.DynamicMap && s.Dynamic == "" && s.Sequence > d.Sequence {
						above = append(above, fmt.Sprint(s.Sequence))
						where = append(where, s.Place)
						mine = mine || slices.ContainsFunc(s.Peers, e.Mine)
					}
				}
				if len(above) == 0 || e.Peer.IsValid() && !mine && len(e.Entries()) > 0 {
					continue
				}
				clues := []Clue{For(3.6, fmt.Sprintf("dynamic entry %d stands before static %s", d.Sequence, strings.Join(above, ", ")), append([]facts.Place{d.Place}, where...)...)}
				if x := saying(e.Events(), "qm fsm error"); len(x) > 0 {
					clues = append(clues, For(1.4, "quick mode fails", at(x...)...))
				}
				if up := t.phase2Works(); len(up) > 0 {
					clues = append(clues, Against(1.8, "an IPsec SA exists", up[0]))
				}
				id := fmt.Sprintf("%s %d", d.Map, d.Sequence)
				out = append(out, Match{Key: id, Clues: clues,
					Title:       fmt.Sprintf("In crypto map %s on %s the dynamic entry %d stands before static entries (%s)", d.Map, e.Label(), d.Sequence, strings.Join(above, ", ")),
					Explanation: "The lower number is tried first, so these static peers hit the dynamic entry and its settings, and quick mode fails (QM FSM error). The dynamic entry must have the highest number of the map.",
					Actions: []report.Action{advise(e, []string{fmt.Sprintf("no crypto map %s %d ipsec-isakmp dynamic %s", d.Map, d.Sequence, d.Dynamic), fmt.Sprintf("crypto map %s 65535 ipsec-isakmp dynamic %s", d.Map, d.Dynamic)},
						"in one go: between the two lines clients and dynamic peers cannot connect")}})
			}
		}
		if len(out) > 0 {
			return out
		}
		for _, e := range t.Ends {
			if x := saying(e.Events(), "qm fsm error"); len(x) > 0 {
				if y := withID(e.Events(), "713223", "713224"); len(y) > 0 {
					continue // the map's check names the reason
				}
				return []Match{{Key: "log", Clues: []Clue{For(1.6, "quick mode fails; the sequence of the crypto map is one known reason", at(x...)...), sequenceFine(e)},
					Title:       "Quick mode fails on " + e.Label() + " (QM FSM error)",
					Explanation: "QM FSM error accompanies crypto map sequence, access list, transform and PFS mismatches; the configuration decides which.",
					Actions:     []report.Action{advise(e, []string{"show running-config crypto map"}, "a dynamic entry must have the highest number of its map")},
					Next:        []report.Next{readAlso("both ends' crypto maps and access lists", "separates crypto-map-sequence, crypto-acl-mismatch, transform-set-mismatch and pfs-mismatch")}}}
			}
		}
		return nil
	},
}

// sequenceFine: the configuration is at hand and its sequence is in order.
func sequenceFine(e *End) Clue {
	if e.Config() != nil && len(e.Config().MapEntries) > 0 {
		return Against(3, "the sequence of the crypto map is in order")
	}
	return Clue{}
}

var mapNoPolicy = Condition{
	ID:        "crypto-map-no-policy",
	Cause:     "traffic matches no crypto map policy, or another map is bound",
	Shows:     "713042; no binding, another map, or the same name in other letters",
	Severity:  report.Critical,
	Reference: "%ASA-4-713042 IKE Initiator unable to find policy; Cisco: crypto map names are case-sensitive",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			var clues []Clue
			detail, iface, mapName, lost := "", "outside", "<map>", ""
			if x := e.withoutPolicy(); len(x) > 0 {
				clues = append(clues, For(3.2, e.Label()+" finds no policy for traffic that should be protected", at(x...)...))
				detail = x[0].Text
				if len(x) == 1 {
					clues = append(clues, Against(0.6, "seen once only"))
				}
			}
			if c := e.Config(); c != nil && (!c.Partial || len(c.MapBindings) > 0) && !cutInMap(c) && !e.sifted() && !(e.isIOS() && !c.Partial && !c.Complete && !e.printsLists()) {
				for _, m := range ofBox(e, "first entry of each map", func() []facts.MapEntry { return firstEntries(c) }) {
					name := m.Map
					if slices.ContainsFunc(c.MapBindings, func(b facts.MapBinding) bool { return b.Map == name }) {
						continue
					}
					if e.Peer.IsValid() && len(e.Entries()) > 0 && !slices.ContainsFunc(e.Entries(), func(x facts.MapEntry) bool { return x.Map == name }) {
						continue
					}
					mapName = name
					note := "crypto map " + name + " is bound to no interface"
					where, peers := entriesOfMap(c, name)
					if len(where) == 0 {
						where = []facts.Place{m.Place}
					}
					lost = " (peers " + strings.Join(peers, ", ") + ")"
					if len(peers) == 0 {
						lost = ""
					}
					if h, ok := e.egress(netip.PrefixFrom(e.Peer, max(0, e.Peer.BitLen()))); ok && e.Peer.IsValid() && h.iface != "" {
						iface = h.iface
					}
					for _, b := range c.MapBindings {
						if strings.EqualFold(b.Map, name) {
							note = fmt.Sprintf("crypto map %s is bound and %s is another map: names are case-sensitive", b.Map, name)
						} else {
							note = fmt.Sprintf("crypto map %s is bound to no interface; %s has map %s", name, b.Interface, b.Map)
						}
						iface = b.Interface
						where = append(where, b.Place)
					}
					clues = append(clues, For(4.2, note, where...))
					if detail == "" {
						detail = note + lost
					}
				}
			}
			if len(clues) == 0 {
				continue
			}
			title := "Traffic on " + e.Label() + " matches no crypto map policy"
			if mapName != "<map>" {
				title = "Crypto map " + mapName + " on " + e.Label() + " is not in force on any interface" + lost
			} else if x := withID(e.Events(), "713042"); len(x) > 0 && len(x[0].Addrs) > 1 {
				title = fmt.Sprintf("Traffic from %s to %s on %s matches no crypto map policy", x[0].Addrs[0], x[0].Addrs[1], e.Label())
			}
			if x := withID(e.Events(), "713042"); e.phase2Up() && !(e.Config() != nil && len(x) > 0 && len(x[0].Addrs) > 1 && !e.carries(x[0].Addrs[0], x[0].Addrs[1])) {
				clues = append(clues, Against(3.5, "IPsec SAs with the peer exist"))
			}
			cmds := []string{"crypto map " + mapName + " interface " + iface}
			if e.isIOS() {
				cmds = []string{"interface " + iface, "crypto map " + mapName}
			}
			out = append(out, Match{Key: e.Label(), Clues: clues,
				Title:       title,
				Explanation: "The traffic reaches the device and no bound crypto map entry covers it: the map is not on the interface, another map is, or the access list does not name these networks. " + detail,
				Actions:     []report.Action{advise(e, cmds, "check the crypto access list against source and destination of the message; one map per interface with several sequence numbers")}})
		}
		return out
	},
}

// entriesOfMap returns the places of a map's static entries, the first ones, and their peers.
func entriesOfMap(c *facts.Config, name string) (where []facts.Place, peers []string) {
	for _, m := range c.MapEntries {
		if m.Map != name || m.DynamicMap || len(where) >= 6 {
			continue
		}
		where = append(where, m.Place)
		for _, p := range m.Peers {
			peers = append(peers, p.String())
		}
	}
	return where, peers
}

// withoutPolicy returns the initiator's complaints (713042) that may be about this tunnel: an
// entry without a list, or a list of another tunnel that covers the packet, explains them elsewhere.
func (e *End) withoutPolicy() []facts.Event {
	x := withID(e.Events(), "713042")
	c := e.Config()
	if c == nil || len(x) == 0 || len(c.MapEntries) == 0 {
		return x
	}
	listless := slices.ContainsFunc(c.MapEntries, func(m facts.MapEntry) bool {
		return !m.DynamicMap && m.Dynamic == "" && m.ACL == "" && m.Profile == ""
	})
	var out []facts.Event
	for _, ev := range x {
		if len(ev.Addrs) < 2 || e.carries(ev.Addrs[0], ev.Addrs[1]) || !listless && (e.alone() || !e.carriedElsewhere(ev.Addrs[0], ev.Addrs[1])) {
			out = append(out, ev)
		}
	}
	return out
}

// carriedElsewhere: the list of another peer's entry covers the packet.
func (e *End) carriedElsewhere(a, b netip.Addr) bool {
	c := e.Config()
	entries := ofBox(e, "carriers", func() func(a, b netip.Addr) []int { return carriers(c) })(a, b)
	return slices.ContainsFunc(entries, func(i int) bool { return !slices.ContainsFunc(c.MapEntries[i].Peers, e.Mine) })
}

// carriers tells which crypto map entries cover a packet. A log repeats its packets, and
// every tunnel of the device asks for all of them: each is looked up once.
func carriers(c *facts.Config) func(a, b netip.Addr) []int {
	type line struct {
		network
		entry int
	}
	var lines []line
	for i, m := range c.MapEntries {
		if l := c.ACL(m.ACL); l != nil {
			for _, x := range l.Entries {
				if x.Permit {
					for _, n := range pairsOf(x) {
						lines = append(lines, line{n, i})
					}
				}
			}
		}
	}
	known := map[[2]netip.Addr][]int{}
	return func(a, b netip.Addr) []int {
		k := [2]netip.Addr{a, b}
		found, ok := known[k]
		if !ok {
			for _, l := range lines {
				if l.inside(a, b) {
					found = append(found, l.entry)
				}
			}
			known[k] = found
		}
		return found
	}
}

// firstEntries are the first static entry of every crypto map, in file order.
func firstEntries(c *facts.Config) (out []facts.MapEntry) {
	seen := map[string]bool{}
	for _, m := range c.MapEntries {
		if !m.DynamicMap && !seen[m.Map] {
			seen[m.Map] = true
			out = append(out, m)
		}
	}
	return out
}

// dynamicEntries are the entries that refer to a dynamic map.
func dynamicEntries(c *facts.Config) (out []facts.MapEntry) {
	for _, m := range c.MapEntries {
		if m.Dynamic != "" {
			out = append(out, m)
		}
	}
	return out
}

// ownOrPeerless are the positions of the crypto map entries of this peer and of those
// that name none; without a known peer of all.
func (e *End) ownOrPeerless() []int {
	c := e.Config()
	if !e.Peer.IsValid() {
		return where(c.MapEntries, func(*facts.MapEntry) bool { return true })
	}
	out := slices.Clone(ofBox(e, "entries without a peer", func() []int {
		return where(c.MapEntries, func(m *facts.MapEntry) bool { return len(m.Peers) == 0 })
	}))
	out = append(out, e.index().entries.pick(e.mineAnd(false)...)...)
	slices.Sort(out)
	return out
}

// inEntry is a line of a crypto map entry as the platform wants it typed.
func (e *End) inEntry(id, line string) []string {
	if e.isIOS() {
		return []string{id + " ipsec-isakmp", line}
	}
	return []string{id + " " + line}
}

// unusedList is the access list that an entry was most likely meant to name: one that no
// other line of the configuration uses and whose name is like the one given; without a
// name, the only one that nobody uses.
func unusedList(c *facts.Config, like string) string {
	plain := strings.NewReplacer("-", "", "_", "", ".", "")
	used := map[string]bool{}
	for _, l := range c.Lines {
		if strings.HasPrefix(l.Text, "access-list ") || strings.HasPrefix(l.Text, "ip access-list ") {
			continue
		}
		for w := range strings.FieldsSeq(l.Text) {
			used[w] = true
		}
	}
	only := ""
	for _, l := range c.ACLs {
		if used[l.Name] || like != "" && !strings.EqualFold(plain.Replace(l.Name), plain.Replace(like)) {
			continue
		}
		if only != "" {
			return ""
		}
		only = l.Name
	}
	return only
}
