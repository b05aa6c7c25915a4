package emulator

import (
	"fmt"
	"net"
	"path/filepath"
	"sort"
	"strings"
)

// ConfigYAML is a ready configuration for this network (contracts/config.yaml): the
// sections ssh, credentials, devices and tunnels, which is all that diagnose, show, sweep
// and check need; a caller may add others below. Secrets stand in files under Dir and are
// named by ${file:…}.
func (l *Lab) ConfigYAML() string {
	var b strings.Builder
	q := func(s string) string { return fmt.Sprintf("%q", s) }
	fmt.Fprintf(&b, "# The emulated network under %s. Its secrets are only good here.\n", l.opts.Dir)
	fmt.Fprintf(&b, "ssh:\n  known_hosts: %s\n  logins_per_second: 0\n  connect_timeout: 10s\n  command_timeout: 30s\n", q(filepath.Join(l.opts.Dir, "known_hosts")))
	b.WriteString("credentials:\n")
	names := map[string]bool{}
	for _, d := range l.devices {
		names[d.spec.Credentials] = true
	}
	var sorted []string
	for n := range names {
		sorted = append(sorted, n)
	}
	sort.Strings(sorted)
	for _, n := range sorted {
		c := l.creds[n]
		fmt.Fprintf(&b, "  %s:\n    username: %s\n    password: %s\n", n, c.Username, q("${file:"+l.secrets.path("login", n)+"}"))
		if c.Enable {
			fmt.Fprintf(&b, "    enable: %s\n", q("${file:"+l.secrets.path("enable", n)+"}"))
		}
	}
	b.WriteString("devices:\n")
	for _, d := range l.devices {
		platform := "cisco_ios"
		if d.asa {
			platform = "cisco_asa"
		}
		fmt.Fprintf(&b, "  - name: %s\n    platform: %s\n    address: %s\n    credentials: %s\n", d.spec.Name, platform, d.addr, d.spec.Credentials)
		if d.https != nil {
			_, port, _ := net.SplitHostPort(d.https.addr)
			fmt.Fprintf(&b, "    https: {port: %s, fingerprint: %s}\n", port, q(d.https.fingerprint))
		}
		if d.spec.CaptureACL != "" {
			fmt.Fprintf(&b, "    capture_acl: %s\n", d.spec.CaptureACL)
		}
		fmt.Fprintf(&b, "    tags: [%s]\n", strings.Join(d.spec.Tags, ", "))
	}
	b.WriteString("tunnels:\n")
	for _, t := range l.tunnels {
		s := t.spec
		fmt.Fprintf(&b, "  - name: %s\n    kind: %s\n    ends:\n", s.Name, s.Kind)
		for _, e := range s.Ends {
			var nets []string
			for _, n := range e.Networks {
				nets = append(nets, n.String())
			}
			device := ""
			if e.Device != "" {
				device = fmt.Sprintf("device: %s, interface: %s, ", e.Device, e.Interface)
			}
			fmt.Fprintf(&b, "      - {%saddress: %s, networks: [%s]}\n", device, e.Address, strings.Join(nets, ", "))
		}
		fmt.Fprintf(&b, "    probe: {from: %s, source: %s, to: %s}\n    isp: {name: %s, contact: %s}\n", s.Probe.From, s.Probe.Source, s.Probe.To, q(s.ISP.Name), s.ISP.Contact)
	}
	return b.String()
}
