package ios

import (
	"net/netip"
	"strconv"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/parse/syslog"
)

// parseVersion reads "15.1(4)M7", "12.4", "Version 16.09.04, RELEASE".
func parseVersion(s string) facts.Version {
	s = strings.TrimSpace(s)
	end := strings.IndexAny(s, " ,")
	if end < 0 {
		end = len(s)
	}
	v := facts.Version{Text: s[:end]}
	a, b, ok := strings.Cut(v.Text, ".")
	n := 0
	for n < len(b) && isDigit(b[n]) {
		n++
	}
	if !ok || !isNumber(a) || n == 0 {
		return facts.Version{}
	}
	v.Major, v.Minor = atoi(a), atoi(b[:n])
	return v
}

// version parses show version.
func (o *output) version() {
	for _, l := range o.out.Text {
		t := strings.TrimSpace(l.Text)
		switch {
		case strings.Contains(t, "Cisco IOS") && strings.Contains(t, "Version "), strings.HasPrefix(t, "IOS (tm)") && strings.Contains(t, "Version "):
			s, _ := after(t, "Version ")
			if v := parseVersion(s); v.Text != "" && (o.dev.Version.Text == "" || len(v.Text) >= len(o.dev.Version.Text) || v.Major != o.dev.Version.Major) {
				o.dev.Version = v
			}
		case strings.Contains(t, " uptime is "):
			h, _, _ := strings.Cut(t, " uptime is ")
			if o.dev.Hostname == "" && !strings.ContainsRune(h, ' ') {
				o.dev.Hostname = h
			}
			o.counter(l, "version", "uptime", 0, facts.NotShown)
		case strings.HasPrefix(strings.ToLower(t), "cisco ") && strings.Contains(t, "processor"):
			o.counter(l, "version", "platform", 0, facts.NotShown)
		}
	}
}

func (o *output) counter(l facts.Line, group, name string, value, limit int64) {
	o.dev.Counters = append(o.dev.Counters, facts.Counter{Group: group, Name: name, Value: value, Limit: limit, Text: strings.TrimSpace(l.Text), Reading: o.earlier(), Place: o.place(l)})
}

