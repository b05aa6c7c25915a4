package devices_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"vpnbot/devices"
	"vpnbot/devices/emulator"
	"vpnbot/devices/inventory"
)

// A capture on a failover pair whose prompt does not name the unit.
func TestCaptureAndFailover(t *testing.T) {
	ctx := context.Background()
	pair := func(t *testing.T, standby bool) (*bench, *emulator.Device) {
		b := newBench(t)
		oslo := b.lab.Device("oslo-asa")
		oslo.SetPromptSuffix("")
		if standby {
			for i := range b.conf.Devices {
				if b.conf.Devices[i].Name == "oslo-asa" {
					b.conf.Devices[i].Standby = oslo.StandbyAddr()
				}
			}
			var err error
			if b.inv, err = inventory.New(b.conf); err != nil {
				t.Fatal(err)
			}
		}
		return b, oslo
	}
	start := func(t *testing.T, b *bench, f *devices.Fleet) *devices.Capture {
		t.Helper()
		c, err := f.StartCapture(ctx, "oslo-asa", spec(t, b, "london-oslo", "oslo-asa"))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	// kept: nothing was forgotten, and it is said where it is.
	kept := func(t *testing.T, b *bench, oslo *emulator.Device, err error, words ...string) {
		t.Helper()
		for _, w := range append(words, "failover", "FCH") {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("it does not say %q: %v", w, err)
			}
		}
		out, _ := b.book.Outstanding(ctx)
		if len(out) != 2 || len(oslo.Captures()) != 2 {
			t.Errorf("journal %v, devices %v", out, oslo.Captures())
		}
		for _, l := range out {
			if l.Unit == "" || l.Prompt == "" {
				t.Errorf("the journal does not know the unit: %+v", l)
			}
		}
	}
	t.Run("the other unit is out of reach until it is active again", func(t *testing.T) {
		b, oslo := pair(t, false)
		f := b.newFleet(t, devices.Options{Journal: b.book, RemoveAgain: time.Millisecond})
		c := start(t, b, f)
		oslo.Failover()
		kept(t, b, oslo, c.Stop(ctx))
		_, err := c.Fetch(ctx)
		kept(t, b, oslo, err)
		kept(t, b, oslo, c.Remove(ctx), "no capture VB-", "standby of this device")
		oslo.Failover()
		b.returned(t)
		clean(t, b, "oslo-asa")
	})
	t.Run("the standby address leads to it", func(t *testing.T) {
		b, oslo := pair(t, true)
		f := b.newFleet(t, devices.Options{Journal: b.book})
		c := start(t, b, f)
		packets(t, oslo)
		oslo.Failover()
		if err := c.Stop(ctx); err != nil {
			t.Error(err)
		}
		data, err := c.Fetch(ctx)
		if err != nil || len(data) != 2 || !strings.Contains(string(data[0].Data), "0x0000") {
			t.Errorf("%v: %.200s", err, data)
		}
		if err := c.Remove(ctx); err != nil {
			t.Error(err)
		}
		clean(t, b, "oslo-asa")
	})
	t.Run("killed, then a failover", func(t *testing.T) {
		b, oslo := pair(t, false)
		f := b.newFleet(t, devices.Options{Journal: b.book})
		start(t, b, f)
		_ = f.Close() // the process ends
		oslo.Failover()
		f = b.newFleet(t, devices.Options{Journal: b.book, RemoveAgain: time.Hour})
		kept(t, b, oslo, f.CleanUp(ctx))
		oslo.Failover()
		if err := f.CleanUp(ctx); err != nil {
			t.Error(err)
		}
		clean(t, b, "oslo-asa")
	})
	t.Run("killed, then a failover, with a standby address", func(t *testing.T) {
		b, oslo := pair(t, true)
		f := b.newFleet(t, devices.Options{Journal: b.book})
		start(t, b, f)
		_ = f.Close()
		oslo.Failover()
		f = b.newFleet(t, devices.Options{Journal: b.book})
		if err := f.CleanUp(ctx); err != nil {
			t.Error(err)
		}
		clean(t, b, "oslo-asa")
	})
	t.Run("the standby address refuses", func(t *testing.T) {
		b, oslo := pair(t, true)
		f := b.newFleet(t, devices.Options{Journal: b.book})
		c := start(t, b, f)
		oslo.Failover()
		oslo.AuthorizationDenied("no capture")
		err := c.Remove(ctx)
		if err == nil || !strings.Contains(err.Error(), "still lists it") || !strings.Contains(err.Error(), "failover") {
			t.Errorf("%v", err)
		}
		if out, _ := b.book.Outstanding(ctx); len(out) != 2 {
			t.Errorf("the journal forgot it: %v", out)
		}
	})
}
