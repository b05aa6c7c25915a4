package conditions

import (
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
)

// translation is what a device's NAT rules do with a pair of protected networks.
type translation struct {
	hit      bool           // at least a part of the pair is translated
	rule     facts.NATRule  // the rule that takes it
	part     network        // the part that is taken
	whole    bool           // nothing of the pair is exempt
	late     *facts.NATRule // an exemption that stands below the rule
	lists    []string       // exemption lists that were looked at
	where    []facts.Place  // those lists
	noExempt bool           // no exemption of any kind in the configuration
}

// translate walks the device's NAT rules in the order the device does.
// known is false when the configuration does not tell.
func (e *End) translate(n network) (t translation, known bool) {
	c := e.Config()
	if c == nil || n.src.Bits() == 0 || n.dst.Bits() == 0 || n.dst.Addr().IsMulticast() || len(c.NAT) == 0 || ofBox(e, "objects only", e.objectsOnly) {
		return t, false
	}
	// A network that some rule translates into is no network of hosts here: the crypto
	// access list names translated addresses, and that is right as it is.
	for _, r := range c.NAT {
		if !r.Identity && slices.ContainsFunc(r.SrcMapped, func(p netip.Prefix) bool { return p.Overlaps(n.src) && p.IsValid() }) {
			return t, false
		}
	}
	if e.isIOS() {
		return e.translateIOS(c, n)
	}
	out := e.boundTo()
	src := ""
	if h, ok := e.egress(n.src); ok {
		src = h.iface
	}
	if slices.Contains(out, src) && len(out) == 1 {
		src = out[0]
	}
	if slices.ContainsFunc(c.NAT, func(r facts.NATRule) bool {
		return r.Form == "nat0" || r.Form == "dynamic" || r.Form == "global" || r.Form == "static"
	}) {
		return translate82(c, n, src, out)
	}
	rules := ofBox(e, "nat rules", func() []facts.NATRule { return inOrder(c.NAT) })
	return translate83(rules, n, src, out)
}

// objectsOnly: what is at hand prints the objects with their own rules (show running-config
// object) and not the others, an exemption among them.
func (e *End) objectsOnly() bool {
	only := false
	for _, o := range e.Device.Outputs {
		switch {
		case strings.HasPrefix(o.Command, "show nat"):
			return false // all rules in their order
		case !configOutput(&o) || len(o.Text) == 0:
		case strings.HasPrefix(o.Command, "show running-config object"):
			only = true
		case o.Command == "show running-config nat" || o.Command == "show running-config" || o.Command == "show running-config section":
			return false
		}
	}
	return only
}

func ifFits(rule, iface string) bool {
	return rule == "any" || rule == "" || iface == "" || strings.EqualFold(rule, iface)
}

func anyFits(rule string, ifaces []string) bool {
	return len(ifaces) == 0 || slices.ContainsFunc(ifaces, func(i string) bool { return ifFits(rule, i) })
}

// sides returns the networks of one side of a rule; ok is false when a name is unresolved.
func sides(ps []netip.Prefix, wild bool, name string) ([]netip.Prefix, bool) {
	if wild || len(ps) == 0 && name == "" {
		return []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0)}, true
	}
	return ps, len(ps) > 0
}

// translate83 walks rules of 8.3 and later: twice NAT, object NAT static then dynamic, after-auto.
func translate83(rules []facts.NATRule, n network, src string, out []string) (t translation, known bool) {
	left := []network{n}
	t.noExempt, t.whole = true, true
	for i := range rules {
		r := &rules[i]
		if r.Inactive || r.Service != "" || r.Form != "twice" && r.Form != "object" {
			continue
		}
		exempt := r.Identity && (r.Names.DstReal == r.Names.DstMapped || slices.Equal(r.DstReal, r.DstMapped))
		t.noExempt = t.noExempt && !exempt
		forward := ifFits(r.RealIf, src) && anyFits(r.MappedIf, out) && side(r.SrcReal, r.SrcAny, n.src) && side(r.DstReal, r.DstAny, n.dst)
		reverse := exempt && !t.hit && ifFits(r.MappedIf, src) && anyFits(r.RealIf, out) && side(r.SrcReal, r.SrcAny, n.dst) && side(r.DstReal, r.DstAny, n.src)
		if !forward && !reverse {
			continue
		}
		from, okf := sides(r.SrcReal, r.SrcAny, r.Names.SrcReal)
		to, okt := sides(r.DstReal, r.DstAny, r.Names.DstReal)
		if !okf || !okt {
			if r.Identity {
				return t, false // an exemption whose networks are unknown may be the one
			}
			continue
		}
		for _, f := range from {
			for _, o := range to {
				switch {
				case exempt && forward:
					if t.hit {
						if n.src.Overlaps(f) && n.dst.Overlaps(o) && t.late == nil && o.Bits() > 0 {
							t.late = r
						}
						continue
					}
					before := len(left)
					left = less(left, network{src: f, dst: o})
					if len(left) != before || len(left) == 0 {
						t.whole = false
					}
				case reverse: // written from the other side: source is the far network
					left = less(left, network{src: o, dst: f})
				case !exempt && forward && !t.hit:
					for _, p := range left {
						if !p.src.Overlaps(f) || !p.dst.Overlaps(o) {
							continue
						}
						// One host's static translation is meant for the Internet and leaves the network alone.
						if !r.Dynamic && f.Bits() > n.src.Bits() {
							continue
						}
						t.hit, t.rule, t.part = true, *r, overlap(p, network{src: f, dst: o})
						break
					}
				}
			}
		}
		if len(left) == 0 {
			return t, true
		}
	}
	return t, true
}

