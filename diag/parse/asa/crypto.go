package asa

import (
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/redact"
)

// crypto reads the lines that begin with crypto.
func (k *configReader) crypto(f []string, no bool, l facts.Line) bool {
	switch arg(f, 1) {
	case "map":
		k.cryptoMap(f[2:], false, no, l)
	case "dynamic-map":
		k.cryptoMap(f[2:], true, no, l)
	case "isakmp":
		return k.isakmp(f[2:], no, l)
	case "ikev1", "ikev2":
		return k.ikev(f, no, l)
	case "ipsec":
		return k.cryptoIPsec(f, no, l)
	case "ca", "pki", "key":
		k.setting1(f, no, l)
		return false // certificates and trustpoints follow
	default:
		return k.setting1(f, no, l)
	}
	return true
}

// isakmp reads what follows [crypto] isakmp, in all releases.
func (k *configReader) isakmp(f []string, no bool, l facts.Line) bool {
	switch arg(f, 0) {
	case "policy":
		k.openPolicy(1, f[1:], l)
	case "enable":
		k.c.IKEEnabled = append(k.c.IKEEnabled, facts.IKEEnable{Interface: arg(f, 1), No: no, Place: k.place(l)})
	case "key": // PIX: isakmp key K address A [netmask M] [no-xauth] [no-config-mode]
		psk := facts.PSK{Place: k.place(l)}
		psk.Token, _ = redact.Token(arg(f, 1))
		for i := 2; i < len(f); i++ {
			switch f[i] {
			case "address":
				psk.Peer = host(k.addr(arg(f, i+1)))
				if arg(f, i+1) == "0.0.0.0" {
					psk.Peer = masked("0.0.0.0", "0.0.0.0")
				}
			case "hostname":
				psk.Name = arg(f, i+1)
			case "netmask":
				if m := masked(psk.Peer.Addr().String(), arg(f, i+1)); m.IsValid() {
					psk.Peer = m
				}
			case "no-xauth":
				psk.NoXAuth = true
			}
		}
		k.c.Keys = append(k.c.Keys, psk)
	default:
		key, value := splitKey(append([]string{"crypto", "isakmp"}, f...), settingKeys)
		if key == "crypto isakmp" { // a word that the table does not know
			key, value = "crypto isakmp "+arg(f, 0), strings.Join(f[min(1, len(f)):], " ")
		}
		k.setting(key, value, no, l)
	}
	return true
}

// ikev reads crypto ikev1|ikev2 ...
func (k *configReader) ikev(f []string, no bool, l facts.Line) bool {
	version := 1
	if f[1] == "ikev2" {
		version = 2
	}
	switch arg(f, 2) {
	case "policy":
		k.openPolicy(version, f[3:], l)
	case "enable":
		k.c.IKEEnabled = append(k.c.IKEEnabled, facts.IKEEnable{Version: version, Interface: arg(f, 3), No: no, Place: k.place(l)})
	default:
		key, value := splitKey(f, settingKeys)
		k.setting(key, value, no, l)
		// The same thing under the name that it had to 8.3.
		if key == "crypto ikev1 am-disable" || key == "crypto ikev1 ipsec-over-tcp" {
			k.setting(strings.Replace(key, "ikev1", "isakmp", 1), value, no, l)
		}
	}
	return true
}

// openPolicy opens a policy, or reads a one-line form: policy 10 encryption 3des.
func (k *configReader) openPolicy(version int, f []string, l facts.Line) {
	if len(f) == 0 {
		return
	}
	n := atoi(f[0])
	k.at = -1
	for i := range k.c.IKEPolicies {
		if k.c.IKEPolicies[i].Version == version && k.c.IKEPolicies[i].Number == n {
			k.at = i
		}
	}
	if k.at < 0 {
		k.c.IKEPolicies = append(k.c.IKEPolicies, facts.IKEPolicy{Version: version, Number: n, Place: k.place(l), Places: map[string]facts.Place{}})
		k.at = len(k.c.IKEPolicies) - 1
	}
	k.mode = ikePolicyMode
	if len(f) > 1 {
		k.policyLine(&k.c.IKEPolicies[k.at], f[1:], l)
	}
}

