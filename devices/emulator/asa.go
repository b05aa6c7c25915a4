package emulator

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var versionDigits = regexp.MustCompile(`^(\d+)\.(\d+)`)

// atLeast compares the software's version.
func (d *Device) atLeast(major, minor int) bool {
	p := versionDigits.FindStringSubmatch(d.spec.Version)
	if p == nil {
		return false
	}
	a, _ := strconv.Atoi(p[1])
	b, _ := strconv.Atoi(p[2])
	return a > major || a == major && b >= minor
}

// tables are the command tables, shared by all devices of a kind.
type tables struct {
	config, asaUser, asaOld, asaNew, iosUser, ios, xe *grammar
}

func newTables() *tables {
	return &tables{
		config: configGrammar(), asaUser: asaGrammar(false, false), asaOld: asaGrammar(true, true), asaNew: asaGrammar(true, false),
		iosUser: iosGrammar(false, false), ios: iosGrammar(true, false), xe: iosGrammar(true, true),
	}
}

// grammar is the command table that holds for a session now.
func (d *Device) grammar(s *session) *grammar {
	t := d.lab.tables
	switch {
	case s.config != "":
		return t.config
	case d.asa && !s.privileged:
		return t.asaUser
	case d.asa && d.atLeast(8, 4):
		return t.asaNew
	case d.asa:
		return t.asaOld
	case !s.privileged:
		return t.iosUser
	case d.spec.XE:
		return t.xe
	}
	return t.ios
}

// configGrammar is configuration mode: enough to see that somebody entered it.
func configGrammar() *grammar {
	g := newGrammar()
	leave := func(s *session, a args) string { s.config = ""; return "" }
	g.add("exit|end|quit", leave)
	g.add("<rest:line>", func(s *session, a args) string {
		if strings.HasPrefix(a["line"], "interface ") {
			s.config = "config-if"
		}
		return ""
	})
	return g
}

