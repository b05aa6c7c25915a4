package inventory

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// String hides everything but the user name.
func (c Credential) String() string { return "credential of " + strconv.Quote(c.Username) }

// GoString hides everything but the user name.
func (c Credential) GoString() string { return c.String() }

// Format hides everything but the user name, whatever the verb.
func (c Credential) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// LogValue hides everything but the user name.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText hides everything but the user name.
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Defaults of the session settings (contracts/config.yaml).
func Defaults() SSH {
	return SSH{
		KnownHosts:        "./known_hosts",
		LoginsPerSecond:   10,
		ConnectTimeout:    10 * time.Second,
		CommandTimeout:    30 * time.Second,
		SessionsPerDevice: 1,
		KeepAlive:         4 * time.Minute,
		MaxDevicesAtOnce:  64,
	}
}

// SSHFor gives a device's session settings: the general ones with its own laid over.
func (c Config) SSHFor(d Device) SSH {
	s := c.SSH
	o := d.SSH
	if o.LegacyAlgorithms != nil {
		s.LegacyAlgorithms = *o.LegacyAlgorithms
	}
	if o.ConnectTimeout != nil {
		s.ConnectTimeout = *o.ConnectTimeout
	}
	if o.CommandTimeout != nil {
		s.CommandTimeout = *o.CommandTimeout
	}
	if o.SessionsPerDevice != nil {
		s.SessionsPerDevice = *o.SessionsPerDevice
	}
	if o.KeepAlive != nil {
		s.KeepAlive = *o.KeepAlive
	}
	if o.KnownHosts != nil {
		s.KnownHosts = *o.KnownHosts
	}
	return s
}

