package playbooks

import (
	"bytes"
	"time"

	"vpnbot/devices"
	"vpnbot/diag/dump"
	"vpnbot/diag/facts"
)

// asPcap turns a capture that was read as text over SSH into a capture file, dated by the
// device's clock, so that the same packets come out whichever way they were fetched. A dump
// without times, or of a form that has no file, stays a text.
func (x *run) asPcap(device string, c devices.CaptureData) devices.CaptureData {
	if c.Kind != "dump" {
		return c
	}
	d := dump.Parse(string(c.Data))
	if len(d.Packets) == 0 || !d.Timed {
		return c
	}
	var out bytes.Buffer
	if err := d.WritePcap(&out, dater(d, x.clockOf(device), x.opt.Now())); err != nil {
		x.opt.Logger.Info("a dump stays a text", "run", x.req.Run, "device", device, "error", err)
		return c
	}
	c.Kind, c.Data = "pcap", out.Bytes()
	return c
}

// clockOf is the run's last reading of a device's clock, nil when there was none.
func (x *run) clockOf(device string) *facts.Clock {
	var outs []devices.Output
	for _, o := range x.outputs {
		if o.Device == device && o.Command == "show clock" {
			outs = append(outs, o)
		}
	}
	if len(outs) == 0 {
		return nil
	}
	for _, d := range x.factsOf(outs[len(outs)-1:]).Devices {
		if d.Clock != nil && !d.Clock.Read.IsZero() {
			return d.Clock
		}
	}
	return nil
}

// dater turns times as a device printed them (its wall clock, perhaps without a date) into
// moments. The capture ended just before now.
func dater(d *dump.Dump, clock *facts.Clock, now time.Time) func(time.Time) time.Time {
	var ahead time.Duration // the device's wall clock, taken for UTC, minus UTC
	if clock != nil {
		c := clock.Device
		wall := time.Date(c.Year(), c.Month(), c.Day(), c.Hour(), c.Minute(), c.Second(), c.Nanosecond(), time.UTC)
		ahead = wall.Sub(clock.Read)
	}
	if d.Dated {
		return func(t time.Time) time.Time { return t.Add(-ahead) }
	}
	// The last packet was printed on the day that leaves it nearest to now.
	last := d.Packets[len(d.Packets)-1].Time.Add(-ahead)
	days := now.Sub(last).Round(24 * time.Hour)
	return func(t time.Time) time.Time { return t.Add(days - ahead) }
}
