package playbooks

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"vpnbot/devices"
	"vpnbot/devices/command"
	"vpnbot/devices/inventory"
	"vpnbot/diag/facts"
	"vpnbot/diag/redact"
	"vpnbot/diag/report"
)

// errSuperseded: the state that justified the proposal is no longer there.
var errSuperseded = errors.New("the state that justified this repair has changed")

// Execute runs an approved proposal: it reads the decisive state at both ends again,
// lets the session claim the approval right before the write, sends each command at most
// once, and verifies. It never repeats anything; what could not be seen is unknown.
func (r *Runner) Execute(ctx context.Context, p Proposal, update func(Update)) (Outcome, error) {
	t, err := r.opt.Inventory.Tunnel(p.Tunnel)
	if err != nil {
		return Outcome{}, err
	}
	if len(p.Commands) == 0 {
		return Outcome{}, errors.New("the proposal has no command")
	}
	if err := r.take(t.Name, "repair "+p.ID); err != nil {
		return Outcome{}, err
	}
	defer r.release(t.Name)
	x := r.start(Request{Run: "repair-" + p.ID, Playbook: "clear-sa", Tunnel: t.Name, By: p.Requester, Human: true}, Book{}, t, update)
	x.steps = []Update{
		{Run: x.req.Run, Step: "reread", About: "read the decisive state again", State: Waiting},
		{Run: x.req.Run, Step: "repair", About: "run the approved commands", State: Waiting},
		{Run: x.req.Run, Step: "verify", About: "verify", State: Waiting},
	}
	out := Outcome{}
	for _, c := range p.Commands {
		out.Commands = append(out.Commands, CommandState{Device: c.Device, Line: c.Line, State: "not sent"})
	}

	x.say(0, Running, "")
	before, err := x.look(ctx)
	if err != nil {
		x.say(0, Failed, err.Error())
		out.State, out.Reason = "failed", "the state could not be read again, so nothing was sent: "+err.Error()
		return out, nil
	}
	if before.fingerprint() != p.Decisive {
		x.say(0, Done, "changed")
		out.State, out.Reason, out.Before = "superseded", "the SAs changed since the proposal: now "+before.String(), before.String()
		return out, nil
	}
	x.say(0, Done, before.String())
	out.Before = x.counters()

	x.say(1, Running, "")
	for i, c := range p.Commands {
		st := &out.Commands[i]
		answer, err := x.repair(ctx, t, p, c)
		st.Output, st.SHA256Output = redact.Strip(answer.Text), answer.SHA256
		var fate *devices.RepairError
		errors.As(err, &fate)
		switch {
		case err == nil:
			st.State = "succeeded"
			continue
		case fate != nil && fate.Fate == devices.FateUnknown:
			st.State = "unknown"
			out.State, out.Reason = "unknown", "the line was sent to "+c.Device+" and its answer was not seen: "+fate.Err.Error()
		case fate != nil && fate.Fate == devices.Executed:
			st.State = "failed"
			out.State, out.Reason = "failed", c.Device+" refused the command: "+fate.Err.Error()
		case errors.Is(err, errSuperseded):
			out.State, out.Reason = "superseded", "the SAs on "+c.Device+" changed since the proposal; nothing was sent"
		case fate != nil && fate.Claimed:
			st.State = "failed"
			out.State, out.Reason = "failed", "the approval was used and the command was not sent: "+fate.Err.Error()
		default:
			out.State, out.Reason = "failed", "nothing was sent: "+err.Error()
		}
		x.say(1, Failed, out.Reason)
		// What follows a failed command is not sent.
		if out.State == "unknown" || i > 0 {
			out.After, _ = x.after(ctx)
		}
		return out, nil
	}
	x.say(1, Done, "")
	out.State = "succeeded"

	x.say(2, Running, "")
	x.verify(ctx, &out)
	x.say(2, Done, out.Verified)
	return out, nil
}

// look reads the SAs of both ends afresh.
func (x *run) look(ctx context.Context) (state, error) {
	x.outputs, x.errs = nil, nil
	for i, e := range x.tunnel.Ends {
		if e.Device == "" {
			continue
		}
		outs, err := x.read(ctx, i, []string{"clock", "ike-sa", "ipsec-sa"})
		x.outputs = append(x.outputs, outs...)
		if err != nil {
			return state{}, err
		}
	}
	return x.decisive()
}