func num(s string) int64 {
	n, err := strconv.ParseInt(strings.Trim(s, ",()%"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// cryptoMap parses show crypto map into entries, for want of the configuration.
func (o *output) cryptoMap() {
	cfg := &facts.Config{Source: o.source, Place: o.out.Place, Partial: true}
	lists := newConfigParser(o) // what the entries print of their access lists
	bound := ""                 // the map whose interfaces are listed
	var e *facts.MapEntry
	inSets := false
	for _, l := range o.out.Text {
		t := strings.TrimSpace(l.Text)
		if t == "" {
			continue
		}
		if bound != "" && !strings.HasPrefix(t, "Crypto Map ") {
			if strings.IndexByte(t, ' ') < 0 {
				cfg.MapBindings = append(cfg.MapBindings, facts.MapBinding{Map: bound, Interface: interfaceName(t), Place: o.place(l)})
			}
			continue
		}
		if strings.HasPrefix(t, "Crypto Map ") {
			bound = ""
			v := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(t, "Crypto Map "), "IPv4 "), "IPv6 ")
			f := strings.Fields(strings.TrimPrefix(v, ": "))
			if len(f) < 2 {
				continue
			}
			cfg.MapEntries = append(cfg.MapEntries, facts.MapEntry{Map: strings.Trim(f[0], "\"':"), Sequence: atoi(f[1]), Place: o.place(l), Places: map[string]facts.Place{}})
			e = &cfg.MapEntries[len(cfg.MapEntries)-1]
			inSets = false
			continue
		}
		if e == nil {
			o.skip(t)
			continue
		}
		cfg.Lines = append(cfg.Lines, facts.ConfigLine{N: l.N, Text: t, Parent: -1})
		switch {
		case strings.HasPrefix(t, "Peer ="):
			w, _ := word(strings.TrimPrefix(t, "Peer ="))
			if a := addr(w); a.IsValid() {
				e.Peers = append(e.Peers, a)
			} else if w != "" {
				e.PeerNames = append(e.PeerNames, w)
			}
			e.Places["peer"] = o.place(l)
		case strings.HasPrefix(t, "Extended IP access list"), strings.HasPrefix(t, "Extended IPv6 access list"):
			f := strings.Fields(t)
			e.ACL = f[len(f)-1]
			e.Places["acl"] = o.place(l)
		case strings.HasPrefix(t, "access-list "):
			f := strings.Fields(t)
			if e.ACL == "" && len(f) > 1 {
				e.ACL = f[1]
			}
			if len(f) > 3 && f[1] == e.ACL {
				lists.entryOf(lists.acl(f[1], false, o.place(l)), strings.Join(f[2:], " "), o.place(l))
			}
		case strings.HasPrefix(t, "PFS (Y/N): Y"):
			e.PFS = "default"
			if g, ok := after(t, "DH group:"); ok {
				e.PFS = strings.TrimSpace(g)
			}
			e.Places["pfs"] = o.place(l)
		case strings.HasPrefix(t, "DH group:") && e.PFS != "":
			e.PFS, _ = after(t, ":")
		case strings.HasPrefix(t, "Security association lifetime:"):
			if _, s, ok := strings.Cut(t, "kilobytes/"); ok {
				s, _ = word(s)
				e.Lifetime = atoi(s)
			}
		case strings.HasPrefix(t, "IKEv2 Profile:"), strings.HasPrefix(t, "ISAKMP Profile:"):
			e.Profile, _ = after(t, ":")
		case strings.HasPrefix(t, "Dynamic map template tag:"):
			e.Dynamic, _ = after(t, ":")
		case strings.HasPrefix(t, "Transform sets="):
			inSets = true
		case inSets && strings.HasPrefix(t, "}"):
			inSets = false
		case inSets:
			name, spec, ok := strings.Cut(t, ":")
			if !ok {
				continue
			}
			e.Transforms = append(e.Transforms, strings.TrimSpace(name))
			e.Places["transform"] = o.place(l)
			if i := strings.IndexByte(spec, '}'); i >= 0 {
				spec = spec[:i]
			}
			cfg.TransformSets = append(cfg.TransformSets, facts.TransformSet{Name: strings.TrimSpace(name), Transforms: transforms(strings.Fields(spec)), Place: o.place(l)})
		case strings.HasPrefix(t, "Interfaces using crypto map"):
			bound = strings.TrimSuffix(strings.TrimSpace(strings.TrimPrefix(t, "Interfaces using crypto map")), ":")
			e = nil
		}
	}
	cfg.ACLs = lists.cfg.ACLs
	if len(cfg.MapEntries) > 0 && (o.dev.Config == nil || o.dev.Config.Partial) {
		o.dev.Config = merge(o.dev.Config, cfg)
	}
}

// isakmpPolicy parses show crypto isakmp policy.
func (o *output) isakmpPolicy() {
	cfg := &facts.Config{Source: o.source, Place: o.out.Place, Partial: true}
	var p *facts.IKEPolicy
	for _, l := range o.out.Text {
		t := strings.TrimSpace(l.Text)
		k, v, _ := strings.Cut(t, ":")
		v = strings.TrimSpace(v)
		switch {
		case strings.Contains(t, "rotection suite"):
			p = nil
			if _, n, ok := strings.Cut(t, "priority "); ok {
				pol := newPolicy(atoi(n), o.place(l))
				cfg.IKEPolicies = append(cfg.IKEPolicies, pol)
				p = &cfg.IKEPolicies[len(cfg.IKEPolicies)-1]
			}
		case p == nil:
		case k == "encryption algorithm":
			switch {
			case strings.HasPrefix(v, "Three"):
				v = "3des"
			case strings.HasPrefix(v, "DES"):
				v = "des"
			case strings.Contains(v, "256"):
				v = "aes-256"
			case strings.Contains(v, "192"):
				v = "aes-192"
			default:
				v = "aes"
			}
			p.Encryption = []string{v}
			stated(p, "encryption", o.place(l))
		case k == "hash algorithm":
			h := "sha"
			switch {
			case strings.HasPrefix(v, "Message"):
				h = "md5"
			case strings.Contains(v, "256"), strings.Contains(v, "384"), strings.Contains(v, "512"):
				h = "sha" + map[bool]string{true: "256", false: ""}[strings.Contains(v, "256")]
				if strings.Contains(v, "384") {
					h = "sha384"
				} else if strings.Contains(v, "512") {
					h = "sha512"
				}
			}
			p.Hash = []string{h}
			stated(p, "hash", o.place(l))
		case k == "authentication method":
			p.Auth = map[bool]string{true: "pre-share", false: "rsa-sig"}[strings.Contains(v, "Pre-Shared")]
			stated(p, "auth", o.place(l))
		case k == "Diffie-Hellman group":
			_, v, _ := strings.Cut(v, "#")
			g, _ := word(v)
			p.Groups = []string{g}
			stated(p, "group", o.place(l))
		case k == "lifetime":
			p.Lifetime = atoi(strings.Fields(v + " 0")[0])
			stated(p, "lifetime", o.place(l))
		}
		if p != nil && t != "" {
			cfg.Lines = append(cfg.Lines, facts.ConfigLine{N: l.N, Text: t, Parent: -1})
		}
	}
	if len(cfg.IKEPolicies) > 0 && (o.dev.Config == nil || o.dev.Config.Partial) {
		o.dev.Config = merge(o.dev.Config, cfg)
	}
}

// accessLists parses show access-lists: hits go to the lists of the configuration, lists
// that no configuration holds are added, and every list's hits become counters.
func (o *output) accessLists() {
	c := newConfigParser(o)
	standard := false
	for _, l := range o.out.Text {
		t := strings.TrimSpace(l.Text)
		if t == "" {
			continue
		}
		if i := strings.Index(t, "access list "); i >= 0 && i < 20 {
			name, _ := word(t[i+len("access list "):])
			standard = strings.HasPrefix(t, "Standard")
			c.name = strings.TrimSuffix(name, ":")
			c.acl(c.name, standard, o.place(l))
			continue
		}
		if c.name == "" {
			o.skip(t)
			continue
		}
		n := len(c.cfg.ACLs[c.acls[c.name]].Entries)
		c.aclEntry(t, o.place(l))
		es := c.cfg.ACLs[c.acls[c.name]].Entries
		if len(es) == n {
			o.skip(t)
			continue
		}
		if e := es[n]; e.Hits > 0 {
			o.counter(l, "access-list", c.name, e.Hits, facts.NotShown)
		}
	}
	c.finish()
	if len(c.cfg.ACLs) == 0 {
		return
	}
	c.cfg.Partial = true
	if o.dev.Config == nil {
		o.dev.Config = c.cfg
		return
	}
	for _, a := range c.cfg.ACLs {
		have := o.dev.Config.ACL(a.Name)
		if have == nil {
			o.dev.Config.ACLs = append(o.dev.Config.ACLs, a)
			continue
		}
		if len(have.Entries) == len(a.Entries) {
			for i := range a.Entries {
				have.Entries[i].Hits = max(a.Entries[i].Hits, 0)
				have.Entries[i].Sequence = a.Entries[i].Sequence
			}
		}
	}
}

// routes parses show ip route and show ipv6 route.
func (o *output) routes() {
	bits := -1
	var pend facts.RouteEntry
	for _, l := range o.out.Text {
		text := strings.TrimRight(l.Text, " \t\r")
		t := strings.TrimLeft(text, " \t")
		if t == "" || strings.HasPrefix(t, "Codes:") || strings.Contains(t, " - ") || strings.HasPrefix(t, "Gateway of last resort") || strings.HasPrefix(t, "Routing Table:") || strings.HasPrefix(t, "IPv6 Routing") {
			continue
		}
		f := strings.Fields(t)
		if strings.Contains(t, "is subnetted") || strings.Contains(t, "is variably subnetted") {
			bits = -1
			if p, err := netip.ParsePrefix(f[0]); err == nil && strings.Contains(t, "is subnetted") {
				bits = p.Bits()
			}
			continue
		}
		i, kind := 0, ""
		for i < len(f) && len(f[i]) <= 3 && !isDigit(f[i][0]) && !strings.ContainsRune(f[i], '.') && f[i] != "via" && f[i][0] != '[' && !strings.ContainsRune(f[i], ':') {
			kind = strings.TrimSpace(kind + " " + f[i])
			i++
		}
		if i == 0 { // the next hop of the line before
			if pend.Prefix.IsValid() && (strings.HasPrefix(t, "[") || strings.HasPrefix(t, "via ")) {
				e := pend
				hop(&e, t)
				o.dev.Routes = append(o.dev.Routes, e)
				continue
			}
			o.skip(t)
			continue
		}
		if i >= len(f) {
			o.skip(t)
			continue
		}
		e := facts.RouteEntry{Kind: kind, Place: o.place(l)}
		if p, err := netip.ParsePrefix(strings.TrimSuffix(f[i], ",")); err == nil {
			e.Prefix = p.Masked()
		} else if a := addr(strings.TrimSuffix(f[i], ",")); a.IsValid() {
			b := bits
			if b < 0 {
				b = classful(a)
			}
			e.Prefix, _ = a.Prefix(b)
		}
		if !e.Prefix.IsValid() {
			o.skip(t)
			continue
		}
		rest := strings.Join(f[i+1:], " ")
		pend = e
		if rest == "" || !strings.Contains(rest, "via ") && !strings.ContainsRune(rest, ',') {
			continue
		}
		hop(&e, rest)
		o.dev.Routes = append(o.dev.Routes, e)
	}
}

// classful is the prefix length of an address that is printed without one.
func classful(a netip.Addr) int {
	if !a.Is4() {
		return a.BitLen()
	}
	switch b := a.As4(); {
	case b == [4]byte{}:
		return 0
	case b[0] < 128:
		return 8
	case b[0] < 192:
		return 16
	}
	return 24
}

// hop reads "[1/0] via 192.0.2.1, 00:01:02, GigabitEthernet0/0" and "is directly connected, Vlan1".
func hop(e *facts.RouteEntry, s string) {
	if v, ok := after(s, "via "); ok {
		w, rest := word(v)
		e.Via = addr(strings.TrimSuffix(w, ","))
		if !e.Via.IsValid() {
			e.Interface = strings.TrimSuffix(w, ",")
			return
		}
		if i := strings.LastIndexByte(rest, ','); i >= 0 {
			rest = rest[i+1:]
		}
		if rest = strings.TrimSpace(rest); rest != "" && !isDigit(rest[0]) && rest[0] != '(' {
			e.Interface = rest
		}
		return
	}
	if i := strings.LastIndexByte(s, ','); i >= 0 {
		e.Interface = strings.TrimSpace(s[i+1:])
	}
}

// natTranslations parses show ip nat translations: each row becomes a counter of group "nat".
func (o *output) natTranslations() {
	for _, l := range o.out.Text {
		f := strings.Fields(l.Text)
		if len(f) < 5 || f[0] == "Pro" {
			continue
		}
		if len(o.dev.Counters) >= maxFacts {
			return
		}
		o.counter(l, "nat", f[0]+" "+f[1]+" "+f[2]+" "+f[3]+" "+f[4], 1, facts.NotShown)
	}
}

// cerm parses show platform cerm-information.
func (o *output) cerm() {
	for _, l := range o.out.Text {
		t := strings.TrimSpace(l.Text)
		f := strings.Fields(t)
		if len(f) < 3 {
			continue
		}
		n := len(f)
		if isNumber(f[n-1]) && isNumber(f[n-2]) { // "Number of tunnels  225  221"
			o.counter(l, "cerm", strings.Join(f[:n-2], " "), num(f[n-1]), num(f[n-2]))
		} else if k, v, ok := strings.Cut(t, ":"); ok {
			o.counter(l, "cerm", strings.TrimSpace(k), num(strings.TrimSpace(v)), facts.NotShown)
		}
	}
}

// interfaceBrief parses show ip interface brief.
func (o *output) interfaceBrief() {
	cfg := &facts.Config{Source: o.source, Place: o.out.Place, Partial: true}
	for _, l := range o.out.Text {
		f := strings.Fields(l.Text)
		if len(f) < 5 || f[0] == "Interface" {
			continue
		}
		a := addr(f[1])
		i := facts.Interface{Name: f[0], Security: -1, Shutdown: strings.Contains(l.Text, "administratively down"), Place: o.place(l)}
		if a.IsValid() {
			i.Address = host(a)
		}
		cfg.Interfaces = append(cfg.Interfaces, i)
		cfg.Lines = append(cfg.Lines, facts.ConfigLine{N: l.N, Text: strings.TrimSpace(l.Text), Parent: -1})
	}
	if len(cfg.Interfaces) > 0 && o.dev.Config != nil {
		return
	}
	if len(cfg.Interfaces) > 0 {
		o.dev.Config = cfg
	}
}

// interfaces takes address and MTU from show interfaces and show ip interface.
func (o *output) interfaces() {
	var name string
	for _, l := range o.out.Text {
		t := strings.TrimSpace(l.Text)
		if i := strings.Index(t, " is "); i > 0 && len(l.Text) > 0 && l.Text[0] != ' ' && strings.Contains(t, "line protocol") {
			name = t[:i]
			continue
		}
		if v, ok := strings.CutPrefix(t, "MTU "); ok && name != "" {
			v, _ = word(v)
			o.counter(l, "interface", name+" mtu", num(v), facts.NotShown)
		} else if v, ok := strings.CutPrefix(t, "MTU is "); ok && name != "" {
			v, _ = word(v)
			o.counter(l, "interface", name+" ip mtu", num(v), facts.NotShown)
		}
	}
}

// localPool parses show ip local pool.
func (o *output) localPool() {
	for _, l := range o.out.Text {
		f := strings.Fields(l.Text)
		for i := 0; i+1 < len(f); i++ {
			if a, b := addr(f[i]), addr(f[i+1]); a.IsValid() && b.IsValid() && i+3 < len(f) {
				free, used := num(f[i+2]), num(f[i+3])
				name := ""
				if i > 0 {
					name = f[0]
				}
				o.counter(l, "ip-local-pool", name, free, free+used)
			}
		}
	}
}

// logging reads the header of show logging; the messages are diag/parse/syslog's.
func (o *output) logging() {
	for _, l := range o.out.Text {
		t := strings.TrimSpace(l.Text)
		if v, ok := after(t, "Syslog logging: enabled ("); ok {
			n, _ := word(v)
			o.counter(l, "logging", "dropped", num(n), facts.NotShown)
		}
	}
}

// clock parses show clock.
func (o *output) clock() {
	for _, l := range o.out.Text {
		t := strings.TrimLeft(strings.TrimSpace(l.Text), "*.")
		if tm, ok := syslog.Time(t); ok {
			o.dev.Clock = &facts.Clock{Device: tm, Unsure: strings.HasPrefix(strings.TrimSpace(l.Text), "*"), Place: o.place(l)}
			return
		}
	}
}

// debugging parses show debugging: which debugs run becomes counters of group "debug".
func (o *output) debugging() {
	for _, l := range o.out.Text {
		t := strings.TrimSpace(l.Text)
		if name, ok := strings.CutSuffix(t, " debugging is on"); ok {
			o.counter(l, "debug", name, 1, facts.NotShown)
		}
	}
}

// memory parses show memory [statistics|summary]: the pool rows.
func (o *output) memory() {
	for _, l := range o.out.Text {
		f := strings.Fields(l.Text)
		if len(f) >= 5 && (f[0] == "Processor" || f[0] == "I/O" || f[0] == "reserve") && isNumber(f[2]) && isNumber(f[4]) {
			o.counter(l, "memory", strings.ToLower(f[0])+" free", num(f[4]), num(f[2]))
		}
	}
}

// processes parses show processes cpu and show processes memory: their heads.
func (o *output) processes() {
	for _, l := range o.out.Text {
		t := strings.TrimSpace(l.Text)
		switch {
		case strings.HasPrefix(t, "CPU utilization for five seconds:"):
			v, _ := after(t, ":")
			n := strings.IndexAny(v, "%/")
			if n > 0 {
				o.counter(l, "cpu", "five seconds", num(v[:n]), 100)
			}
		case strings.HasPrefix(t, "Processor Pool Total:"), strings.HasPrefix(t, "Total:"):
			f := strings.Fields(t)
			var total, free int64
			for i := 0; i+1 < len(f); i++ {
				switch f[i] {
				case "Total:":
					total = num(f[i+1])
				case "Free:":
					free = num(f[i+1])
				}
			}
			o.counter(l, "memory", "processor free", free, total)
		}
	}
}

// ping parses the device's own ping, with arguments or after the extended dialogue.
func (o *output) ping() {
	def := facts.Ping{MillisRT: -1}
	f := strings.Fields(o.out.Command)
	for i := 0; i < len(f); i++ {
		next := ""
		if i+1 < len(f) {
			next = f[i+1]
		}
		switch {
		case addr(f[i]).IsValid() && !def.Target.IsValid():
			def.Target = addr(f[i])
		case f[i] == "source" || f[i] == "so" || f[i] == "sour":
			def.Source = interfaceName(strings.Join(f[i+1:], " "))
			i++
		case f[i] == "size":
			def.Size = atoi(next)
			i++
		case strings.HasPrefix("df-bit", f[i]) && len(f[i]) > 1:
			def.DF = true
		}
	}
	Pings(o.out.Text, def, o.source, func(p facts.Ping) { o.dev.Pings = append(o.dev.Pings, p) })
}

// Pings reads IOS and ASA ping answers among lines; def holds what the command said.
func Pings(lines []facts.Line, def facts.Ping, source string, add func(facts.Ping)) {
	cur, open, marks := def, false, 0
	flush := func() {
		if open && cur.Target.IsValid() {
			add(cur)
		}
		open, cur, marks = false, def, 0
	}
	for _, l := range lines {
		t := strings.TrimSpace(l.Text)
		switch {
		case t == "":
		case strings.HasPrefix(t, "Sending "):
			if open {
				flush()
			}
			open = true
			cur.Place = facts.Place{Source: source, Line: l.N, Text: t}
			f := strings.Fields(t)
			for i, w := range f {
				w = strings.TrimSuffix(w, ",")
				switch {
				case i == 1:
					cur.Sent = atoi(w)
				case strings.HasSuffix(w, "-byte"):
					if cur.Size == 0 {
						cur.Size = atoi(strings.TrimSuffix(w, "-byte"))
					}
				case addr(w).IsValid() && i > 2:
					cur.Target = addr(w)
				}
			}
		case strings.HasPrefix(t, "Packet sent with a source address of "):
			if cur.Source == "" {
				w, _ := word(strings.TrimPrefix(t, "Packet sent with a source address of "))
				cur.Source = w
			}
		case strings.HasPrefix(t, "Packet sent with the DF bit set"):
			cur.DF = true
		case strings.HasPrefix(t, "Target IP address:"):
			def.Target = addr(strings.TrimSpace(t[len("Target IP address:"):]))
			cur.Target = def.Target
		case strings.HasPrefix(t, "Source address"):
			if _, v, ok := strings.Cut(t, ":"); ok && strings.TrimSpace(v) != "" {
				cur.Source = strings.TrimSpace(v)
			}
		case strings.HasPrefix(t, "Datagram size"):
			if _, v, ok := strings.Cut(t, "]:"); ok {
				cur.Size = atoi(strings.TrimSpace(v))
			}
		case strings.HasPrefix(t, "Set DF bit"):
			if _, v, ok := strings.Cut(t, "]:"); ok {
				cur.DF = strings.HasPrefix(strings.ToLower(strings.TrimSpace(v)), "y")
			}
		case (open || def.Target.IsValid()) && strings.Trim(t, "!.MUQ?&CINPR") == "":
			open = true
			if cur.Place.Source == "" { // the line "Sending ..." was left out
				cur.Place = facts.Place{Source: source, Line: l.N}
			}
			if marks == 0 {
				marks = l.N
			}
			cur.Received += strings.Count(t, "!")
			cur.TooBig = cur.TooBig || strings.ContainsRune(t, 'M')
			if cur.Sent < len(t) {
				cur.Sent = len(t)
			}
		case strings.HasPrefix(t, "Success rate is"):
			if v, ok := after(t, "("); ok {
				a, b, _ := strings.Cut(v, "/")
				n := 0
				for n < len(b) && isDigit(b[n]) {
					n++
				}
				cur.Received, cur.Sent = atoi(a), atoi(b[:n])
			}
			if v, ok := after(t, "max = "); ok {
				p := strings.Split(v, "/")
				if len(p) > 1 {
					cur.MillisRT = atoi(p[1])
				}
			}
			open = true
			// The outcome is the line that proves something; what was sent stands in its text.
			if cur.Place.Text != "" {
				t = cur.Place.Text + " … " + t
			}
			cur.Place = facts.Place{Source: source, Line: l.N, Text: t}
			if cur.Received == 0 && marks > 0 {
				cur.Place.Line = marks // the dots
			}
			flush()
		}
	}
	flush()
}
