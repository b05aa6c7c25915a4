package playbooks

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"vpnbot/devices"
	"vpnbot/devices/inventory"
	"vpnbot/diag/bundle"
	"vpnbot/diag/facts"
	"vpnbot/diag/ike"
	"vpnbot/diag/report"
)

// gather makes a bundle of what the run has read and captured, and its facts: what is
// diagnosed is what the saved files hold.
func (x *run) gather() ([]File, *facts.Set) {
	var live []bundle.Live
	at := func(device string) *bundle.Live {
		i := slices.IndexFunc(live, func(l bundle.Live) bool { return l.Name == device })
		if i < 0 {
			live = append(live, x.describe(device))
			i = len(live) - 1
		}
		return &live[i]
	}
	for _, o := range x.outputs {
		l := at(o.Device)
		l.Answers = append(l.Answers, bundle.Answer{Command: o.Command, Text: o.Text, Time: o.At})
	}
	for _, c := range x.caps {
		l := at(c.device)
		if c.dump {
			l.Answers = append(l.Answers, bundle.Answer{Command: c.name, Text: string(c.data), Time: x.opt.Now()})
			continue
		}
		l.Captures = append(l.Captures, bundle.LiveCapture{Name: c.name, Data: c.data})
	}
	set, saved, err := bundle.FromLive(live, bundle.Options{Key: x.key, CTCPPorts: x.opt.Config.Captures.CTCPPorts})
	if err != nil {
		set = &facts.Set{Errors: []facts.Error{{Source: "evidence", Message: err.Error()}}}
	}
	if !x.since.IsZero() {
		for _, d := range set.Devices {
			d.Events = slices.DeleteFunc(d.Events, func(e facts.Event) bool { return !after(e, d.Clock, x.since) })
		}
	}
	set.Errors = append(set.Errors, x.errs...)
	files := make([]File, len(saved))
	for i, f := range saved {
		files[i] = File{Name: f.Name, Data: f.Data}
	}
	return files, set
}

// after tells whether a log line was surely written after a moment of our clock: the
// device's may be wrong, and its lines often have no zone.
func after(e facts.Event, clock *facts.Clock, t time.Time) bool {
	if !e.HasTime || clock == nil || clock.Read.IsZero() {
		return false
	}
	wall := func(t time.Time) time.Time {
		return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	}
	now, at := wall(clock.Device), wall(e.Time)
	if at.Year() < 1 { // IOS writes no year
		at = at.AddDate(now.Year()-at.Year(), 0, 0)
		if at.Sub(now) > 24*time.Hour {
			at = at.AddDate(-1, 0, 0)
		}
	}
	return at.Add(clock.Read.Sub(now)).After(t)
}

// factsOf reads only these outputs of one device.
func (x *run) factsOf(outs []devices.Output) *facts.Set {
	y := &run{Runner: x.Runner, tunnel: x.tunnel, key: x.key, red: x.red, outputs: outs}
	return y.facts()
}

// describe says what the inventory knows of a device in this tunnel.
func (x *run) describe(name string) bundle.Live {
	l := bundle.Live{Name: name, Platform: facts.Other}
	if d, err := x.opt.Inventory.Device(name); err == nil {
		l.Platform = map[inventory.Platform]facts.Platform{inventory.CiscoASA: facts.ASA, inventory.CiscoIOS: facts.IOS}[d.Platform]
	}
	for i, e := range x.tunnel.Ends {
		if e.Device != name {
			continue
		}
		if e.Address.IsValid() {
			l.Addresses = append(l.Addresses, e.Address)
		}
		if a := x.opt.Inventory.PeerAddress(e); a.IsValid() && a != e.Address {
			l.Addresses = append(l.Addresses, a)
		}
		if x.tunnel.Kind == inventory.EasyVPN {
			l.Role = facts.Spoke
			if i == 0 {
				l.Role = facts.Headend
			}
		}
	}
	return l
}

// reduce zeroes what must not leave the host (safety rule 12) and leaves out the packets
// that keep refuses; nil keeps all.
func reduce(f File, keep func(int) bool) (data []byte, written int, err error) {
	var out bytes.Buffer
	done, err := ike.Reduce(bytes.NewReader(f.Data), &out, keep, ike.Options{})
	if err != nil {
		return nil, 0, fmt.Errorf("capture %s: %w", f.Name, err)
	}
	return out.Bytes(), done.Written, nil
}

// pictures draws the ladders, each as SVG and PNG.
func pictures(ls []report.Ladder) []File {
	var out []File
	for i, l := range ls {
		base := fmt.Sprintf("ladder-%02d", i+1)
		out = append(out, File{Name: base + ".svg", Data: report.SVG(l)})
		if png, err := report.PNG(l); err == nil {
			out = append(out, File{Name: base + ".png", Data: png})
		}
	}
	return out
}

// facts turns what the run has gathered into facts, the way its saved bundle would be read.
func (x *run) facts() *facts.Set {
	_, set := x.gather()
	return set
}
