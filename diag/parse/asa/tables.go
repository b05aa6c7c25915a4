package asa

import (
	"net/netip"
	"strings"
	"time"

	"vpnbot/diag/facts"
	"vpnbot/diag/redact"
)

// maxRows bounds the counters that one output may add.
const maxRows = 5000

// counter appends a counter; Reading is the number of earlier readings of that name.
func (p *reader) counter(group, name string, value, limit int64, text string, l facts.Line) {
	if p.rows++; p.rows > maxRows {
		return
	}
	p.dev.Counters = append(p.dev.Counters, facts.Counter{Group: group, Name: redact.Strip(name), Value: value, Limit: limit,
		Text: redact.Strip(strings.TrimSpace(text)), Reading: p.earlier(), Place: p.place(l)})
}

// earlier is the number of answers to the same command before this one.
func (p *reader) earlier() int {
	if p.reading < 0 {
		p.reading = 0
		for i := range p.dev.Outputs {
			o := &p.dev.Outputs[i]
			if o.Command == p.out.Command && o.Filter == p.out.Filter && !o.Refused {
				p.reading++
			}
		}
	}
	return p.reading
}

// aspDrop: "  Expired VPN context (vpn-context-expired)     17"
func (p *reader) aspDrop() {
	for _, l := range p.out.Text {
		t := strings.TrimSpace(l.Text)
		if t == "" || strings.HasSuffix(t, ":") || strings.HasPrefix(t, "Last clearing") {
			continue
		}
		i := strings.LastIndexByte(t, '(')
		if i < 0 {
			p.skip(l)
			continue
		}
		name, rest, _ := strings.Cut(t[i+1:], ")")
		if rest == "" { // a name that the width of the screen cut
			name = firstWord(name)
			rest = t[strings.LastIndexByte(t, ' ')+1:]
		}
		n := count(strings.TrimSpace(rest))
		if n == facts.NotShown {
			p.skip(l)
			continue
		}
		p.counter("asp-drop", name, n, facts.NotShown, t[:i], l)
	}
}

// memory: "Free memory:         9812344 bytes ( 4%)"
func (p *reader) memory() {
	value := map[string]int64{}
	lines := map[string]facts.Line{}
	for _, l := range p.out.Text {
		t := strings.TrimSpace(l.Text)
		for _, k := range []string{"Free memory", "Used memory", "Total memory"} {
			if rest, ok := strings.CutPrefix(t, k); ok {
				name := strings.ToLower(firstWord(k))
				if _, seen := value[name]; !seen {
					value[name] = count(strings.TrimLeft(rest, ": "))
					lines[name] = l
				}
			}
		}
	}
	total, ok := value["total"]
	if !ok {
		total = facts.NotShown
		if value["free"] > 0 && value["used"] > 0 {
			total = value["free"] + value["used"]
		}
	}
	for _, k := range []string{"free", "used"} {
		v, ok := value[k]
		if !ok || v == facts.NotShown {
			continue
		}
		limit := total
		if limit == facts.NotShown { // a filtered answer still has the percentage
			if _, pct, found := strings.Cut(lines[k].Text, "("); found {
				if n := count(strings.TrimSpace(pct)); n > 0 {
					limit = v / n * 100
				}
			}
		}
		p.counter("memory", k, v, limit, lines[k].Text, lines[k])
	}
}

// localPool: Begin End Mask Free Held In use. The counter's value is what is free, its limit all addresses.
func (p *reader) localPool() {
	name := ""
	if rest, ok := strings.CutPrefix(p.out.Command, "show ip local pool "); ok {
		f := strings.Fields(p.out.Typed)
		name = rest
		if len(f) > 0 && strings.EqualFold(f[len(f)-1], rest) {
			name = f[len(f)-1]
		}
	}
	for _, l := range p.out.Text {
		f := strings.Fields(l.Text)
		switch {
		case len(f) >= 6 && dottedQuad(f[0]) && dottedQuad(f[1]):
			free, held, used := count(f[3]), count(f[4]), count(f[5])
			if free < 0 || held < 0 || used < 0 {
				p.skip(l)
				continue
			}
			n := name
			if n == "" {
				n = f[0] + "-" + f[1]
			}
			p.counter("ip-local-pool", n, free, free+held+used, l.Text, l)
		case len(f) >= 5 && f[0] == "show" && f[3] == "pool":
			name = f[4]
		case len(f) == 2 && strings.EqualFold(f[0], "pool:"):
			name = f[1]
		}
	}
}

