package ios

import "vpnbot/diag/facts"

// merge brings a second configuration output into the first. A whole one replaces what was
// known, being newer; a section adds what is new in it.
func merge(old, c *facts.Config) *facts.Config {
	if old == nil || !c.Partial {
		return c
	}
	base := len(old.Lines)
	for _, l := range c.Lines {
		if l.Parent >= 0 {
			l.Parent += base
		}
		old.Lines = append(old.Lines, l)
	}
	old.All = old.All || c.All
	if old.Hostname == "" {
		old.Hostname = c.Hostname
	}
	old.Interfaces = add(old.Interfaces, c.Interfaces, func(a, b facts.Interface) bool { return a.Name == b.Name })
	for i := range old.MapEntries { // a filter may have printed some of its lines only
		for j := range c.MapEntries {
			a, b := &old.MapEntries[i], &c.MapEntries[j]
			if a.Map != b.Map || a.Sequence != b.Sequence || a.DynamicMap != b.DynamicMap {
				continue
			}
			if len(a.Places) < len(b.Places) {
				*a = *b
			}
			break
		}
	}
	old.MapEntries = add(old.MapEntries, c.MapEntries, func(a, b facts.MapEntry) bool {
		return a.Map == b.Map && a.Sequence == b.Sequence && a.DynamicMap == b.DynamicMap
	})
	old.MapBindings = add(old.MapBindings, c.MapBindings, func(a, b facts.MapBinding) bool { return a.Map == b.Map && a.Interface == b.Interface })
	old.TransformSets = add(old.TransformSets, c.TransformSets, func(a, b facts.TransformSet) bool { return a.Name == b.Name })
	old.Proposals = add(old.Proposals, c.Proposals, func(a, b facts.IKEv2Proposal) bool { return a.Name == b.Name })
	old.IKEPolicies = add(old.IKEPolicies, c.IKEPolicies, func(a, b facts.IKEPolicy) bool { return a.Version == b.Version && a.Number == b.Number })
	old.IKEEnabled = add(old.IKEEnabled, c.IKEEnabled, func(a, b facts.IKEEnable) bool { return a.No == b.No })
	old.Keys = add(old.Keys, c.Keys, func(a, b facts.PSK) bool {
		return a.Peer == b.Peer && a.Name == b.Name && a.Keyring == b.Keyring && a.Side == b.Side && a.Version == b.Version
	})
	old.Profiles = add(old.Profiles, c.Profiles, func(a, b facts.Profile) bool { return a.Kind == b.Kind && a.Name == b.Name })
	old.ClientGroups = add(old.ClientGroups, c.ClientGroups, func(a, b facts.GroupPolicy) bool { return a.Name == b.Name })
	old.ACLs = add(old.ACLs, c.ACLs, func(a, b facts.ACL) bool { return a.Name == b.Name })
	old.Objects = add(old.Objects, c.Objects, func(a, b facts.Object) bool { return a.Name == b.Name })
	old.NAT = add(old.NAT, c.NAT, func(a, b facts.NATRule) bool { return a.Place.Text == b.Place.Text })
	old.RouteMaps = add(old.RouteMaps, c.RouteMaps, func(a, b facts.RouteMap) bool { return a.Name == b.Name && a.Sequence == b.Sequence })
	old.Routes = add(old.Routes, c.Routes, func(a, b facts.StaticRoute) bool { return a.Place.Text == b.Place.Text })
	old.Pools = add(old.Pools, c.Pools, func(a, b facts.Pool) bool { return a.Name == b.Name && a.From == b.From })
	old.AAAServers = add(old.AAAServers, c.AAAServers, func(a, b facts.AAAServer) bool { return a.Host == b.Host && a.Group == b.Group })
	old.Settings = add(old.Settings, c.Settings, func(a, b facts.Setting) bool { return a.Key == b.Key && a.Value == b.Value && a.No == b.No })
	return old
}

// add appends the items that are not there yet.
func add[T any](old, more []T, same func(a, b T) bool) []T {
	n := len(old)
next:
	for _, m := range more {
		for _, o := range old[:n] {
			if same(o, m) {
				continue next
			}
		}
		old = append(old, m)
	}
	return old
}
