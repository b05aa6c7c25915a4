package playbooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"vpnbot/devices"
	"vpnbot/diag/ike"
)

// removal bounds the clean-up of captures when the run itself is over or cancelled.
const removal = 90 * time.Second

// capture starts captures at the ends at the same time, wakes the tunnel, waits, and
// brings them home. Whatever happens, what was started is removed again; what cannot be
// removed now is tried again, and stays in the journal for the next start.
func (x *run) capture(ctx context.Context, s Step) (note string, err error) {
	duration := x.opt.Config.Captures.Duration
	if d, err := time.ParseDuration(s.With.Duration); err == nil {
		duration = d
	}
	if x.req.Duration > 0 {
		duration = x.req.Duration
	}
	ends := x.ends(s.On)
	if len(ends) == 0 {
		return "", fmt.Errorf("no end of %s is managed: there is nowhere to capture", x.tunnel.Name)
	}
	if x.req.Ring {
		return x.fromRing(ctx)
	}
	caps, notes, err := x.startAll(ctx, ends, duration+2*time.Minute, false)
	defer func() {
		if e := x.removeAll(ctx, caps); e != nil && err != nil {
			err = fmt.Errorf("%w; left for now: %w", err, e)
		} else if e != nil {
			note = strings.TrimPrefix(note+"; left for now: "+e.Error(), "; ")
		}
	}()
	if err != nil {
		return "", err
	}
	if s.With.Wake && x.tunnel.Probe.From != "" {
		// The answer is no evidence: it is sent to make the ends talk while they are watched.
		if _, err := x.ping(ctx, 5, 0, false); err != nil && ctx.Err() == nil {
			notes = append(notes, "the probe could not be sent: "+err.Error())
		}
	}
	if err := wait(ctx, duration.String()); err != nil {
		return "", err
	}
	notes = append(notes, x.home(ctx, ends, caps, duration.String()+" captured")...)
	if len(x.caps) == 0 {
		return "", errors.New(strings.Join(notes, "; "))
	}
	return strings.Join(notes, "; "), nil
}

// startAll starts captures at the ends at the same time. caps has an entry for each end,
// nil where it could not start; the error says that none could.
func (x *run) startAll(ctx context.Context, ends []int, most time.Duration, ring bool) (caps []*devices.Capture, notes []string, err error) {
	caps = make([]*devices.Capture, len(ends))
	errs := make([]error, len(ends))
	var wg sync.WaitGroup
	for n, i := range ends {
		wg.Go(func() {
			e := x.tunnel.Ends[i]
			caps[n], errs[n] = x.opt.Fleet.StartCapture(ctx, e.Device, devices.CaptureSpec{Interface: e.Interface, Own: e.Address, Peer: x.peer(i),
				Duration: most, MaxBytes: int64(x.opt.Config.Captures.MaxBytes), Ring: ring})
		})
	}
	wg.Wait()
	running := 0
	for n, i := range ends {
		if errs[n] != nil {
			x.fail(x.tunnel.Ends[i].Device, errs[n])
			notes = append(notes, reason(x.tunnel.Ends[i].Device, errs[n]))
			continue
		}
		running++
		notes = append(notes, caps[n].Notes...)
	}
	if running == 0 {
		return caps, notes, errors.New(strings.Join(notes, "; "))
	}
	return caps, notes, nil
}

// removeAll removes captures from their devices, also when ctx has ended.
func (r *Runner) removeAll(ctx context.Context, caps []*devices.Capture) error {
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), removal)
	defer cancel()
	errs := make([]error, len(caps))
	each(caps, func(n int, c *devices.Capture) {
		if errs[n] = c.Remove(clean); errs[n] != nil {
			r.opt.Logger.Error("a capture could not be removed yet; it is tried again", "device", c.Device, "error", errs[n])
		}
	})
	return errors.Join(errs...)
}