func dottedQuad(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is4()
}

// version reads show version: release, name, and the licence's numbers.
func (p *reader) version() {
	for _, l := range p.out.Text {
		t := strings.TrimSpace(l.Text)
		switch {
		case strings.HasPrefix(t, "Cisco Adaptive Security Appliance Software Version "), strings.HasPrefix(t, "Cisco PIX Security Appliance Software Version "), strings.HasPrefix(t, "Cisco PIX Firewall Version "):
			setVersion(p.dev, firstWord(t[strings.Index(t, "Version ")+len("Version "):]))
		case strings.Contains(t, " up ") && (strings.Contains(t, " day") || strings.Contains(t, " hour") || strings.Contains(t, " min") || strings.Contains(t, " sec")):
			name, _, _ := strings.Cut(t, " up ")
			if !strings.Contains(name, " ") && p.dev.Hostname == "" {
				p.dev.Hostname = name
			}
			p.counter("version", "uptime", 0, facts.NotShown, t, l)
		default:
			k, v, ok := strings.Cut(t, ":")
			if !ok {
				continue
			}
			v = strings.TrimSpace(v)
			key := strings.ToLower(strings.Join(strings.Fields(k), "-"))
			switch key {
			case "inside-hosts", "vpn-peers", "total-vpn-peers", "other-vpn-peers", "total-udp-proxy-sessions", "ssl-vpn-peers", "webvpn-peers", "anyconnect-premium-peers", "anyconnect-essentials", "anyconnect-peers", "failover", "vpn-des", "vpn-3des-aes", "encryption-des", "encryption-3des-aes", "maximum-vlans", "security-contexts", "hardware", "license-mode", "dual-isps", "vpn-throughput", "throughput-level":
				p.counter("version", key, count(v), facts.NotShown, v, l)
			}
		}
	}
}

// shun: "shun (outside) 192.0.2.1 0.0.0.0 0 0 0", "outside=ON, cnt=5", and threat detection's lists.
func (p *reader) shun() {
	group := "shun"
	if strings.Contains(p.out.Command, "scanning-threat") {
		group = "threat-detection"
	}
	section := ""
	for _, l := range p.out.Text {
		t := strings.TrimSpace(l.Text)
		if strings.HasSuffix(t, ":") || strings.Contains(t, "Host List") || strings.Contains(t, "Target") && !strings.ContainsAny(t, "0123456789") {
			section = strings.TrimSuffix(t, ":")
			continue
		}
		found := false
		for f := range strings.FieldsSeq(strings.NewReplacer("src-ip=", " ", "dst-ip=", " ", "=", " ", ",", " ").Replace(t)) {
			if a, err := netip.ParseAddr(f); err == nil && !a.IsUnspecified() {
				n := facts.NotShown
				if _, c, ok := strings.Cut(t, "cnt="); ok {
					n = count(c)
				}
				p.counter(group, a.String(), n, facts.NotShown, strings.TrimSpace(section+" "+t), l)
				found = true
				break
			}
		}
		if !found {
			p.skip(l)
		}
	}
}

// xlate: one counter per translation, its name the two ends as printed.
func (p *reader) xlate() {
	for _, l := range p.out.Text {
		t := strings.TrimSpace(l.Text)
		f := strings.Fields(t)
		switch {
		case len(f) >= 4 && f[1] == "in" && f[2] == "use,":
			p.counter("xlate", "in-use", count(f[0]), facts.NotShown, t, l)
		case strings.Contains(t, " from ") && strings.Contains(t, " to ") || strings.HasPrefix(t, "NAT from "):
			_, rest, _ := strings.Cut(t, "from ")
			from, to, _ := strings.Cut(rest, " to ")
			p.counter("xlate", firstWord(from)+" "+firstWord(to), 1, facts.NotShown, t, l)
		case strings.Contains(t, "Global ") && strings.Contains(t, "Local "):
			_, rest, _ := strings.Cut(t, "Global ")
			global, local, _ := strings.Cut(rest, "Local ")
			p.counter("xlate", port8(firstWord(local))+" "+port8(firstWord(global)), 1, facts.NotShown, t, l)
		}
	}
}

// port8 writes 192.0.2.1(500) as 192.0.2.1/500.
func port8(s string) string {
	return strings.TrimSuffix(strings.Replace(s, "(", "/", 1), ")")
}

