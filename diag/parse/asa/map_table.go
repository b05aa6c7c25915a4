package asa

import (
	"net/netip"
	"strconv"
	"strings"

	"vpnbot/diag/facts"
)

// cryptoMap reads show crypto map: the entries, their access lists as far as printed, and the
// interfaces that a map is bound to. A configuration that was seen says the same and more.
func (p *reader) cryptoMap() {
	c := p.dev.Config
	if c != nil && !c.Partial {
		return
	}
	if c == nil {
		c = &facts.Config{Place: p.out.Place, Source: p.src, Partial: true, Names: map[string]netip.Addr{}}
	}
	k := &configReader{reader: p, c: c, parent: [4]int{-1, -1, -1, -1}}
	known := len(c.MapEntries) // entries of sections of the configuration
	lists := len(c.ACLs)
	read := false
	var e *facts.MapEntry
	for _, l := range p.out.Text {
		t := strings.TrimSpace(l.Text)
		switch {
		case strings.HasPrefix(t, "Crypto Map"):
			// Crypto Map: "outside_map" interfaces: { outside }; Crypto Map "outside_map" 10 ipsec-isakmp
			e = nil
			f := strings.Fields(strings.TrimPrefix(strings.TrimPrefix(t, "Crypto Map"), ":"))
			if len(f) < 2 {
				break
			}
			name := strings.Trim(f[0], "\"")
			if f[1] == "interfaces:" {
				for _, w := range f[2:] {
					if w = strings.Trim(w, "{},"); w != "" {
						c.MapBindings = append(c.MapBindings, facts.MapBinding{Map: name, Interface: w, Place: p.place(l)})
						read = true
					}
				}
				break
			}
			seq, err := strconv.Atoi(f[1])
			if err != nil || hasEntry(c.MapEntries[:known], name, seq) {
				break
			}
			c.MapEntries = append(c.MapEntries, facts.MapEntry{Map: name, Sequence: seq, Place: p.place(l), Places: map[string]facts.Place{}})
			e = &c.MapEntries[len(c.MapEntries)-1]
			read = true
		case e == nil:
			p.skip(l)
		case strings.HasPrefix(t, "Peer ="):
			for _, w := range strings.Fields(strings.TrimPrefix(t, "Peer =")) {
				if a, _ := address(w); a.IsValid() {
					e.Peers = append(e.Peers, a)
				} else {
					e.PeerNames = append(e.PeerNames, w)
				}
			}
			e.Places["peer"] = p.place(l)
		case strings.HasPrefix(t, "Extended IP access list"):
			f := strings.Fields(t)
			e.ACL = f[len(f)-1]
			e.Places["acl"] = p.place(l)
		case strings.HasPrefix(t, "access-list "):
			f := strings.Fields(t)
			if len(f) < 4 {
				break
			}
			if e.ACL == "" {
				e.ACL = f[1]
				e.Places["acl"] = p.place(l)
			}
			rest := f[2:]
			if rest[0] == "extended" {
				rest = rest[1:]
			}
			list := c.ACL(f[1])
			if list == nil {
				c.ACLs = append(c.ACLs, facts.ACL{Name: f[1], Place: p.place(l)})
				list = &c.ACLs[len(c.ACLs)-1]
			} else if !hasList(c.ACLs[lists:], f[1]) {
				break // a section of the configuration has it
			}
			if a, ok := k.ace(dropFQDN(rest), false, l); ok {
				list.Entries = append(list.Entries, a)
			}
		case strings.HasPrefix(t, "PFS (Y/N): Y"):
			e.PFS = "default"
			e.Places["pfs"] = p.place(l)
		case strings.HasPrefix(t, "DH group:") && e.PFS != "":
			e.PFS = strings.TrimSpace(strings.TrimPrefix(t, "DH group:"))
		case strings.HasPrefix(t, "Security association lifetime:"):
			if _, s, ok := strings.Cut(t, "kilobytes/"); ok {
				s, _, _ = strings.Cut(s, " ")
				e.Lifetime, _ = strconv.Atoi(s)
			}
		case strings.HasPrefix(t, "Dynamic map template tag:"):
			e.Dynamic = strings.TrimSpace(strings.TrimPrefix(t, "Dynamic map template tag:"))
		case strings.Contains(t, "sets={"), strings.Contains(t, "Proposals={"), strings.Contains(t, "proposals={"):
			what, names, _ := strings.Cut(t, "={")
			for _, w := range strings.Fields(names) {
				if w = strings.Trim(w, "{},"); w == "" {
					continue
				}
				if strings.Contains(what, "roposal") {
					e.Proposals = append(e.Proposals, w)
				} else {
					e.Transforms = append(e.Transforms, w)
				}
				e.Places["transform"] = p.place(l)
			}
		case strings.HasPrefix(t, "Reverse Route Injection"):
			e.Reverse = strings.Contains(t, "Enabled")
		}
	}
	if read {
		p.dev.Config = c
	}
}

func hasEntry(es []facts.MapEntry, name string, seq int) bool {
	for i := range es {
		if es[i].Map == name && es[i].Sequence == seq && !es[i].DynamicMap {
			return true
		}
	}
	return false
}

func hasList(ls []facts.ACL, name string) bool {
	for i := range ls {
		if ls[i].Name == name {
			return true
		}
	}
	return false
}
