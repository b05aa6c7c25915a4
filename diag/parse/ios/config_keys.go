package ios

import (
	"net/netip"
	"strings"

	"vpnbot/diag/facts"
)

// isakmpKey reads what follows "crypto isakmp key".
func (c *configParser) isakmpKey(f []string, place facts.Place) {
	k := facts.PSK{Version: 1, Place: place}
	k.Token, _ = tokenOf(strings.Join(f, " "))
	for i := 0; i < len(f); i++ {
		switch f[i] {
		case "address":
			if i+1 < len(f) && f[i+1] == "ipv6" {
				i++
			}
			if i+1 < len(f) {
				k.Peer = keyPeer(f[i+1:])
			}
		case "ipv6":
			if i+1 < len(f) {
				k.Peer = keyPeer(f[i+1:])
			}
		case "hostname":
			if i+1 < len(f) {
				k.Name = f[i+1]
			}
		case "no-xauth":
			k.NoXAuth = true
		}
	}
	c.cfg.Keys = append(c.cfg.Keys, k)
}

// keyPeer reads "192.0.2.1", "0.0.0.0 0.0.0.0", "192.0.2.0 255.255.255.0", "2001:db8::/32".
func keyPeer(f []string) netip.Prefix {
	if p, err := netip.ParsePrefix(f[0]); err == nil {
		return p.Masked()
	}
	a := addr(f[0])
	if len(f) > 1 {
		if p := masked(f[0], f[1]); p.IsValid() {
			return p
		}
	}
	if a.Is4() && a.IsUnspecified() {
		return netip.PrefixFrom(a, 0)
	}
	return host(a)
}

// keyringKey reads what follows pre-shared-key in a crypto keyring.
func (c *configParser) keyringKey(f []string, place facts.Place) {
	k := facts.PSK{Version: 1, Keyring: c.keyring, Place: place}
	k.Token, _ = tokenOf(strings.Join(f, " "))
	if len(f) > 1 {
		switch f[0] {
		case "address":
			if f[1] == "ipv6" {
				f = f[1:]
			}
			if len(f) > 1 {
				k.Peer = keyPeer(f[1:])
			}
		case "hostname":
			k.Name = f[1]
		}
	}
	c.cfg.Keys = append(c.cfg.Keys, k)
}

func (c *configParser) ikev2Keyring(w string, f []string, no bool, place facts.Place) {
	if no || len(f) == 0 {
		return
	}
	switch w {
	case "peer":
		c.peer, c.peerAddr, c.peerKeys = f[0], nil, len(c.cfg.Keys)
	case "address":
		if f[0] == "ipv6" && len(f) > 1 {
			f = f[1:]
		}
		p := keyPeer(f)
		if len(c.peerAddr) == 0 { // the address may follow the key
			for i := c.peerKeys; i < len(c.cfg.Keys); i++ {
				c.cfg.Keys[i].Peer = p
			}
		}
		if len(c.peerAddr) < 64 {
			c.peerAddr = append(c.peerAddr, p)
		}
	case "pre-shared-key":
		tok, _ := tokenOf(strings.Join(f, " "))
		k := facts.PSK{Version: 2, Name: c.peer, Keyring: c.keyring, Side: side(f), Token: tok, Place: place}
		if len(c.peerAddr) == 0 {
			c.cfg.Keys = append(c.cfg.Keys, k)
		}
		for _, p := range c.peerAddr {
			k.Peer = p
			c.cfg.Keys = append(c.cfg.Keys, k)
		}
	}
}
