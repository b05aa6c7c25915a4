package playbooks

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"vpnbot/devices"
	"vpnbot/devices/command"
	"vpnbot/devices/inventory"
	"vpnbot/diag/facts"
	"vpnbot/diag/redact"
	"vpnbot/diag/report"
)

// errGone: what the first command of a repair cleared is gone at the other end too.
var errGone = errors.New("the SAs are gone already")

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
	x := r.start(Request{Run: "repair-" + p.ID, Playbook: p.Playbook, Tunnel: t.Name, By: p.Requester, Human: true}, Book{}, t, update)
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
		out.State, out.Reason, out.Before = "superseded", "The SAs changed since the proposal, so nothing was sent: now "+before.String(), before.String()
		if x.analyze(); x.up() {
			out.Reason = t.Name + " came up by itself meanwhile, so nothing was sent. Thank you for looking at it: " + before.String()
		}
		return out, nil
	}
	x.say(0, Done, before.String())
	out.Before = x.counters()

	x.say(1, Running, "")
	out.SentAt = x.opt.Now()
	for i, c := range p.Commands {
		st := &out.Commands[i]
		answer, err := x.repair(ctx, t, p, c, i > 0)
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
		case errors.Is(err, errGone):
		case errors.Is(err, errSuperseded):
			out.State, out.Reason = "superseded", "the SAs on "+c.Device+" changed since the proposal; "+unsent(i)
		case fate != nil && fate.Claimed:
			st.State = "failed"
			out.State, out.Reason = "failed", "the approval was used and the command was not sent: "+fate.Err.Error()
		default:
			out.State, out.Reason = "failed", unsent(i)+": "+err.Error()
		}
		if errors.Is(err, errGone) {
			// The delete of the end before it reached this one: there is nothing left to clear.
			out.State, out.Reason = "", ""
			st.Output = "nothing to clear: the SAs with the other end are gone here too"
			continue
		}
		x.say(1, Failed, out.Reason)
		// What follows a failed command is not sent.
		if out.State == "unknown" || i > 0 {
			out.After, _ = x.after(ctx)
		}
		return out, nil
	}
	out.State = "succeeded"
	if x.opt.Approvals != nil {
		if err := x.opt.Approvals.Accepted(context.WithoutCancel(ctx), p.ID, out); err != nil {
			x.opt.Logger.Error("that a repair was accepted could not be written down: a stop during its verification would leave it unknown", "proposal", p.ID, "error", err)
		}
	}
	x.say(1, Done, "")
	return x.verified(ctx, p, out), nil
}

// Verify takes up the verification of a repair whose commands the devices took (out, as
// Approvals.Accepted had it) and whose process stopped. It looks, and sends the playbook's
// probe; nothing is repaired.
func (r *Runner) Verify(ctx context.Context, p Proposal, out Outcome, update func(Update)) Outcome {
	again := r.opt.Now().Sub(out.SentAt).Round(time.Second)
	t, err := r.opt.Inventory.Tunnel(p.Tunnel)
	if err == nil {
		err = r.take(t.Name, "verification of "+p.ID)
	}
	if err != nil {
		out.Reason = "vpnbot stopped during the verification, and it could not be taken up again: " + err.Error()
		return out
	}
	defer r.release(t.Name)
	out.Reason = fmt.Sprintf("vpnbot stopped during the verification; it was taken up again %s after the command", again)
	x := r.start(Request{Run: "repair-" + p.ID, Playbook: p.Playbook, Tunnel: t.Name, By: p.Requester, Human: true}, Book{}, t, update)
	x.steps = []Update{
		{Run: x.req.Run, Step: "reread", About: "read the decisive state again", State: Done},
		{Run: x.req.Run, Step: "repair", About: "run the approved commands", State: Done},
		{Run: x.req.Run, Step: "verify", About: "verify", State: Waiting},
	}
	return x.verified(ctx, p, out)
}