// natTable reads show nat: hits of each rule; value is translate_hits, and a second counter
// with " untranslate" behind the name has untranslate_hits.
func (p *reader) natTable() {
	p.natRules()
	var rule facts.Line
	for _, l := range p.out.Text {
		t := strings.TrimSpace(l.Text)
		if !strings.HasPrefix(t, "translate_hits") {
			if t != "" && !strings.HasPrefix(t, "Source -") && !strings.HasPrefix(t, "Destination -") && !strings.HasPrefix(t, "Service -") {
				if rule.N != 0 && l.N == rule.N+1 && strings.HasPrefix(strings.TrimSpace(rule.Text), "match ") { // 8.2: match line, then the kind
					rule.Text += " " + t
					rule.N = l.N
				} else {
					rule = l
				}
			}
			continue
		}
		name := strings.Join(strings.Fields(rule.Text), " ")
		if name == "" {
			p.skip(l)
			continue
		}
		at := rule
		a, b, _ := strings.Cut(t, ",")
		p.counter("nat", name, count(strings.TrimLeft(afterByte(a, '='), " ")), facts.NotShown, name, at)
		p.counter("nat", name+" untranslate", count(strings.TrimLeft(afterByte(b, '='), " ")), facts.NotShown, name, at)
	}
}

// natRules takes the rules themselves from show nat [detail], where no configuration has
// them: their order is what decides.
func (p *reader) natRules() {
	c := p.dev.Config
	if c != nil && (!c.Partial || len(c.NAT) > 0) {
		return
	}
	if c == nil {
		c = &facts.Config{Place: p.out.Place, Source: p.src, Partial: true, Names: map[string]netip.Addr{}}
	}
	k := &configReader{reader: p, c: c, parent: [4]int{-1, -1, -1, -1}}
	section := 0
	for _, l := range p.out.Text {
		t := strings.TrimSpace(l.Text)
		if i := strings.Index(t, "(Section "); i >= 0 && len(t) > i+9 {
			section = int(t[i+9] - '0')
			continue
		}
		if source, ok := strings.CutPrefix(t, "Source - Origin: "); ok && len(c.NAT) > 0 {
			r := &c.NAT[len(c.NAT)-1]
			r.SrcReal, r.SrcMapped = origins(source, r.SrcReal, r.SrcMapped)
		}
		if dest, ok := strings.CutPrefix(t, "Destination - Origin: "); ok && len(c.NAT) > 0 {
			r := &c.NAT[len(c.NAT)-1]
			r.DstMapped, r.DstReal = origins(dest, r.DstMapped, r.DstReal)
		}
		// 1 (inside) to (outside) source static lan lan destination static far far no-proxy-arp
		f := strings.Fields(t)
		if section == 0 || len(f) < 7 || !number(f[0]) || f[2] != "to" || f[4] != "source" || f[1][0] != '(' || f[3][0] != '(' {
			continue
		}
		pair := "(" + strings.Trim(f[1], "()") + "," + strings.Trim(f[3], "()") + ")"
		switch section {
		case 2:
			r := k.natPair([]string{"nat", pair}, l)
			r.Form, r.Names.SrcReal = "object", f[6]
			k.objectNAT(r, append([]string{f[5]}, f[7:]...))
			c.NAT = append(c.NAT, *r)
		case 3:
			k.nat(append([]string{"nat", pair, "after-auto"}, f[4:]...), false, l)
		default:
			k.nat(append([]string{"nat", pair}, f[4:]...), false, l)
		}
		if len(c.NAT) >= 20_000 {
			break
		}
	}
	if len(c.NAT) > 0 {
		p.dev.Config = c
		k.finish()
	}
}

// addressOnly takes a port behind a dot off.
func addressOnly(s string) string {
	if strings.Count(s, ".") == 4 {
		return s[:strings.LastIndexByte(s, '.')]
	}
	return s
}

// origins reads "10.1.1.0/24, Translated: 10.1.1.0/24"; what cannot be read stays as it was.
func origins(s string, origin, translated []netip.Prefix) (a, b []netip.Prefix) {
	from, to, _ := strings.Cut(s, "Translated:")
	read := func(s string, was []netip.Prefix) []netip.Prefix {
		var out []netip.Prefix
		for _, w := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' }) {
			if p, err := netip.ParsePrefix(w); err == nil {
				out = append(out, p.Masked())
			}
		}
		if len(out) == 0 {
			return was
		}
		return out
	}
	return read(from, origin), read(to, translated)
}

