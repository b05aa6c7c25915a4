package command

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// Kinds of clears, as in a report's approvable actions.
const (
	kindIKESA   = "clear-ike-sa"
	kindIPsecSA = "clear-ipsec-sa"
	kindSession = "clear-session"
)

// ClearParams say what is cleared. Peer is always needed and comes from the inventory.
type ClearParams struct {
	Peer   netip.Addr
	IKE    int    // 1 or 2; 0 is 1
	ConnID uint32 // IOS, IKEv1: the SA's connection id, read in the same session from a row of that peer
	Index  uint32 // ASA: of the one session among several with that peer, read in the same session from a row of that peer
}

// Clear makes the one targeted clear of a kind: clear-ike-sa, clear-ipsec-sa or
// clear-session. There is no form without a peer.
func Clear(t Target, kind string, p ClearParams) (Command, error) {
	if err := t.check(); err != nil {
		return Command{}, err
	}
	peer, err := address("peer", p.Peer)
	if err != nil {
		return Command{}, fmt.Errorf("%s: %w", kind, err)
	}
	if p.IKE == 0 {
		p.IKE = 1
	}
	if p.IKE != 1 && p.IKE != 2 {
		return Command{}, fmt.Errorf("%s: IKE version %d: write 1 or 2", kind, p.IKE)
	}
	if p.Index != 0 && (!t.asa() || kind != kindSession) {
		return Command{}, fmt.Errorf("%s: only an ASA's session has an index", kind)
	}
	line := ""
	switch kind {
	case kindIKESA:
		switch {
		case t.asa() && p.IKE == 2:
			if t.Version.Before(8, 4) {
				return Command{}, fmt.Errorf("%s: ASA %s has no IKEv2", kind, t.Version.Text)
			}
			line = "clear crypto ikev2 sa " + peer
		case t.asa() && t.Version.Known() && !t.Version.Before(8, 4):
			line = "clear crypto ikev1 sa " + peer
		case t.asa():
			line = "clear crypto isakmp sa " + peer
		case p.IKE == 2:
			line = "clear crypto ikev2 sa remote " + peer
		default:
			if p.ConnID == 0 {
				return Command{}, fmt.Errorf("%s: IOS clears an IKEv1 SA by its connection id; read \"show crypto isakmp sa\" first", kind)
			}
			line = "clear crypto isakmp " + strconv.FormatUint(uint64(p.ConnID), 10)
		}
	case kindIPsecSA:
		switch {
		case t.asa():
			line = "clear crypto ipsec sa peer " + peer
		case t.VRF != "":
			line = "clear crypto sa peer vrf " + t.VRF + " " + peer
		default:
			line = "clear crypto sa peer " + peer
		}
	case kindSession:
		if t.asa() && p.Index != 0 {
			line = "vpn-sessiondb logoff index " + strconv.FormatUint(uint64(p.Index), 10) + " noconfirm"
		} else if t.asa() {
			line = "vpn-sessiondb logoff ipaddress " + peer + " noconfirm"
		} else {
			line = "clear crypto session remote " + peer
		}
	default:
		return Command{}, fmt.Errorf("kind %q is unknown; known: %s, %s, %s", kind, kindIKESA, kindIPsecSA, kindSession)
	}
	return Command{line: line, effect: Disrupts}, nil
}

// FromProposal makes the typed command of an approved action again, from its kind and
// parameters: peer, conn_id, ike, index, and session, which says whose index it is, for
// the caller that compares it. peers are the addresses that the inventory knows for
// the other end of the device's tunnel: a peer that is not among them is refused, so no
// address from a device's text can become a command.
func FromProposal(t Target, kind string, parameters map[string]string, peers ...netip.Addr) (Command, error) {
	p := ClearParams{}
	for k, v := range parameters {
		switch k {
		case "peer":
			a, err := netip.ParseAddr(v)
			if err != nil || a.String() != v {
				return Command{}, fmt.Errorf("%s: peer %q is not an address in its plain form", kind, v)
			}
			p.Peer = a
		case "conn_id":
			n, err := connID(v)
			if err != nil {
				return Command{}, fmt.Errorf("%s: %w", kind, err)
			}
			p.ConnID = n
		case "index":
			n, err := connID(v)
			if err != nil {
				return Command{}, fmt.Errorf("%s: %w", kind, err)
			}
			if parameters["session"] == "" {
				return Command{}, fmt.Errorf("%s: index %s without its session: it may be another's by now", kind, v)
			}
			p.Index = n
		case "session":
		case "ike":
			switch v {
			case "1":
				p.IKE = 1
			case "2":
				p.IKE = 2
			default:
				return Command{}, fmt.Errorf("%s: ike %q: write 1 or 2", kind, v)
			}
		default:
			return Command{}, fmt.Errorf("%s: parameter %q is unknown; known: peer, conn_id, ike, index, session", kind, k)
		}
	}
	if !p.Peer.IsValid() {
		return Command{}, fmt.Errorf("%s: no peer: nothing is cleared without one", kind)
	}
	if !slices.Contains(peers, p.Peer) {
		return Command{}, fmt.Errorf("%s: peer %v is not the other end of a configured tunnel", kind, p.Peer)
	}
	return Clear(t, kind, p)
}

func connID(s string) (uint32, error) {
	if len(s) == 0 || len(s) > 10 || s[0] == '0' {
		return 0, fmt.Errorf("id %q: digits only, not 0", s)
	}
	for _, r := range s {
		if r < '0' || r > '9' {
			return 0, fmt.Errorf("id %q: digits only, not 0", s)
		}
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, errors.New("the id is out of range")
	}
	return uint32(n), nil
}
