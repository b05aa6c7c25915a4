package main

import (
	"io"
	"strings"
	"testing"

	"vpnbot/devices"
)

// TestRefusedOverRestart: a bot that is restarted does not show a refused password again,
// not to the device that refused it and, after a burst, to no device; another password in
// the configuration, or a person's check, ends that. Nothing of the password is stored.
func TestRefusedOverRestart(t *testing.T) {
	p := newPlant(t, "", nil)
	conf := p.rooms.config
	hq := p.lab.Device("hq-asa")
	hq.RejectLogins(true)
	login := func() error {
		rt, err := wire(conf, p.rooms.store, logger(io.Discard, "error", "text"))
		if err != nil {
			t.Fatal(err)
		}
		defer rt.fleet.Close()
		_, err = rt.fleet.Check(t.Context(), "hq-asa")
		return err
	}
	for i := range 3 { // three lives of one bot
		if err := login(); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("life %d: %v", i+1, err)
		}
	}
	if _, n := hq.Logins(); n != 1 {
		t.Errorf("the device saw %d wrong passwords", n)
	}
	kept, err := p.rooms.store.Under(t.Context(), "refused.")
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept: %v, %v", kept, err)
	}
	for _, v := range kept {
		for _, s := range p.lab.Secrets() {
			if strings.Contains(v, s) {
				t.Error("a secret is stored")
			}
		}
	}
	hq.RejectLogins(false)
	if err := login(); err == nil {
		t.Error("tried again without a change of the configuration")
	}
	if err := devices.ForgetRefusals(t.Context(), p.rooms.store); err != nil {
		t.Fatal(err)
	}
	if err := login(); err != nil {
		t.Errorf("after a person's check: %v", err)
	}
	// With another password in the configuration it is tried.
	hq.RejectLogins(true)
	if err := login(); err == nil {
		t.Error("accepted")
	}
	name := ""
	for _, d := range conf.Network.Devices {
		if d.Name == "hq-asa" {
			name = d.Credentials
		}
	}
	c := conf.Network.Credentials[name]
	c.Password += "x"
	conf.Network.Credentials[name] = c
	_, before := hq.Logins()
	_ = login()
	if _, n := hq.Logins(); n != before+1 {
		t.Errorf("the device saw %d passwords, want %d", n, before+1)
	}
}