func asaGrammar(privileged, old bool) *grammar {
	g := newGrammar()
	leave := func(s *session, a args) string { s.quit = true; return "\nLogoff\n\n" }
	g.add("exit|quit|logout", leave)
	g.add("help", func(s *session, a args) string { return "  help [command]\n" })
	g.add("show version", asaVersion)
	g.add("show clock [detail]", func(s *session, a args) string { return s.dev.clock() + "\n" })
	g.add("show curpriv", func(s *session, a args) string {
		lvl := 1
		if s.privileged {
			lvl = 15
		}
		return fmt.Sprintf("Username : %s\nCurrent privilege level : %d\nCurrent Mode/s : P_UNPR\n", s.user, lvl)
	})
	g.add("ping <rest:what>", asaPing)
	if !privileged {
		g.add("enable", func(s *session, a args) string { s.dialog = (*session).enable; return "" })
		g.add("terminal pager <int:lines>", setPager)
		return g
	}
	g.add("disable", func(s *session, a args) string { s.privileged = false; return "" })
	g.add("configure terminal", func(s *session, a args) string { s.config = "config"; return "" })
	g.add("terminal pager <int:lines>", setPager)
	g.add("terminal pager lines <int:lines>", setPager)
	g.add("show terminal", func(s *session, a args) string { return "\nWidth = 80, no monitor\nterminal interactive\n" })

	g.add("show cpu [usage]", func(s *session, a args) string {
		return "CPU utilization for 5 seconds = 7%; 1 minute: 6%; 5 minutes: 6%\n"
	})
	g.add("show memory [detail]", asaMemory)
	g.add("show failover [state]", asaFailover)
	g.add("show mode", func(s *session, a args) string { return "Security context mode: single \n" })
	g.add("show firewall", func(s *session, a args) string { return "Firewall mode: Router\n" })
	g.add("show asp drop", asaASPDrop)
	g.add("show ssh sessions", asaSSHSessions)
	g.add("show logging", asaLogging)
	g.add("show interface ip brief", asaInterfaces)
	g.add("show names", func(s *session, a args) string { return "" })
	g.add("show shun", func(s *session, a args) string { return "" })
	g.add("show threat-detection shun", func(s *session, a args) string { return "Shunned Host List:\n" })
	g.add("show debug", func(s *session, a args) string { return "" })
	g.add("show aaa-server", asaAAA)
	g.add("show ip local pool <word:name>", asaPool)
	g.add("show crypto ca certificates", func(s *session, a args) string { return "" })
	g.add("show access-list", func(s *session, a args) string { return s.dev.asaACLs("") })
	g.add("show access-list <word:name>", func(s *session, a args) string { return s.dev.asaACLs(a["name"]) })
	g.add("show route", func(s *session, a args) string { return s.dev.asaRoutes(netip.Addr{}) })
	g.add("show route <ip:to>", func(s *session, a args) string { return s.dev.asaRoutes(a.ip("to")) })
	g.add("show route <word:interface>", func(s *session, a args) string { return s.dev.asaRoutes(netip.Addr{}) })
	g.add("show route <word:interface> <ip:to>", func(s *session, a args) string { return s.dev.asaRoutes(a.ip("to")) })
	g.add("show nat [detail]", asaNAT)
	g.add("show xlate", func(s *session, a args) string { return "2 in use, 311 most used\n" })
	g.add("show xlate gport <int:port>", func(s *session, a args) string { return "2 in use, 311 most used\n" })
	g.add("show local-host", func(s *session, a args) string {
		return "Licensed host limit: Unlimited\n\nInterface inside: 41 active, 66 maximum active, 0 denied\nInterface outside: 12 active, 31 maximum active, 0 denied\n"
	})
	g.add("show asp table classify domain encrypt", func(s *session, a args) string {
		return "\nInterface outside:\n\nL2 - Output Table:\n\nL2 - Input Table:\n"
	})
	g.add("show asp table vpn-context [detail]", func(s *session, a args) string { return "" })
	g.add("show xlate local <ip:host>", func(s *session, a args) string { return "2 in use, 311 most used\n" })
	g.add("show conn [count]", func(s *session, a args) string { return "412 in use, 5120 most used\n" })
	g.add("show running-config", func(s *session, a args) string { return asaRunning(s, args{}) })
	g.add("show running-config <rest:section>", asaRunning)
	g.add("show startup-config", func(s *session, a args) string { return asaRunning(s, args{}) })
	g.add("more system:running-config", func(s *session, a args) string { return s.dev.RunningConfig() })
	g.add("packet-tracer input <word:interface> <rest:packet>", asaTracer)

	g.add("show crypto isakmp sa", func(s *session, a args) string { return s.dev.asaIsakmp(false, true) })
	g.add("show crypto isakmp sa detail", func(s *session, a args) string { return s.dev.asaIsakmp(true, true) })
	g.add("show isakmp sa", func(s *session, a args) string { return s.dev.asaIsakmp(false, true) })
	g.add("show isakmp sa detail", func(s *session, a args) string { return s.dev.asaIsakmp(true, true) })
	if !old {
		g.add("show crypto ikev1 sa", func(s *session, a args) string { return s.dev.asaIKEv1(false) })
		g.add("show crypto ikev1 sa detail", func(s *session, a args) string { return s.dev.asaIKEv1(true) })
		g.add("show crypto ikev2 sa", func(s *session, a args) string { return s.dev.asaIKEv2(false) })
		g.add("show crypto ikev2 sa detail", func(s *session, a args) string { return s.dev.asaIKEv2(true) })
	}
	g.add("show crypto ipsec sa [detail]", func(s *session, a args) string { return s.dev.asaIPsec(netip.Addr{}) })
	g.add("show crypto ipsec sa peer <ip:peer> [detail]", func(s *session, a args) string { return s.dev.asaIPsec(a.ip("peer")) })
	g.add("show ipsec sa [detail]", func(s *session, a args) string { return s.dev.asaIPsec(netip.Addr{}) })
	g.add("show vpn-sessiondb [summary]", asaSessionSummary)
	g.add("show vpn-sessiondb detail", asaSessionSummary)
	for _, kind := range []string{"l2l", "remote", "ra-ikev1-ipsec", "anyconnect", "svc", "webvpn"} {
		if old && (kind == "ra-ikev1-ipsec" || kind == "anyconnect") || !old && (kind == "remote" || kind == "svc") {
			continue
		}
		for _, detail := range []bool{false, true} {
			p := "show vpn-sessiondb "
			if detail {
				p += "detail "
			}
			g.add(p+kind, func(s *session, a args) string { return s.dev.asaSessions(kind, detail, netip.Addr{}) })
			g.add(p+kind+" filter ipaddress|p-ipaddress <ip:peer>", func(s *session, a args) string { return s.dev.asaSessions(kind, detail, a.ip("peer")) })
			g.add(p+kind+" filter name <word:name>", func(s *session, a args) string { return s.dev.asaSessions(kind, detail, netip.Addr{}) })
		}
	}
	if old {
		g.add("show vpnclient [detail]", asaVPNClient)
	}

	g.add("show capture", asaCaptures)
	g.add("show capture <word:name>", func(s *session, a args) string { return s.dev.asaCapture(a["name"], false, false) })
	g.add("show capture <word:name> detail", func(s *session, a args) string { return s.dev.asaCapture(a["name"], false, true) })
	g.add("show capture <word:name> dump", func(s *session, a args) string { return s.dev.asaCapture(a["name"], true, false) })
	g.add("show capture <word:name> decode", func(s *session, a args) string { return s.dev.asaCapture(a["name"], false, false) })
	g.add("capture <word:name> <rest:options>", asaStartCapture)
	g.add("no capture <word:name>", asaDropCapture)
	g.add("no capture <word:name> interface <word:interface>", asaStopCapture)
	g.add("clear capture <word:name>", func(s *session, a args) string {
		if c := s.dev.capture(a["name"]); c != nil && c.running() {
			c.start(s.dev)
		}
		return ""
	})

	// Clears. Without a peer they clear everything: a mistake must be visible.
	all := func(s *session, a args) string { s.dev.clearAll(); return "" }
	one := func(s *session, a args) string { s.dev.clearPeer(a.ip("peer")); return "" }
	isakmpOne := func(s *session, a args) string {
		if s.dev.broken().noIKEPeer {
			s.dev.lab.log.Debug("this image takes no peer", "device", s.dev.spec.Name)
			line := "clear crypto isakmp sa "
			return strings.Repeat(" ", len(s.prompt())+len(line)) + "^\nERROR: % Invalid input detected at '^' marker.\n"
		}
		return one(s, a)
	}
	g.add("clear crypto isakmp sa", all)
	g.add("clear isakmp sa", all)
	g.add("clear crypto isakmp sa <ip:peer>", isakmpOne)
	if !old {
		g.add("clear crypto ikev1 sa", func(s *session, a args) string { s.dev.clearIKE(1); return "" })
		g.add("clear crypto ikev1 sa <ip:peer>", one)
		g.add("clear crypto ikev2 sa", func(s *session, a args) string { s.dev.clearIKE(2); return "" })
		g.add("clear crypto ikev2 sa <ip:peer>", one)
	}
	g.add("clear crypto ipsec sa", all)
	g.add("clear ipsec sa", all)
	g.add("clear crypto ipsec sa counters", func(s *session, a args) string { return "" })
	g.add("clear crypto ipsec sa peer <ip:peer>", func(s *session, a args) string {
		for _, e := range s.dev.ends {
			if e.remote() == a.ip("peer") {
				e.t.settle()
				if e.t.carries(e.i) {
					e.t.clear(e.i)
				}
			}
		}
		return ""
	})
	g.add("vpn-sessiondb logoff ipaddress <ip:peer> noconfirm", asaLogoff)
	g.add("vpn-sessiondb logoff index <int:index> noconfirm", func(s *session, a args) string {
		for _, e := range s.dev.ends {
			e.t.settle()
			if e.t.carries(e.i) && e.t.conn[e.i] == a.int("index", -1) && e.t.clear(e.i) {
				return fmt.Sprintf("INFO: Session with Index = %d has been logged off\n", a.int("index", -1))
			}
		}
		return "INFO: There are presently no active sessions matching the specified filter\n"
	})
	g.add("vpn-sessiondb logoff ipaddress <ip:peer>", func(s *session, a args) string {
		s.asking = func(k byte) {
			if k == '\r' || k == 'y' || k == 'Y' {
				s.dev.lab.mu.Lock()
				text := asaLogoff(s, a)
				s.dev.lab.mu.Unlock()
				s.print(text)
			}
		}
		return ""
	})
	g.add("vpn-sessiondb logoff all noconfirm", func(s *session, a args) string {
		return fmt.Sprintf("INFO: Number of sessions of type \"all\" logged off : %d\n", s.dev.clearAll())
	})
	g.add("vpn-sessiondb logoff l2l noconfirm", func(s *session, a args) string {
		return fmt.Sprintf("INFO: Number of sessions of type \"l2l\" logged off : %d\n", s.dev.clearAll())
	})
	g.add("write memory", func(s *session, a args) string { return "Building configuration...\n[OK]\n" })
	g.add("reload <rest:options>", func(s *session, a args) string { return "" })
	return g
}

