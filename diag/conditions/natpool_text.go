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

// pair is one attempt that reached the gateway from two addresses.
type pair struct {
	from, then    netip.Addr
	first, second facts.Event
}

// neighbours: both addresses lie in one block of a carrier.
func neighbours(a, b netip.Addr) bool {
	if !a.Is4() || !b.Is4() || a == b {
		return false
	}
	x, y := a.As4(), b.As4()
	return x[0] == y[0] && x[1] == y[1]
}

// attempts are the device's log lines of an attempt that began and of a message that belongs
// to no SA, each with the address that it is about as its peer.
type attempts struct{ begun, lost []facts.Event }

func (e *End) attempts() (out attempts) {
	for _, ev := range e.Device.Events {
		if !ev.Peer.IsValid() {
			if len(ev.Addrs) == 0 {
				continue
			}
			ev.Peer = ev.Addrs[0]
		}
		switch {
		case hasAny(ev.Text, "no matching sa", "has no sa and is not an initialization offer"):
			out.lost = append(out.lost, ev)
		case hasAny(ev.Text, "am_wait_msg3", "mm_wait_msg5", "new sa", "retransmi", "aggressive mode", "(r) ag_init_exch", "(r) mm_key_exch", "(r) mm_sa_setup"):
			out.begun = append(out.begun, ev)
		}
	}
	return out
}

// moved finds attempts in which this tunnel's peer takes part under two addresses: one end of
// the exchange is begun by an address, and a message that belongs to no SA comes from its
// neighbour within a minute.
func (e *End) moved() []pair {
	if !e.Peer.IsValid() {
		return nil
	}
	near := func(ev facts.Event) bool { return e.Mine(ev.Peer) || neighbours(ev.Peer, e.Peer) }
	all := ofBox(e, "attempts", e.attempts)
	var begun, lost []facts.Event
	for _, ev := range all.lost {
		if near(ev) {
			lost = append(lost, ev)
		}
	}
	if len(lost) == 0 {
		return nil
	}
	for _, ev := range all.begun {
		if near(ev) {
			begun = append(begun, ev)
		}
	}
	var out []pair
	for _, l := range lost {
		var best *facts.Event
		for i := range begun {
			b := &begun[i]
			if !neighbours(b.Peer, l.Peer) || !e.Mine(b.Peer) && !e.Mine(l.Peer) {
				continue
			}
			if b.HasTime && l.HasTime {
				if d := b.Time.Sub(l.Time); d < -time.Minute || d > time.Minute {
					continue
				}
			} else if d := b.Place.Line - l.Place.Line; b.Place.Source != l.Place.Source || d < -8 || d > 8 {
				continue
			}
			best = b
			break
		}
		if best != nil && len(out) < 8 {
			out = append(out, pair{best.Peer, l.Peer, *best, l})
		}
	}
	return out
}

// carrierWords are people's words for users of one mobile carrier, and nowThen for attempts that
// succeed by chance.
var (
	carrierWords = []string{"carrier", "mobile", "mobil", "lte", "4g", "5g", "umts", "3g", "sim card", "sim-karte", "hotspot", "opérateur", "operador", "provider", "tethering"}
	nowThenWords = []string{"now and then", "sometimes", "ab und zu", "manchmal", "1 of", "one of ten", "every tenth", "parfois", "a veces", "occasionally", "by luck", "after many tries", "nach mehreren versuchen", "sporadic"}
)