// inOrder sorts rules the way the device tries them.
func inOrder(all []facts.NATRule) []facts.NATRule {
	section := func(r facts.NATRule) int {
		switch {
		case r.Form == "twice" && !r.After:
			return 0
		case r.Form == "object" && !r.Dynamic:
			return 1
		case r.Form == "object":
			return 2
		}
		return 3
	}
	rules := slices.Clone(all)
	slices.SortStableFunc(rules, func(a, b facts.NATRule) int {
		if d := section(a) - section(b); d != 0 {
			return d
		}
		return a.Order - b.Order
	})
	return rules
}

// overlap is what two pairs have in common.
func overlap(a, b network) network {
	if b.src.Bits() > a.src.Bits() {
		a.src = b.src
	}
	if b.dst.Bits() > a.dst.Bits() {
		a.dst = b.dst
	}
	return a
}

// translate82 walks rules to 8.2: nat 0, static, nat with global.
func translate82(c *facts.Config, n network, src string, out []string) (t translation, known bool) {
	left := []network{n}
	t.noExempt, t.whole = true, true
	for _, r := range c.NAT {
		if r.Form != "nat0" || r.ACL == "" {
			continue
		}
		t.noExempt = false
		if !ifFits(r.RealIf, src) {
			continue
		}
		t.lists = append(t.lists, r.ACL)
		t.where = append(t.where, r.Place)
		l := c.ACL(r.ACL)
		if l == nil {
			if c.Partial {
				return t, false
			}
			continue
		}
		var ok bool
		before := len(left)
		if left, ok = exempted(l, left); !ok {
			return t, false
		}
		if len(left) == 0 {
			return t, true
		}
		t.whole = t.whole && len(left) == before && left[0] == n
	}
	for _, r := range c.NAT {
		if r.Form == "static" && r.Service == "" && ifFits(r.RealIf, src) && anyFits(r.MappedIf, out) {
			if r.ACL != "" { // policy static: a translation made for this destination
				if l := c.ACL(r.ACL); l != nil {
					left, _ = exempted(l, left)
				}
				continue
			}
			if r.Identity {
				for _, f := range r.SrcReal {
					left = less(left, network{src: f, dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0)})
				}
			}
		}
		if r.Form == "nat0" && r.ACL == "" && ifFits(r.RealIf, src) {
			from, ok := sides(r.SrcReal, r.SrcAny, r.Names.SrcReal)
			for _, f := range from {
				if ok {
					left = less(left, network{src: f, dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0)})
				}
			}
		}
	}
	if len(left) == 0 {
		return t, true
	}
	for _, r := range c.NAT {
		if r.Form != "dynamic" || r.ID == 0 || !ifFits(r.RealIf, src) {
			continue
		}
		if r.ACL != "" {
			l := c.ACL(r.ACL)
			if l == nil {
				continue
			}
			if p, hit := permits(l, left); hit {
				t.hit, t.rule, t.part = true, r, p
				return t, true
			}
			continue
		}
		from, ok := sides(r.SrcReal, r.SrcAny, r.Names.SrcReal)
		for _, f := range from {
			for _, p := range left {
				if ok && f.Overlaps(p.src) {
					t.hit, t.rule, t.part = true, r, overlap(p, network{src: f, dst: p.dst})
					return t, true
				}
			}
		}
	}
	if s, ok := c.Setting("nat-control"); ok && !s.No && src != "" && !slices.Contains(out, src) {
		t.hit, t.part = true, left[0]
		t.rule = facts.NATRule{Form: "nat-control", Place: s.Place}
	}
	return t, true
}

