package conditions

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

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
	if len(t.Ends) != 2 || t.listsApart() {
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
		if asked, _ := o.sent(kind); back > 0 && asked == 0 {
			continue // its packets were answered, so they arrived: the other list is not whole
		}
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
	if from == nil && kind == "500" {
		return t.intoNothing()
	}
	if from == nil {
		return nil
	}
	what := map[string]string{"500": "UDP 500", "4500": "UDP 4500", "esp": "ESP"}[kind]
	return []Clue{For(4, fmt.Sprintf("the capture on %s lists %s to its peer, the peer's capture none of it", from.Label(), what), where...)}
}

// intoNothing weighs requests that one end lists again and again, and no answer, beside a
// capture of the other end that stayed empty.
func (t *Tunnel) intoNothing() []Clue {
	for _, e := range t.Ends {
		n, where := e.sent("500")
		o := t.Other(e)
		if back, _ := e.got("500"); o == nil || n < 2 || back > 0 || len(o.listed()) > 0 {
			continue
		}
		if empty := o.emptyCaptures(); len(empty) > 0 {
			return []Clue{For(4, fmt.Sprintf("%s lists requests to its peer, and the capture of %s stayed empty", e.Label(), o.Label()), append(where, empty[0].places...)...)}
		}
	}
	return nil
}

// listedPeers are the addresses that a device's captures list as talking IKE or ESP with it.
func listedPeers(d *facts.Device) []netip.Addr {
	var out []netip.Addr
	own := d.Addresses
	if len(own) == 0 {
		own = []netip.Addr{ListedOwn(d)}
	}
	for _, x := range listing(d) {
		for _, p := range [][2]netip.Addr{{x.src, x.dst}, {x.dst, x.src}} {
			if slices.Contains(own, p[0]) && !slices.Contains(out, p[1]) {
				out = append(out, p[1])
			}
		}
	}
	return out
}

// ListedOwn is the address of a device that says nothing of its own, by the packets that its
// captures list: the one in all of them; of a single pair, which does not tell, the one asked.
func ListedOwn(d *facts.Device) netip.Addr {
	xs := listing(d)
	if len(d.Addresses) > 0 || len(xs) == 0 {
		return netip.Addr{}
	}
	for _, a := range []netip.Addr{xs[0].dst, xs[0].src} {
		if !slices.ContainsFunc(xs, func(x listed) bool { return x.src != a && x.dst != a }) {
			return a
		}
	}
	return netip.Addr{}
}

// further: the IKE SA knows of messages that the list does not have, so its filter takes one
// direction only.
func (e *End) further() []Clue {
	x := e.inState("MM_WAIT_MSG3", "MM_WAIT_MSG4", "MM_WAIT_MSG5", "MM_WAIT_MSG6", "MM_SA_SETUP", "MM_KEY_EXCH", "AM_TM_INIT", "CONF_XAUTH")
	if len(x) == 0 {
		return nil
	}
	return []Clue{Against(3.5, "the IKE SA has got further than the list shows", placesOf(x)...)}
}

// silentListed is responder-silent as a list of packets at the responder shows it.
var silentListed = Condition{ID: "responder-silent", Severity: report.Critical, Look: func(t *Tunnel) []Match {
	var out []Match
	for _, e := range t.Ends {
		asked, where := e.got("500")
		if n, _ := e.sent("500"); asked < 2 || n > 0 || e.waits() {
			continue // what comes may be the answer to what was asked of another address
		}
		w, told := 3.0, ""
		if len(e.Device.Addresses) == 0 {
			w, told = 2.0, " That this is the responder's capture does not stand in it: one taken at the initiator would show blocked requests, blocked answers and a silent peer alike."
		}
		clues := append([]Clue{For(w, fmt.Sprintf("%d requests of %s on UDP 500 and no answer in the capture of %s", asked, e.PeerLabel(), e.Label()), where...)}, e.further()...)
		if up := t.phase1Up(); len(up) > 0 {
			clues = append(clues, Against(4, "phase 1 is up", up...))
		}
		out = append(out, Match{Clues: clues,
			Title:       e.Label() + " does not answer the IKE requests of " + e.PeerLabel(),
			Explanation: "The requests arrive and nothing leaves, so the path towards this end is open. It knows no configuration for this peer, IKE is off on the interface, or something else owns UDP 500." + told,
			Actions:     []report.Action{advise(e, nil, "check that IKE is enabled on the interface and that a crypto map entry and a tunnel-group fit the peer's address")},
			Next:        []report.Next{readAlso("this end's configuration and log of one attempt", "names the reason why it stays silent")}})
	}
	return out
}}