// moves reads packets that people paste as tcpdump prints them ("10.0.0.1.500 > 10.0.0.2.500:"):
// a gateway that gets UDP 500 from one address and UDP 4500 from its neighbour. Places are those
// of the first lines of each kind.
func (t *Tunnel) moves() (from, then netip.Addr, where []facts.Place) {
	type seen struct {
		src, dst netip.Addr
		place    facts.Place
	}
	var first, second []seen
	read := func(text string, p facts.Place) {
		f := strings.Fields(text)
		for i := 1; i+1 < len(f) && len(first)+len(second) < 64; i++ {
			if f[i] != ">" {
				continue
			}
			dst := strings.TrimSuffix(f[i+1], ":")
			s := seen{hostOf(f[i-1]), hostOf(dst), p}
			switch {
			case !s.src.IsValid() || !s.dst.IsValid():
			case strings.HasSuffix(dst, ".4500"):
				second = append(second, s)
			case strings.HasSuffix(dst, ".500"):
				first = append(first, s)
			}
			return
		}
	}
	for _, d := range t.Set.Devices {
		for _, n := range d.Notes {
			read(n.Lower, n.Place)
		}
		for _, ev := range d.Events {
			read(ev.Place.Text, ev.Place)
		}
	}
	for _, b := range second {
		for _, a := range first {
			if a.dst == b.dst && neighbours(a.src, b.src) {
				return a.src, b.src, []facts.Place{b.place, a.place}
			}
		}
	}
	return from, then, nil
}

// printed is a packet of IKE as tcpdump -v prints it, with its cookies.
type printed struct {
	src, dst netip.Addr
	to4500   bool
	from4500 bool
	cookie   string // of the initiator
	place    facts.Place
}

// printedPackets reads the packets with cookies that people pasted: "192.0.2.1.500 >
// 198.51.100.9.500: isakmp 1.0 msgid 00000000 cookie 9b1f2c30aa41d7e2->0000000000000000: phase 1 I agg:".
func (t *Tunnel) printedPackets() []printed {
	var out []printed
	read := func(text string, p facts.Place) {
		f := strings.Fields(text)
		x := printed{place: p}
		for i := range f {
			switch {
			case f[i] == ">" && i > 0 && i+1 < len(f) && !x.src.IsValid():
				dst := strings.TrimSuffix(f[i+1], ":")
				x.src, x.dst = hostOf(f[i-1]), hostOf(dst)
				x.to4500, x.from4500 = strings.HasSuffix(dst, ".4500"), strings.HasSuffix(f[i-1], ".4500")
			case f[i] == "cookie" && i+1 < len(f):
				x.cookie, _, _ = strings.Cut(f[i+1], "->")
			}
		}
		if x.src.IsValid() && x.dst.IsValid() && len(x.cookie) == 16 && len(out) < 200 {
			out = append(out, x)
		}
	}
	for _, d := range t.Set.Devices {
		for _, n := range d.Notes {
			if strings.Contains(n.Lower, " cookie ") {
				read(n.Lower, n.Place)
			}
		}
	}
	return out
}

// sameAttempt finds one attempt whose messages come from one address to UDP 500 and from
// another to UDP 4500, and which nobody answers on 4500: the same cookies prove it.
func (t *Tunnel) sameAttempt() (from, then netip.Addr, where []facts.Place, ok bool) {
	all := t.printedPackets()
	for _, b := range all {
		if !b.to4500 {
			continue
		}
		for _, a := range all {
			if a.to4500 || a.from4500 || a.cookie != b.cookie || a.dst != b.dst || a.src == b.src {
				continue
			}
			for _, c := range all {
				if c.from4500 && c.cookie == b.cookie && c.src == b.dst {
					return from, then, nil, false // the gateway follows
				}
				if c.cookie == b.cookie && c.src == b.dst && c.dst == a.src && len(where) == 0 {
					where = []facts.Place{c.place}
				}
			}
			return a.src, b.src, append([]facts.Place{b.place, a.place}, where...), true
		}
	}
	return from, then, nil, false
}