// home stops the captures and takes their packets up as evidence; what says how long
// they are.
func (x *run) home(ctx context.Context, ends []int, caps []*devices.Capture, what string) (notes []string) {
	errs := make([]error, len(ends))
	data := make([][]devices.CaptureData, len(ends))
	each(caps, func(n int, c *devices.Capture) {
		if errs[n] = c.Stop(ctx); errs[n] == nil {
			data[n], errs[n] = c.Fetch(ctx)
		}
	})
	for n, i := range ends {
		name := x.tunnel.Ends[i].Device
		if caps[n] == nil {
			continue
		}
		if errs[n] != nil {
			x.fail(name, errs[n])
			notes = append(notes, reason(name, errs[n]))
		}
		for k, d := range data[n] {
			d = x.asPcap(name, d)
			x.keep(name, k, d)
			if k > 0 && !x.strangers(d, x.tunnel.Ends[i].Address, x.peer(i)) {
				continue // the second filter saw nothing that the first did not
			}
			c := capture{device: name, name: strings.ReplaceAll(x.tunnel.Ends[i].Interface, "/", "-"), data: d.Data, dump: d.Kind == "dump"}
			if k > 0 || c.name == "" {
				c.name = d.Name
			}
			if c.dump {
				c.name = "show capture " + d.Name + " dump"
			}
			x.caps = append(x.caps, c)
			x.changed = true
			if d.Reason != "" {
				notes = append(notes, name+": read over SSH: "+d.Reason)
			}
		}
		if len(data[n]) > 0 {
			notes = append(notes, name+": "+what)
		}
	}
	return notes
}

// each runs f for every capture that was started, at the same time.
func each(caps []*devices.Capture, f func(int, *devices.Capture)) {
	var wg sync.WaitGroup
	for n, c := range caps {
		if c != nil {
			wg.Go(func() { f(n, c) })
		}
	}
	wg.Wait()
}

// strangers tells whether a capture has IKE with an address that is neither end's: a NAT
// that moved the peer.
func (x *run) strangers(d devices.CaptureData, own, peer netip.Addr) bool {
	if d.Kind != "pcap" {
		return false
	}
	c, err := ike.Read(bytes.NewReader(d.Data), d.Name, d.Name, ike.Options{CTCPPorts: x.opt.Config.Captures.CTCPPorts})
	if err != nil {
		return false
	}
	for _, n := range c.EachNegotiation() {
		for _, a := range []netip.Addr{n.Initiator.Addr(), n.Responder.Addr()} {
			if a != own && a != peer {
				return true
			}
		}
	}
	return false
}

// keep saves a raw capture on this host: it is a secret and goes nowhere else.
func (x *run) keep(device string, n int, d devices.CaptureData) {
	dir := x.opt.Config.Captures.Dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		x.opt.Logger.Warn("a raw capture was not kept", "error", err)
		return
	}
	ext := ".pcap"
	if d.Kind == "dump" {
		ext = ".txt"
	}
	name := fmt.Sprintf("%s%s-%s-%d%s", rawPrefix, x.req.Run, device, n+1, ext)
	if !filepath.IsLocal(name) {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name), d.Data, 0o600); err != nil {
		x.opt.Logger.Warn("a raw capture was not kept", "error", err)
	}
}

// record is what a finished collect step leaves for a restart: its outputs, with ordinals
// in place of the run's tokens.
func (x *run) record(s Step, outs []devices.Output) []byte {
	if s.Kind != "collect" {
		return nil
	}
	kept := make([]devices.Output, len(outs))
	for i, o := range outs {
		o.Text = x.red.Ordinals(o.Text)
		kept[i] = o
	}
	data, err := json.Marshal(kept)
	if err != nil {
		return nil
	}
	return data
}

// restore takes up the outputs of a step that was done before a restart.
func (x *run) restore(data []byte) bool {
	var outs []devices.Output
	if json.Unmarshal(data, &outs) != nil || len(outs) == 0 {
		return false
	}
	x.outputs = append(x.outputs, outs...)
	x.changed = true
	return true
}
