package emulator

import (
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// MaxSessions is how many SSH connections a device accepts; the next one is closed
// before its banner, as an ASA does.
const MaxSessions = 5

const (
	maxLogLines = 2000
	maxExecuted = 200_000
)

// Line is one line that a session executed, as the device understood it.
type Line struct {
	At      time.Time
	Text    string // as it arrived, after line editing
	Command string // abbreviations expanded, "" when it was not understood
	Mode    string // "user", "exec" or "config"
	Session int    // counts from 1 on each device
}

// Capture is the state of one capture on a device.
type Capture struct {
	Name      string
	Interface string
	Running   bool
	Packets   int
}

// Device is one emulated device. Its exported methods may be called at any time.
type Device struct {
	lab    *Lab
	spec   deviceSpec
	asa    bool
	zone   *time.Location
	config []string // the running configuration with its keys in clear

	// with Lab.mu held
	ends     []end
	log      []string
	logged   int
	captures []*capture
	mate     []*capture // of the standby unit
	booted   time.Time
	seq      int

	mu        sync.Mutex
	ln        net.Listener
	lnStandby net.Listener
	addr      string
	standby   string // address of the standby unit
	second    bool   // the secondary unit is the active one
	keys      []hostKey
	https     *httpsServer
	conns     map[*conn]struct{}
	sessions  int
	executed  []Line
	dropped   int
	accepted  int
	rejected  int
	configs   int
	overrides map[string]string
	faults    faults
	user      string
	password  string
	enable    string
}

// faults are the switches for tests; the zero value is a healthy device.
type faults struct {
	hangConnect bool
	hangAfter   string
	closeMid    string
	echo        func(sofar string, c byte) (stored, echoed []byte)
	wrongKey    ssh.Signer
	pagerForced bool
	denied      []string
	suffix      *string
	banner      *string
	chunk       int
	chunkDelay  time.Duration
	idle        time.Duration
	legacy      bool
	noIKEPeer   bool
	authKeys    []ssh.PublicKey
	refused     bool
	rejectAll   bool
	added       string // at the end of every output
}

func (l *Lab) newDevice(spec deviceSpec, files fs.FS, texts map[string]string) (*Device, error) {
	d := &Device{
		lab: l, spec: spec, asa: spec.Platform == "asa",
		conns: map[*conn]struct{}{}, overrides: map[string]string{},
		zone:   time.FixedZone(spec.Zone.Name, int(spec.Zone.Offset.Seconds())),
		booted: l.started.Add(-spec.Uptime),
		seq:    100 + len(spec.Name),
	}
	if spec.Zone.Name == "" {
		d.zone = time.UTC
	}
	cred, ok := l.creds[spec.Credentials]
	if !ok {
		return nil, fmt.Errorf("no credentials %q", spec.Credentials)
	}
	var err error
	d.user = cred.Username
	if d.password, err = l.secrets.get("login", spec.Credentials); err != nil {
		return nil, err
	}
	if cred.Enable {
		if d.enable, err = l.secrets.get("enable", spec.Credentials); err != nil {
			return nil, err
		}
	}
	text, err := readText(files, texts, spec.Config)
	if err != nil {
		return nil, err
	}
	if text, err = l.secrets.fill(text); err != nil {
		return nil, err
	}
	d.config = strings.Split(strings.TrimRight(text, "\n"), "\n")
	if spec.Log != "" {
		text, err := readText(files, texts, spec.Log)
		if err != nil {
			return nil, err
		}
		events, err := parseLog([]byte(text))
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			d.logLine(l.started.Add(e.at), e.text)
		}
	}
	if d.keys, err = l.hostKeys(spec); err != nil {
		return nil, err
	}
	return d, nil
}

// listen opens the device's ports.
func (d *Device) listen() error {
	host := d.lab.opts.Listen
	ln, err := d.lab.listenTCP(net.JoinHostPort(host, "0"))
	if err != nil {
		return fmt.Errorf("listen for SSH: %w", err)
	}
	d.mu.Lock()
	d.ln, d.addr = ln, ln.Addr().String()
	d.mu.Unlock()
	d.lab.wg.Add(1)
	go d.accept(ln, false)
	if d.paired() {
		if ln, err = d.lab.listenTCP(net.JoinHostPort(host, "0")); err != nil {
			return fmt.Errorf("listen for SSH: %w", err)
		}
		d.mu.Lock()
		d.lnStandby, d.standby = ln, ln.Addr().String()
		d.mu.Unlock()
		d.lab.wg.Add(1)
		go d.accept(ln, true)
	}
	if d.spec.HTTPS {
		if d.https, err = d.serveHTTPS(host); err != nil {
			return err
		}
	}
	return nil
}