func setPager(s *session, a args) string { s.pager = a.int("lines", 24); return "" }

// clearPeer drops the SAs with one peer and returns how many tunnels that were.
func (d *Device) clearPeer(peer netip.Addr) int {
	n := 0
	for _, e := range d.ends {
		if e.remote() == peer && e.t.clear(e.i) {
			n++
		}
	}
	return n
}

func (d *Device) clearAll() int {
	n := 0
	for _, e := range d.ends {
		if e.t.clear(e.i) {
			n++
		}
	}
	return n
}

func (d *Device) clearIKE(version int) {
	for _, e := range d.ends {
		if e.t.spec.IKE == version {
			e.t.clear(e.i)
		}
	}
}

func asaLogoff(s *session, a args) string {
	peer := a.ip("peer")
	n := 0
	for _, e := range s.dev.ends {
		e.t.settle()
		if e.remote() == peer && e.t.carries(e.i) && e.t.clear(e.i) {
			n++
		}
	}
	return fmt.Sprintf("INFO: Number of sessions with IP address \"%s\" logged off : %d\n", peer, n)
}

// clock is the device's local time as show clock prints it.
func (d *Device) clock() string {
	return d.lab.now().In(d.zone).Format("15:04:05.000 ") + d.zoneName() + d.lab.now().In(d.zone).Format(" Mon Jan 2 2006")
}