// exempted takes the pairs a list permits out of the pieces. A deny line keeps its part in.
// Entries that name ports exempt nothing: natExemptionPorts speaks of them.
func exempted(l *facts.ACL, left []network) ([]network, bool) {
	var kept []network
	for i := range l.Entries {
		a := &l.Entries[i]
		if a.Inactive || a.SrcPort != "" || a.DstPort != "" || a.Proto != "ip" || !mayTouch(a, left) {
			continue
		}
		ps := pairsOf(*a)
		for _, o := range ps {
			if !a.Permit {
				for _, p := range left {
					if p.src.Overlaps(o.src) && p.dst.Overlaps(o.dst) {
						kept = append(kept, overlap(p, o))
					}
				}
			}
			left = less(left, o)
		}
		if len(ps) == 0 && a.Permit {
			return left, false
		}
		if len(left) == 0 {
			break
		}
	}
	return append(left, kept...), true
}

// mayTouch tells cheaply whether an entry may touch one of the pieces; an unresolved name may.
func mayTouch(a *facts.ACE, left []network) bool {
	for i := range left {
		if side(a.Src, a.SrcAny, left[i].src) && side(a.Dst, a.DstAny, left[i].dst) {
			return true
		}
	}
	return false
}

func side(ps []netip.Prefix, wild bool, n netip.Prefix) bool {
	if wild || len(ps) == 0 {
		return true
	}
	for _, p := range ps {
		if p.Overlaps(n) {
			return true
		}
	}
	return false
}

// permits tells whether a list (walked from the top) permits a part of the pieces.
func permits(l *facts.ACL, left []network) (network, bool) {
	for i := range l.Entries {
		a := &l.Entries[i]
		if a.Inactive || !mayTouch(a, left) {
			continue
		}
		for _, o := range pairsOf(*a) {
			for _, p := range left {
				if a.Permit && p.src.Overlaps(o.src) && p.dst.Overlaps(o.dst) {
					return overlap(p, o), true
				}
			}
			if !a.Permit && a.Proto == "ip" {
				left = less(left, o)
			}
		}
	}
	return network{}, false
}

// pairsOf multiplies an entry out; nothing when a name is unresolved.
func pairsOf(a facts.ACE) []network {
	src, oks := sides(a.Src, a.SrcAny, a.SrcName)
	dst, okd := sides(a.Dst, a.DstAny, a.DstName)
	if len(a.Dst) == 0 && !a.DstAny && a.DstName == "" { // a standard list names sources only
		dst, okd = []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0)}, true
	}
	if !oks || !okd || len(src)*len(dst) > maxPairs {
		return nil
	}
	var out []network
	for _, s := range src {
		for _, d := range dst {
			out = append(out, network{s, d, a.Place})
		}
	}
	return out
}

// translateIOS walks ip nat inside source rules: list or route-map.
func (e *End) translateIOS(c *facts.Config, n network) (t translation, known bool) {
	out := e.boundTo()
	nat := false
	for _, i := range c.Interfaces {
		nat = nat || i.NATOutside && slices.Contains(out, i.Name)
	}
	if !nat {
		return t, true // the crypto map's interface translates nothing
	}
	if h, ok := e.egress(n.src); ok && h.iface != "" {
		for _, i := range c.Interfaces {
			if i.Name == h.iface && !i.NATInside {
				return t, true
			}
		}
	}
	t.whole = true
	for _, r := range c.NAT {
		if !r.Dynamic || r.RealIf != "inside" {
			continue
		}
		var lists []string
		left := []network{n}
		switch {
		case r.ACL != "":
			lists = []string{r.ACL}
		case r.RouteMap != "":
			for _, m := range c.RouteMaps {
				if m.Name != r.RouteMap {
					continue
				}
				if len(m.ACLs) == 0 {
					return t, false
				}
				if m.Permit {
					lists = append(lists, m.ACLs...)
					continue
				}
				for _, name := range m.ACLs { // a deny sequence: what its list permits is not translated
					if l := c.ACL(name); l != nil && len(lists) == 0 {
						left, _ = exempted(l, left)
						t.lists, t.where = append(t.lists, name), append(t.where, l.Place)
					}
				}
			}
		}
		for _, name := range lists {
			l := c.ACL(name)
			if l == nil {
				continue
			}
			t.lists, t.where = append(t.lists, name), append(t.where, l.Place)
			if len(left) == 0 {
				continue
			}
			if p, hit := permits(l, left); hit && !t.hit {
				t.hit, t.rule, t.part = true, r, p
				t.rule.ACL = name
				for i, a := range l.Entries { // a deny line below the permit does nothing
					if !a.Permit && slices.ContainsFunc(pairsOf(a), func(o network) bool { return covered(p, []network{o}) }) && i > 0 {
						late := facts.NATRule{Place: a.Place, ACL: name}
						t.late = &late
					}
				}
			}
		}
	}
	return t, true
}