// verified looks at what an accepted repair did.
func (x *run) verified(ctx context.Context, p Proposal, out Outcome) Outcome {
	x.say(2, Running, "")
	x.repaired, x.since = p.Finding.ID, out.SentAt
	x.verify(ctx, p.Playbook, &out)
	if out.Verified != "helped" && out.Next == "" && len(p.Others) > 0 {
		out.Next = p.Others[0] + " (of the diagnosis before)"
	}
	x.say(2, Done, out.Verified)
	return out
}

// unsent says that the command with an index was not sent, and that those before it were.
func unsent(i int) string {
	if i == 0 {
		return "nothing was sent"
	}
	return "the commands before this one were sent, this one and those after it were not"
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
func (x *run) repair(ctx context.Context, t inventory.Tunnel, p Proposal, c ProposedCommand, later bool) (devices.Output, error) {
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
	names := []string{"ike-sa", "ipsec-sa"}
	if target.Platform == inventory.CiscoIOS || c.Parameters["index"] != "" {
		names = append(names, "session") // whose VRF and index it is
	}
	for _, name := range names {
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
			if later && (d == nil || len(ikeOf(d, x.peer(end)))+len(ipsecOf(d, x.peer(end))) == 0) {
				return command.Command{}, errGone
			}
			if d == nil || sas(d, x.peer(end)) != want {
				return command.Command{}, errSuperseded
			}
			if id := c.Parameters["conn_id"]; usesConnID(c) && !hasConn(d, x.peer(end).String(), id) {
				return command.Command{}, errSuperseded
			}
			if index := c.Parameters["index"]; index != "" && !hasSession(d, x.peer(end), x.query(end).Networks, index, c.Parameters["session"]) {
				return command.Command{}, errSuperseded
			}
			// A second peer behind the same address would be dropped as well.
			if kind, err := x.alone(d, end, c.Kind, maps.Clone(c.Parameters)); !namesOne(c) && (err != nil || kind != c.Kind) {
				return command.Command{}, errSuperseded
			}
			return cmd, nil
		},
	})
	return out, err
}

// namesOne: the line names one SA or session rather than the peer.
func namesOne(c ProposedCommand) bool { return usesConnID(c) || c.Parameters["index"] != "" }

// usesConnID: the line names the connection id rather than the peer.
func usesConnID(c ProposedCommand) bool {
	id := c.Parameters["conn_id"]
	return id != "" && len(c.Line) > len(id) && c.Line[len(c.Line)-len(id)-1:] == " "+id
}

// hasConn tells whether an IKEv1 SA with the peer has the connection id. IKEv2 counts its
// own ids from 1: the same number there may be another peer's IKEv1 SA here.
func hasConn(d *facts.Device, peer, id string) bool {
	for _, sa := range d.IKE {
		if sa.ConnID == id && sa.Version != 2 && sa.Remote.String() == peer {
			return true
		}
	}
	return false
}

// How long and how often verification looks when the playbook does not say.
const (
	verifyFor   = 60 * time.Second
	verifyEvery = 3 * time.Second
)

// afterwards are the steps of a playbook that follow its proposal, up to and with the
// verification; those of clear-sa when it has none.
func (r *Runner) afterwards(playbook string) []Step {
	for _, name := range []string{playbook, "clear-sa"} {
		steps := r.opt.Books[name].Steps
		if i := slices.IndexFunc(steps, func(s Step) bool { return s.Kind == "propose" }); i >= 0 && slices.ContainsFunc(steps[i:], func(s Step) bool { return s.Kind == "verify" }) {
			return steps[i+1:]
		}
	}
	return []Step{{ID: "verify", Kind: "verify"}}
}

