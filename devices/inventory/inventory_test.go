package inventory

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

const sound = `
credentials:
  asa-ops: {username: vpnbot, password: hidden-password, enable: hidden-enable}
devices:
  - {name: hq-asa, platform: cisco_asa, address: "198.51.100.1:22", credentials: asa-ops, tags: [london]}
  - {name: lima-rtr, platform: cisco_ios, address: "lima.example.net:22", credentials: asa-ops, vrf: INET, nat_address: 192.0.2.7, capture_acl: CAP, jump: "ops@192.0.2.1:22"}
tunnels:
  - name: london-lima
    kind: l2l
    ends:
      - {device: hq-asa, address: 198.51.100.1, interface: outside, networks: [10.1.0.0/16]}
      - {device: lima-rtr, address: 10.9.9.2, interface: Gi0/0, networks: [10.30.0.0/16, "2001:db8::/48"]}
    probe: {from: hq-asa, source: inside, to: 10.30.0.1}
  - name: london-x
    kind: l2l
    ends:
      - {device: hq-asa, address: 198.51.100.1, interface: outside}
      - {address: 203.0.113.99}
`

func parse(t testing.TB, text string) Config {
	t.Helper()
	c := Config{SSH: Defaults()}
	if err := yaml.UnmarshalWithOptions([]byte(text), &c, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLookups(t *testing.T) {
	inv, err := New(parse(t, sound))
	if err != nil {
		t.Fatal(err)
	}
	nat, far := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("203.0.113.99")
	// A device behind NAT is known to its peer by its public address.
	if got := inv.Peers("HQ-ASA"); !cmp.Equal(got, []netip.Addr{nat, far}, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })) {
		t.Errorf("peers of hq-asa: %v", got)
	}
	if got := inv.Peers(""); got != nil {
		t.Errorf("an empty name has peers %v", got)
	}
	for in, want := range map[string]string{"london-lima": "london-lima", "LONDON-LIMA ": "london-lima", "192.0.2.7": "london-lima", "10.9.9.2": "london-lima", "203.0.113.99": "london-x", "lima-rtr": "london-lima"} {
		if got, err := inv.Tunnel(in); err != nil || got.Name != want {
			t.Errorf("%q: %q %v", in, got.Name, err)
		}
	}
	for in, says := range map[string]string{"hq-asa": "it ends 2", "london-lim": "did you mean london-lima", "": "is not configured", "203.0.113.1": "is not configured", strings.Repeat("x", 500): "is not configured"} {
		var unknown *UnknownError
		if _, err := inv.Tunnel(in); !errors.As(err, &unknown) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", in, err)
		}
	}
	if got := inv.Tagged("nothing-has-it"); len(got) != 0 {
		t.Errorf("a tag that nothing has selects %v", got)
	}
	if got := inv.Tagged("london"); len(got) != 2 {
		t.Errorf("london: %d", len(got))
	}
}

