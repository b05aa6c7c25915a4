package bot_test

import (
	"testing"
	"time"

	"vpnbot/bot"
	"vpnbot/bot/workspace"
	"vpnbot/diag/report"
)

// ringRuns counts the runs that took a ring-buffer capture's packets.
func (o *office) ringRuns() (n int) {
	o.net.mu.Lock()
	defer o.net.mu.Unlock()
	for _, r := range o.net.asked {
		if r.Ring {
			n++
		}
	}
	return n
}

func TestRingCapture(t *testing.T) {
	o := open(t, workspace.Options{}, nil)
	o.types(amelie, "/vpn capture london-pap fetch")
	o.whispered(amelie, "No ring-buffer capture waits at london-pap")
	o.types(amelie, "/vpn capture london-pap start max 99h")
	o.whispered(amelie, "99h", "24h")
	o.types(amelie, "/vpn capture london-pap start max 6h")
	card := o.reads("london-pap", "a ring-buffer capture waits for the fault", "asked by <@"+amelie+">")
	if !o.net.Watched("london-pap") {
		t.Error("no capture was started")
	}
	o.types(boris, "/vpn capture london-pap start")
	o.whispered(boris, "waits at london-pap already", "<@"+amelie+">")
	o.types(boris, "/vpn capture london-pap fetch")
	o.reads("The path drops IP fragments")
	if n := o.ringRuns(); n != 1 {
		t.Errorf("%d runs took the packets", n)
	}
	o.types(boris, "/vpn capture london-pap stop")
	end := o.reads("the ring-buffer capture ended", "stopped by <@"+boris+">")
	if end.TS != card.TS {
		t.Error("the end is another message than the card")
	}
	if o.net.Watched("london-pap") {
		t.Error("the capture is still there")
	}
	o.types(amelie, "/vpn capture london-oslo start")
	o.reads("london-oslo", "could not start", "93 %")
	o.fine()
}

// A sweep sees the tunnel fall: the capture is brought home and the findings stand in the
// alert's thread. Its time ends, and so does it.
func TestRingCaptureOfAFall(t *testing.T) {
	o := open(t, workspace.Options{}, func(c *bot.Config) {
		c.Schedules = []bot.Schedule{{Name: "tunnels", Cron: "@every 1s", Playbook: "sweep"}}
	})
	o.reads("First look at 3 tunnels: 3 up")
	o.types(amelie, "/vpn capture london-pap start max 2h")
	o.reads("a ring-buffer capture waits")
	o.net.set("london-pap", report.Down)
	alert := o.reads("london-pap went down")
	o.replied(alert, "The path drops IP fragments")
	if n := o.ringRuns(); n != 1 {
		t.Errorf("%d runs took the packets", n)
	}
	o.passing(30*time.Minute, "the capture to end", func() bool { return !o.net.Watched("london-pap") })
	o.reads("the ring-buffer capture ended", "its time is over")
}

// A restart removes the capture from the devices; its card says so.
func TestRingCaptureAndRestart(t *testing.T) {
	o := open(t, workspace.Options{}, nil)
	o.types(amelie, "/vpn capture london-pap start")
	card := o.reads("a ring-buffer capture waits")
	o.stop()
	if o.net.Watched("london-pap") {
		t.Error("the capture is still there")
	}
	o.start()
	end := o.reads("the ring-buffer capture ended", "vpnbot stopped")
	if end.TS != card.TS {
		t.Error("the end is another message than the card")
	}
	o.types(amelie, "/vpn capture london-pap fetch")
	o.whispered(amelie, "No ring-buffer capture")
	o.fine()
}
