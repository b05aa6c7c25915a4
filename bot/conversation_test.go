package bot_test

import (
	"strings"
	"testing"

	"vpnbot/bot/approval"
	"vpnbot/bot/workspace"
)

func TestDiagnosis(t *testing.T) {
	o := open(t, workspace.Options{}, nil)
	o.net.gate = make(chan struct{})
	o.types(amelie, "/vpn diagnose london-pap")
	card := o.reads("london-pap", "diagnosing", "read both ends", "running")
	close(o.net.gate)
	end := o.reads("The path drops IP fragments", "critical", "90 %", "hq.pcap packet 17", "fragment 2 of 2 never arrived", "Ask the ISP")
	if end.TS != card.TS {
		t.Errorf("the verdict is another message (%s) than the steps (%s)", end.TS, card.TS)
	}
	if !strings.Contains(end.Text, "london-pap: The path drops IP fragments") {
		t.Errorf("text does not say the verdict: %q", end.Text)
	}
	o.replied(end, "The path drops IP fragments")
	o.until("the ladder diagram", func() bool {
		for _, m := range o.ws.Messages("") {
			for _, f := range m.Files {
				if f.Name == "ladder.png" && strings.Contains(f.AltText, "Ladder diagram") && m.ThreadTS == card.TS {
					return true
				}
			}
		}
		return false
	})
	o.fine()
}

func TestRepair(t *testing.T) {
	o := open(t, workspace.Options{}, nil)
	o.types(amelie, "/vpn diagnose london-lima")
	o.reads("Stale SA", "london-lima")
	card := o.reads("Repair of london-lima proposed", "clear crypto isakmp sa 203.0.113.20", "hq-asa", "Drops london-lima", "cannot be undone")
	if b, ok := card.Button("approval.approve"); !ok || b.Confirm == "" || len(b.Value) < 32 {
		t.Errorf("approve button: %+v", b)
	}
	for _, m := range o.ws.Messages("") {
		for _, who := range m.Mentions() {
			if who == "channel" || who == "here" || who == "everyone" {
				t.Errorf("device text became a mention of %s: %s", who, m.Content())
			}
		}
	}

	o.clicks(amelie, card, "approval.approve")
	o.whispered(amelie, "another person has to approve")
	if got := o.net.written(); len(got) != 0 {
		t.Fatalf("the device saw %v", got)
	}

	o.clicks(boris, card, "approval.approve")
	end := o.reads("repaired: verified up", "succeeded", "QM_IDLE")
	if end.TS != card.TS {
		t.Error("the outcome is another message than the proposal")
	}
	if got := o.net.written(); len(got) != 1 || got[0] != "hq-asa: clear crypto isakmp sa 203.0.113.20" {
		t.Errorf("the device saw %v", got)
	}
	if _, n, err := o.store.VerifyAudit(o.ctx()); err != nil || n < 6 {
		t.Errorf("audit: %d records, %v", n, err)
	}
	ps, err := o.store.ProposalsOf(o.ctx(), "london-lima", 5)
	if err != nil || len(ps) != 1 || ps[0].State != approval.Succeeded || ps[0].Approver != boris {
		t.Errorf("proposals: %+v, %v", ps, err)
	}
	o.fine()
}
