package bundle

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"vpnbot/diag/facts"
)

var testKey = []byte("a key for tests, 32 bytes long..")

// summary says in a few lines what a device's facts hold.
func summary(d *facts.Device) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %s %s host=%s addr=%v", d.Name, d.Platform, d.Version.Text, d.Hostname, d.Addresses)
	fmt.Fprintf(&b, " ike=%d ipsec=%d sess=%d events=%d counters=%d pings=%d traces=%d routes=%d skipped=%d outputs=%d", len(d.IKE), len(d.IPsec), len(d.Sessions), len(d.Events), len(d.Counters), len(d.Pings), len(d.Traces), len(d.Routes), d.Skipped, len(d.Outputs))
	if c := d.Config; c != nil {
		fmt.Fprintf(&b, " config{lines=%d complete=%v if=%d map=%d bind=%d ts=%d pol=%d en=%d keys=%d tg=%d gp=%d acl=%d obj=%d nat=%d routes=%d pools=%d set=%d}", len(c.Lines), c.Complete, len(c.Interfaces), len(c.MapEntries), len(c.MapBindings), len(c.TransformSets), len(c.IKEPolicies), len(c.IKEEnabled), len(c.Keys), len(c.TunnelGroups), len(c.GroupPolicies), len(c.ACLs), len(c.Objects), len(c.NAT), len(c.Routes), len(c.Pools), len(c.Settings))
	}
	return b.String()
}

func lineCount(dev *facts.Device) int {
	n := 100 + len(dev.Events)
	for _, o := range dev.Outputs {
		n += len(o.Text)
	}
	return n
}

// TestShared reads the example bundles when they lie beside the checkout.
func TestShared(t *testing.T) {
	root := filepath.Join("..", "..", "..", "shared", "bundles")
	dirs, err := os.ReadDir(root)
	if err != nil {
		t.Skip("no example bundles beside the checkout: " + root)
	}
	for _, d := range dirs {
		if !d.IsDir() {
			continue
		}
		set, err := Read([]string{filepath.Join(root, d.Name(), "evidence")}, Options{Key: testKey})
		if err != nil {
			t.Errorf("%s: %v", d.Name(), err)
			continue
		}
		expect, _ := os.ReadFile(filepath.Join(root, d.Name(), "expect.yaml"))
		var x struct{ Secrets []string }
		if err := yaml.Unmarshal(expect, &x); err != nil {
			t.Errorf("%s: %v", d.Name(), err)
		}
		for _, dev := range set.Devices {
			text := fmt.Sprintf("%+v", *dev)
			if dev.Config != nil {
				text += fmt.Sprintf("%+v", *dev.Config)
			}
			for _, secret := range append(x.Secrets, "****[h:") {
				if strings.Contains(text, secret) {
					t.Errorf("%s: %q is left in the facts", d.Name(), secret)
				}
			}
			if dev.Skipped*20 > lineCount(dev) {
				t.Errorf("%s %s: %d lines skipped", d.Name(), dev.Name, dev.Skipped)
			}
			t.Logf("%s %s", d.Name(), summary(dev))
			for _, o := range dev.Outputs {
				t.Logf("     %s:%d %q | %q %d lines refused=%v empty=%v", o.Place.Source, o.Place.Line, o.Command, o.Filter, len(o.Text), o.Refused, o.Empty)
			}
		}
		for _, c := range set.Captures {
			t.Logf("%s capture %s %s %d packets", d.Name(), c.Name, c.Source, c.Packets)
		}
		for _, e := range set.Errors {
			t.Logf("%s error %s:%d %s", d.Name(), e.Source, e.Line, e.Message)
		}
	}
}
