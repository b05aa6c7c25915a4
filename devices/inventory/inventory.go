// Package inventory holds the configured devices, tunnels and credentials: the one list
// of what vpnbot may talk to. It validates its part of the configuration and answers
// look-ups; it opens no connection.
package inventory

import (
	"net/netip"
	"time"
)

// Platform of a device as configured.
type Platform string

// Platforms (contracts/config.yaml).
const (
	CiscoASA Platform = "cisco_asa"
	CiscoIOS Platform = "cisco_ios" // also IOS XE
)

// Config is the network's part of the configuration file.
type Config struct {
	SSH         SSH                   `yaml:"ssh"`
	Credentials map[string]Credential `yaml:"credentials"`
	Devices     []Device              `yaml:"devices"`
	Tunnels     []Tunnel              `yaml:"tunnels"`
}

// SSH holds the session settings; a device may override some of them.
type SSH struct {
	KnownHosts        string        `yaml:"known_hosts"`
	LegacyAlgorithms  bool          `yaml:"legacy_algorithms"`
	LoginsPerSecond   float64       `yaml:"logins_per_second"` // over the whole fleet; 0: no limit
	ConnectTimeout    time.Duration `yaml:"connect_timeout"`
	CommandTimeout    time.Duration `yaml:"command_timeout"`
	SessionsPerDevice int           `yaml:"sessions_per_device"`
	KeepAlive         time.Duration `yaml:"keep_alive"`
	MaxDevicesAtOnce  int           `yaml:"max_devices_at_once"`
}

// DeviceSSH overrides SSH for one device; nil keeps the general value.
type DeviceSSH struct {
	LegacyAlgorithms  *bool          `yaml:"legacy_algorithms"`
	ConnectTimeout    *time.Duration `yaml:"connect_timeout"`
	CommandTimeout    *time.Duration `yaml:"command_timeout"`
	SessionsPerDevice *int           `yaml:"sessions_per_device"`
	KeepAlive         *time.Duration `yaml:"keep_alive"`
	KnownHosts        *string        `yaml:"known_hosts"`
}

// Credential is how vpnbot logs in. Its secrets are never logged or printed.
type Credential struct {
	Username   string `yaml:"username"`
	Password   string `yaml:"password"`
	Enable     string `yaml:"enable"`
	PrivateKey string `yaml:"private_key"` // path
}

// Device is one ASA or IOS device.
type Device struct {
	Name        string     `yaml:"name"`
	Platform    Platform   `yaml:"platform"`
	Address     string     `yaml:"address"` // host:port
	Credentials string     `yaml:"credentials"`
	HTTPS       HTTPS      `yaml:"https"`
	Tags        []string   `yaml:"tags"`
	Jump        string     `yaml:"jump"` // user@host:port
	Context     string     `yaml:"context"`
	Standby     string     `yaml:"standby"`
	VRF         string     `yaml:"vrf"`
	NATAddress  netip.Addr `yaml:"nat_address"`
	CaptureACL  string     `yaml:"capture_acl"`
	SSH         DeviceSSH  `yaml:"ssh"`
}

// HTTPS is how an ASA's captures are downloaded; without CA and fingerprint HTTPS is not used.
type HTTPS struct {
	Port        int    `yaml:"port"`
	CA          string `yaml:"ca"`
	Fingerprint string `yaml:"fingerprint"` // SHA-256 of the certificate
}

// Kind of a tunnel.
type Kind string

// Tunnel kinds.
const (
	L2L          Kind = "l2l"
	EasyVPN      Kind = "ezvpn"
	RemoteAccess Kind = "remote-access"
)

// Tunnel is one pair of ends.
type Tunnel struct {
	Name  string `yaml:"name"`
	Kind  Kind   `yaml:"kind"`
	Ends  []End  `yaml:"ends"` // one or two
	Probe Probe  `yaml:"probe"`
	ISP   ISP    `yaml:"isp"`
}

// End is one end of a tunnel; an unmanaged end has an address only.
type End struct {
	Device    string         `yaml:"device"`
	Address   netip.Addr     `yaml:"address"`
	Interface string         `yaml:"interface"`
	Networks  []netip.Prefix `yaml:"networks"`
}

// Probe is a ping that is interesting traffic.
type Probe struct {
	From   string     `yaml:"from"`
	Source string     `yaml:"source"` // interface
	To     netip.Addr `yaml:"to"`
}

// ISP is who gets the evidence report.
type ISP struct {
	Name    string `yaml:"name"`
	Contact string `yaml:"contact"`
}