// localHost: "Interface inside: 50 active, 50 maximum active, 12 denied", and the licence's limit.
func (p *reader) localHost() {
	for _, l := range p.out.Text {
		t := strings.TrimSpace(l.Text)
		switch {
		case strings.HasPrefix(t, "Interface "):
			name, rest, ok := strings.Cut(t[len("Interface "):], ":")
			if !ok {
				continue
			}
			active, most, denied := facts.NotShown, facts.NotShown, facts.NotShown
			for part := range strings.SplitSeq(rest, ",") {
				f := strings.Fields(part)
				switch {
				case len(f) == 2 && f[1] == "active":
					active = count(f[0])
				case len(f) >= 3 && f[1] == "maximum":
					most = count(f[0])
				case len(f) == 2 && f[1] == "denied":
					denied = count(f[0])
				}
			}
			p.counter("local-host", name, active, most, t, l)
			if denied != facts.NotShown {
				p.counter("local-host", name+" denied", denied, facts.NotShown, t, l)
			}
		case strings.Contains(t, "licensed host limit"):
			_, rest, _ := strings.Cut(t, ":")
			_, limit, _ := strings.Cut(rest, ":")
			p.counter("local-host", "hosts", count(strings.TrimSpace(rest)), count(strings.TrimSpace(limit)), t, l)
		}
	}
}

// failover: state, and who is what.
func (p *reader) failover() {
	for _, l := range p.out.Text {
		t := strings.TrimSpace(l.Text)
		switch {
		case strings.HasPrefix(t, "Failover On"), strings.HasPrefix(t, "Failover Off"):
			n := int64(0)
			if strings.HasPrefix(t, "Failover On") {
				n = 1
			}
			p.counter("failover", "on", n, facts.NotShown, t, l)
		case strings.HasPrefix(t, "This host:"), strings.HasPrefix(t, "This Host:"), strings.HasPrefix(t, "This context:"):
			p.counter("failover", "this-host", facts.NotShown, facts.NotShown, afterByte(t, ':'), l)
		case strings.HasPrefix(t, "Other host:"), strings.HasPrefix(t, "Other Host:"), strings.HasPrefix(t, "Peer context:"):
			p.counter("failover", "other-host", facts.NotShown, facts.NotShown, afterByte(t, ':'), l)
		case strings.HasPrefix(t, "Last Failover at"):
			p.counter("failover", "last", facts.NotShown, facts.NotShown, afterByte(t, ':'), l)
		case strings.HasPrefix(t, "VPN IKE"), strings.HasPrefix(t, "VPN IPSEC"), strings.HasPrefix(t, "VPN CTCP"), strings.HasPrefix(t, "VPN SDI"), strings.HasPrefix(t, "VPN DHCP"):
			f := strings.Fields(t)
			if len(f) >= 7 {
				p.counter("failover", strings.Join(f[:len(f)-4], " ")+" errors", count(f[len(f)-3])+count(f[len(f)-1]), facts.NotShown, t, l)
			}
		}
	}
}

// aaaServer: counters named "GROUP ADDRESS what", and "GROUP ADDRESS status" with the status as text.
func (p *reader) aaaServer() {
	group, addr := "", ""
	for _, l := range p.out.Text {
		t := strings.TrimSpace(l.Text)
		if rest, ok := strings.CutPrefix(t, "Number of "); ok {
			i := strings.LastIndexAny(rest, " \t")
			if i > 0 && count(rest[i+1:]) >= 0 {
				p.counter("aaa-server", strings.TrimSpace(group+" "+addr+" "+strings.TrimSpace(rest[:i])), count(rest[i+1:]), facts.NotShown, t, l)
			}
			continue
		}
		k, v, ok := strings.Cut(t, ":")
		if !ok {
			continue
		}
		v = strings.TrimSpace(v)
		switch strings.ToLower(strings.TrimSpace(k)) {
		case "server group":
			group, addr = v, ""
		case "server address", "server hostname":
			addr = firstWord(v)
		case "server status":
			p.counter("aaa-server", strings.TrimSpace(group+" "+addr+" status"), facts.NotShown, facts.NotShown, v, l)
		case "average round trip time":
			p.counter("aaa-server", strings.TrimSpace(group+" "+addr+" round-trip-ms"), count(v), facts.NotShown, t, l)
		}
	}
}