func (k *configReader) policyLine(p *facts.IKEPolicy, f []string, l facts.Line) bool {
	key := ""
	rest := f[1:]
	switch f[0] {
	case "encryption", "encr":
		key, p.Encryption = "encryption", clone(rest)
	case "hash", "integrity":
		key, p.Hash = "hash", clone(rest)
	case "authentication":
		key, p.Auth = "auth", arg(f, 1)
	case "group":
		key, p.Groups = "group", clone(rest)
	case "prf":
		key, p.PRF = "prf", clone(rest)
	case "lifetime":
		key = "lifetime"
		v := f[len(f)-1]
		p.Lifetime = atoi(v) // none is 0
	case "#", "description":
		return true
	default:
		return false
	}
	p.Places[key] = k.place(l)
	return true
}

func clone(f []string) []string { return append([]string(nil), f...) }

// cryptoIPsec reads crypto ipsec ...
func (k *configReader) cryptoIPsec(f []string, no bool, l facts.Line) bool {
	switch {
	case arg(f, 2) == "transform-set" && len(f) > 3:
		k.transformSet(f[3], f[4:], l)
	case arg(f, 2) == "ikev1" && arg(f, 3) == "transform-set" && len(f) > 4:
		k.transformSet(f[4], f[5:], l)
	case arg(f, 2) == "ikev2" && arg(f, 3) == "ipsec-proposal" && len(f) > 4:
		k.at = -1
		for i := range k.c.Proposals {
			if k.c.Proposals[i].Name == f[4] {
				k.at = i
			}
		}
		if k.at < 0 {
			k.c.Proposals = append(k.c.Proposals, facts.IKEv2Proposal{Name: f[4], IPsec: true, Place: k.place(l)})
			k.at = len(k.c.Proposals) - 1
		}
		k.mode = proposalMode
	case arg(f, 2) == "profile" && len(f) > 3:
		k.c.Profiles = append(k.c.Profiles, facts.Profile{Kind: "ipsec", Name: f[3], Place: k.place(l)})
		k.mode, k.at = profileMode, len(k.c.Profiles)-1
	default:
		if arg(f, 2) == "security-association" && arg(f, 3) == "lifetime" && len(f) >= 8 { // both on one line
			for i := 4; i+1 < len(f); i += 2 {
				k.setting("crypto ipsec security-association lifetime "+f[i], f[i+1], no, l)
			}
			return true
		}
		key, value := splitKey(f, settingKeys)
		k.setting(key, value, no, l)
	}
	return true
}

func (k *configReader) transformSet(name string, f []string, l facts.Line) {
	at := -1
	for i := range k.c.TransformSets {
		if k.c.TransformSets[i].Name == name {
			at = i
		}
	}
	if at < 0 {
		k.c.TransformSets = append(k.c.TransformSets, facts.TransformSet{Name: name, Place: k.place(l)})
		at = len(k.c.TransformSets) - 1
	}
	t := &k.c.TransformSets[at]
	if arg(f, 0) == "mode" { // crypto ipsec transform-set X mode transport
		t.Transport = arg(f, 1) == "transport"
		return
	}
	t.Transforms = nil
	for i := 0; i < len(f); i++ {
		switch w := f[i]; {
		case number(w) && len(t.Transforms) > 0: // esp-aes 256
			t.Transforms[len(t.Transforms)-1] += "-" + w
		default:
			t.Transforms = append(t.Transforms, w)
		}
	}
}

func (k *configReader) proposalLine(p *facts.IKEv2Proposal, f []string) bool {
	if f[0] != "protocol" || len(f) < 4 {
		return false
	}
	switch f[2] {
	case "encryption":
		p.Encryption = clone(f[3:])
	case "integrity":
		p.Integrity = clone(f[3:])
	}
	return true
}