// shut closes listeners and connections.
func (d *Device) shut() {
	d.mu.Lock()
	if d.ln != nil {
		d.ln.Close()
	}
	if d.lnStandby != nil {
		d.lnStandby.Close()
	}
	h := d.https
	conns := make([]*conn, 0, len(d.conns))
	for c := range d.conns {
		conns = append(conns, c)
	}
	d.mu.Unlock()
	for _, c := range conns {
		c.close()
	}
	if h != nil {
		h.close()
	}
}

// Name of the device in the configuration.
func (d *Device) Name() string { return d.spec.Name }

// Addr is host:port of its SSH server.
func (d *Device) Addr() string { return d.addr }

// HTTPSAddr is host:port of its HTTPS server, "" without one.
func (d *Device) HTTPSAddr() string {
	if d.https == nil {
		return ""
	}
	return d.https.addr
}

// Fingerprint is the SHA-256 of the HTTPS certificate in hex, "" without HTTPS.
func (d *Device) Fingerprint() string {
	if d.https == nil {
		return ""
	}
	return d.https.fingerprint
}

// Login returns the account of the device: user, password and enable password.
func (d *Device) Login() (user, password, enable string) { return d.user, d.password, d.enable }

// Executed returns every line that sessions executed, oldest first.
func (d *Device) Executed() []Line {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.executed)
}

// Count returns how many executed commands begin with prefix, abbreviations expanded.
func (d *Device) Count(prefix string) int {
	n := 0
	for _, l := range d.Executed() {
		if strings.HasPrefix(l.Command, prefix) {
			n++
		}
	}
	return n
}

// Clears counts executed clears and log-offs: everything that drops an SA.
func (d *Device) Clears() int {
	return d.Count("clear crypto") + d.Count("vpn-sessiondb logoff")
}

// ConfigModeEntered counts how often a session entered configuration mode.
func (d *Device) ConfigModeEntered() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.configs
}

// Logins counts accepted logins and rejected passwords or keys.
func (d *Device) Logins() (accepted, rejected int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.accepted, d.rejected
}

// Sessions is how many SSH connections are open now.
func (d *Device) Sessions() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.conns)
}

// Captures lists what the device captures or holds now. The capture points of a router
// belong to their buffer and are listed only when it is gone.
func (d *Device) Captures() []Capture {
	d.lab.mu.Lock()
	defer d.lab.mu.Unlock()
	var out []Capture
	for _, c := range d.everyCapture() {
		if c.kind == "point" && len(c.point) > 0 && d.capture(c.point[0]) != nil {
			continue
		}
		out = append(out, Capture{strings.TrimPrefix(c.name, "point "), c.ifname, c.running(), len(c.packets(d.lab.now()))})
	}
	return out
}

// RunningConfig is the configuration with its keys in clear.
func (d *Device) RunningConfig() string { return strings.Join(d.config, "\n") + "\n" }

// record notes an executed line.
func (d *Device) record(l Line) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.executed) >= maxExecuted {
		d.executed = d.executed[1:]
		d.dropped++
	}
	d.executed = append(d.executed, l)
	if l.Command == "configure terminal" {
		d.configs++
	}
}

// logLine writes one line to the log buffer; text begins with the message id.
// Called with Lab.mu held, or before the lab runs.
func (d *Device) logLine(at time.Time, text string) {
	at = at.In(d.zone)
	var line string
	switch {
	case d.asa:
		line = at.Format("Jan 02 2006 15:04:05: ") + text
	case d.spec.LogStyle == "zone":
		line = at.Format("Jan _2 15:04:05.000 ") + d.spec.Zone.Name + ": " + text
	default:
		d.seq++
		line = at.Format("Jan _2 15:04:05.000: ") + text
	}
	d.logged++
	d.log = append(d.log, line)
	if len(d.log) > maxLogLines {
		d.log = d.log[len(d.log)-maxLogLines:]
	}
}

