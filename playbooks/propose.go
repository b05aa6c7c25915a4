package playbooks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"vpnbot/devices/command"
	"vpnbot/devices/inventory"
	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// proposable is the confidence from which a repair is proposed (contracts/slack.md).
const proposable = 0.7

// propose makes a proposal from the first finding, when it can be repaired here and
// nothing forbids it. Everything that could go wrong ends in a refusal in words.
func (x *run) propose(ctx context.Context, s Step) (string, error) {
	f, ok := x.top()
	if !ok {
		return "nothing to repair", nil
	}
	action, ok := approvable(f)
	if s.With.Clear {
		action, ok = x.clear(f)
	}
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
	p, err := x.proposal(ctx, f, action)
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
	return "proposed: " + p.Commands[0].Line + " on " + p.Commands[0].Device, nil
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

// clear is the action of the clear-sa playbook: what the finding asks for, else phase 1
// at the first managed end that has an SA.
func (x *run) clear(f report.Finding) (report.Action, bool) {
	if a, ok := approvable(f); ok {
		return a, true
	}
	set := x.facts()
	for i, e := range x.tunnel.Ends {
		for _, d := range set.Devices {
			if d.Name != e.Device || e.Device == "" {
				continue
			}
			for _, sa := range d.IKE {
				if sa.Remote == x.peer(i) {
					return report.Action{Class: report.Approve, Device: e.Device, Kind: report.ClearIKESA,
						Parameters: map[string]string{"peer": sa.Remote.String(), "ike": fmt.Sprint(max(sa.Version, 1)), "conn_id": sa.ConnID},
						Effect:     "this tunnel drops until traffic wakes it up again, usually a few seconds"}, true
				}
			}
		}
	}
	return report.Action{}, false
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

// proposal builds the exact commands of an action from checked parts.
func (x *run) proposal(ctx context.Context, f report.Finding, a report.Action) (*Proposal, error) {
	end := slices.IndexFunc(x.tunnel.Ends, func(e inventory.End) bool { return e.Device != "" && e.Device == a.Device })
	if end < 0 {
		return nil, fmt.Errorf("the repair belongs on %s, which is not a managed end of %s", a.Device, x.tunnel.Name)
	}
	target, err := x.opt.Fleet.Target(ctx, a.Device)
	if err != nil {
		return nil, err
	}
	peer := x.peer(end)
	if !peer.IsValid() {
		return nil, fmt.Errorf("the other end of %s has no address in the configuration; a clear without a peer does not exist", x.tunnel.Name)
	}
	if p, err := netip.ParseAddr(a.Parameters["peer"]); err != nil || p != peer {
		return nil, fmt.Errorf("the SA on %s is with %s, not with %s of the configuration: a person must look at it", a.Device, a.Parameters["peer"], peer)
	}
	params := maps.Clone(a.Parameters)
	cmd, err := command.FromProposal(target, a.Kind, params, x.opt.Inventory.Peers(a.Device)...)
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
	sum := cmd.Sum()
	return &Proposal{
		ID: hex.EncodeToString(id), Run: x.req.Run, Tunnel: x.tunnel.Name, Finding: f,
		Commands:  []ProposedCommand{{Device: a.Device, Kind: a.Kind, Parameters: params, Line: cmd.Line(), SHA256: hex.EncodeToString(sum[:])}},
		Effect:    a.Effect,
		Impact:    x.impact(end),
		Decisive:  state.fingerprint(),
		Summary:   state.String(),
		Requester: x.req.By, CreatedAt: now, ExpiresAt: now.Add(x.opt.TTL), EvidenceAge: state.at,
	}, nil
}

// impact says what drops now.
func (x *run) impact(end int) string {
	e := x.tunnel.Ends[end]
	peer := x.peer(end)
	for _, d := range x.facts().Devices {
		if d.Name != e.Device {
			continue
		}
		ike, sas, users := 0, 0, 0
		var in, out int64
		for _, sa := range d.IKE {
			if sa.Remote == peer {
				ike++
			}
		}
		for _, sa := range d.IPsec {
			if sa.Peer == peer {
				sas++
				out += max(sa.Encaps, 0)
				in += max(sa.Decaps, 0)
				if sa.Username != "" {
					users++
				}
			}
		}
		s := fmt.Sprintf("%d IKE SA and %d IPsec SA with %s drop; they carried %d packets out and %d in so far", ike, sas, peer, out, in)
		if users > 0 {
			s += fmt.Sprintf("; %d users must dial again", users)
		}
		return s
	}
	return ""
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
	for _, sa := range d.IKE {
		if sa.Remote == peer && !sa.Deleted {
			ike = append(ike, sa.State)
		}
	}
	for _, sa := range d.IPsec {
		if sa.Peer != peer {
			continue
		}
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
