package playbooks

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"vpnbot/devices/command"
	"vpnbot/devices/inventory"
	"vpnbot/diag"
	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// proposable is the confidence from which a repair is proposed (contracts/slack.md).
const proposable = 0.7

// propose makes a proposal from the first finding, when it can be repaired here and
// nothing forbids it. Everything that could go wrong ends in a refusal in words.
func (x *run) propose(ctx context.Context, s Step) (string, error) {
	f, ok := x.top()
	if !ok && !s.With.Clear {
		return "nothing to repair", nil
	}
	actions := f.Actions
	if s.With.Clear {
		actions = x.clears(f)
	}
	action, ok := approvable(report.Finding{Actions: actions})
	if !ok {
		return "no repair that the bot may run; see what mends it", nil
	}
	refuse := func(why string) (string, error) {
		x.result.Refusal = why
		return why, nil
	}
	if x.opt.Approvals == nil {
		return refuse("approvals are off here: the commands are shown to be pasted by a person")
	}
	if f.Confidence < proposable && !s.With.Clear {
		return refuse(fmt.Sprintf("not sure enough to propose a repair (%.2f; needs %.2f)", f.Confidence, proposable))
	}
	if !s.With.Clear {
		since, err := x.opt.Approvals.LastRepair(ctx, x.tunnel.Name)
		if err != nil {
			return "", fmt.Errorf("when this tunnel was repaired last cannot be read, so nothing is proposed: %w", err)
		}
		if !since.IsZero() && !x.holdsSince(f, since) {
			return refuse("what speaks for it is older than the last repair of " + x.tunnel.Name + " (" + since.UTC().Format("15:04:05 UTC") + "): diagnose again when it fails again")
		}
	}
	p, err := x.proposal(ctx, f, action, actions)
	if err != nil {
		return refuse(err.Error())
	}
	if !x.req.Human {
		// Findings of the bot itself are shown; a person asks for the proposal.
		x.result.Proposal = p
		return "a person may propose the repair", nil
	}
	if err := x.opt.Approvals.Propose(ctx, *p); err != nil {
		return "", fmt.Errorf("the proposal could not be stored, so there is none: %w", err)
	}
	x.result.Proposal = p
	return "proposed: " + p.Commands[0].Line + " on " + p.Commands[0].Device + more(len(p.Commands)-1), nil
}

// holdsSince tells whether a finding still comes first, and surely enough, without the log
// lines from before a repair.
func (x *run) holdsSince(f report.Finding, since time.Time) bool {
	y := *x
	y.since = since
	_, set := y.gather()
	found := diag.Analyze(set, diag.Options{Tunnels: x.named(), Only: x.tunnel.Name, Now: x.opt.Now().UTC()}).Report.Findings
	return len(found) > 0 && found[0].ID == f.ID && found[0].Confidence >= proposable
}

func more(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}

// approvable returns the finding's first action that the bot can run after approval.
func approvable(f report.Finding) (report.Action, bool) {
	for _, a := range f.Actions {
		if a.Class == report.Approve && a.Kind != "" {
			return a, true
		}
	}
	return report.Action{}, false
}

// clears are the actions of the clear-sa playbook: what the finding asks for, else the
// tunnel's SAs, at the first managed end that has some (its delete tells the other end),
// and at both where they do not agree.
func (x *run) clears(f report.Finding) []report.Action {
	if _, ok := approvable(f); ok {
		return f.Actions
	}
	var out []report.Action
	for i, e := range x.tunnel.Ends {
		d := find(x.facts(), e.Device)
		if e.Device == "" || d == nil || len(out) > 0 && x.up() {
			continue
		}
		sas := ikeOf(d, x.peer(i))
		if len(sas) == 0 {
			continue
		}
		sa := sas[0]
		a := report.Action{Class: report.Approve, Device: e.Device, Kind: report.ClearIKESA,
			Parameters: map[string]string{"peer": sa.Remote.String(), "ike": fmt.Sprint(max(sa.Version, 1))},
			Effect:     "this tunnel drops until traffic wakes it up again, usually a few seconds"}
		if sa.ConnID != "" && sa.Version != 2 {
			a.Parameters["conn_id"] = sa.ConnID
		}
		out = append(out, a)
		if len(ipsecOf(d, x.peer(i))) > 0 {
			a.Kind, a.Parameters = report.ClearIPsecSA, map[string]string{"peer": sa.Remote.String()}
			out = append(out, a)
		}
	}
	return out
}