// waits: the device asks somebody who does not answer.
func (e *End) waits() bool {
	xs := e.listed()
	return slices.ContainsFunc(xs, func(x listed) bool {
		return e.Known(x.src) && !slices.ContainsFunc(xs, func(y listed) bool { return y.src == x.dst })
	})
}

// poolListed is nat-pool-address-change as a list of packets at the gateway shows it: UDP 500
// from one address is answered, UDP 4500 comes from another that sent nothing on 500 and
// stays without an answer.
var poolListed = Condition{ID: "nat-pool-address-change", Severity: report.Critical, Look: func(t *Tunnel) []Match {
	for _, e := range t.Ends {
		came, where := e.got("500")
		answered, _ := e.sent("500")
		if floated, _ := e.got("4500"); came == 0 || answered == 0 || floated > 0 {
			continue
		}
		xs := e.listed()
		for _, x := range xs {
			if x.kind != "4500" || !e.Known(x.dst) || e.Mine(x.src) || x.n < 2 {
				continue
			}
			if slices.ContainsFunc(xs, func(y listed) bool { return y.dst == x.src || y.src == x.src && y.kind == "500" }) {
				continue
			}
			return []Match{{Clues: []Clue{For(3.6, fmt.Sprintf("UDP 500 comes from %s, UDP 4500 from %v, and the latter stays without an answer", e.PeerLabel(), x.src), append(where, x.place)...)},
				Title:       fmt.Sprintf("A NAT pool changes the peer's address in the middle: %s on UDP 500, %v on UDP 4500", e.PeerLabel(), x.src),
				Explanation: "The carrier's NAT gives the two ports of one negotiation two public addresses. The gateway keeps answering the first and drops what comes from the second as a stranger's.",
				Actions:     []report.Action{hand("ask the carrier for one public address per customer (paired address pooling, RFC 4787 REQ-2)"), advise(nil, nil, "another access meanwhile; IPsec over TCP needs one port only")},
				Next:        []report.Next{bothEnds("shows by the cookies that both addresses are one negotiation")}}}
		}
	}
	return nil
}}

// notComparableText is captures-not-comparable as two lists of packets show it.
var notComparableText = Condition{ID: "captures-not-comparable", Severity: report.Minor, Look: func(t *Tunnel) []Match {
	if !t.listsApart() {
		return nil
	}
	var where []facts.Place
	for _, e := range t.Ends {
		where = append(where, e.listed()[0].place)
	}
	return []Match{{Clues: []Clue{For(3.2, "the two lists have no time and no packet in common", where...)},
		Title:       "The captures of " + t.between() + " were not taken at the same moment",
		Explanation: "Neither the times nor the sizes of the packets overlap, so that a packet missing in one of them proves nothing about the path.",
		Actions:     []report.Action{harmless("capture at both ends at the same moment, with the clocks set by NTP")},
		Next:        []report.Next{bothEnds("shows one attempt from both sides")}}}
}}

// listsApart: the lists of both ends have neither a time of day nor a size in common. Clocks
// of two time zones leave the sizes alike.
func (t *Tunnel) listsApart() bool {
	if len(t.Ends) != 2 || len(t.Ends[0].listed()) == 0 || len(t.Ends[1].listed()) == 0 {
		return false
	}
	x, y := t.Ends[0].listSpan(), t.Ends[1].listSpan()
	if len(x.sizes) == 0 || len(y.sizes) == 0 || x.first-y.last < 600 && y.first-x.last < 600 {
		return false
	}
	for s := range x.sizes {
		if y.sizes[s] {
			return false
		}
	}
	return true
}

// listSpan is when the packets of a list were taken, in seconds of the day, and their sizes.
type listSpan struct {
	first, last int
	sizes       map[string]bool
}

func (e *End) listSpan() listSpan {
	return ofBox(e, "span of lists", func() listSpan {
		s := listSpan{first: 1 << 30, sizes: map[string]bool{}}
		for _, o := range e.Device.Outputs {
			if !strings.HasPrefix(o.Command, "show capture") {
				continue
			}
			for _, l := range o.Text {
				f := strings.Fields(l.Text)
				if len(f) < 6 {
					continue
				}
				at, err := time.Parse("15:04:05", f[1])
				if err != nil {
					continue
				}
				sec := at.Hour()*3600 + at.Minute()*60 + at.Second()
				s.first, s.last = min(s.first, sec), max(s.last, sec)
				if i := slices.Index(f, "udp"); i > 0 && i+1 < len(f) {
					s.sizes[f[i+1]] = true
				}
			}
		}
		return s
	})
}
