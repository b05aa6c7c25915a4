package conditions

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// noIKECaptureText reads what a device says of a capture that it holds: how many packets it
// took, or which. Captures that come as packets are read in wire_path.go.
var noIKECaptureText = Condition{
	ID:       "no-ike-in-capture",
	Cause:    "the capture has no packet of this tunnel",
	Shows:    "an empty capture or other traffic only",
	Severity: report.Minor, Reference: "Meraki: troubleshooting client VPN with packet captures, no ISAKMP traffic",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			for _, c := range e.emptyCaptures() {
				clues := []Clue{For(2.6+0.8*float64(min(len(c.places), 2)-1)+c.sure, "capture "+c.name+" has "+c.what, c.places...)}
				if slices.ContainsFunc(e.Device.IKE, func(sa facts.IKESA) bool { return IsUp(sa) && slices.Contains(c.addrs, sa.Remote) }) {
					clues = append(clues, Against(3.5, "a tunnel of these addresses is up"))
				}
				if len(t.intoNothing()) > 0 {
					clues = append(clues, Against(2, "the other end does send"))
				}
				between := ""
				if len(c.addrs) > 1 {
					between = " between " + c.addrs[0].String() + " and " + c.addrs[1].String()
				}
				out = append(out, Match{Key: e.Label() + " " + c.name, Clues: clues,
					Title: fmt.Sprintf("Capture %s on %s has no IKE packet%s", c.name, e.Label(), between),
					Explanation: "The capture ran and took no packet of this tunnel's IKE or ESP: nothing was sent or arrived while it ran, or it looked at the wrong interface or through too narrow a filter. " +
						"It proves neither a blocked port nor a wrong key.",
					Actions: []report.Action{harmless("check interface and filter of the capture; send interesting traffic while it runs",
						"a filter on ports 500 and 4500 as destination misses answers to a translated port: filter by the two addresses")},
					Next: []report.Next{bothEnds("shows whether the initiator sends at all (no-ike-from-initiator) and whether it arrives")}})
			}
		}
		return out
	},
}

// emptyCapture is a capture on a device without a packet of IKE.
type emptyCapture struct {
	name   string
	what   string
	sure   float64
	places []facts.Place
	addrs  []netip.Addr
}

func (e *End) emptyCaptures() []emptyCapture {
	return ofBox(e, "empty captures", e.lookForEmptyCaptures)
}

func (e *End) lookForEmptyCaptures() []emptyCapture {
	var out []emptyCapture
	get := func(name string) *emptyCapture {
		for i := range out {
			if out[i].name == name {
				return &out[i]
			}
		}
		out = append(out, emptyCapture{name: name, what: "0 packets"})
		return &out[len(out)-1]
	}
	defined := map[string][]string{} // the lines that define a capture, lower case
	for _, o := range e.Device.Outputs {
		if !strings.HasPrefix(o.Command, "show capture") && !strings.HasPrefix(o.Command, "show monitor capture") && !strings.HasPrefix(o.Command, "show running-config") {
			continue
		}
		name := ""
		for _, l := range o.Text {
			f := strings.Fields(l.Text)
			switch {
			case len(f) > 2 && f[0] == "capture":
				name = f[1]
				defined[name] = append(defined[name], strings.ToLower(l.Text))
			case len(f) > 1 && f[0] == "match" && name != "":
				defined[name] = append(defined[name], strings.ToLower(l.Text))
			case len(f) > 0 && l.Text[0] != ' ':
				name = ""
			}
		}
	}
	wants := func(name string) bool {
		text := strings.Join(defined[name], " ") + " "
		if hasAny(text, "asp-drop", "type isakmp") {
			return !strings.Contains(text, "asp-drop")
		}
		return hasAny(text, "isakmp", " 500 ", " 4500 ", " esp ", "match ip host") || hasAny(name, "ike", "isakmp", "vpn", "ipsec", "esp", "vb")
	}
	for _, c := range e.Device.Counters {
		name := strings.TrimSuffix(strings.TrimSuffix(c.Name, " packets"), "packets")
		if name = strings.TrimSpace(name); c.Group != "capture" || name == "" || c.Value != 0 || !wants(name) {
			continue
		}
		x := get(name)
		x.places = append(x.places, c.Place)
		if strings.HasSuffix(c.Name, "packets") {
			x.sure = 0.6
		}
	}
	// IOS: "0 packets in buffer", and a capture of other traffic only.
	for _, o := range e.Device.Outputs {
		if !strings.HasPrefix(o.Command, "show monitor capture") && !strings.HasPrefix(o.Command, "show capture") {
			continue
		}
		name := "of " + e.Label()
		if f := strings.Fields(o.Typed); len(f) > 4 && len(f[3]) > 2 && strings.HasPrefix("buffer", f[3]) { // IOS: show monitor capture buffer NAME
			name = f[4]
		} else if len(f) > 3 && f[1] != "capture" {
			name = f[3]
		} else if len(f) > 2 {
			name = f[2]
		}
		for _, l := range o.Text {
			if s := strings.Join(strings.Fields(strings.ToLower(l.Text)), " "); strings.HasPrefix(o.Command, "show monitor") && (strings.Contains(s, "packets in buf : 0") || strings.Contains(s, "packets : 0") || strings.Contains(s, "packets: 0")) {
				x := get(name)
				x.places = append(x.places, facts.Place{Source: o.Place.Source, Line: l.N, Text: l.Text})
			}
		}
		if o.Command != "show capture" && o.Command != "show monitor capture" && wants(name) {
			if first, ok := e.othersOnly(o); ok {
				x := get(name)
				x.what = "other traffic only"
				x.places = append(x.places, o.Place, first)
			}
		}
	}
	for i := range out {
		for _, line := range defined[out[i].name] {
			for _, w := range strings.Fields(line) {
				if a, err := netip.ParseAddr(w); err == nil && !slices.Contains(out[i].addrs, a) {
					out[i].addrs = append(out[i].addrs, a)
				}
			}
		}
	}
	return out
}

// othersOnly tells whether an answer lists packets of a capture and none of IKE or ESP, and
// where the first one stands. UDP without its ports could be anything.
func (e *End) othersOnly(o facts.Output) (first facts.Place, ok bool) {
	if len(o.Text) == 0 {
		return first, false
	}
	from, to := o.Text[0].N, o.Text[len(o.Text)-1].N
	for _, c := range e.Device.Counters {
		if c.Group != "capture-flow" || c.Place.Source != o.Place.Source || c.Place.Line < from || c.Place.Line > to {
			continue
		}
		src, rest, _ := strings.Cut(c.Name, " > ")
		dst, proto, _ := strings.Cut(rest, " ")
		port := func(s string) bool { return strings.HasSuffix(s, ".500") || strings.HasSuffix(s, ".4500") }
		if port(src) || port(dst) || hasAny(proto, "esp", "isakmp", "ip-proto-50") || proto == "udp" && hostOf(src).String() == src && hostOf(dst).String() == dst {
			return first, false
		}
		if !ok {
			first, ok = c.Place, true
		}
	}
	return first, ok
}