// verify does what the playbook says after its proposal, and looks.
func (x *run) verify(ctx context.Context, playbook string, out *Outcome) {
	for _, s := range x.afterwards(playbook) {
		switch s.Kind {
		case "wait":
			if wait(ctx, s.With.For) != nil {
				return
			}
		case "probe":
			_, _ = x.ping(ctx, s.With.Count, s.With.Size, s.With.DF) // interesting traffic; its own result is no verdict
		case "verify":
			duration, every := verifyFor, verifyEvery
			if d, err := time.ParseDuration(s.With.For); err == nil {
				duration = d
			}
			if d, err := time.ParseDuration(s.With.Every); err == nil {
				every = d
			}
			x.watch(ctx, duration, every, out)
		}
	}
	if out.Verified != "helped" {
		x.candidate(ctx, out)
	}
}

// watch looks for the whole time, so that a tunnel that comes back and falls again is
// seen. Two looks in a row decide: one may fall into a rekey.
func (x *run) watch(ctx context.Context, duration, every time.Duration, out *Outcome) {
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	seenUp, ups, downs := false, 0, 0
	out.Verified = "" // until somebody saw it
	look := func(ctx context.Context) {
		if _, err := x.look(ctx); err != nil {
			return // not seen is neither up nor down
		}
		x.analyze()
		if x.up() {
			ups, downs = ups+1, 0
		} else {
			ups, downs = 0, downs+1
		}
		switch {
		case ups >= 2:
			seenUp, out.Verified = true, "helped"
			x.say(2, Running, "up; watched for "+duration.String())
		case seenUp && downs >= 2:
			out.Verified = "relapsed"
		case !seenUp:
			out.Verified = "not-helped"
		}
		out.After = x.counters()
		rep := x.diag.Report
		out.Report = &rep
	}
	for out.Verified != "relapsed" {
		if ups == 0 {
			_, _ = x.ping(ctx, 5, 0, false)
		}
		look(ctx)
		if wait(ctx, every.String()) != nil {
			break
		}
	}
	// The last sight is not left to chance.
	for i := 0; i < 2 && outer.Err() == nil && (ups == 1 && !seenUp || downs == 1 && seenUp); i++ {
		last, cancel := context.WithTimeout(outer, verifyFor)
		look(last)
		cancel()
	}
}

// up tells whether the last analysis saw both ends agree that the tunnel is up.
func (x *run) up() bool {
	for i, e := range x.tunnel.Ends {
		if e.Device != "" && len(x.sharing(e.Device, x.peer(i))) > 0 {
			return x.carries() // the analysis knows an address, and what is behind it as one
		}
	}
	for _, t := range x.diag.Report.Tunnels {
		if t.Name == x.tunnel.Name {
			return t.State == report.Up
		}
	}
	return false
}

// carries tells whether every managed end has IPsec SAs for the tunnel's own networks.
func (x *run) carries() bool {
	set, managed := x.facts(), 0
	for i, e := range x.tunnel.Ends {
		if e.Device == "" {
			continue
		}
		managed++
		d := find(set, e.Device)
		if d == nil || !slices.ContainsFunc(ipsecOf(d, x.peer(i)), func(sa facts.IPsecSA) bool {
			return len(sa.SPIIn) > 0 && len(sa.SPIOut) > 0 && slices.Contains(x.query(i).Networks, sa.RemoteID.Prefix)
		}) {
			return false
		}
	}
	return managed > 0
}

// candidate reads as a diagnosis does and names what else may be the cause.
func (x *run) candidate(ctx context.Context, out *Outcome) {
	for _, s := range x.opt.Books["diagnose"].Steps {
		if s.Kind != "collect" {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, max(s.timeout, verifyFor))
		defer cancel()
		if _, err := x.collect(ctx, s); err != nil || ctx.Err() != nil {
			break
		}
		x.analyze()
		rep := x.diag.Report
		out.Report = &rep
		break
	}
	if out.Report == nil {
		return
	}
	for _, f := range out.Report.Findings {
		if f.ID != x.repaired && f.Severity != report.Info {
			out.Next = fmt.Sprintf("%s (confidence %d %%)", f.Title, int(f.Confidence*100+0.5))
			return
		}
	}
	for _, f := range out.Report.Findings {
		if f.ID == x.repaired {
			out.Next = "the same again, so its cause is still there: " + f.Title
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