// classify reads show asp table classify: one counter per rule, named "domain src dst", the
// text holds its cs_id; its place is the line of hits and cs_id.
func (p *reader) classify() {
	var first facts.Line
	var domain, id, cs, src string
	var hits int64
	for _, l := range p.out.Text {
		t := strings.TrimSpace(l.Text)
		if strings.Contains(t, "domain=") {
			first, domain, id, cs, src, hits = l, value(t, "domain="), value(t, "id="), "", "", facts.NotShown
			continue
		}
		if strings.HasPrefix(t, "hits=") {
			hits, cs = count(value(t, "hits=")), value(t, "cs_id=")
			if cs != "" {
				first = l // hits and context stand here: what tells two rules apart
			}
			continue
		}
		if strings.HasPrefix(t, "src ip") {
			src = value(t, "=") + "/" + value(t, "mask=")
			continue
		}
		if strings.HasPrefix(t, "dst ip") && domain != "" {
			dst := value(t, "=") + "/" + value(t, "mask=")
			p.counter("asp-classify", domain+" "+src+" "+dst, hits, facts.NotShown, "id="+id+" cs_id="+cs, first)
		}
	}
}

// value reads what follows a key up to a comma or blank.
func value(t, key string) string {
	v := after(t, key)
	if i := strings.IndexAny(v, ", "); i >= 0 {
		v = v[:i]
	}
	return v
}

// vpnContext reads show asp table vpn-context [detail]: counters named "PEER ENCR" or
// "PEER DECR" with the packets; the text holds state, flags and SPI.
func (p *reader) vpnContext() {
	var first facts.Line
	f := map[string]string{}
	flush := func() {
		if flags := f["Flags"]; flags != "" {
			dir, _, _ := strings.Cut(flags, "+")
			p.counter("vpn-context", strings.TrimSpace(f["Peer IP"]+" "+dir), count(f["Pkts"]), facts.NotShown, "state="+f["State"]+" flags="+flags+" spi="+f["SPI"]+" bad-spi="+f["Bad SPI"], first)
		}
		f = map[string]string{}
	}
	for _, l := range p.out.Text {
		t := strings.TrimSpace(l.Text)
		if strings.HasPrefix(t, "VPN CTX") {
			flush()
			first = l
			if strings.Contains(t, ", ") { // one line per context: VPN CTX=0x.., Ptr=.., DECR+ESP, UP, pk=..
				for part := range strings.SplitSeq(t, ",") {
					part = strings.TrimSpace(part)
					switch {
					case strings.HasPrefix(part, "DECR"), strings.HasPrefix(part, "ENCR"):
						f["Flags"] = part
					case strings.HasPrefix(part, "UP"), strings.HasPrefix(part, "DOWN"):
						f["State"] = part
					case strings.HasPrefix(part, "pk="):
						f["Pkts"] = part[3:]
					}
				}
			}
			continue
		}
		if k, v, ok := strings.Cut(t, "="); ok && len(f) < 64 {
			f[strings.TrimSpace(k)] = strings.TrimSpace(v)
		}
	}
	flush()
}

// loggingQueue: Logging Queue length limit, current, most, discarded.
func (p *reader) logging() {
	var limit, current int64 = facts.NotShown, facts.NotShown
	var at facts.Line
	for _, l := range p.out.Text {
		t := strings.TrimSpace(l.Text)
		switch {
		case strings.HasPrefix(t, "Logging Queue length limit"):
			limit, at = count(strings.TrimLeft(afterByte(t, ':'), " ")), l
		case strings.Contains(t, " msgs on queue"):
			current = count(strings.TrimPrefix(t, "Current "))
			if at.N == 0 {
				at = l
			}
		}
		if n, rest, ok := strings.Cut(t, " msg(s) discarded"); ok && rest != "" {
			p.counter("logging", "discarded", count(n), facts.NotShown, t, l)
		}
	}
	if at.N != 0 {
		p.counter("logging", "queue", current, limit, at.Text, at)
	}
}

