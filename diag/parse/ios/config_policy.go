package ios

import (
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/redact"
)

// newPolicy is an IKEv1 policy with the defaults of IOS: DES, SHA, RSA signatures, group 1, a day.
func newPolicy(n int, place facts.Place) facts.IKEPolicy {
	return facts.IKEPolicy{Version: 1, Number: n, Encryption: []string{"des"}, Hash: []string{"sha"}, Auth: "rsa-sig", Groups: []string{"1"}, Lifetime: 86400,
		Defaulted: []string{"encryption", "hash", "auth", "group", "lifetime"}, Place: place, Places: map[string]facts.Place{}}
}

// stated takes an attribute off the list of defaults.
func stated(p *facts.IKEPolicy, name string, place facts.Place) {
	p.Places[name] = place
	for i, d := range p.Defaulted {
		if d == name {
			p.Defaulted = append(p.Defaulted[:i:i], p.Defaulted[i+1:]...)
			return
		}
	}
}

// child reads a line inside the open section.
func (c *configParser) child(t string, no bool, place facts.Place) {
	w, rest := word(t)
	if c.sec == inACL {
		if !no {
			c.aclEntry(t, place)
		}
		return
	}
	if c.sec == inOther {
		return
	}
	f := strings.Fields(rest)
	switch c.sec {
	case inInterface:
		c.interfaceLine(w, rest, f, no, place)
	case inIsakmpPolicy:
		policyLine(&c.cfg.IKEPolicies[len(c.cfg.IKEPolicies)-1], w, f, no, place)
	case inIKEv2Proposal:
		p := &c.cfg.Proposals[len(c.cfg.Proposals)-1]
		if no {
			return
		}
		switch w {
		case "encryption":
			p.Encryption = each(f, cipher)
		case "integrity":
			p.Integrity = each(f, hash)
		case "prf":
			p.PRF = each(f, hash)
		case "group":
			p.Groups = f
		}
	case inIKEv2Policy:
		if w == "proposal" && len(f) > 0 && !no {
			c.policies[c.name] = append(c.policies[c.name], f[0])
		}
	case inProfile:
		p := &c.cfg.Profiles[len(c.cfg.Profiles)-1]
		key, value := w, rest
		if len(f) > 0 { // "set pfs", "match identity", "security-association lifetime seconds"
			switch w {
			case "set", "match", "authentication", "identity", "client", "isakmp", "keyring", "lifetime", "security-association", "aaa", "pki", "ca", "nat", "virtual-template":
				if w != "virtual-template" && w != "lifetime" && !(w == "keyring" && f[0] != "local" && f[0] != "aaa") {
					key = w + " " + f[0]
					value = strings.TrimSpace(strings.TrimPrefix(rest, f[0]))
					if f[0] == "security-association" && len(f) > 1 {
						key += " " + strings.Join(f[1:max(2, len(f)-1)], " ")
						value = f[len(f)-1]
					}
				}
			}
		}
		p.Attrs = append(p.Attrs, facts.Attr{Key: key, Value: value, No: no, Place: place})
		if k, ok := tokenOf(rest); ok && strings.Contains(t, "pre-share key") {
			c.cfg.Keys = append(c.cfg.Keys, facts.PSK{Name: p.Name, Version: 2, Side: side(f), Token: k, Place: place})
		}
	case inKeyring:
		if w == "pre-shared-key" && !no {
			c.keyringKey(f, place)
		}
	case inIKEv2Keyring:
		c.ikev2Keyring(w, f, no, place)
	case inTransform:
		if w == "mode" && len(f) > 0 {
			c.cfg.TransformSets[len(c.cfg.TransformSets)-1].Transport = f[0] == "transport" && !no
		}
	case inMap:
		c.mapLine(w, f, rest, no, place)
	case inRouteMap:
		rm := &c.cfg.RouteMaps[len(c.cfg.RouteMaps)-1]
		if w == "match" && len(f) > 2 && (f[0] == "ip" || f[0] == "ipv6") && f[1] == "address" && !no {
			for _, a := range f[2:] {
				if a != "prefix-list" {
					rm.ACLs = append(rm.ACLs, a)
				}
			}
		}
	case inClientGroup:
		g := &c.cfg.ClientGroups[len(c.cfg.ClientGroups)-1]
		if w == "key" && !no {
			tok, _ := tokenOf(rest)
			c.cfg.Keys = append(c.cfg.Keys, facts.PSK{Name: g.Name, Version: 1, Token: tok, Place: place})
		}
		g.Attrs = append(g.Attrs, facts.Attr{Key: w, Value: rest, No: no, Place: place})
	case inObjects:
		c.objectLine(w, f, no)
	case inRadius:
		s := &c.cfg.AAAServers[len(c.cfg.AAAServers)-1]
		switch {
		case w == "address" && len(f) > 1 && !no:
			s.Host = f[1]
		case w == "timeout" && len(f) > 0 && !no:
			s.Timeout = atoi(f[0])
		}
	case inAAAGroup:
		if (w == "server" || w == "server-private") && len(f) > 0 && !no && f[0] != "name" {
			s := facts.AAAServer{Group: c.name, Protocol: c.peer, Host: f[0], Place: place}
			for i := 1; i+1 < len(f); i++ {
				if f[i] == "timeout" {
					s.Timeout = atoi(f[i+1])
				}
			}
			c.cfg.AAAServers = append(c.cfg.AAAServers, s)
		}
	}
}

