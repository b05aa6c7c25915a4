package conditions

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

var dnsMissing = Condition{
	ID:        "client-dns-missing",
	Cause:     "remote clients get no DNS server",
	Shows:     "group policy without dns-server; names fail while addresses work",
	Severity:  report.Major,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, DNS for remote clients",
	Look: ofBundle("client-dns-missing", func(s *site) []Match {
		said := s.said.of(namesFail)
		works := s.said.of(addressesWork)
		var asked []Clue
		if len(said) > 0 {
			asked = append(asked, For(2.4, "names do not resolve for connected users", said...))
			if len(works) > 0 {
				asked = append(asked, For(0.6, "by address it works", works...))
			}
		}
		var out []Match
		for _, g := range s.gateways {
			for _, x := range g.groups {
				if !x.used && slices.ContainsFunc(g.groups, func(o *group) bool { return o.used }) {
					continue
				}
				clues := slices.Clone(asked)
				var lacks []string
				server := x.has("dns-server", "dns")
				domain := x.has("default-domain", "domain")
				split := x.has("split-dns")
				if !server {
					lacks = append(lacks, "dns-server")
				}
				if !domain {
					lacks = append(lacks, "default-domain")
				}
				mode, list, _, _ := x.split()
				unused, hint := otherPolicy(g, x)
				switch {
				case !server && len(asked) > 0:
					clues = append(clues, For(2.2, "group "+x.title()+" hands out no DNS server", x.place, x.link))
				case !server && unused != nil:
					clues = append(clues, For(0.6, "group "+x.title()+" hands out no DNS server", x.place))
				case len(asked) == 0 || server && domain && (split || mode != tunnelSpecified):
					continue // set, or nobody misses it
				case !domain:
					clues = append(clues, For(1, "group "+x.title()+" has no default domain", x.place))
				default:
					clues = append(clues, For(0.5, "group "+x.title()+" splits and has no split-dns", x.place))
				}
				if unused != nil && !server {
					clues = append(clues, For(1.2, hint, x.link, unused.Place))
				}
				if server {
					a, _ := x.get("dns-server", "dns")
					if acl := g.Config().ACL(list); mode == tunnelSpecified && acl != nil {
						for _, f := range strings.Fields(a.Value) {
							if ip, err := netip.ParseAddr(f); err == nil && ip.IsPrivate() && !secured(acl, netip.PrefixFrom(ip, ip.BitLen())) {
								clues = append(clues, Against(4, "the DNS server lies outside the split list", a.Place))
							}
						}
					}
				}
				what := strings.Join(lacks, " and ")
				if what == "" {
					what = "split-dns"
				}
				m := Match{Key: x.title(), Clues: clues,
					Title:       "Names do not resolve for remote users of " + g.Label() + ": group " + x.title() + " has no " + what,
					Explanation: "Addresses inside answer and names do not, so tunnel, NAT exemption and routing are in order. The group hands its users no DNS server (or no domain to append), and their own server does not know the inside names."}
				if unused != nil && !server {
					m.Explanation += " " + hint + "."
				}
				dns, dom := "<ip>", "<domain>"
				if c := g.Config(); c != nil {
					if d := serverOf(c); d != "" {
						dns = d
					}
					if d := domainOf(c); d != "" {
						dom = d
					}
				}
				var cmds []string
				switch {
				case x.ios && !g.isASA():
					cmds = []string{"crypto isakmp client configuration group " + x.name, "dns " + dns, "domain " + dom, "split-dns " + dom}
				case x.ios:
					cmds = []string{"vpngroup " + x.name + " dns-server " + dns, "vpngroup " + x.name + " default-domain " + dom}
				case unused != nil && !server && x.name != "":
					cmds = []string{"tunnel-group " + x.name + " general-attributes", "default-group-policy " + unused.Name}
				default:
					cmds = []string{"group-policy " + inForce(x) + " attributes", "dns-server value " + dns, "default-domain value " + dom, "split-dns value " + dom}
				}
				m.Actions = []report.Action{advise(g.End, cmds, "users get it when they connect again", "the DNS server must lie in the split list and in the NAT exemption")}
				out = append(out, m)
			}
		}
		if len(out) == 0 && len(said) > 0 && !s.hasGroups() && s.takesUsers() {
			clues := slices.Clone(asked)
			if len(works) == 0 {
				clues[0].Weight = 1.8
			}
			out = append(out, Match{Clues: clues,
				Title:       "Names do not resolve for VPN users while addresses work",
				Explanation: "The tunnel carries traffic to addresses, so it is in order; the user's computer got no DNS server of the inside, or no domain to append. The group policy's dns-server, default-domain and split-dns lines decide.",
				Actions:     []report.Action{advise(nil, []string{"group-policy <gp> attributes", "dns-server value <ip>", "default-domain value <domain>", "split-dns value <domain>"})},
				Next:        []report.Next{readAlso("the headend's configuration (tunnel-group, group-policy)", "shows which policy the group really uses")}})
		}
		return out
	}),
}

// otherPolicy finds a group policy with a DNS server that no tunnel-group uses: it was meant
// for this group, which names another.
func otherPolicy(g *gateway, x *group) (*facts.GroupPolicy, string) {
	c := g.Config()
	if c == nil || c.Partial || x.ios || len(c.TunnelGroups) == 0 || within(lastLine(c), "tunnel-group "+x.name+" ") {
		return nil, ""
	}
	for _, o := range g.groups {
		if o.used || !o.has("dns-server") {
			continue
		}
		for i := range c.GroupPolicies {
			if p := &c.GroupPolicies[i]; p.Name == o.policy {
				if _, own := facts.Get(p.Attrs, "dns-server"); own {
					return p, fmt.Sprintf("group policy %s has a DNS server, and no tunnel-group uses it: %s takes %s", p.Name, x.name, x.policy)
				}
			}
		}
	}
	return nil, ""
}

// serverOf is a DNS server that the configuration knows inside.
func serverOf(c *facts.Config) string {
	for _, gp := range c.GroupPolicies {
		if a, ok := facts.Get(gp.Attrs, "dns-server"); ok && a.Value != "none" {
			return a.Value
		}
	}
	for _, l := range c.Lines {
		if v, ok := strings.CutPrefix(l.Text, "name-server "); ok {
			return firstField(v)
		}
		if v, ok := strings.CutPrefix(l.Text, "dns-server "); ok && c.Lines[max(l.Parent, 0)].Parent < 0 {
			return firstField(strings.TrimPrefix(v, "value "))
		}
	}
	return ""
}

func domainOf(c *facts.Config) string {
	for _, l := range c.Lines {
		if l.Parent >= 0 {
			continue
		}
		for _, k := range []string{"domain-name ", "ip domain name ", "ip domain-name "} {
			if v, ok := strings.CutPrefix(l.Text, k); ok {
				return firstField(v)
			}
		}
	}
	return ""
}