// capture reads show capture: the captures that exist with their bytes; of the packets that
// one prints line by line how many went from whom to whom.
func (p *reader) capture() {
	type flow struct{ src, dst, proto string }
	flows, first := map[flow]int64{}, map[flow]facts.Line{}
	var order, pieces []flow
	defer func() {
		for _, k := range order {
			p.counter("capture-flow", k.src+" > "+k.dst+" "+k.proto, flows[k], facts.NotShown, first[k].Text, first[k])
		}
		for _, k := range pieces {
			p.counter("capture-fragment", k.src+" > "+k.dst+" "+k.proto, flows[k], facts.NotShown, first[k].Text, first[k])
		}
	}()
	name := ""
	if f := strings.Fields(p.out.Typed); len(f) > 2 {
		name = f[2]
	}
	for _, l := range p.out.Text {
		t := strings.TrimSpace(l.Text)
		if rest, ok := strings.CutPrefix(t, "capture "); ok {
			n := facts.NotShown
			if _, b, ok := strings.Cut(t, "- "); ok {
				n = count(b)
			}
			p.counter("capture", firstWord(rest), n, facts.NotShown, t, l)
			continue
		}
		// 1: 11:32:03.012345 192.0.2.9.500 > 198.51.100.1.500:  udp 168
		if f := strings.Fields(t); len(f) >= 6 && strings.HasSuffix(f[0], ":") && count(f[0]) > 0 {
			for i := 2; i+2 < len(f) && i < 8; i++ {
				if f[i] == ">" {
					k := flow{f[i-1], strings.TrimSuffix(f[i+1], ":"), strings.TrimSuffix(f[i+2], ":")}
					if _, ok := flows[k]; !ok {
						if len(flows) >= maxRows {
							break
						}
						order = append(order, k)
						first[k] = l
					}
					flows[k]++
					// 198.51.100.7 > 192.0.2.1:  ip-proto-17, length 548 (frag 3321:548@1480), a "+" behind all but the last
					if _, frag, ok := strings.Cut(t, "(frag "); ok {
						which := "rest"
						if strings.HasSuffix(strings.TrimRight(frag, "+)"), "@0") {
							which = "first"
						}
						k = flow{addressOnly(k.src), addressOnly(k.dst), which}
						if _, ok := flows[k]; !ok && len(flows) < maxRows {
							pieces = append(pieces, k)
							first[k] = l
						}
						flows[k]++
					}
					break
				}
			}
			continue
		}
		if n, what, ok := strings.Cut(t, " packet"); ok && strings.HasSuffix(what, "captured") && count(n) >= 0 {
			p.counter("capture", strings.TrimSpace(name+" packets"), count(n), facts.NotShown, t, l)
		}
	}
}

// cpu: CPU utilization for 5 seconds = 5%; 1 minute: 4%; 5 minutes: 4%
func (p *reader) cpu() {
	for _, l := range p.out.Text {
		t := strings.TrimSpace(l.Text)
		if strings.HasPrefix(t, "CPU utilization") {
			p.counter("cpu", "5s", count(strings.TrimLeft(afterByte(t, '='), " ")), 100, t, l)
			if _, m, ok := strings.Cut(t, "1 minute:"); ok {
				p.counter("cpu", "1m", count(strings.TrimSpace(m)), 100, t, l)
			}
			if _, m, ok := strings.Cut(t, "5 minutes:"); ok {
				p.counter("cpu", "5m", count(strings.TrimSpace(m)), 100, t, l)
			}
		}
	}
}

// zones are names that clocks print, in seconds east of UTC. Unknown names count as UTC.
var zones = map[string]int{"UTC": 0, "GMT": 0, "Z": 0, "WET": 0, "WEST": 3600, "BST": 3600, "CET": 3600, "MET": 3600, "CEST": 7200, "MEST": 7200, "CEDT": 7200, "EET": 7200, "EEST": 10800, "MSK": 10800,
	"EST": -5 * 3600, "EDT": -4 * 3600, "CST": -6 * 3600, "CDT": -5 * 3600, "MST": -7 * 3600, "MDT": -6 * 3600, "PST": -8 * 3600, "PDT": -7 * 3600, "JST": 9 * 3600, "KST": 9 * 3600, "SGT": 8 * 3600, "HKT": 8 * 3600, "IST": 5*3600 + 1800, "AEST": 10 * 3600, "AEDT": 11 * 3600}

// clock: 10:43:33.123 CET Mon Mar 27 2019
func (p *reader) clock() {
	for _, l := range p.out.Text {
		f := strings.Fields(strings.TrimLeft(strings.TrimSpace(l.Text), "*."))
		if len(f) < 6 || strings.Count(f[0], ":") != 2 {
			continue
		}
		layout := "15:04:05 Jan 2 2006"
		t, err := time.Parse(layout, strings.Join([]string{f[0], f[len(f)-3], f[len(f)-2], f[len(f)-1]}, " "))
		if err != nil {
			continue
		}
		zone, _, _ := strings.Cut(f[1], "/")
		loc := time.FixedZone(f[1], zones[strings.ToUpper(zone)])
		at := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), loc)
		p.dev.Clock = &facts.Clock{Device: at, Read: p.out.Time, Unsure: strings.HasPrefix(strings.TrimSpace(l.Text), "*"), Place: p.place(l)}
		return
	}
}