// One wrong value for each rule, and what is said about it.
func TestValidate(t *testing.T) {
	for _, tc := range []struct{ old, new, says string }{
		{"name: hq-asa, platform", `name: "hq asa", platform`, "devices[0].name"},
		{"name: lima-rtr, platform", "name: HQ-ASA, platform", "already the name of devices[0]"},
		{"platform: cisco_asa", "platform: cisco_nxos", "write cisco_asa or cisco_ios"},
		{`"198.51.100.1:22"`, `"198.51.100.1"`, "write host:port"},
		{`"198.51.100.1:22"`, `"198.51.100.1:70000"`, "no number from 1 to 65535"},
		{`"198.51.100.1:22"`, `"0.0.0.0:22"`, "not the address of one host"},
		{`"lima.example.net:22"`, `"lima;reload:22"`, "neither an address nor a host name"},
		{"credentials: asa-ops, tags", "credentials: asa-op, tags", "did you mean asa-ops"},
		{"tags: [london]", `tags: ["a b"]`, "write a tag"},
		{"vrf: INET", `vrf: "a b"`, "as the device knows it"},
		{"vrf: INET", "context: admin", "only an ASA has contexts"},
		{"tags: [london]", "vrf: INET", "only IOS has VRFs"},
		{"tags: [london]", "https: {fingerprint: abc}", "64 hexadecimal digits"},
		{"tags: [london]", "ssh: {connect_timeout: 1ms}", "devices[0].ssh.connect_timeout"},
		{"tags: [london]", "ssh: {sessions_per_device: 6}", "from 1 to 5"},
		{"tags: [london]", `context: "x\nreload"`, "as the device knows it"},
		{`"ops@192.0.2.1:22"`, `"192.0.2.1:22"`, "write user@host:port"},
		{"nat_address: 192.0.2.7", "nat_address: 224.0.0.1", "not the plain address"},
		{"capture_acl: CAP", `capture_acl: "CAP in"`, "as the device knows it"},
		{"kind: l2l\n    ends:\n      - {device: hq-asa, address: 198.51.100.1, interface: outside, networks", "kind: gre\n    ends:\n      - {device: hq-asa, address: 198.51.100.1, interface: outside, networks", "write l2l, ezvpn or remote-access"},
		{"device: lima-rtr, address", "device: lima, address", "did you mean lima-rtr"},
		{"address: 203.0.113.99", "address: 198.51.100.1", "both ends have the address"},
		{"address: 203.0.113.99", "address: fe80::1%eth0", "not the plain address"},
		{"interface: Gi0/0", `interface: "Gi0/0 reload"`, "as the device knows it"},
		{"networks: [10.1.0.0/16]", "networks: [10.1.0.1/16]", "without host bits"},
		{"source: inside", `source: ""`, "does not enter the tunnel"},
		{"from: hq-asa", "from: other", "one of this tunnel's ends"},
		{"username: vpnbot", `username: ""`, "write the account's name"},
		{"password: hidden-password", `password: "hidden-password\n"`, "a line end inside"},
		{"password: hidden-password", "private_key: /does/not/exist", "cannot be read"},
	} {
		text := strings.Replace(sound, tc.old, tc.new, 1)
		if text == sound {
			t.Fatalf("%q is not in the sound configuration", tc.old)
		}
		_, err := New(parse(t, text))
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %q", tc.new, err, tc.says)
		}
		if err != nil && strings.Contains(err.Error(), "hidden-") {
			t.Errorf("%s: the error holds a secret: %v", tc.new, err)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	for _, tc := range []struct{ old, new, says string }{
		{"address: 203.0.113.99", "address: 203.0.113.999", "203.0.113.999"},
		{"networks: [10.1.0.0/16]", "networks: [10.1.0.0]", "10.1.0.0"},
		{"to: 10.30.0.1", "to: somewhere", "somewhere"},
		{"interface: Gi0/0", "interfaces: Gi0/0", "interfaces"}, // an unknown key
		{"source: inside", "sources: inside", "sources"},
	} {
		c := Config{SSH: Defaults()}
		err := yaml.UnmarshalWithOptions([]byte(strings.Replace(sound, tc.old, tc.new, 1)), &c, yaml.Strict())
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", tc.new, err)
		}
	}
}

// However a credential is printed, its secrets do not come along.
func TestCredentialHidesItself(t *testing.T) {
	c := parse(t, sound).Credentials["asa-ops"]
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Error("x", "credential", c)
	text, _ := c.MarshalText()
	asYAML, _ := yaml.Marshal(map[string]Credential{"c": c})
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%+v %#v %q %x %s", c, c, c, c, c), fmt.Sprintf("%v", &c), fmt.Sprintf("%v", []Credential{c}), log.String(), string(text), string(asYAML)} {
		if strings.Contains(s, "hidden-") || strings.Contains(s, fmt.Sprintf("%x", "hidden-")) {
			t.Errorf("%s", s)
		}
	}
}

// A thousand tunnels are read in a time that a person does not notice; there is no clock
// here, but a reader that writes the document anew for each address does not end.
func TestManyTunnels(t *testing.T) {
	var b strings.Builder
	b.WriteString("credentials:\n  ops: {username: vpnbot, password: hidden-password}\ndevices:\n")
	for i := range 2000 {
		fmt.Fprintf(&b, "  - {name: d%d, platform: cisco_asa, address: \"10.%d.%d.1:22\", credentials: ops}\n", i, i/250, i%250)
	}
	b.WriteString("tunnels:\n")
	for i := range 2000 {
		fmt.Fprintf(&b, "  - {name: t%d, kind: l2l, ends: [{device: d%d, address: 10.%d.%d.1, interface: outside, networks: [10.200.0.0/16]}, {address: 203.0.113.9}], probe: {from: d%d, source: inside, to: 10.1.1.1}}\n", i, i, i/250, i%250, i)
	}
	inv, err := New(parse(t, b.String()))
	if err != nil || len(inv.Tunnels()) != 2000 {
		t.Error(err)
	}
}