// repair sends one approved command through the gate. The session reads the device's own
// part of the state once more; a connection id is taken from that reading (ids are reused).
func (x *run) repair(ctx context.Context, t inventory.Tunnel, p Proposal, c ProposedCommand) (devices.Output, error) {
	end := -1
	for i, e := range t.Ends {
		if e.Device == c.Device {
			end = i
		}
	}
	if end < 0 {
		return devices.Output{}, fmt.Errorf("%s is no longer an end of %s", c.Device, t.Name)
	}
	target, err := x.opt.Fleet.Target(ctx, c.Device)
	if err != nil {
		return devices.Output{}, err
	}
	cmd, err := command.FromProposal(target, c.Kind, c.Parameters, x.opt.Inventory.Peers(c.Device)...)
	if err != nil {
		return devices.Output{}, err
	}
	if sum := cmd.Sum(); cmd.Line() != c.Line || hex.EncodeToString(sum[:]) != c.SHA256 {
		return devices.Output{}, errors.New("the command made now is not the one that was approved; nothing was sent")
	}
	var decisive []command.Command
	for _, name := range []string{"ike-sa", "ipsec-sa"} {
		cs, err := command.Evidence(target, name, x.query(end))
		if err != nil {
			return devices.Output{}, err
		}
		decisive = append(decisive, cs...)
	}
	want := sas(find(x.facts(), c.Device), x.peer(end))
	_, out, err := x.opt.Fleet.Repair(ctx, c.Device, devices.Repair{
		Proposal: p.ID, Redactor: x.red.Text, Decisive: decisive,
		Check: func(outs []devices.Output) (command.Command, error) {
			d := find(x.factsOf(outs), c.Device)
			if d == nil || sas(d, x.peer(end)) != want {
				return command.Command{}, errSuperseded
			}
			if id := c.Parameters["conn_id"]; id != "" && usesConnID(c) && !hasConn(d, x.peer(end).String(), id) {
				return command.Command{}, errSuperseded
			}
			return cmd, nil
		},
	})
	return out, err
}

// usesConnID: the line names the connection id rather than the peer.
func usesConnID(c ProposedCommand) bool {
	id := c.Parameters["conn_id"]
	return len(c.Line) > len(id) && c.Line[len(c.Line)-len(id)-1:] == " "+id
}

func hasConn(d *facts.Device, peer, id string) bool {
	for _, sa := range d.IKE {
		if sa.ConnID == id && sa.Remote.String() == peer {
			return true
		}
	}
	return false
}

// How long and how often verification looks; the clear-sa playbook may say otherwise.
const (
	verifyFor   = 60 * time.Second
	verifyEvery = 3 * time.Second
)

// verify sends traffic and looks until both ends agree that the tunnel is up, or the
// time is over. "Relapsed" is up once and down again within that time.
func (x *run) verify(ctx context.Context, out *Outcome) {
	duration, every := verifyFor, verifyEvery
	if b, ok := x.opt.Books["clear-sa"]; ok {
		for _, s := range b.Steps {
			if s.Kind == "verify" {
				if d, err := time.ParseDuration(s.With.For); err == nil {
					duration = d
				}
				if d, err := time.ParseDuration(s.With.Every); err == nil {
					every = d
				}
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	wasUp := 0
	out.Verified = "not-helped"
	for {
		_, _ = x.ping(ctx, 5, 0, false) // interesting traffic; its own result is no verdict
		if _, err := x.look(ctx); err == nil {
			x.analyze()
			up := len(x.diag.Report.Tunnels) > 0 && x.diag.Report.Tunnels[0].State == report.Up
			switch {
			case up:
				wasUp++
			case wasUp > 0:
				out.Verified = "relapsed"
			}
			if up && wasUp >= 2 {
				out.Verified = "helped"
			}
			out.After = x.counters()
			rep := x.diag.Report
			out.Report = &rep
			if out.Verified != "not-helped" {
				return
			}
		}
		if err := wait(ctx, every.String()); err != nil {
			return
		}
	}
}

// after looks once, without sending anything.
func (x *run) after(ctx context.Context) (string, error) {
	if _, err := x.look(ctx); err != nil {
		return "", err
	}
	return x.counters(), nil
}

// counters says both ends' SA state and counters in words.
func (x *run) counters() string {
	set := x.facts()
	var s string
	for i, e := range x.tunnel.Ends {
		d := find(set, e.Device)
		if e.Device == "" || d == nil {
			continue
		}
		if s != "" {
			s += "\n"
		}
		s += e.Device + ": " + sas(d, x.peer(i))
		var in, out int64
		for _, sa := range d.IPsec {
			if sa.Peer == x.peer(i) {
				out += max(sa.Encaps, 0)
				in += max(sa.Decaps, 0)
			}
		}
		s += fmt.Sprintf(", encaps %d, decaps %d", out, in)
	}
	return s
}
