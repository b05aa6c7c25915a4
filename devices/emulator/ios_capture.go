package emulator

import (
	"fmt"
	"strings"
	"time"
)

// xeCaptures are the embedded packet capture commands of IOS XE.
func xeCaptures(g *grammar) {
	get := func(s *session, a args) *capture {
		c := s.dev.capture(a["name"])
		if c == nil {
			c = &capture{name: a["name"], kind: "raw-data", buffer: 10 << 20, configured: true}
			s.dev.captures = append(s.dev.captures, c)
		}
		return c
	}
	g.add("monitor capture <word:name> interface <word:interface> <word:direction>", func(s *session, a args) string {
		if s.dev.iface(a["interface"]) == nil {
			return "% Invalid interface\n"
		}
		get(s, a).ifname = a["interface"]
		return ""
	})
	g.add("monitor capture <word:name> match ipv4 <rest:filter>", func(s *session, a args) string {
		w := strings.Fields(a["filter"])
		oneWay := true
		if len(w) > 0 && w[len(w)-1] == "bidirectional" {
			oneWay, w = false, w[:len(w)-1]
		}
		if len(w) > 0 {
			if _, ok := protoNumbers[w[0]]; !ok {
				w = append([]string{"ip"}, w...)
			}
			if w[0] == "protocol" && len(w) > 1 {
				w = w[1:]
			}
		}
		m, used, bad := parseMatch(w, true)
		if bad >= 0 || used != len(w) {
			return "% Invalid input detected at '^' marker.\n"
		}
		m.oneWay = oneWay
		get(s, a).matches = append(get(s, a).matches, m)
		return ""
	})
	g.add("monitor capture <word:name> match any", func(s *session, a args) string {
		get(s, a).matches = nil
		return ""
	})
	g.add("monitor capture <word:name> access-list <word:acl>", func(s *session, a args) string {
		return get(s, a).setACL(s.dev, a["acl"])
	})
	g.add("monitor capture <word:name> buffer size <int:mb>", func(s *session, a args) string {
		get(s, a).buffer = a.int("mb", 10) << 20
		return ""
	})
	g.add("monitor capture <word:name> buffer circular", func(s *session, a args) string { get(s, a).circular = true; return "" })
	g.add("monitor capture <word:name> buffer circular size <int:mb>", func(s *session, a args) string {
		get(s, a).circular = true
		get(s, a).buffer = a.int("mb", 10) << 20
		return ""
	})
	g.add("monitor capture <word:name> limit duration <int:seconds>", func(s *session, a args) string {
		get(s, a).limit = time.Duration(a.int("seconds", 0)) * time.Second
		return ""
	})
	g.add("monitor capture <word:name> limit packet-len <int:bytes>", func(s *session, a args) string {
		get(s, a).snaplen = a.int("bytes", 0)
		return ""
	})
	g.add("monitor capture <word:name> limit duration <int:seconds> packet-len <int:bytes>", func(s *session, a args) string {
		get(s, a).limit = time.Duration(a.int("seconds", 0)) * time.Second
		get(s, a).snaplen = a.int("bytes", 0)
		return ""
	})
	g.add("monitor capture <word:name> start", func(s *session, a args) string {
		c := s.dev.capture(a["name"])
		switch {
		case c == nil:
			return fmt.Sprintf("Capture %s does not exist\n", a["name"])
		case c.ifname == "":
			return "Unable to activate Capture:  interface is not defined.\n"
		case len(c.matches) == 0 && c.acl == "":
			return "Unable to activate Capture:  filter is not defined.\n"
		case c.running():
			return fmt.Sprintf("Capture %s is already active\n", c.name)
		}
		c.begin(s.dev)
		return "Started capture point : " + c.name + "\n"
	})
	g.add("monitor capture <word:name> stop", func(s *session, a args) string {
		c := s.dev.capture(a["name"])
		if c == nil || !c.running() {
			return fmt.Sprintf("Capture %s is not active\n", a["name"])
		}
		n := len(c.packets(s.dev.lab.now()))
		c.stop(s.dev.lab.now())
		return fmt.Sprintf("Capture statistics collected at software:\n\tCapture duration - %d seconds\n\tPackets received - %d\n\tPackets dropped - 0\n\tPackets oversized - 0\n\nStopped capture point : %s\n", int(c.stopped.Sub(c.started).Seconds()), n, c.name)
	})
	g.add("monitor capture <word:name> clear", func(s *session, a args) string {
		if c := s.dev.capture(a["name"]); c != nil {
			c.kept = nil
		}
		return "Cleared buffer : " + a["name"] + "\n"
	})
	g.add("monitor capture <word:name> export <word:file>", func(s *session, a args) string {
		return "Exported Successfully\n"
	})
	g.add("no monitor capture <word:name>", func(s *session, a args) string {
		c := s.dev.capture(a["name"])
		if c == nil {
			return fmt.Sprintf("Capture %s does not exist\n", a["name"])
		}
		if c.running() {
			c.stop(s.dev.lab.now())
		}
		s.dev.remove(c)
		return ""
	})
	g.add("show monitor capture", func(s *session, a args) string {
		var b strings.Builder
		for _, c := range s.dev.captures {
			b.WriteString(c.status() + "\n")
		}
		return b.String()
	})
	g.add("show monitor capture <word:name>", func(s *session, a args) string {
		c := s.dev.capture(a["name"])
		if c == nil {
			return fmt.Sprintf("Capture %s does not exist\n", a["name"])
		}
		return c.status()
	})
	g.add("show monitor capture <word:name> parameter", func(s *session, a args) string {
		c := s.dev.capture(a["name"])
		if c == nil {
			return fmt.Sprintf("Capture %s does not exist\n", a["name"])
		}
		out := fmt.Sprintf("   monitor capture %s interface %s both\n", c.name, c.ifname)
		for _, m := range c.matches {
			out += fmt.Sprintf("   monitor capture %s match ipv4 %s\n", c.name, m.text)
		}
		return out + fmt.Sprintf("   monitor capture %s buffer size %d\n", c.name, c.buffer>>20)
	})
	g.add("show monitor capture <word:name> buffer", func(s *session, a args) string {
		c := s.dev.capture(a["name"])
		if c == nil {
			return fmt.Sprintf("Capture %s does not exist\n", a["name"])
		}
		ps := c.packets(s.dev.lab.now())
		n := 0
		for _, p := range ps {
			n += len(p.data)
		}
		return fmt.Sprintf(" buffer size (KB) : %d\n buffer used (KB) : %d\n packets in buf   : %d\n packets dropped  : 0\n packets per sec  : 1\n", c.buffer>>10, n>>10, len(ps))
	})
	for _, form := range []string{"brief", "dump", "detailed"} {
		g.add("show monitor capture <word:name> buffer "+form, func(s *session, a args) string {
			c := s.dev.capture(a["name"])
			if c == nil {
				return fmt.Sprintf("Capture %s does not exist\n", a["name"])
			}
			return xeBuffer(c.packets(s.dev.lab.now()), form)
		})
	}
}

