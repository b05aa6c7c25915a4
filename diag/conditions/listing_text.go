package conditions

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// listed is one flow of IKE or ESP among the packets that a device's capture lists line by
// line ("show capture NAME"): who sent how many to whom. Without the packets themselves there
// are no cookies to compare, so it speaks by presence alone.
type listed struct {
	src, dst netip.Addr
	kind     string // "500", "4500", "esp"
	n        int64
	place    facts.Place
}

// listed reads the lists of a device's captures.
func (e *End) listed() []listed {
	return ofBox(e, "listed packets", func() []listed { return listing(e.Device) })
}

func listing(d *facts.Device) []listed {
	var out []listed
	for _, c := range d.Counters {
		if c.Group != "capture-flow" {
			continue
		}
		src, rest, _ := strings.Cut(c.Name, " > ")
		dst, proto, _ := strings.Cut(rest, " ")
		x := listed{src: hostOf(src), dst: hostOf(dst), n: c.Value, place: c.Place}
		switch {
		case strings.Contains(proto, "proto-50"), strings.HasPrefix(proto, "esp"):
			x.kind = "esp"
		case strings.HasSuffix(src, ".4500"), strings.HasSuffix(dst, ".4500"):
			x.kind = "4500"
		case strings.HasSuffix(src, ".500"), strings.HasSuffix(dst, ".500"):
			x.kind = "500"
		}
		if x.kind != "" && x.src.IsValid() && x.dst.IsValid() {
			out = append(out, x)
		}
	}
	return out
}

// sent and got are the packets of a kind that an end's capture lists to and from its peer.
func (e *End) sent(kind string) (n int64, where []facts.Place) {
	return tally(e.listed(), func(x listed) bool { return x.kind == kind && e.Known(x.src) && e.Mine(x.dst) })
}

func (e *End) got(kind string) (n int64, where []facts.Place) {
	return tally(e.listed(), func(x listed) bool { return x.kind == kind && e.Mine(x.src) && e.Known(x.dst) })
}

func tally(xs []listed, of func(listed) bool) (n int64, where []facts.Place) {
	for _, x := range xs {
		if of(x) {
			n, where = n+x.n, append(where, x.place)
		}
	}
	return n, where
}

// missing weighs the lists of both ends: packets of a kind that the one lists as sent, again
// and again, and the other's capture of the same tunnel does not have. one tells that the other
// direction arrives.
func (t *Tunnel) missing(kind string) (from *End, where []facts.Place, one bool) {
	if len(t.Ends) != 2 {
		return nil, nil, false
	}
	for i, e := range t.Ends {
		o := t.Ends[1-i]
		left, at := e.sent(kind)
		// Behind a NAT the far end sees another address.
		came, _ := tally(o.listed(), func(x listed) bool {
			return x.kind == kind && o.Known(x.dst) && (e.Known(x.src) || !e.Own.IsValid() || e.Own.IsPrivate())
		})
		if left < 2 || came > 0 || len(e.listed()) == 0 || len(o.listed()) == 0 {
			continue
		}
		back, _ := e.got(kind)
		_, there := tally(o.listed(), func(listed) bool { return true })
		return e, append(at, there[0]), back > 0
	}
	return nil, nil, false
}

// elsewhere finds, in the list of an end's capture, answers of UDP 500 that come from another
// address than the one that is asked, while that one says nothing and is asked again.
func (e *End) elsewhere() (from netip.Addr, where []facts.Place, ok bool) {
	asked, at := e.sent("500")
	if back, _ := e.got("500"); asked < 2 || back > 0 {
		return from, nil, false
	}
	xs := e.listed()
	for _, x := range xs {
		if x.kind != "500" || !e.Known(x.dst) || e.Mine(x.src) || !neighbours(x.src, e.Peer) || x.n < 2 {
			continue
		}
		if n, _ := tally(xs, func(y listed) bool { return y.dst == x.src }); n == 0 {
			return x.src, append([]facts.Place{x.place}, at...), true
		}
	}
	return from, nil, false
}

var replyElsewhereText = Condition{
	ID:        "reply-from-other-address",
	Cause:     "the answers come from another address than the one that was asked",
	Shows:     "captures: the answer with the same cookie comes from another source; a capture's list with requests to one address and answers from its neighbour",
	Severity:  report.Critical,
	Reference: "Meraki: troubleshooting client VPN, warm spare and destination address; multihomed headends",
	Look: func(t *Tunnel) []Match {
		for _, e := range t.Ends {
			from, where, ok := e.elsewhere()
			if !ok {
				continue
			}
			return []Match{{Clues: []Clue{For(4, fmt.Sprintf("%s asks %s again and again, and the answers come from %s", e.Label(), e.Peer, from), where...)},
				Title: fmt.Sprintf("The answers to %s come from %s and not from %s, the address that it asks", e.Label(), from, e.Peer),
				Explanation: "The responder got the request and answers, but from another of its addresses, so the answer belongs to nothing here and the request is repeated. " +
					"Neither direction is blocked, and no policy was looked at yet.",
				Actions: []report.Action{advise(nil, []string{"crypto map <map> local-address <interface>"}, "at the responder: bind IKE to the address that peers use (IOS; on ASA the crypto map's interface and its route out), or mend the NAT rule that rewrites the answer",
					fmt.Sprintf("or name %s as the peer here", from))},
				Next: []report.Next{bothEnds("the same initiator cookie in request and answer proves it")}}}
		}
		return nil
	},
}

// listedLost are the clues that lists give for a path condition of a kind.
func (t *Tunnel) listedLost(kind string) []Clue {
	from, where, _ := t.missing(kind)
	if from == nil {
		return nil
	}
	what := map[string]string{"500": "UDP 500", "4500": "UDP 4500", "esp": "ESP"}[kind]
	return []Clue{For(4, fmt.Sprintf("the capture on %s lists %s to its peer, the peer's capture none of it", from.Label(), what), where...)}
}

// listedPeers are the addresses that a device's captures list as talking IKE or ESP with it.
func listedPeers(d *facts.Device) []netip.Addr {
	var out []netip.Addr
	if len(d.Addresses) == 0 {
		return nil
	}
	for _, x := range listing(d) {
		for _, p := range [][2]netip.Addr{{x.src, x.dst}, {x.dst, x.src}} {
			if slices.Contains(d.Addresses, p[0]) && !slices.Contains(out, p[1]) {
				out = append(out, p[1])
			}
		}
	}
	return out
}
