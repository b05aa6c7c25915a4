package conditions

import (
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
)

// site is the bundle as the users of remote access see it: the gateways, what the clients
// logged, and what people wrote.
type site struct {
	set      *facts.Set
	gateways []*gateway
	client   []facts.Event // of clients, wherever they were pasted
	pings    []facts.Ping  // on clients, not on devices
	said     *complaints
}

// gateway is a device that takes remote users in, or might.
type gateway struct {
	*End
	groups []*group
	peers  map[netip.Addr]bool // who has spoken IKE with it, or is configured to
}

func newSite(t *Tunnel) *site {
	s := &site{set: t.Set}
	if t.Set == nil {
		s.said = &complaints{}
		return s
	}
	for _, d := range t.Set.Devices {
		for _, ev := range d.Events {
			if ev.Kind == "client" || ev.Kind == "debug" && strings.HasPrefix(ev.ID, "AUTH/") {
				s.client = append(s.client, ev)
			}
		}
		for _, p := range d.Pings {
			if !strings.ContainsAny(p.Place.Text, "#!") {
				s.pings = append(s.pings, p)
			}
		}
		g := &gateway{End: &End{Device: d, Others: map[netip.Addr]bool{}}, peers: vpnPeers(d)}
		if len(d.Addresses) > 0 {
			g.Own = d.Addresses[0]
		}
		g.groups = readGroups(g)
		s.gateways = append(s.gateways, g)
	}
	s.said = listen(t.Set)
	return s
}

func (s *site) gateway(d *facts.Device) *gateway {
	for _, g := range s.gateways {
		if g.Device == d {
			return g
		}
	}
	return &gateway{End: &End{Device: d}}
}

// reason returns the client's messages of that number.
func (s *site) reason(n string) []facts.Event { return withID(s.client, "Reason "+n) }

// vpnPeers are the addresses that a device knows as VPN peers, or that its VPN messages name.
func vpnPeers(d *facts.Device) map[netip.Addr]bool {
	m := map[netip.Addr]bool{}
	known, knocking := Peers(d)
	for _, a := range append(known, knocking...) {
		m[a] = true
	}
	return m
}

// group is one way in for remote users: a tunnel-group with its policy (ASA), a client
// group (IOS), a vpngroup (PIX 6).
type group struct {
	name   string // tunnel-group, client group or vpngroup
	policy string // group policy in force, "" when it is the group itself
	place  facts.Place
	link   facts.Place    // the line that leads to the policy, the tunnel-group's own where none does
	attrs  [][]facts.Attr // nearest first: own, group policy, default group policy
	own    []facts.Attr   // of the tunnel-group
	ios    bool
	used   bool // a tunnel-group leads to it
}

// get returns an attribute in force; inherited values count, "none" does too.
func (g *group) get(keys ...string) (facts.Attr, bool) {
	for _, list := range g.attrs {
		for _, k := range keys {
			if a, ok := facts.Get(list, k); ok {
				return a, true
			}
		}
	}
	return facts.Attr{}, false
}

// has tells whether an attribute in force has a value other than none.
func (g *group) has(keys ...string) bool {
	a, ok := g.get(keys...)
	return ok && !a.No && a.Value != "" && !strings.EqualFold(a.Value, "none")
}

// title names the group for people: policy first, since that is what is changed.
func (g *group) title() string {
	switch {
	case g.policy == "" || g.policy == g.name:
		return g.name
	case g.name == "":
		return g.policy
	}
	return g.policy + " (tunnel-group " + g.name + ")"
}

// pools returns the names of the address pools in force: the group policy's stand before
// the tunnel-group's.
func (g *group) pools() []string {
	if a, ok := g.get("address-pools", "pool"); ok && !a.No && a.Value != "none" {
		return strings.Fields(a.Value)
	}
	var out []string
	for _, a := range g.own {
		if a.Key == "address-pool" && !a.No {
			for _, w := range strings.Fields(a.Value) {
				if w[0] != '(' {
					out = append(out, w)
				}
			}
		}
	}
	return out
}

// split modes.
const (
	tunnelAll       = "all"
	tunnelSpecified = "specified"
	tunnelExcluded  = "exclude"
)

// split returns what a group tunnels, its list, and the line that says so (the group's own
// place when it is the default).
func (g *group) split() (mode, list string, place facts.Place, explicit bool) {
	if g.ios {
		a, ok := g.get("acl")
		if !ok || a.No {
			return tunnelAll, "", g.place, false
		}
		return tunnelSpecified, firstField(a.Value), a.Place, true
	}
	place = g.place
	mode = tunnelAll
	if a, ok := g.get("split-tunnel-policy"); ok && !a.No {
		place, explicit = a.Place, true
		switch a.Value {
		case "tunnelspecified":
			mode = tunnelSpecified
		case "excludespecified":
			mode = tunnelExcluded
		}
	}
	if a, ok := g.get("split-tunnel-network-list"); ok && !a.No && a.Value != "none" {
		list = firstField(a.Value)
	}
	return mode, list, place, explicit
}

func firstField(s string) string {
	f := strings.Fields(s)
	if len(f) == 0 {
		return ""
	}
	return f[0]
}