func side(f []string) string {
	if len(f) > 0 && (f[0] == "local" || f[0] == "remote") {
		return f[0]
	}
	return ""
}

func policyLine(p *facts.IKEPolicy, w string, f []string, no bool, place facts.Place) {
	if no || len(f) == 0 {
		return
	}
	switch {
	case strings.HasPrefix("encryption", w) && len(w) >= 4:
		v := f[0]
		if len(f) > 1 {
			v += "-" + f[1]
		}
		p.Encryption = []string{cipher(v)}
		stated(p, "encryption", place)
	case w == "hash":
		p.Hash = []string{hash(f[0])}
		stated(p, "hash", place)
	case strings.HasPrefix("authentication", w) && len(w) >= 4:
		p.Auth = f[0]
		stated(p, "auth", place)
	case w == "group":
		p.Groups = []string{f[0]}
		stated(p, "group", place)
	case w == "lifetime":
		p.Lifetime = atoi(f[len(f)-1])
		stated(p, "lifetime", place)
	}
}

// cipher brings encryption names of IKE into one form: aes, aes-192, aes-256, 3des, aes-gcm-256.
func cipher(s string) string {
	s = strings.ToLower(s)
	s = strings.Replace(s, "aes-cbc", "aes", 1)
	switch s {
	case "aes-128":
		return "aes"
	case "aes-gcm-128":
		return "aes-gcm"
	}
	return s
}

// hash brings hash names of IKE into one form: md5, sha, sha256, sha384, sha512.
func hash(s string) string {
	switch s = strings.ToLower(s); s {
	case "sha1", "sha-1":
		return "sha"
	case "sha-256", "sha2-256":
		return "sha256"
	}
	return s
}

func each(f []string, norm func(string) string) []string {
	out := make([]string, 0, len(f))
	for _, s := range f {
		out = append(out, norm(s))
	}
	return out
}

// transforms joins key sizes to their ciphers: "esp-aes 256" is esp-aes-256.
func transforms(f []string) []string {
	var out []string
	for _, s := range f {
		s = strings.ToLower(strings.Trim(s, "{},"))
		switch {
		case s == "":
		case (s == "128" || s == "192" || s == "256") && len(out) > 0:
			if s != "128" {
				out[len(out)-1] += "-" + s
			}
		case s == "esp-256-aes" || s == "esp-192-aes": // as show crypto ipsec sa spells them
			out = append(out, "esp-aes-"+s[4:7])
		default:
			out = append(out, s)
		}
	}
	return out
}

// tokenOf finds the token of a replaced secret in a text.
func tokenOf(s string) (string, bool) { return redact.Token(s) }
