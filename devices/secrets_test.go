package devices_test

import (
	"context"
	"strings"
	"testing"

	"vpnbot/devices/command"
	"vpnbot/diag/redact"
)

// Every form in which a device shows a secret, at the end of every output: none gets
// through the redactor.
func TestNoFormOfSecretPasses(t *testing.T) {
	b := newBench(t)
	if err := b.lab.SeedSecrets(); err != nil {
		t.Fatal(err)
	}
	secrets := b.lab.Secrets()
	for _, d := range b.inv.Devices() {
		target, err := b.fleet.Target(context.Background(), d.Name)
		if err != nil {
			t.Fatal(err)
		}
		var cmds []command.Command
		for _, n := range command.EvidenceNames {
			c, err := command.Evidence(target, n, command.Query{})
			if err != nil {
				t.Fatal(err)
			}
			cmds = append(cmds, c...)
		}
		r := redact.New([]byte("key of the run"))
		shown := map[string]bool{}
		raw := 0
		out, err := b.fleet.Run(context.Background(), d.Name, func(s string) string {
			for _, secret := range secrets {
				if strings.Contains(s, secret) {
					raw++
					break
				}
			}
			return r.Text(s)
		}, cmds...)
		if err != nil {
			t.Fatal(err)
		}
		if raw < len(cmds) {
			t.Errorf("%s: only %d of %d outputs held a secret", d.Name, raw, len(cmds))
		}
		for _, o := range out {
			for _, secret := range secrets {
				if i := strings.Index(o.Text, secret); i >= 0 && !shown[secret] {
					shown[secret] = true
					from := strings.LastIndexByte(o.Text[:i], '\n') + 1
					line, _, _ := strings.Cut(o.Text[from:], "\n")
					t.Errorf("%s: %s: %q", d.Name, o.Command, line)
				}
			}
		}
		if t.Failed() {
			break
		}
	}
}