// readGroups lists the ways in for remote users that a configuration has.
func readGroups(g *gateway) []*group {
	c := g.Device.Config
	if c == nil {
		return nil
	}
	var out []*group
	policy := func(name string) *facts.GroupPolicy {
		for i := range c.GroupPolicies {
			if c.GroupPolicies[i].Name == name {
				return &c.GroupPolicies[i]
			}
		}
		return nil
	}
	chain := func(name string) (lists [][]facts.Attr, place facts.Place, ok bool) {
		seen := map[string]bool{}
		for n := name; n != "" && !seen[n]; {
			seen[n] = true
			p := policy(n)
			if p == nil {
				break
			}
			if !ok {
				place, ok = p.Place, true
			}
			lists = append(lists, p.Attrs)
			n = p.From
		}
		if name != "DfltGrpPolicy" {
			if p := policy("DfltGrpPolicy"); p != nil {
				lists = append(lists, p.Attrs)
			}
		}
		return lists, place, ok
	}
	led := map[string]bool{}
	for i := range c.TunnelGroups {
		tg := &c.TunnelGroups[i]
		name := "DfltGrpPolicy"
		a, named := facts.Get(tg.Attrs, "default-group-policy")
		if named && !a.No {
			name = a.Value
		}
		led[name] = true
		_, pool := facts.Get(tg.Attrs, "address-pool")
		if tg.Type != "remote-access" && tg.Type != "webvpn" && !pool {
			continue
		}
		lists, place, ok := chain(name)
		if !ok {
			place = tg.Place
		}
		link := tg.Place
		if named {
			link = a.Place
		}
		out = append(out, &group{name: tg.Name, policy: name, place: place, link: link, attrs: lists, own: tg.Attrs, used: true})
	}
	for i := range c.GroupPolicies {
		p := &c.GroupPolicies[i]
		if led[p.Name] || p.Name == "DfltGrpPolicy" {
			continue
		}
		lists, place, _ := chain(p.Name)
		out = append(out, &group{policy: p.Name, place: place, attrs: lists})
	}
	for i := range c.ClientGroups {
		cg := &c.ClientGroups[i]
		out = append(out, &group{name: cg.Name, place: cg.Place, link: cg.Place, attrs: [][]facts.Attr{cg.Attrs}, ios: true, used: true})
	}
	return append(out, pixGroups(c)...)
}

// pixGroups reads PIX 6's "vpngroup NAME split-tunnel LIST".
func pixGroups(c *facts.Config) []*group {
	keys := map[string]string{"split-tunnel": "acl", "dns-server": "dns", "wins-server": "wins", "default-domain": "domain", "address-pool": "pool", "split-dns": "split-dns", "idle-time": "vpn-idle-timeout", "max-time": "vpn-session-timeout"}
	at := map[string]*group{}
	var out []*group
	for _, s := range c.Settings {
		f := strings.Fields(s.Value)
		if s.Key != "vpngroup" || len(f) < 3 || s.No {
			continue
		}
		g := at[f[0]]
		if g == nil {
			g = &group{name: f[0], place: s.Place, link: s.Place, attrs: [][]facts.Attr{nil}, ios: true, used: true}
			at[f[0]] = g
			out = append(out, g)
		}
		key, ok := keys[f[1]]
		if !ok {
			key = f[1]
		}
		g.attrs[0] = append(g.attrs[0], facts.Attr{Key: key, Value: strings.Join(f[2:], " "), Place: s.Place})
	}
	return out
}

// remoteAccess tells whether the configuration takes remote users in.
func (g *gateway) remoteAccess() bool {
	return slices.ContainsFunc(g.groups, func(x *group) bool { return x.used })
}

// takesUsers tells whether a VPN for users is in question: a client's evidence is there, a
// gateway has groups or a dynamic map for them, or no whole configuration says that none has.
func (s *site) takesUsers() bool {
	if len(s.client) > 0 {
		return true
	}
	known := false
	for _, g := range s.gateways {
		c := g.Config()
		if g.Device.Role == facts.Client || g.remoteAccess() {
			return true
		}
		if c == nil {
			continue
		}
		if _, on := ctcpPorts(c); on || len(c.Pools) > 0 || slices.ContainsFunc(c.MapEntries, func(m facts.MapEntry) bool { return m.DynamicMap }) {
			return true
		}
		known = known || !c.Partial && len(c.MapEntries) > 0
	}
	return !known
}

// pool finds a pool by its name.
func (g *gateway) pool(name string) *facts.Pool {
	if c := g.Device.Config; c != nil {
		for i := range c.Pools {
			if c.Pools[i].Name == name {
				return &c.Pools[i]
			}
		}
	}
	return nil
}

// of returns the group a message is about, else the only one, else nil.
func (g *gateway) of(name string) *group {
	for _, x := range g.groups {
		if name != "" && (x.name == name || x.policy == name) {
			return x
		}
	}
	var one *group
	for _, x := range g.groups {
		if x.used {
			if one != nil {
				return nil
			}
			one = x
		}
	}
	return one
}

// outside tells whether an interface faces the Internet: a crypto map or IKE is bound to
// it, the default route leaves by it, or its security level is 0.
func (g *gateway) outside(name string) bool {
	c := g.Device.Config
	if c == nil || name == "" {
		return strings.EqualFold(name, "outside")
	}
	for _, b := range c.MapBindings {
		if b.Interface == name {
			return true
		}
	}
	for _, r := range c.Routes {
		if r.Interface == name && r.Prefix.Bits() == 0 {
			return true
		}
	}
	for _, i := range c.Interfaces {
		if i.Name == name && (i.Security == 0 && g.isASA() || i.NATOutside) {
			return true
		}
	}
	return strings.EqualFold(name, "outside")
}

// notes are all lines that people wrote.
func (s *site) notes() []facts.Note {
	var out []facts.Note
	for _, g := range s.gateways {
		out = append(out, g.Device.Notes...)
	}
	return out
}
