package bot_test

import (
	"strings"
	"testing"

	"vpnbot/bot"
	"vpnbot/bot/approval"
	"vpnbot/bot/workspace"
	"vpnbot/diag/report"
)

// Who approves loses the right between the click and the run, which waits for another run
// on the tunnel: nothing is sent.
func TestApproverIsLookedUpAgain(t *testing.T) {
	o := open(t, workspace.Options{}, func(c *bot.Config) { c.Access.Operate = []string{"everyone"} })
	o.types(amelie, "/vpn diagnose london-lima")
	card := o.reads("Repair of london-lima proposed")
	b, _ := card.Button("approval.approve")
	gate := make(chan struct{})
	o.net.mu.Lock()
	o.net.gate = gate
	o.net.mu.Unlock()
	o.types(amelie, "/vpn capture london-lima 5s") // works on the tunnel until the gate opens
	o.eventually("the second run", func() bool { o.net.mu.Lock(); defer o.net.mu.Unlock(); return o.net.runs == 2 })
	o.clicks(boris, card, "approval.approve")
	o.eventually("the approval", func() bool {
		p, err := o.store.Proposal(o.ctx(), b.Value)
		return err == nil && p.State == approval.Approved
	})
	o.ws.SetGroup(chiara)
	close(gate)
	o.eventually("the refusal", func() bool {
		p, err := o.store.Proposal(o.ctx(), b.Value)
		return err == nil && p.State == approval.Expired && strings.Contains(p.Reason, "may not approve (any longer), so nothing was sent")
	})
	if got := o.net.written(); len(got) != 0 {
		t.Errorf("the device saw %v", got)
	}
	o.fine()
}

var wrongKey = report.Finding{
	ID: "psk-mismatch", Tunnel: "london-oslo", Title: "The pre-shared keys differ", Severity: report.Critical, Confidence: 0.95,
	Explanation: "hq-asa cannot decrypt MM5.",
	Evidence:    []report.Evidence{{Source: "hq-asa: show logging", Line: 4, Text: "had problems decrypting packet"}},
	Actions: []report.Action{{Class: report.Advise, Device: "hq-asa", Commands: []string{"tunnel-group 203.0.113.30 ipsec-attributes", "pre-shared-key ****"},
		Steps: []string{"set the same key at both ends"}}},
}

// A change of a configuration is shown to be pasted, with its place; when a person says
// that it is made, it is checked.
func TestChangedByHand(t *testing.T) {
	o := open(t, workspace.Options{}, nil)
	o.net.mu.Lock()
	o.net.find["london-oslo"] = wrongKey
	o.net.state["london-oslo"] = report.Down
	o.net.mu.Unlock()
	o.types(amelie, "/vpn diagnose london-oslo")
	card := o.reads("The pre-shared keys differ", "by hand", "hq-asa", "tunnel-group 203.0.113.30 ipsec-attributes", "took")
	if _, ok := card.Button("approval.approve"); ok {
		t.Error("a change of the configuration can be approved")
	}
	o.clicks(amelie, card, "advice.done")
	o.message(func(m workspace.Message) bool { return m.IsReply() }, []string{"it is still there", "The pre-shared keys differ"})
	o.net.mu.Lock()
	delete(o.net.find, "london-oslo")
	o.net.state["london-oslo"] = report.Up
	o.net.mu.Unlock()
	o.clicks(boris, card, "advice.done")
	o.message(func(m workspace.Message) bool { return m.IsReply() }, []string{"The pre-shared keys differ is gone and london-oslo is up", boris})
	if got := o.net.written(); len(got) != 0 {
		t.Errorf("the device saw %v", got)
	}
	o.clicks(guest, card, "advice.done")
	o.whispered(guest, "Only full members")
	o.fine()
}

// A bot that stops while it verifies leaves no unknown: the devices took the command, so
// the next one looks again, and nothing is sent again.
func TestVerificationIsTakenUp(t *testing.T) {
	o := open(t, workspace.Options{}, nil)
	o.net.hang = make(chan struct{})
	o.types(amelie, "/vpn diagnose london-lima")
	card := o.reads("Repair of london-lima proposed")
	o.clicks(boris, card, "approval.approve")
	<-o.net.hang
	o.stop()
	o.start()
	o.reads("repaired: verified up")
	if got := o.net.written(); len(got) != 1 || o.net.looked != 1 {
		t.Errorf("the device saw %v, %d verifications were taken up", got, o.net.looked)
	}
	o.noneTwice()
}