func (d *Device) zoneName() string {
	if d.spec.Zone.Name == "" {
		return "UTC"
	}
	return d.spec.Zone.Name
}

var asaPingForm = regexp.MustCompile(`^(?:(\S+) )?(\d+\.\d+\.\d+\.\d+)((?: (?:repeat|size|timeout|data) \S+| validate)*)$`)

func asaPing(s *session, a args) string {
	what := strings.Join(strings.Fields(a["what"]), " ")
	if rest, ok := strings.CutPrefix(what, "tcp "); ok {
		what = rest
	}
	p := asaPingForm.FindStringSubmatch(what)
	if p == nil {
		return strings.Repeat(" ", len(s.prompt())+5) + "^\nERROR: % Invalid input detected at '^' marker.\n"
	}
	if p[1] != "" && s.dev.iface(p[1]) == nil {
		return strings.Repeat(" ", len(s.prompt())+5) + "^\nERROR: % Invalid input detected at '^' marker.\n"
	}
	to := netip.MustParseAddr(p[2])
	n, size := 5, 100
	opts := strings.Fields(p[3])
	for i := 0; i+1 < len(opts); i += 2 {
		v, err := strconv.Atoi(opts[i+1])
		switch {
		case opts[i] == "repeat" && err == nil:
			n = min(max(v, 1), 10000)
		case opts[i] == "size" && err == nil:
			size = v
		}
	}
	var src netip.Addr
	if f := s.dev.iface(p[1]); f != nil {
		src = f.Address.Addr()
	}
	r := s.dev.ping(src, to, n, size+28, false) // an ASA counts the data, not the headers
	s.pause = time.Duration(r.lost) * lostPing
	var b strings.Builder
	b.WriteString("Type escape sequence to abort.\n")
	fmt.Fprintf(&b, "Sending %d, %d-byte ICMP Echos to %s, timeout is 2 seconds:\n", n, size, to)
	b.WriteString(marks(r, "?"))
	writeRate(&b, r, 38)
	return b.String()
}