func xeBuffer(ps []packet, form string) string {
	var b strings.Builder
	if len(ps) == 0 {
		return ""
	}
	const rule = " ----------------------------------------------------------------------------\n"
	if form != "dump" {
		b.WriteString(rule + " #   size   timestamp     source             destination      dscp    protocol\n" + rule)
	}
	for i, p := range ps {
		h, _ := parseHeader(p.ip())
		if form != "dump" {
			proto := map[int]string{1: "ICMP", 6: "TCP", 17: "UDP", 50: "ESP"}[h.proto]
			fmt.Fprintf(&b, " %3d %4d %11.6f   %-16s ->  %-16s 0  BE   %s\n", i, p.orig, p.at.Sub(ps[0].at).Seconds(), h.src, h.dst, proto)
		} else {
			fmt.Fprintf(&b, "%d\n", i)
		}
		if form != "brief" {
			for at := 0; at < len(p.data); at += 16 {
				row := p.data[at:min(at+16, len(p.data))]
				var text strings.Builder
				hex := ""
				for j := range 16 {
					if j == 8 || j > 0 && j%4 == 0 && j != 8 {
						hex += " "
					}
					if j < len(row) {
						hex += fmt.Sprintf("%02X", row[j])
						if row[j] >= 0x20 && row[j] < 0x7f {
							text.WriteByte(row[j])
						} else {
							text.WriteByte('.')
						}
					} else {
						hex += "  "
					}
				}
				fmt.Fprintf(&b, "  %04X:  %s   %s\n", at, hex, text.String())
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

func (c *capture) status() string {
	state := "Inactive"
	if c.running() {
		state = "Active"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nStatus Information for Capture %s\n  Target Type: \n Interface: %s, Direction: BOTH\n   Status : %s\n  Filter Details: \n", c.name, c.ifname, state)
	if c.acl != "" {
		fmt.Fprintf(&b, "    Access-list: %s\n", c.acl)
	}
	for _, m := range c.matches {
		if c.acl == "" {
			fmt.Fprintf(&b, "   IPv4 \n    Source IP:  %s\n    Destination IP:  %s\n   Protocol: any\n", m.src, m.dst)
		}
	}
	kind := "LINEAR (default)"
	if c.circular {
		kind = "CIRCULAR"
	}
	fmt.Fprintf(&b, "  Buffer Details: \n   Buffer Type: %s\n   Buffer Size (in MB): %d\n  File Details: \n   File not associated\n  Limit Details: \n   Number of Packets to capture: 0 (no limit)\n   Packet Capture duration: %d\n   Packet Size to capture: %d\n   Packet sampling rate: 0 (no sampling)\n",
		kind, c.buffer>>20, int(c.limit.Seconds()), c.snaplen)
	return b.String()
}

// begin starts a capture on IOS when its interface faces the peers.
func (c *capture) begin(d *Device) {
	if f := d.iface(c.ifname); f != nil && f.Outside {
		c.start(d)
		return
	}
	c.started, c.stopped = d.lab.now(), time.Time{}
}

func (c *capture) setACL(d *Device, name string) string {
	ms := d.iosACEs(name)
	if len(ms) == 0 {
		return "% Access-list " + name + " does not exist\n"
	}
	c.acl, c.matches = name, ms
	return ""
}

// iosACEs are the permit lines of a named extended list as capture filters.
func (d *Device) iosACEs(name string) []match {
	var out []match
	in := false
	for _, l := range d.config {
		if strings.HasPrefix(l, "ip access-list extended ") {
			in = strings.TrimPrefix(l, "ip access-list extended ") == name
			continue
		}
		if !strings.HasPrefix(l, " ") {
			in = false
		}
		if rest, ok := strings.CutPrefix(strings.TrimSpace(l), "permit "); ok && in {
			if m, _, bad := parseMatch(strings.Fields(rest), true); bad < 0 {
				m.oneWay = true
				out = append(out, m)
			}
		}
	}
	return out
}

// classicCaptures are the buffer and point commands of IOS 12.4(20)T to 15.
func classicCaptures(g *grammar) {
	// a buffer is the capture; points that feed it are kept on the device by name
	g.add("monitor capture buffer <word:name> <rest:options>", func(s *session, a args) string {
		d := s.dev
		c := d.capture(a["name"])
		w := strings.Fields(a["options"])
		if c == nil {
			if len(w) > 0 && w[0] == "filter" {
				return "% Capture Buffer " + a["name"] + " does not exist\n"
			}
			c = &capture{name: a["name"], kind: "raw-data", buffer: 1 << 20, snaplen: 68, configured: true}
			d.captures = append(d.captures, c)
		}
		for i := 0; i < len(w); {
			value := ""
			if i+1 < len(w) {
				value = w[i+1]
			}
			n := args{"n": value}.int("n", -1)
			switch {
			case w[i] == "size" && n > 0:
				c.buffer = n << 10
				i += 2
			case w[i] == "max-size" && n > 0:
				c.snaplen = n
				i += 2
			case w[i] == "linear":
				i++
			case w[i] == "circular":
				c.circular = true
				i++
			case w[i] == "clear":
				c.kept = nil
				i++
			case w[i] == "filter" && value == "access-list" && i+2 < len(w):
				if msg := c.setACL(d, w[i+2]); msg != "" {
					return msg
				}
				return "Filter Association succeeded\n"
			case w[i] == "limit" && i+2 < len(w):
				i += 3
			case w[i] == "export":
				return ""
			default:
				return "% Invalid input detected at '^' marker.\n\n"
			}
		}
		return ""
	})
	point := func(s *session, a args) string {
		d := s.dev
		name := a["point"]
		if d.capture("point "+name) != nil {
			return "% Capture Point " + name + " already exists\n"
		}
		p := &capture{name: "point " + name, kind: "point", ifname: a["interface"], configured: true}
		d.captures = append(d.captures, p)
		return ""
	}
	g.add("monitor capture point ip cef <word:point> <word:interface> <word:direction>", point)
	g.add("monitor capture point ip process-switched <word:point> <word:direction>", point)
	g.add("monitor capture point associate <word:point> <word:buffer>", func(s *session, a args) string {
		p, c := s.dev.capture("point "+a["point"]), s.dev.capture(a["buffer"])
		if p == nil || c == nil {
			return "% Capture Point or Buffer does not exist\n"
		}
		p.point = []string{a["buffer"]}
		c.ifname = or(p.ifname, c.ifname)
		return ""
	})
	g.add("monitor capture point start <word:point>", func(s *session, a args) string {
		p := s.dev.capture("point " + a["point"])
		if p == nil || len(p.point) == 0 {
			return "% Capture Point is not associated to a buffer\n"
		}
		p.started, p.stopped = s.dev.lab.now(), time.Time{}
		if c := s.dev.capture(p.point[0]); c != nil && !c.running() {
			// the router's own IKE passes the process-switched point of any interface
			c.start(s.dev)
		}
		return ""
	})
	g.add("monitor capture point stop <word:point>", func(s *session, a args) string {
		p := s.dev.capture("point " + a["point"])
		if p == nil {
			return "% Capture Point does not exist\n"
		}
		p.stopped = s.dev.lab.now()
		if len(p.point) > 0 {
			for _, x := range s.dev.captures {
				if x != p && x.kind == "point" && x.running() && len(x.point) > 0 && x.point[0] == p.point[0] {
					return ""
				}
			}
			if c := s.dev.capture(p.point[0]); c != nil {
				c.stop(s.dev.lab.now())
			}
		}
		return ""
	})
	drop := func(s *session, a args) string {
		c := s.dev.capture(a["name"])
		if c == nil {
			return "% Capture Buffer does not exist\n"
		}
		s.dev.remove(c)
		return ""
	}
	g.add("no monitor capture buffer <word:name>", drop)
	dropPoint := func(s *session, a args) string {
		c := s.dev.capture("point " + a["point"])
		if c == nil {
			return "% Capture Point does not exist\n"
		}
		s.dev.remove(c)
		return ""
	}
	g.add("no monitor capture point ip cef <word:point> <word:interface> <word:direction>", dropPoint)
	g.add("no monitor capture point ip process-switched <word:point> <word:direction>", dropPoint)
	show := func(s *session, c *capture) string {
		ps := c.packets(s.dev.lab.now())
		kind := "linear"
		if c.circular {
			kind = "circular"
		}
		assoc := ""
		for _, p := range s.dev.captures {
			if p.kind == "point" && len(p.point) > 0 && p.point[0] == c.name {
				state := "Inactive"
				if p.running() {
					state = "Active"
				}
				assoc += fmt.Sprintf("Name : %s, Status : %s\n", strings.TrimPrefix(p.name, "point "), state)
			}
		}
		return fmt.Sprintf("Capture buffer %s (%s buffer)\nBuffer Size : %d bytes, Max Element Size : %d bytes, Packets : %d\nAllow-nth-pak : 0, Duration : 0 (seconds), Max packets : 0, pps : 0\nAssociated Capture Points:\n%sConfiguration:\nmonitor capture buffer %s size %d max-size %d %s \n\n",
			c.name, kind, c.buffer, c.snaplen, len(ps), assoc, c.name, c.buffer>>10, c.snaplen, kind)
	}
	g.add("show monitor capture buffer all parameters", func(s *session, a args) string {
		out := ""
		for _, c := range s.dev.captures {
			if c.kind != "point" {
				out += show(s, c)
			}
		}
		return out
	})
	g.add("show monitor capture point all", func(s *session, a args) string {
		out := ""
		for _, p := range s.dev.captures {
			if p.kind == "point" {
				state := "Inactive"
				if p.running() {
					state = "Active"
				}
				out += fmt.Sprintf("Status Information for Capture Point %s\nIPv4 CEF\nSwitch Path: IPv4 CEF            , Capture Buffer: %s\nStatus : %s\n\n", strings.TrimPrefix(p.name, "point "), strings.Join(p.point, ""), state)
			}
		}
		return out
	})
	g.add("show monitor capture buffer <word:name> parameters", func(s *session, a args) string {
		c := s.dev.capture(a["name"])
		if c == nil {
			return "% Capture Buffer " + a["name"] + " does not exist\n"
		}
		return show(s, c)
	})
	for _, dump := range []bool{false, true} {
		pattern := "show monitor capture buffer <word:name>"
		if dump {
			pattern += " dump"
		}
		g.add(pattern, func(s *session, a args) string {
			c := s.dev.capture(a["name"])
			if c == nil {
				return "% Capture Buffer " + a["name"] + " does not exist\n"
			}
			return classicBuffer(s.dev, c, dump)
		})
	}
}

// classicBuffer prints packets as 12.4T and 15 do: local time with the zone, the switch
// path and the interfaces, then rows with memory addresses.
func classicBuffer(d *Device, c *capture, dump bool) string {
	var b strings.Builder
	for _, p := range c.packets(d.lab.now()) {
		at := p.at.In(d.zone)
		h, _ := parseHeader(p.ip())
		in, out := c.ifname, "None"
		for _, e := range d.ends {
			if h.src == e.local() {
				in, out = "None", c.ifname
			}
		}
		fmt.Fprintf(&b, "%s%s : IPv4 LES CEF    : %s %s\n\n", at.Format("15:04:05.000 "), d.zoneName()+at.Format(" Jan 2 2006"), short(in), short(out))
		if !dump {
			continue
		}
		base := 0x0F0A2000
		for at := 0; at < len(p.data); at += 16 {
			row := p.data[at:min(at+16, len(p.data))]
			hex, text := "", ""
			for j := range 16 {
				if j > 0 && j%4 == 0 {
					hex += " "
				}
				if j < len(row) {
					hex += fmt.Sprintf("%02X", row[j])
					if row[j] >= 0x20 && row[j] < 0x7f {
						text += string(rune(row[j]))
					} else {
						text += "."
					}
				} else {
					hex += "  "
				}
			}
			fmt.Fprintf(&b, "%08X: %s  %s\n", base+at, hex, text)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func short(name string) string {
	return strings.NewReplacer("GigabitEthernet", "Gi", "FastEthernet", "Fa").Replace(name)
}