var (
	name     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)
	place    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./:-]{0,47}$`) // interface, list, context, VRF
	hostname = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)
	hexOnly  = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
)

// Validate checks the network's part of the configuration whole. Each error names the
// key's path, such as devices[2].address, and says what to write. No error holds a secret.
func (c Config) Validate() []error {
	v := &validation{c: c}
	v.ssh("ssh", c.SSH)
	for _, n := range sortedKeys(c.Credentials) {
		v.credential("credentials."+n, n, c.Credentials[n])
	}
	v.devices()
	v.tunnels()
	return v.errs
}

type validation struct {
	c    Config
	errs []error
}

func (v *validation) fail(path, format string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...)))
}

func (v *validation) ssh(path string, s SSH) {
	if s.KnownHosts == "" {
		v.fail(path+".known_hosts", "write the path of a known_hosts file; without one no device can be trusted")
	}
	if s.LoginsPerSecond < 0 || s.LoginsPerSecond > 1000 {
		v.fail(path+".logins_per_second", "write a number from 0 (no limit) to 1000, got %v", s.LoginsPerSecond)
	}
	v.duration(path+".connect_timeout", s.ConnectTimeout, time.Second, 5*time.Minute)
	v.duration(path+".command_timeout", s.CommandTimeout, time.Second, 30*time.Minute)
	v.number(path+".sessions_per_device", s.SessionsPerDevice, 1, 5)
	v.duration(path+".keep_alive", s.KeepAlive, 0, time.Hour)
	v.number(path+".max_devices_at_once", s.MaxDevicesAtOnce, 1, 10000)
}

func (v *validation) duration(path string, d, lo, hi time.Duration) {
	if d < lo || d > hi {
		v.fail(path, "write a duration from %v to %v such as 30s, got %v", lo, hi, d)
	}
}

func (v *validation) number(path string, n, lo, hi int) {
	if n < lo || n > hi {
		v.fail(path, "write a number from %d to %d, got %d", lo, hi, n)
	}
}

func (v *validation) credential(path, n string, c Credential) {
	if !name.MatchString(n) {
		v.fail(path, "a credential's name needs letters, digits, and _ . - only")
	}
	if c.Username == "" {
		v.fail(path+".username", "write the account's name")
	} else if strings.ContainsFunc(c.Username, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		v.fail(path+".username", "control characters are not allowed")
	}
	for key, s := range map[string]string{"password": c.Password, "enable": c.Enable} {
		if strings.ContainsAny(s, "\r\n\x00") {
			v.fail(path+"."+key, "a line end inside; when it comes from a file, the file may end in one only")
		}
	}
	if c.PrivateKey != "" {
		if st, err := os.Stat(c.PrivateKey); err != nil {
			v.fail(path+".private_key", "cannot be read: %v", errors.Unwrap(err))
		} else if st.IsDir() || st.Size() > 64<<10 {
			v.fail(path+".private_key", "is no key file")
		}
	}
}

func (v *validation) devices() {
	if len(v.c.Devices) == 0 {
		v.fail("devices", "at least one device is needed")
	}
	seen := map[string]int{}
	for i, d := range v.c.Devices {
		at := fmt.Sprintf("devices[%d]", i)
		if !name.MatchString(d.Name) {
			v.fail(at+".name", "write a name of letters, digits, and _ . - (at most 63), got %q", d.Name)
		} else if j, ok := seen[strings.ToLower(d.Name)]; ok {
			v.fail(at+".name", "%q is already the name of devices[%d]", d.Name, j)
		} else {
			seen[strings.ToLower(d.Name)] = i
		}
		if d.Platform != CiscoASA && d.Platform != CiscoIOS {
			v.fail(at+".platform", "write %s or %s (also for IOS XE), got %q", CiscoASA, CiscoIOS, d.Platform)
		}
		v.hostPort(at+".address", d.Address, "198.51.100.1:22")
		if d.Credentials == "" {
			v.fail(at+".credentials", "name one of: %s", strings.Join(sortedKeys(v.c.Credentials), ", "))
		} else if _, ok := v.c.Credentials[d.Credentials]; !ok {
			v.fail(at+".credentials", "%q is not under credentials%s", d.Credentials, didYouMean(d.Credentials, sortedKeys(v.c.Credentials)))
		}
		if d.HTTPS.Port != 0 {
			v.number(at+".https.port", d.HTTPS.Port, 1, 65535)
		}
		if f := Fingerprint(d.HTTPS.Fingerprint); d.HTTPS.Fingerprint != "" && !hexOnly.MatchString(f) {
			v.fail(at+".https.fingerprint", "write the SHA-256 of the certificate as 64 hexadecimal digits, colons allowed")
		}
		if d.HTTPS.CA != "" {
			if _, err := os.Stat(d.HTTPS.CA); err != nil {
				v.fail(at+".https.ca", "cannot be read: %v", errors.Unwrap(err))
			}
		}
		for j, t := range d.Tags {
			if !name.MatchString(t) {
				v.fail(fmt.Sprintf("%s.tags[%d]", at, j), "write a tag of letters, digits, and _ . -, got %q", t)
			}
		}
		if d.Jump != "" {
			user, rest, ok := strings.Cut(d.Jump, "@")
			if !ok || user == "" {
				v.fail(at+".jump", "write user@host:port, got %q", d.Jump)
			} else {
				v.hostPort(at+".jump", rest, "user@jump.example.net:22")
			}
		}
		if d.Context != "" {
			v.place(at+".context", d.Context)
			if d.Platform == CiscoIOS {
				v.fail(at+".context", "only an ASA has contexts; leave it out")
			}
		}
		if d.Standby != "" {
			v.hostPort(at+".standby", d.Standby, "198.51.100.2:22")
		}
		if d.VRF != "" {
			v.place(at+".vrf", d.VRF)
			if d.Platform == CiscoASA {
				v.fail(at+".vrf", "only IOS has VRFs; leave it out")
			}
		}
		if d.NATAddress.IsValid() {
			v.address(at+".nat_address", d.NATAddress)
		}
		if d.CaptureACL != "" {
			v.place(at+".capture_acl", d.CaptureACL)
		}
		before := len(v.errs)
		v.ssh(at+".ssh", v.c.SSHFor(d))
		if d.SSH == (DeviceSSH{}) { // the general settings have their own errors
			v.errs = v.errs[:before]
		}
	}
}

func (v *validation) place(path, s string) {
	if !place.MatchString(s) {
		v.fail(path, "write the name as the device knows it: letters, digits and _ - . / :, at most 48, no blanks; got %q", s)
	}
}

func (v *validation) hostPort(path, s, example string) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		v.fail(path, "write host:port such as %s, got %q", example, s)
		return
	}
	if p, err := strconv.Atoi(port); err != nil || p < 1 || p > 65535 {
		v.fail(path, "the port %q is no number from 1 to 65535", port)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if a.IsUnspecified() || a.IsMulticast() {
			v.fail(path, "%s is not the address of one host", host)
		}
	} else if !hostname.MatchString(host) {
		v.fail(path, "%q is neither an address nor a host name", host)
	}
}

func (v *validation) address(path string, a netip.Addr) {
	switch {
	case !a.IsValid():
		v.fail(path, "write an IPv4 or IPv6 address such as 198.51.100.1")
	case a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsMulticast():
		v.fail(path, "%v is not the plain address of one host", a)
	}
}

func (v *validation) tunnels() {
	seen := map[string]int{}
	deviceNames := make([]string, len(v.c.Devices))
	for i, d := range v.c.Devices {
		deviceNames[i] = d.Name
	}
	pairs := map[string]int{}
	for i, t := range v.c.Tunnels {
		at := fmt.Sprintf("tunnels[%d]", i)
		if !name.MatchString(t.Name) {
			v.fail(at+".name", "write a name of letters, digits, and _ . - (at most 63), got %q", t.Name)
		} else if j, ok := seen[strings.ToLower(t.Name)]; ok {
			v.fail(at+".name", "%q is already the name of tunnels[%d]", t.Name, j)
		} else {
			seen[strings.ToLower(t.Name)] = i
		}
		if t.Kind != L2L && t.Kind != EasyVPN && t.Kind != RemoteAccess {
			v.fail(at+".kind", "write %s, %s or %s, got %q", L2L, EasyVPN, RemoteAccess, t.Kind)
		}
		if n := len(t.Ends); n < 1 || n > 2 {
			v.fail(at+".ends", "write one or two ends, got %d", n)
		} else if n == 1 && t.Kind != RemoteAccess {
			v.fail(at+".ends", "a %s tunnel has two ends; an unmanaged end is written with its address only", t.Kind)
		}
		managed := 0
		for j, e := range t.Ends {
			at := fmt.Sprintf("%s.ends[%d]", at, j)
			if e.Device != "" {
				managed++
				if !slices.Contains(deviceNames, e.Device) {
					v.fail(at+".device", "%q is not under devices%s", e.Device, didYouMean(e.Device, deviceNames))
				}
				if e.Interface == "" {
					v.fail(at+".interface", "write the interface that faces the peer, as the device names it")
				}
			}
			v.address(at+".address", e.Address)
			if e.Interface != "" {
				v.place(at+".interface", e.Interface)
			}
			for k, n := range e.Networks {
				if !n.IsValid() || n != n.Masked() {
					v.fail(fmt.Sprintf("%s.networks[%d]", at, k), "write a network such as 10.1.0.0/16, without host bits; got %v", n)
				}
			}
		}
		if len(t.Ends) > 0 && managed == 0 {
			v.fail(at+".ends", "at least one end needs a device")
		}
		if len(t.Ends) == 2 {
			a, b := t.Ends[0].Address, t.Ends[1].Address
			if a.IsValid() && a == b {
				v.fail(at+".ends", "both ends have the address %v", a)
			}
			if b.Less(a) {
				a, b = b, a
			}
			key := a.String() + " " + b.String()
			if j, ok := pairs[key]; ok && a.IsValid() && b.IsValid() {
				v.fail(at+".ends", "tunnels[%d] has the same two addresses", j)
			}
			pairs[key] = i
		}
		v.probe(at+".probe", t)
	}
}

func (v *validation) probe(at string, t Tunnel) {
	p := t.Probe
	if p == (Probe{}) {
		return
	}
	if !slices.ContainsFunc(t.Ends, func(e End) bool { return e.Device == p.From && p.From != "" }) {
		v.fail(at+".from", "write the device of one of this tunnel's ends, got %q", p.From)
	}
	if p.Source == "" {
		v.fail(at+".source", "write the interface of the protected side; a ping without one does not enter the tunnel")
	} else {
		v.place(at+".source", p.Source)
	}
	v.address(at+".to", p.To)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Fingerprint brings a certificate's fingerprint to plain small hexadecimal digits.
func Fingerprint(s string) string {
	s = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), "sha256:")
	return strings.ReplaceAll(strings.ReplaceAll(s, ":", ""), " ", "")
}