// peer is the other end's address as this end must know it: the inventory's, with the
// public address of a device behind NAT. Never one from device text.
func (r *Runner) peerOf(t inventory.Tunnel, end int) netip.Addr {
	for i, e := range t.Ends {
		if i == end {
			continue
		}
		return r.opt.Inventory.PeerAddress(e)
	}
	return netip.Addr{}
}

func (x *run) peer(end int) netip.Addr { return x.peerOf(x.tunnel, end) }

// proposal builds the exact commands of a finding's repair from checked parts.
func (x *run) proposal(ctx context.Context, f report.Finding, first report.Action, all []report.Action) (*Proposal, error) {
	actions, err := x.inOrder(all, first)
	if err != nil {
		return nil, err
	}
	state, err := x.decisive()
	if err != nil {
		return nil, err
	}
	id := make([]byte, 16)
	x.opt.Random(id)
	now := x.opt.Now()
	p := &Proposal{
		ID: hex.EncodeToString(id), Run: x.req.Run, Tunnel: x.tunnel.Name, Finding: f, Effect: first.Effect,
		Decisive: state.fingerprint(), Summary: state.String(), Playbook: x.book.Name,
		Requester: x.req.By, CreatedAt: now, ExpiresAt: now.Add(x.opt.TTL), EvidenceAge: state.at,
	}
	var impact []string
	for _, a := range actions {
		c, drops, err := x.proposed(ctx, a)
		if err != nil {
			return nil, err
		}
		p.Commands, impact = append(p.Commands, c), append(impact, drops)
	}
	p.Impact, p.Outage, p.Backup = strings.Join(impact, "; "), x.outage(f), x.backup(x.facts())
	for _, o := range x.diag.Report.Findings {
		if o.ID != f.ID && o.Severity != report.Info && len(p.Others) < 3 {
			p.Others = append(p.Others, o.Title)
		}
	}
	return p, nil
}

// inOrder gives the repair of each end, at most one per device. Where both ends have to
// forget their SAs the responder comes first: an initiator that is cleared first
// negotiates at once, and what it built would be dropped again.
func (x *run) inOrder(all []report.Action, first report.Action) ([]report.Action, error) {
	out := []report.Action{first}
	for _, e := range x.tunnel.Ends {
		if e.Device == "" || e.Device == first.Device {
			continue
		}
		if i := slices.IndexFunc(all, func(a report.Action) bool {
			return a.Class == report.Approve && a.Kind == first.Kind && a.Device == e.Device
		}); i >= 0 {
			out = append(out, all[i])
		}
	}
	for n, a := range out {
		end := x.end(a.Device)
		if end < 0 {
			return nil, fmt.Errorf("the repair belongs on %s, which is not a managed end of %s", a.Device, x.tunnel.Name)
		}
		// On IOS a clear of phase 1 leaves the IPsec SAs: where both must go the session is cleared.
		if d, err := x.opt.Inventory.Device(a.Device); err == nil && d.Platform == inventory.CiscoIOS && a.Kind == report.ClearIKESA &&
			slices.ContainsFunc(all, func(o report.Action) bool {
				return o.Class == report.Approve && o.Kind == report.ClearIPsecSA && o.Device == a.Device
			}) {
			out[n].Kind = report.ClearSession
			out[n].Parameters = map[string]string{"peer": a.Parameters["peer"]}
		}
	}
	slices.SortStableFunc(out, func(a, b report.Action) int {
		return x.turn(a.Device) - x.turn(b.Device)
	})
	return out, nil
}