var natPoolText = Condition{
	ID:        "nat-pool-address-change",
	Cause:     "a NAT gives UDP 4500 another public address than UDP 500",
	Shows:     "captures: known cookies from an unknown address, unanswered; users of one carrier fail and now and then succeed",
	Severity:  report.Critical,
	Reference: "Topsec gateway: VPN cannot connect, diagnosed by packets (NAT pool behind a mobile carrier); RFC 4787 REQ-2 (paired pooling)",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			ps := e.moved()
			if len(ps) == 0 {
				continue
			}
			var first, second []facts.Place
			for _, p := range ps {
				first, second = append(first, p.first.Place), append(second, p.second.Place)
			}
			w := 2.9
			if len(ps) > 1 {
				w = 3.6
			}
			clues := []Clue{
				For(w, fmt.Sprintf("a message that belongs to no SA comes from %s within a minute of the attempt of its neighbour %s", ps[0].then, ps[0].from), second...),
				For(0.6, "the attempt waits for its next message", first...)}
			if x := t.said(carrierWords...); len(x) > 0 {
				clues = append(clues, For(0.8, "users of one carrier", x...))
				if y := t.said(nowThenWords...); len(y) > 0 {
					clues = append(clues, For(0.6, "and now and then one succeeds", y...))
				}
			}
			out = append(out, natPoolMatch(e.Label(), fmt.Sprintf("%s and %s", ps[0].from, ps[0].then), ps[0].from.String()+ps[0].then.String(), clues))
		}
		if len(out) > 0 {
			return out
		}
		if from, then, where, ok := t.sameAttempt(); ok && (len(t.Ends) == 0 || slices.ContainsFunc(t.Ends, func(e *End) bool { return !e.Peer.IsValid() || e.Mine(from) || e.Mine(then) })) {
			clues := []Clue{For(4.2, fmt.Sprintf("one attempt (the same cookies) comes on UDP 500 from %s and on UDP 4500 from %s, where it gets no answer", from, then), where...)}
			if x := t.said(carrierWords...); len(x) > 0 {
				clues = append(clues, For(0.6, "users of one carrier", x...))
			}
			return []Match{natPoolMatch("the gateway", fmt.Sprintf("%s and %s", from, then), from.String()+then.String(), clues)}
		}
		if len(t.Clients) == 0 {
			return nil
		}
		// Without the gateway: only users of one carrier fail, and by luck one succeeds.
		carrier, luck := t.said(carrierWords...), t.said(nowThenWords...)
		if len(carrier) == 0 || len(luck) == 0 {
			return nil
		}
		for _, d := range t.Clients {
			x := withID(d.Events, "Reason 412")
			answered := saying(d.Events, "receiving <<< isakmp oak ag", "receiving <<< isakmp oak mm")
			if len(x) == 0 {
				continue
			}
			clues := []Clue{For(1.4, "users of one carrier", carrier...), For(1.4, "now and then one succeeds", luck...), For(0.4, "", at(x...)...)}
			if len(answered) > 0 {
				clues = append(clues, For(1, "the gateway's answer arrives, and then nothing", at(answered...)...))
			}
			addrs := "the client's two public addresses"
			if from, then, where := t.moves(); len(where) > 0 {
				addrs = fmt.Sprintf("%s and %s", from, then)
				clues = append(clues, For(2, fmt.Sprintf("the gateway gets UDP 500 from %s and UDP 4500 from %s", from, then), where...))
			}
			server := t.server()
			if server == "" {
				server = "the gateway"
			}
			out = append(out, natPoolMatch(server, addrs, "client", clues))
		}
		return out
	},
}

func natPoolMatch(gateway, addrs, key string, clues []Clue) Match {
	return Match{Key: key, Clues: clues,
		Title: "The carrier's NAT gives one client two public addresses, so " + gateway + " does not know it again (" + addrs + ")",
		Explanation: "The first messages come on UDP 500 from one address and the next, on UDP 4500, from another of the same NAT pool. The gateway knows no SA for the second address and drops them, and repeats its answer to the first. " +
			"It works now and then, when the pool happens to give the same address twice. Gateway, keys and policies are fine.",
		Actions: []report.Action{hand("ask the carrier to pin one public address per subscriber (paired pooling, RFC 4787 REQ-2); hand over both addresses and times"),
			advise(nil, nil, "use TCP or SSL VPN, or a fixed address, for those users", "a load balancer in front of the gateway: keep UDP 500 and 4500 of one source on one member")},
		Next: []report.Next{bothEnds("the same cookies from two addresses prove it; the same address and unknown cookies mean a load balancer in front")}}
}