// cryptoMap reads crypto map|dynamic-map NAME ...
func (k *configReader) cryptoMap(f []string, dynamic, no bool, l facts.Line) {
	if len(f) < 2 {
		return
	}
	name := f[0]
	if f[1] == "interface" {
		if !no {
			k.c.MapBindings = append(k.c.MapBindings, facts.MapBinding{Map: name, Interface: arg(f, 2), Place: k.place(l)})
		}
		return
	}
	if !number(f[1]) {
		k.setting("crypto map "+name+" "+f[1], strings.Join(f[2:], " "), no, l) // PIX: client authentication ...
		return
	}
	if no {
		return
	}
	e := k.entry(name, atoi(f[1]), dynamic, l)
	place := k.place(l)
	at := func(key string) {
		if _, ok := e.Places[key]; !ok {
			e.Places[key] = place
		}
	}
	rest := f[2:]
	switch arg(rest, 0) {
	case "match":
		e.ACL = arg(rest, 2)
		at("acl")
	case "ipsec-isakmp":
		if arg(rest, 1) == "dynamic" {
			e.Dynamic = arg(rest, 2)
			at("dynamic")
		}
	case "set":
		k.mapSet(e, rest[1:], at)
	}
}

func (k *configReader) mapSet(e *facts.MapEntry, f []string, at func(string)) {
	switch arg(f, 0) {
	case "peer":
		at("peer")
		for _, w := range f[1:] {
			if w == "default" {
				continue
			}
			if a := k.addr(w); a.IsValid() {
				e.Peers = append(e.Peers, a)
			} else {
				e.PeerNames = append(e.PeerNames, w)
			}
		}
	case "transform-set":
		at("transform")
		e.Transforms = append(e.Transforms, f[1:]...)
	case "ikev1":
		if arg(f, 1) == "transform-set" {
			at("transform")
			e.Transforms = append(e.Transforms, f[2:]...)
		}
	case "ikev2":
		if arg(f, 1) == "ipsec-proposal" {
			at("proposal")
			e.Proposals = append(e.Proposals, f[2:]...)
		}
	case "pfs":
		at("pfs")
		e.PFS = arg(f, 1)
		if e.PFS == "" {
			e.PFS = "default"
		}
	case "nat-t-disable":
		at("nat-t")
		e.NATTDisable = true
	case "connection-type":
		at("type")
		e.ConnType = arg(f, 1)
	case "reverse-route":
		at("reverse-route")
		e.Reverse = true
	case "security-association":
		at("lifetime")
		for i := 1; i+1 < len(f); i++ {
			if f[i] == "seconds" {
				e.Lifetime = atoi(f[i+1])
			}
		}
	case "trustpoint":
		at("trustpoint")
		e.Trustpoint = arg(f, 1)
	}
}

func (k *configReader) entry(name string, seq int, dynamic bool, l facts.Line) *facts.MapEntry {
	index := k.entries()
	if i, ok := index[entryKey{name, seq, dynamic}]; ok {
		return &k.c.MapEntries[i]
	}
	k.c.MapEntries = append(k.c.MapEntries, facts.MapEntry{Map: name, Sequence: seq, DynamicMap: dynamic, Place: k.place(l), Places: map[string]facts.Place{}})
	index[entryKey{name, seq, dynamic}] = len(k.c.MapEntries) - 1
	return &k.c.MapEntries[len(k.c.MapEntries)-1]
}

type entryKey struct {
	name    string
	seq     int
	dynamic bool
}

// entries is the index of the map entries; it is made when sections were read before.
func (k *configReader) entries() map[entryKey]int {
	if k.index == nil {
		k.index = make(map[entryKey]int, len(k.c.MapEntries))
		for i := range k.c.MapEntries {
			e := &k.c.MapEntries[i]
			k.index[entryKey{e.Map, e.Sequence, e.DynamicMap}] = i
		}
	}
	return k.index
}