// turn is 0 for the responder, 1 for the initiator.
func (x *run) turn(device string) int {
	if x.plays(x.tunnel.Ends[x.end(device)], "responder") {
		return 0
	}
	return 1
}

// end is the tunnel's end at a device, -1 when it is none.
func (x *run) end(device string) int {
	return slices.IndexFunc(x.tunnel.Ends, func(e inventory.End) bool { return e.Device != "" && e.Device == device })
}

// proposed makes the exact line of one action and says what it drops now.
func (x *run) proposed(ctx context.Context, a report.Action) (ProposedCommand, string, error) {
	none := ProposedCommand{}
	end := x.end(a.Device)
	target, err := x.opt.Fleet.Target(ctx, a.Device)
	if err != nil {
		return none, "", err
	}
	peer := x.peer(end)
	if !peer.IsValid() {
		return none, "", fmt.Errorf("the other end of %s has no address in the configuration; a clear without a peer does not exist", x.tunnel.Name)
	}
	if p, err := netip.ParseAddr(a.Parameters["peer"]); err != nil || p != peer {
		return none, "", fmt.Errorf("the SA on %s is with %s, not with %s of the configuration: a person must look at it", a.Device, a.Parameters["peer"], peer)
	}
	d := find(x.facts(), a.Device)
	if d == nil {
		return none, "", errors.New(a.Device + " could not be read: without its state nothing is proposed")
	}
	params := maps.Clone(a.Parameters)
	kind, err := x.alone(d, end, a.Kind, params)
	if err != nil {
		return none, "", err
	}
	cmd, err := command.FromProposal(target, kind, params, x.opt.Inventory.Peers(a.Device)...)
	if err != nil {
		return none, "", err
	}
	sum := cmd.Sum()
	c := ProposedCommand{Device: a.Device, Kind: kind, Parameters: params, Line: cmd.Line(), SHA256: hex.EncodeToString(sum[:])}
	return c, drops(d, peer, x.query(end).Networks, c), nil
}

// alone makes sure that a clear by the peer's address hits this tunnel and no other: two
// peers may share an address (behind one NAT, or two tunnels of the configuration). On IOS
// the right IKEv1 SA is named by its connection id, on an ASA the right session by its
// index, both told by the networks of the session; everything else is left to a person.
// It returns the kind that the repair has then.
func (x *run) alone(d *facts.Device, end int, kind string, params map[string]string) (string, error) {
	peer := x.peer(end)
	others := x.sharing(d.Name, peer)
	ids := liveIDs(d, peer)
	vrf := x.vrf(d.Name)
	stranger := slices.ContainsFunc(d.Sessions, func(s facts.Session) bool { return s.Peer == peer && foreign(s, vrf) })
	if len(others) == 0 && len(ids) < 2 && !stranger {
		return kind, nil
	}
	if d.Platform == facts.IOS && kind == report.ClearIPsecSA && len(others) == 0 && stranger && vrf != "" {
		if n := slices.DeleteFunc(slices.Clone(d.Sessions), func(s facts.Session) bool { return s.Peer != peer || foreign(s, vrf) || s.Fields["connid"] == "" }); len(n) == 1 {
			return kind, nil // its line names the VRF, where the peer is alone
		}
	}
	if d.Platform == facts.IOS && kind == report.ClearIKESA && params["ike"] != "2" {
		if id, ok := connOf(d, peer, vrf, x.query(end).Networks); ok && slices.Contains(ids, id) && hasConn(d, peer.String(), id) {
			params["conn_id"] = id
			return kind, nil
		}
	}
	if d.Platform == facts.ASA {
		if s, ok := sessionOf(d, peer, x.query(end).Networks); ok {
			params["index"], params["session"] = s.Fields["index"], named(s)
			delete(params, "ike")
			return report.ClearSession, nil
		}
	}
	what := "several SAs on " + d.Name
	if len(others) > 0 {
		what = x.tunnel.Name + " and " + strings.Join(others, ", ")
	} else if stranger {
		what = "SAs of several VRFs on " + d.Name
	}
	hint := "clear the right one by its connection id"
	if d.Platform == facts.ASA {
		hint = "look for its index in show vpn-sessiondb detail l2l and use vpn-sessiondb logoff index N"
	}
	return "", fmt.Errorf("%s share the peer address %s, so a clear by address would drop them all: a person must %s", what, peer, hint)
}