// settle brings all tunnels of the device to the present. Called with Lab.mu held.
func (d *Device) settle() {
	for _, e := range d.ends {
		e.t.settle()
	}
}

// logUp writes what a device logs when a tunnel came up.
func (d *Device) logUp(t *tunnel, i int, at time.Time, initiator bool) {
	e := end{t, i}
	peer := e.remote()
	if !d.asa {
		d.logLine(at, fmt.Sprintf("%%CRYPTO-5-SESSION_STATUS: Crypto tunnel is UP  .  Peer %s:500       Id: %s", peer, peer))
		return
	}
	who := fmt.Sprintf("Group = %s, IP = %s", peer, peer)
	kind := fmt.Sprintf("LAN-to-LAN Group (%s)", peer)
	if e.ezvpn() {
		who = fmt.Sprintf("Group = %s, Username = %s, IP = %s", t.spec.Group, t.spec.User, peer)
		kind = fmt.Sprintf("User (%s)", t.spec.User)
	}
	role := "Responder"
	if initiator {
		role = "Initiator"
		d.logLine(at, fmt.Sprintf("%%ASA-5-713041: IP = %s, IKE Initiator: New Phase 1, Intf inside, IKE Peer %s  local Proxy Address %s, remote Proxy Address %s,  Crypto map (%s)",
			peer, peer, e.localNet().addr(), e.remoteNet().addr(), e.spec().Map))
	}
	d.logLine(at, "%ASA-5-713119: "+who+", PHASE 1 COMPLETED")
	for _, s := range []struct {
		dir string
		spi uint32
	}{{"outbound", e.spiOut()}, {"inbound", e.spiIn()}} {
		from, to := e.local(), peer
		if s.dir == "inbound" {
			from, to = to, from
		}
		d.logLine(at, fmt.Sprintf("%%ASA-6-602303: IPSEC: An %s LAN-to-LAN SA (SPI= 0x%08X) between %s and %s (user= %s) has been created.", s.dir, s.spi, from, to, peer))
	}
	d.logLine(at, fmt.Sprintf("%%ASA-5-713049: %s, Security negotiation complete for %s  %s, Inbound SPI = 0x%08x, Outbound SPI = 0x%08x", who, kind, role, e.spiIn(), e.spiOut()))
	d.logLine(at, fmt.Sprintf("%%ASA-5-713120: %s, PHASE 2 COMPLETED (msgid=%08x)", who, e.spiIn()^0x5a5a5a5a))
}

// logDown writes what a device logs when SAs are deleted, by its own administrator or
// by the peer.
func (d *Device) logDown(t *tunnel, i int, at time.Time, own bool) {
	e := end{t, i}
	peer := e.remote()
	if !d.asa {
		if t.state == Up || t.state == Stale {
			d.logLine(at, fmt.Sprintf("%%CRYPTO-5-SESSION_STATUS: Crypto tunnel is DOWN.  Peer %s:500       Id: %s", peer, peer))
		}
		return
	}
	if t.state == Stuck {
		return
	}
	reason := "Peer Terminate"
	if own {
		reason = "Administrator Reset"
	}
	who := fmt.Sprintf("Group = %s, Username = %s, IP = %s", peer, peer, peer)
	kind := "LAN-to-LAN"
	if e.ezvpn() {
		who, kind = fmt.Sprintf("Group = %s, Username = %s, IP = %s", t.spec.Group, t.spec.User, peer), "IPsec"
	}
	d.logLine(at, fmt.Sprintf("%%ASA-5-713259: Group = %s, IP = %s, Session is being torn down. Reason: %s", peer, peer, reason))
	d.logLine(at, fmt.Sprintf("%%ASA-4-113019: %s, Session disconnected. Session Type: %s, Duration: %s, Bytes xmt: %d, Bytes rcv: %d, Reason: %s",
		who, kind, duration(e.age()), e.sizeOf(e.encaps()), e.sizeOf(e.decaps()), reason))
}

// duration as an ASA prints it: 7h:12m:09s or 1d 2h:03m:04s.
func duration(v time.Duration) string {
	s := int64(v / time.Second)
	out := fmt.Sprintf("%dh:%02dm:%02ds", s/3600%24, s/60%60, s%60)
	if s >= 86400 {
		out = fmt.Sprintf("%dd %s", s/86400, out)
	}
	return out
}
