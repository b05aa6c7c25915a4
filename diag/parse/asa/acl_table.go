package asa

import (
	"net/netip"
	"strings"

	"vpnbot/diag/facts"
)

// accessListTable reads show access-list: hit counts, and the entries themselves where no
// configuration has them.
func (p *reader) accessListTable() {
	c := p.dev.Config
	if c == nil {
		c = &facts.Config{Place: p.out.Place, Source: p.src, Partial: true, Names: map[string]netip.Addr{}}
	}
	k := &configReader{reader: p, c: c, parent: [4]int{-1, -1, -1, -1}}
	made := map[string]bool{} // lists that this output adds
	next := map[string]int{}  // where to go on looking in a list of the configuration
	var parent *facts.ACE
	for _, l := range p.out.Text {
		t := strings.TrimSpace(l.Text)
		if !strings.HasPrefix(t, "access-list ") {
			if t != "" && !strings.HasPrefix(t, "alert-interval") {
				p.skip(l)
			}
			continue
		}
		f := strings.Fields(t)
		if len(f) < 4 || strings.HasSuffix(f[1], ";") || f[1] == "cached" {
			continue
		}
		name := f[1]
		rest := f[2:]
		line := ""
		if rest[0] == "line" && len(rest) > 2 {
			line = rest[1]
			rest = rest[2:]
		}
		standard := rest[0] == "standard"
		if standard || rest[0] == "extended" {
			rest = rest[1:]
		}
		if len(rest) == 0 || rest[0] == "remark" {
			continue
		}
		rest = dropFQDN(rest)
		e, ok := k.ace(rest, standard, l)
		if !ok {
			if l.Text[0] != ' ' {
				p.skip(l)
			}
			continue
		}
		if l.Text[0] == ' ' { // expansion of the entry above
			if parent != nil && made[name] {
				if parent.SrcName != "" && !parent.SrcAny {
					parent.Src = addPrefixes(parent.Src, e.Src)
				}
				if parent.DstName != "" && !parent.DstAny {
					parent.Dst = addPrefixes(parent.Dst, e.Dst)
				}
			}
			continue
		}
		parent = nil
		if e.Hits != facts.NotShown {
			p.counter("access-list", strings.TrimSpace(name+" "+line), e.Hits, facts.NotShown, t, l)
		}
		list := c.ACL(name)
		switch {
		case list == nil:
			c.ACLs = append(c.ACLs, facts.ACL{Name: name, Standard: standard, Place: p.place(l)})
			list = &c.ACLs[len(c.ACLs)-1]
			made[name] = true
			fallthrough
		case made[name]:
			list.Entries = append(list.Entries, e)
			parent = &list.Entries[len(list.Entries)-1]
		default:
			for i := next[name]; i < len(list.Entries); i++ {
				if sameEntry(&list.Entries[i], &e) {
					list.Entries[i].Hits = e.Hits
					next[name] = i + 1
					break
				}
			}
		}
	}
	if len(made) > 0 {
		p.dev.Config = c
	}
}

func sameEntry(a, b *facts.ACE) bool {
	return a.Permit == b.Permit && a.Proto == b.Proto && a.SrcName == b.SrcName && a.DstName == b.DstName && a.SrcPort == b.SrcPort && a.DstPort == b.DstPort &&
		a.SrcAny == b.SrcAny && a.DstAny == b.DstAny && (a.SrcName != "" || samePrefixes(a.Src, b.Src)) && (a.DstName != "" || samePrefixes(a.Dst, b.Dst))
}

func samePrefixes(a, b []netip.Prefix) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func addPrefixes(to, more []netip.Prefix) []netip.Prefix {
	for _, p := range more {
		found := false
		for _, q := range to {
			if p == q {
				found = true
				break
			}
		}
		if !found && len(to) < 1000 {
			to = append(to, p)
		}
	}
	return to
}

// dropFQDN takes "(inactive)" and the like of resolved names out of an expansion.
func dropFQDN(f []string) []string {
	for i := 0; i+1 < len(f); i++ {
		if f[i] == "fqdn" {
			out := append([]string(nil), f[:i]...)
			j := i + 2
			if j < len(f) && strings.HasPrefix(f[j], "(") {
				j++
			}
			return append(append(out, "host", f[i+1]), f[j:]...)
		}
	}
	return f
}

// ---- sessions
