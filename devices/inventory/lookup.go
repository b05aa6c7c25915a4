package inventory

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Inventory answers look-ups over a checked configuration. It does not change.
type Inventory struct {
	c       Config
	devices map[string]int // by small-letter name
	tunnels map[string]int
}

// New checks the configuration and makes the inventory. All errors of Validate are joined.
func New(c Config) (*Inventory, error) {
	if errs := c.Validate(); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	inv := &Inventory{c: c, devices: map[string]int{}, tunnels: map[string]int{}}
	for i, d := range c.Devices {
		inv.devices[strings.ToLower(d.Name)] = i
	}
	for i, t := range c.Tunnels {
		inv.tunnels[strings.ToLower(t.Name)] = i
	}
	return inv, nil
}

// Devices in the order of the configuration.
func (inv *Inventory) Devices() []Device { return slices.Clone(inv.c.Devices) }

// Tunnels in the order of the configuration.
func (inv *Inventory) Tunnels() []Tunnel { return slices.Clone(inv.c.Tunnels) }

// SSH is the general session settings.
func (inv *Inventory) SSH() SSH { return inv.c.SSH }

// SSHFor is a device's session settings.
func (inv *Inventory) SSHFor(d Device) SSH { return inv.c.SSHFor(d) }

// Credential of a device.
func (inv *Inventory) Credential(d Device) Credential { return inv.c.Credentials[d.Credentials] }

// CredentialNamed is the credential of that name under credentials.
func (inv *Inventory) CredentialNamed(name string) (Credential, bool) {
	c, ok := inv.c.Credentials[name]
	return c, ok
}

// UnknownError says that a name is not configured, and which ones are near.
type UnknownError struct {
	What string // "tunnel", "device"
	Name string
	Near []string // nearest configured names, best first, at most three
}

func (e *UnknownError) Error() string {
	s := fmt.Sprintf("%s %q is not configured", e.What, e.Name)
	if len(e.Near) > 0 {
		s += "; did you mean " + strings.Join(e.Near, ", ") + "?"
	}
	return s
}

// Device by its name, in any case. The error is an *UnknownError.
func (inv *Inventory) Device(name string) (Device, error) {
	if i, ok := inv.devices[strings.ToLower(name)]; ok {
		return inv.c.Devices[i], nil
	}
	names := make([]string, len(inv.c.Devices))
	for i, d := range inv.c.Devices {
		names[i] = d.Name
	}
	return Device{}, &UnknownError{What: "device", Name: name, Near: nearest(name, names)}
}

// Tunnel finds the one tunnel that s names: by its name, by the address of an end, or by
// a device that ends only one tunnel. Several candidates or none are an *UnknownError.
func (inv *Inventory) Tunnel(s string) (Tunnel, error) {
	s = strings.TrimSpace(s)
	if i, ok := inv.tunnels[strings.ToLower(s)]; ok {
		return inv.c.Tunnels[i], nil
	}
	var found []Tunnel
	if a, err := netip.ParseAddr(s); err == nil {
		found = inv.ByPeer(a)
		// The headend's address ends many tunnels, the peer's usually one: prefer tunnels
		// whose unshared end this is.
	} else if d, err := inv.Device(s); err == nil {
		found = inv.ByDevice(d.Name)
	}
	if len(found) == 1 {
		return found[0], nil
	}
	if len(found) > 1 {
		var near []string
		for _, t := range found[:min(3, len(found))] {
			near = append(near, t.Name)
		}
		return Tunnel{}, &UnknownError{What: fmt.Sprintf("one tunnel (it ends %d)", len(found)), Name: s, Near: near}
	}
	names := make([]string, len(inv.c.Tunnels))
	for i, t := range inv.c.Tunnels {
		names[i] = t.Name
	}
	return Tunnel{}, &UnknownError{What: "tunnel", Name: s, Near: nearest(s, names)}
}

// ByPeer gives the tunnels that have an end at the address, or at a device whose public
// address behind NAT it is.
func (inv *Inventory) ByPeer(a netip.Addr) []Tunnel {
	return inv.tunnelsWhere(func(e End) bool { return e.Address == a || inv.PeerAddress(e) == a })
}

// ByDevice gives the tunnels that end at the device.
func (inv *Inventory) ByDevice(name string) []Tunnel {
	return inv.tunnelsWhere(func(e End) bool { return strings.EqualFold(e.Device, name) && name != "" })
}

// Tagged gives the tunnels with an end whose device has one of the tags. No tags means
// all tunnels; tags that nothing has mean none.
func (inv *Inventory) Tagged(tags ...string) []Tunnel {
	if len(tags) == 0 {
		return inv.Tunnels()
	}
	return inv.tunnelsWhere(func(e End) bool {
		d, err := inv.Device(e.Device)
		return err == nil && slices.ContainsFunc(d.Tags, func(t string) bool { return slices.Contains(tags, t) })
	})
}

func (inv *Inventory) tunnelsWhere(match func(End) bool) []Tunnel {
	var out []Tunnel
	for _, t := range inv.c.Tunnels {
		if slices.ContainsFunc(t.Ends, match) {
			out = append(out, t)
		}
	}
	return out
}

// PeerAddress is the address by which the other end knows this end: the device's public
// address when it is behind NAT, the end's own otherwise.
func (inv *Inventory) PeerAddress(e End) netip.Addr {
	if d, err := inv.Device(e.Device); err == nil && d.NATAddress.IsValid() {
		return d.NATAddress
	}
	return e.Address
}

// Peers are the addresses that a device may clear: the other ends of its tunnels.
func (inv *Inventory) Peers(device string) []netip.Addr {
	var out []netip.Addr
	for _, t := range inv.c.Tunnels {
		if len(t.Ends) != 2 {
			continue
		}
		for i, e := range t.Ends {
			if strings.EqualFold(e.Device, device) && device != "" {
				if a := inv.PeerAddress(t.Ends[1-i]); a.IsValid() && !slices.Contains(out, a) {
					out = append(out, a)
				}
			}
		}
	}
	return out
}

func didYouMean(s string, names []string) string {
	if near := nearest(s, names); len(near) > 0 {
		return "; did you mean " + strings.Join(near, ", ") + "?"
	}
	return ""
}

// nearest gives up to three names that a person may have meant.
func nearest(s string, names []string) []string {
	s = strings.ToLower(s)
	if len(s) > 100 {
		return nil
	}
	type scored struct {
		name string
		d    int
	}
	var near []scored
	for _, n := range names {
		l := strings.ToLower(n)
		d := distance(s, l)
		if len(s) >= 3 && (strings.Contains(l, s) || strings.Contains(s, l)) {
			d = min(d, 1)
		}
		if d <= max(2, len(s)/3) {
			near = append(near, scored{n, d})
		}
	}
	slices.SortStableFunc(near, func(a, b scored) int { return a.d - b.d })
	var out []string
	for _, n := range near[:min(3, len(near))] {
		out = append(out, n.name)
	}
	return out
}

// distance is the number of characters to insert, delete or change (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