// lostPing is how long a lost ping takes here; a real one takes its two seconds.
const lostPing = 20 * time.Millisecond

func marks(r pingResult, lost string) string {
	bad := strings.Repeat(lost, r.lost)
	good := strings.Repeat("!", r.sent-r.lost)
	all := bad + good
	var b strings.Builder
	for len(all) > 70 {
		b.WriteString(all[:70] + "\n")
		all = all[70:]
	}
	return b.String() + all + "\n"
}

func writeRate(b *strings.Builder, r pingResult, rtt int) {
	got := r.sent - r.lost
	fmt.Fprintf(b, "Success rate is %d percent (%d/%d)", got*100/r.sent, got, r.sent)
	if got > 0 {
		fmt.Fprintf(b, ", round-trip min/avg/max = %d/%d/%d ms", rtt-8, rtt, rtt+12)
	}
	b.WriteString("\n")
}

func (d *Device) iface(name string) *ifaceSpec {
	for i := range d.spec.Interfaces {
		if name != "" && strings.EqualFold(d.spec.Interfaces[i].Name, name) {
			return &d.spec.Interfaces[i]
		}
	}
	return nil
}

// ping sends n echo requests from src (zero: the outside address) to an address. Lab.mu
// is held.
func (d *Device) ping(src, to netip.Addr, n, size int, df bool) pingResult {
	for _, f := range d.spec.Interfaces {
		if f.Address.Contains(to) && !f.Outside && f.Name != "outside" {
			return pingResult{sent: n} // a neighbour
		}
	}
	for _, e := range d.ends {
		if to == e.remote() {
			r := pingResult{sent: n}
			switch {
			case size > 1500 && df:
				r.lost, r.tooBig = n, true
			case size > 1500 && e.t.spec.DropsFrags != "":
				r.lost = n // one direction loses fragments: no echo comes round
			}
			return r
		}
		inside := false
		for _, p := range e.spec().Networks {
			inside = inside || p.Contains(src)
		}
		for _, p := range e.t.spec.Ends[1-e.i].Networks {
			if p.Contains(to) && inside {
				return e.t.probe(e.i, n, size, df)
			}
		}
	}
	// not interesting traffic: it leaves in clear and nobody answers
	return pingResult{sent: n, lost: n}
}

