package conditions

import (
	"net/netip"
	"slices"

	"vpnbot/diag/facts"
)

// Run is what the tunnels of one diagnosis share: readings of whole devices and of what
// people wrote, made once however many tunnels a device has.
type Run struct {
	made   map[madeKey][]Match
	site   *site
	serves map[*facts.Capture]map[netip.Addr]bool
}

type madeKey struct {
	id     string
	device *facts.Device
}

// NewRun begins a diagnosis.
func NewRun() *Run {
	return &Run{made: map[madeKey][]Match{}, serves: map[*facts.Capture]map[netip.Addr]bool{}}
}

// serves tells whether a capture shows ESP both ways between an address and somebody. All
// addresses are looked for at once: of a headend's thousand tunnels each may ask.
func (t *Tunnel) serves(c *facts.Capture, a netip.Addr) bool {
	if t.Run == nil {
		t.Run = NewRun()
	}
	known, ok := t.Run.serves[c]
	if !ok {
		known = map[netip.Addr]bool{}
		way := map[[2]netip.Addr]bool{}
		for _, f := range c.EachESP() {
			from, to := f.Src.Addr(), f.Dst.Addr()
			if !f.Trusted {
				continue
			}
			way[[2]netip.Addr{from, to}] = true
			if way[[2]netip.Addr{to, from}] {
				known[from], known[to] = true, true
			}
		}
		t.Run.serves[c] = known
	}
	return known[a]
}

// once makes the matches of a condition about a whole device (nil: the whole bundle), or
// returns those that another tunnel made.
func (t *Tunnel) once(id string, d *facts.Device, look func() []Match) []Match {
	if t.Run == nil {
		t.Run = NewRun()
	}
	k := madeKey{id, d}
	m, ok := t.Run.made[k]
	if !ok {
		m = look()
		t.Run.made[k] = m
	}
	return m
}

// ofDevice makes a Look that concerns each device as a whole: licence, memory, pools, groups.
func ofDevice(id string, look func(*gateway, *site) []Match) func(*Tunnel) []Match {
	return func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			out = append(out, t.once(id, e.Device, func() []Match {
				s := t.everything()
				return wide(look(s.gateway(e.Device), s))
			})...)
		}
		return out
	}
}

// ofBundle makes a Look that concerns the bundle as a whole: clients and what people wrote.
func ofBundle(id string, look func(*site) []Match) func(*Tunnel) []Match {
	return func(t *Tunnel) []Match {
		return slices.Clip(t.once(id, nil, func() []Match { return wide(look(t.everything())) }))
	}
}

func wide(ms []Match) []Match {
	for i := range ms {
		ms[i].Wide = true
	}
	return ms
}

// everything is the site that the bundle shows.
func (t *Tunnel) everything() *site {
	if t.Run == nil {
		t.Run = NewRun()
	}
	if t.Run.site == nil {
		t.Run.site = newSite(t)
	}
	return t.Run.site
}