// liveIDs are the connection ids of the IKE SAs with a peer that are not being replaced or deleted.
func liveIDs(d *facts.Device, peer netip.Addr) []string {
	return ids(slices.DeleteFunc(ikeOf(d, peer), func(sa facts.IKESA) bool { return sa.Rekey }))
}

// ids tells SAs apart: by connection id, which several outputs of IOS list; an ASA's rows
// have none, and each is one.
func ids(sas []facts.IKESA) []string {
	var out []string
	for i, sa := range sas {
		id := sa.ConnID
		if id == "" {
			id = fmt.Sprintf("row %d", i+1)
		}
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// connOf finds, on IOS, the IKE SA of the session that carries the networks of a tunnel.
func connOf(d *facts.Device, peer netip.Addr, vrf string, networks []netip.Prefix) (string, bool) {
	found := ""
	for _, s := range d.Sessions {
		id := s.Fields["connid"]
		if s.Peer != peer || id == "" || foreign(s, vrf) || !slices.ContainsFunc(networks, func(n netip.Prefix) bool {
			return strings.Contains(s.Fields["flow"]+";", " "+masked(n)+";")
		}) {
			continue
		}
		if found != "" && found != id {
			return "", false
		}
		found = id
	}
	return found, found != ""
}

// sharing are the other tunnels of the configuration whose far end has the same address
// at a device.
func (x *run) sharing(device string, peer netip.Addr) []string {
	var others []string
	for _, t := range x.opt.Inventory.Tunnels() {
		for i, e := range t.Ends {
			if t.Name != x.tunnel.Name && e.Device == device && x.peerOf(t, i) == peer {
				others = append(others, t.Name)
			}
		}
	}
	return others
}

// vrf is the front-door VRF that a device is configured with, "" for none.
func (r *Runner) vrf(device string) string {
	d, err := r.opt.Inventory.Device(device)
	if err != nil {
		return ""
	}
	return d.VRF
}

// foreign tells whether a session of IOS is surely in another front-door VRF than vrf.
func foreign(s facts.Session, vrf string) bool {
	v, ok := s.Fields["fvrf"]
	return ok && v != "" && strings.Trim(v, "()") != cmp.Or(vrf, "none")
}

// sessionOf finds, on an ASA, the one session with a peer that carries networks of a tunnel.
func sessionOf(d *facts.Device, peer netip.Addr, networks []netip.Prefix) (facts.Session, bool) {
	var found facts.Session
	n := 0
	for _, s := range d.Sessions {
		if s.Peer != peer || s.Fields["index"] == "" || s.Fields["login time"] == "" {
			continue
		}
		ours := false
		for k, v := range s.Fields {
			ours = ours || strings.HasSuffix(k, " remote addr") && slices.ContainsFunc(networks, func(n netip.Prefix) bool { return strings.HasPrefix(v, masked(n)+"/") })
		}
		if ours && (n == 0 || s.Fields["index"] != found.Fields["index"]) {
			found, n = s, n+1
		}
	}
	return found, n == 1
}

// named says whose session it is and since when: what must be the same at the moment of
// the run, for an index is used again.
func named(s facts.Session) string {
	who := s.Name
	if u := s.Fields["username"]; u != "" && u != who {
		who += ", user " + u
	}
	return fmt.Sprintf("%.40s %.100s, logged in %.60s", s.Type, who, s.Fields["login time"])
}

// hasSession tells whether the session with a peer still has the index.
func hasSession(d *facts.Device, peer netip.Addr, networks []netip.Prefix, index, who string) bool {
	s, ok := sessionOf(d, peer, networks)
	return ok && s.Fields["index"] == index && named(s) == who
}

// masked writes a network as IOS writes it in a flow: 10.20.0.0/255.255.0.0.
func masked(n netip.Prefix) string {
	return n.Addr().String() + "/" + net.IP(net.CIDRMask(n.Bits(), n.Addr().BitLen())).String()
}

// ikeOf are the IKE SAs with a peer in the last reading, without those being deleted.
func ikeOf(d *facts.Device, peer netip.Addr) []facts.IKESA {
	last := map[int]int{} // by IKE version: an ASA lists each with a command of its own
	for _, sa := range d.IKE {
		last[sa.Version] = max(last[sa.Version], sa.Reading)
	}
	var out []facts.IKESA
	for _, sa := range d.IKE {
		if sa.Remote == peer && !sa.Deleted && sa.Reading == last[sa.Version] && sa.Type != sessionRow {
			out = append(out, sa)
		}
	}
	return out
}

// sessionRow is the type of an IKE SA that was read off show crypto session: it is in
// show crypto isakmp sa as well.
const sessionRow = "crypto session"

// ipsecOf are the IPsec SAs with a peer in the last reading.
func ipsecOf(d *facts.Device, peer netip.Addr) []facts.IPsecSA {
	last := 0
	for _, sa := range d.IPsec {
		last = max(last, sa.Reading)
	}
	var out []facts.IPsecSA
	for _, sa := range d.IPsec {
		if sa.Peer == peer && sa.Reading == last && len(sa.SPIIn)+len(sa.SPIOut) > 0 {
			out = append(out, sa)
		}
	}
	return out
}

// drops says what a command takes away now: SAs by their SPIs, what they carried, users.
func drops(d *facts.Device, peer netip.Addr, networks []netip.Prefix, c ProposedCommand) string {
	ike, ipsec := ikeOf(d, peer), ipsecOf(d, peer)
	index := c.Parameters["index"]
	if index != "" { // one session of several
		ipsec = slices.DeleteFunc(ipsec, func(sa facts.IPsecSA) bool { return !slices.Contains(networks, sa.RemoteID.Prefix) })
	}
	phase1 := c.Kind != report.ClearIPsecSA
	phase2 := c.Kind != report.ClearIKESA || d.Platform != facts.IOS || c.Parameters["ike"] == "2"
	var parts []string
	if phase1 {
		n := len(ids(ike))
		if namesOne(c) {
			n = min(n, 1)
		}
		parts = append(parts, count(n, "IKE SA"))
	}
	var spis, users []string
	var in, out int64
	for _, sa := range ipsec {
		in, out = in+max(sa.Decaps, 0), out+max(sa.Encaps, 0)
		if sa.Username != "" && !slices.Contains(users, sa.Username) {
			users = append(users, sa.Username)
		}
		for _, v := range sa.SPIIn {
			spis = append(spis, fmt.Sprintf("0x%08X", v.Value))
		}
	}
	if phase2 {
		slices.Sort(spis)
		s := count(len(spis), "IPsec SA")
		if shown := slices.Compact(spis); len(shown) > 0 {
			more := ""
			if len(shown) > 4 {
				shown, more = shown[:4], " …"
			}
			s += " (inbound SPI " + strings.Join(shown, ", ") + more + ")"
		}
		parts = append(parts, s)
	}
	s := c.Device + ": " + strings.Join(parts, " and ") + " with " + peer.String()
	if index != "" {
		s += ", of the session with index " + index + " only (" + c.Parameters["session"] + ")"
	}
	switch {
	case !phase2 && len(ipsec) > 0:
		s += "; its IPsec SAs stay until they expire"
	case !phase1 && len(ike) > 0:
		s += "; the IKE SA stays"
	}
	if phase2 && len(ipsec) > 0 {
		s += fmt.Sprintf("; so far %d packets out, %d in", out, in)
		var tx, rx int64
		for _, v := range d.Sessions {
			if v.Peer == peer && (index == "" || v.Fields["index"] == index) {
				tx, rx = tx+max(v.BytesTx, 0), rx+max(v.BytesRx, 0)
			}
		}
		if tx+rx > 0 {
			s += fmt.Sprintf(", %s out, %s in", bytesOf(tx), bytesOf(rx))
		}
	}
	switch {
	case len(users) > 0:
		s += fmt.Sprintf("; %s must dial again", count(len(users), "user"))
	case phase2:
		s += "; no user of a client"
	}
	return s
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func bytesOf(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}

// outage says how long traffic is expected to stand still.
func (x *run) outage(f report.Finding) string {
	state := report.Unknown
	for _, t := range x.diag.Report.Tunnels {
		if t.Name == x.tunnel.Name {
			state = t.State
		}
	}
	wake := "the next traffic negotiates it again"
	if x.tunnel.Probe.To.IsValid() {
		wake = "vpnbot sends a ping right after it that negotiates it again"
	}
	switch {
	case state == report.Down || state == report.Negotiating || f.ID == "stale-sa":
		return "none beyond the one that is there; " + wake
	case x.tunnel.Kind == inventory.RemoteAccess:
		return "until the users have dialled again"
	}
	return "usually 2 to 10 seconds; " + wake
}

// backup says whether the configuration names another peer for this tunnel.
func (x *run) backup(set *facts.Set) string {
	read, out := false, []string{}
	for i, e := range x.tunnel.Ends {
		d := find(set, e.Device)
		if e.Device == "" || d == nil || d.Config == nil {
			continue
		}
		read = true
		for _, m := range d.Config.MapEntries {
			if !slices.Contains(m.Peers, x.peer(i)) {
				continue
			}
			for _, p := range m.Peers {
				if p != x.peer(i) {
					out = append(out, fmt.Sprintf("%s on %s (crypto map %s %d)", p, e.Device, m.Map, m.Sequence))
				}
			}
		}
	}
	switch {
	case len(out) > 0:
		return strings.Join(out, ", ")
	case read:
		return "none is configured"
	}
	return "not known: the configuration was not read"
}

// state is what justifies a repair: the SAs of both ends, without what moves by itself.
type state struct {
	lines []string
	at    time.Time
}

func (s state) String() string { return strings.Join(s.lines, "; ") }

func (s state) fingerprint() string {
	sum := sha256.Sum256([]byte(strings.Join(s.lines, "\n")))
	return hex.EncodeToString(sum[:])
}

// decisive reads the state off the facts gathered so far.
func (x *run) decisive() (state, error) {
	set := x.facts()
	s := state{at: x.opt.Now()}
	for _, o := range x.outputs {
		if o.At.Before(s.at) && strings.HasSuffix(o.Evidence, "-sa") {
			s.at = o.At
		}
	}
	for i, e := range x.tunnel.Ends {
		if e.Device == "" {
			continue
		}
		d := find(set, e.Device)
		if d == nil {
			return s, errors.New(e.Device + " could not be read: without both ends' state nothing is proposed")
		}
		s.lines = append(s.lines, e.Device+": "+sas(d, x.peer(i)))
	}
	return s, nil
}

func find(set *facts.Set, device string) *facts.Device {
	for _, d := range set.Devices {
		if d.Name == device {
			return d
		}
	}
	return nil
}

// sas names the SAs of a device with a peer: state and SPIs, no counters, no lifetimes.
func sas(d *facts.Device, peer netip.Addr) string {
	var ike, spis []string
	for _, sa := range ikeOf(d, peer) {
		ike = append(ike, sa.State)
	}
	for _, sa := range ipsecOf(d, peer) {
		for _, v := range sa.SPIIn {
			spis = append(spis, fmt.Sprintf("in %08X", v.Value))
		}
		for _, v := range sa.SPIOut {
			spis = append(spis, fmt.Sprintf("out %08X", v.Value))
		}
	}
	slices.Sort(ike)
	slices.Sort(spis)
	ike, spis = slices.Compact(ike), slices.Compact(spis)
	if len(ike) == 0 {
		ike = []string{"no IKE SA"}
	}
	if len(spis) == 0 {
		spis = []string{"no IPsec SA"}
	}
	return strings.Join(ike, " + ") + ", " + strings.Join(spis, " ")
}