var captureName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,32}$`)

func (d *Device) capture(name string) *capture {
	for _, c := range d.captures {
		if strings.EqualFold(c.name, name) {
			return c
		}
	}
	return nil
}

// asaStartCapture reads the options as the ASA does, in any order.
func asaStartCapture(s *session, a args) string {
	d := s.dev
	at := func(word string) string {
		return strings.Repeat(" ", len(s.prompt())+len("capture ")+len(a["name"])+1+strings.Index(a["options"]+" ", word)) + "^\nERROR: % Invalid input detected at '^' marker.\n"
	}
	if !captureName.MatchString(a["name"]) {
		return "ERROR: Capture name is too long or has characters that are not allowed\n"
	}
	if old := d.capture(a["name"]); old != nil && old.running() {
		return fmt.Sprintf("ERROR: Capture <%s> is already defined\n", a["name"])
	}
	c := &capture{name: a["name"], kind: "raw-data", buffer: 524288, snaplen: 1518}
	w := strings.Fields(a["options"])
	var shown []string
	for i := 0; i < len(w); {
		value := ""
		if i+1 < len(w) {
			value = w[i+1]
		}
		number, err := strconv.Atoi(value)
		switch {
		case w[i] == "interface" && value != "":
			if d.iface(value) == nil {
				return fmt.Sprintf("ERROR: Interface <%s> not found\n", value)
			}
			c.ifname = value
			i += 2
		case w[i] == "buffer" && err == nil && number >= 1534 && number <= 33554432:
			c.buffer = number
			shown = append(shown, "buffer "+value)
			i += 2
		case w[i] == "packet-length" && err == nil && number >= 64 && number <= 9216:
			c.snaplen = number
			shown = append(shown, "packet-length "+value)
			i += 2
		case w[i] == "circular-buffer":
			c.circular = true
			shown = append(shown, w[i])
			i++
		case w[i] == "access-list" && value != "":
			if len(d.aces(value)) == 0 {
				return fmt.Sprintf("ERROR: access-list <%s> does not exist\n", value)
			}
			c.acl = value
			c.matches = append(c.matches, d.aces(value)...)
			shown = append(shown, "access-list "+value)
			i += 2
		case w[i] == "type" && (value == "raw-data" || value == "isakmp" || value == "asp-drop"):
			c.kind = value
			i += 2
			if i < len(w) && (w[i] == "ikev1" || w[i] == "ikev2" || value == "asp-drop") {
				i++
			}
		case w[i] == "match":
			m, used, bad := parseMatch(w[i+1:], false)
			if bad >= 0 {
				if i+1+bad >= len(w) {
					return "ERROR: % Incomplete command\n"
				}
				return at(w[i+1+bad])
			}
			if len(c.matches) >= 3 {
				return "ERROR: only 3 match clauses are allowed\n"
			}
			c.matches = append(c.matches, m)
			i += 1 + used
		default:
			if i+1 >= len(w) && w[i] != "trace" {
				return "ERROR: % Incomplete command\n"
			}
			return at(w[i])
		}
	}
	if c.ifname == "" && c.kind != "asp-drop" {
		return "ERROR: % Incomplete command\n"
	}
	c.options = strings.Join(shown, " ")
	if old := d.capture(c.name); old != nil {
		d.remove(old)
	}
	d.captures = append(d.captures, c)
	if f := d.iface(c.ifname); f != nil && f.Name == "outside" {
		c.start(d)
	} else {
		c.started = d.lab.now() // nothing of the recordings passes another interface
	}
	return ""
}

func (d *Device) remove(c *capture) {
	for i, x := range d.captures {
		if x == c {
			d.captures = append(d.captures[:i:i], d.captures[i+1:]...)
			return
		}
	}
}

func asaDropCapture(s *session, a args) string {
	c := s.dev.capture(a["name"])
	if c == nil {
		return fmt.Sprintf("ERROR: Capture <%s> does not exist\n", a["name"])
	}
	c.stop(s.dev.lab.now())
	s.dev.remove(c)
	return ""
}

func asaStopCapture(s *session, a args) string {
	c := s.dev.capture(a["name"])
	if c == nil {
		return fmt.Sprintf("ERROR: Capture <%s> does not exist\n", a["name"])
	}
	c.stop(s.dev.lab.now())
	return ""
}

var aceForm = regexp.MustCompile(`^access-list (\S+) extended permit (.*)$`)

// aces are the permit lines of an access list as capture filters: one direction each.
func (d *Device) aces(name string) []match {
	var out []match
	for _, l := range d.config {
		if p := aceForm.FindStringSubmatch(strings.TrimSpace(l)); p != nil && p[1] == name {
			if m, _, bad := parseMatch(strings.Fields(p[2]), false); bad < 0 {
				m.oneWay = true
				out = append(out, m)
			}
		}
	}
	return out
}
