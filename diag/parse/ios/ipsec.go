package ios

import (
	"net/netip"
	"strings"

	"vpnbot/diag/facts"
)

// ipsecSA parses show crypto ipsec sa in all its variants, also filtered or cut.
func (o *output) ipsecSA() {
	p := ipsecParser{o: o, first: len(o.dev.IPsec)}
	for _, l := range o.out.Text {
		p.line(l)
	}
	p.close(o.out.Complete && !o.piped)
	p.number()
}

type ipsecParser struct {
	o     *output
	first int // index of this output's first block
	open  bool
	sa    facts.IPsecSA
	iface string
	tag   string
	seq   int
	local netip.Addr
	dir   int  // 0 none, 1 inbound, 2 outbound
	esp   bool // within esp or ah, not pcp
	spi   *facts.SPI
	tail  bool // outbound part seen
	whole bool // the last heading of a block seen
}

// begin opens a block when none is open.
func (p *ipsecParser) begin(l facts.Line) {
	if p.open {
		return
	}
	p.open = true
	p.tail, p.whole, p.dir, p.esp, p.spi = false, false, 0, false, nil
	p.sa = facts.IPsecSA{
		Interface: p.iface, Map: p.tag, Sequence: p.seq, Local: p.local,
		Encaps: facts.NotShown, Encrypt: facts.NotShown, Digest: facts.NotShown,
		Decaps: facts.NotShown, Decrypt: facts.NotShown, Verify: facts.NotShown,
		SendErrors: facts.NotShown, RecvErrors: facts.NotShown, InvalidSARecv: facts.NotShown,
		PMTUsSent: facts.NotShown, PMTUsRcvd: facts.NotShown, FragFailures: facts.NotShown, ReplayFailed: facts.NotShown,
		Time: p.o.out.Time, Place: p.o.place(l),
	}
}

// close ends the open block; complete tells whether what followed shows that it was whole.
func (p *ipsecParser) close(complete bool) {
	if !p.open {
		return
	}
	p.open = false
	if !p.sa.LocalID.Prefix.IsValid() && p.sa.LocalID.Text == "" && !p.sa.Peer.IsValid() && p.sa.PeerName == "" &&
		p.sa.Encaps < 0 && p.sa.Decaps < 0 && len(p.sa.SPIIn)+len(p.sa.SPIOut) == 0 {
		return
	}
	p.sa.Complete = p.whole || p.tail && complete
	p.o.dev.IPsec = append(p.o.dev.IPsec, p.sa)
}

// number tells a second reading of the same identities from the first.
func (p *ipsecParser) number() {
	all := p.o.dev.IPsec
	if p.first == 0 || p.first >= len(all) {
		return
	}
	type key struct {
		peer          netip.Addr
		local, remote string
	}
	of := func(sa *facts.IPsecSA) key { return key{sa.Peer, sa.LocalID.Text, sa.RemoteID.Text} }
	seen := make(map[key]int, p.first)
	for i := range all[:p.first] {
		if _, flow := all[i].Places.At("flow"); !flow {
			seen[of(&all[i])] = all[i].Reading + 1
		}
	}
	reading := 0
	for i := p.first; i < len(all); i++ {
		reading = max(reading, seen[of(&all[i])])
	}
	for i := p.first; i < len(all); i++ {
		all[i].Reading = reading
	}
}

func (p *ipsecParser) line(l facts.Line) {
	t := strings.TrimSpace(l.Text)
	if t == "" {
		return
	}
	switch t[0] {
	case '#':
		p.begin(l)
		p.counters(t, l)
		return
	case 'i':
		switch {
		case strings.HasPrefix(t, "interface:"):
			p.close(true)
			p.iface, _ = after(t, ":")
			p.tag, p.seq, p.local = "", 0, netip.Addr{}
			return
		case strings.HasPrefix(t, "inbound "):
			p.heading(t, 1, l)
			return
		case strings.HasPrefix(t, "in use settings"):
			if p.spi != nil {
				v, _ := after(t, "=")
				p.spi.Settings = strings.Trim(strings.Trim(v, "{} "), " ,")
			}
			return
		}
	case 'o':
		if strings.HasPrefix(t, "outbound ") {
			p.heading(t, 2, l)
			return
		}
	case 'C', 'c':
		switch {
		case strings.HasPrefix(t, "Crypto map tag:"):
			p.close(true)
			v, _ := after(t, ":")
			p.tag, _, _ = strings.Cut(v, ",")
			if s, ok := after(t, "seq num:"); ok {
				s, _, _ = strings.Cut(s, ",")
				p.seq = atoi(strings.TrimSpace(s))
			}
			if s, ok := after(t, "local addr"); ok {
				p.local = addr(strings.Trim(s, ":. "))
			}
			return
		case strings.HasPrefix(t, "current_peer"):
			p.begin(l)
			v := strings.TrimLeft(strings.TrimPrefix(t, "current_peer"), ": ")
			w, rest := word(v)
			w = strings.TrimSuffix(w, ",")
			a, _ := endpoint(w)
			p.sa.Peer = a
			if !a.IsValid() {
				p.sa.PeerName = w
			}
			if u, ok := after(rest, "username:"); ok {
				p.sa.Username = u
			}
			p.sa.Places.Set("peer", p.o.place(l))
			return
		case strings.HasPrefix(t, "current outbound spi"), strings.HasPrefix(t, "conn id:"):
			return
		}
	case 'l':
		switch {
		case strings.HasPrefix(t, "local ident"), strings.HasPrefix(t, "local  ident"):
			if p.open && p.sa.LocalID.Text != "" {
				p.close(true)
			}
			p.begin(l)
			p.sa.LocalID = selector(t)
			p.sa.Places.Set("ident", p.o.place(l))
			return
		case strings.HasPrefix(t, "local crypto endpt"):
			p.begin(l)
			v, _ := after(t, ":")
			a, b, _ := strings.Cut(v, ",")
			if x, _ := endpoint(strings.TrimSpace(a)); x.IsValid() {
				p.sa.Local = x
			}
			p.remoteEnd(b)
			return
		}
	case 'r':
		switch {
		case strings.HasPrefix(t, "remote ident"), strings.HasPrefix(t, "remote  ident"):
			p.begin(l)
			p.sa.RemoteID = selector(t)
			return
		case strings.HasPrefix(t, "remote crypto endpt"):
			p.remoteEnd(t)
			return
		case strings.HasPrefix(t, "replay detection"):
			return
		}
	case 'p':
		switch {
		case strings.HasPrefix(t, "protected vrf"):
			p.close(true)
			p.begin(l)
			return
		case strings.HasPrefix(t, "path mtu"), strings.HasPrefix(t, "plaintext mtu"):
			p.begin(l)
			if v, ok := after(t, "path mtu "); ok {
				v, _, _ = strings.Cut(v, ",")
				p.sa.PathMTU = atoi(strings.TrimSpace(v))
			}
			p.sa.Places.Set("pmtu", p.o.place(l))
			return
		}
	case 's':
		switch {
		case strings.HasPrefix(t, "spi:"):
			p.addSPI(strings.TrimSpace(t[4:]), l)
			return
		case strings.HasPrefix(t, "sa timing"):
			if p.spi != nil {
				lifetime(p.spi, t)
			}
			return
		}
	case 't':
		if strings.HasPrefix(t, "transform:") {
			if p.spi != nil {
				p.spi.Transform = strings.Trim(strings.TrimSpace(t[10:]), " ,")
			}
			return
		}
	case 'S':
		if strings.HasPrefix(t, "Status:") {
			if p.spi != nil {
				v := strings.TrimSpace(t[7:])
				if i := strings.IndexByte(v, '('); i > 0 {
					v = v[:i]
				}
				p.spi.Status = v
			}
			return
		}
	case 'P':
		switch {
		case strings.HasPrefix(t, "PFS"):
			if v, ok := after(t, "(Y/N):"); ok && p.open {
				v, g, _ := strings.Cut(v, ",")
				p.sa.PFS = strings.TrimSpace(v)
				if g, ok := after(g, "DH group:"); ok && g != "none" && p.sa.PFS == "Y" {
					p.sa.PFS = g
				}
			}
			return
		case strings.HasPrefix(t, "PERMIT"), strings.HasPrefix(t, "Peer IP"):
			return
		}
	case 'd':
		if strings.HasPrefix(t, "dynamic allocated peer ip:") || strings.HasPrefix(t, "dynamic peer ip:") {
			p.begin(l)
			p.sa.Dynamic, _ = after(t, "ip:")
			return
		}
	}
	switch {
	case strings.HasPrefix(t, "IV size"), strings.HasPrefix(t, "Kilobyte Volume"), strings.HasPrefix(t, "slot:"), strings.HasPrefix(t, "DENY"),
		strings.HasPrefix(t, "IPsecv6 policy"), strings.HasPrefix(t, "There are no"), strings.HasPrefix(t, "No SAs found"), strings.HasPrefix(t, "ekey has been"),
		strings.HasPrefix(t, "interface:"), strings.HasPrefix(t, "Group:"), strings.HasPrefix(t, "Anti replay"), strings.HasPrefix(t, "ip mtu"), strings.HasPrefix(t, "0x"),
		strings.HasPrefix(t, "Username:"), strings.HasPrefix(t, "ivrf"), strings.HasPrefix(t, "sibling"), strings.HasPrefix(t, "flow_id"), strings.HasPrefix(t, "IPv4 Crypto"), strings.HasPrefix(t, "IPv6 Crypto"):
		return
	}
	p.o.skip(t)
}

func (p *ipsecParser) remoteEnd(s string) {
	v, ok := after(s, "endpt.:")
	if !ok || !p.open {
		return
	}
	w, _ := word(strings.TrimSuffix(v, ","))
	if a, _ := endpoint(w); a.IsValid() && !p.sa.Peer.IsValid() && p.sa.PeerName == "" {
		p.sa.Peer = a
	}
}

// heading reads "inbound esp sas:" and its like.
func (p *ipsecParser) heading(t string, dir int, l facts.Line) {
	p.begin(l)
	p.dir, p.spi = dir, nil
	p.esp = !strings.Contains(t, "pcp")
	if dir == 2 {
		p.tail = true
		p.whole = p.whole || strings.Contains(t, "pcp")
	}
}

func (p *ipsecParser) addSPI(v string, l facts.Line) {
	if p.dir == 0 || !p.esp || !p.open {
		return
	}
	spi := facts.SPI{Value: spiValue(v), Place: p.o.place(l)}
	if spi.Value == 0 {
		p.spi = nil
		return
	}
	list, name := &p.sa.SPIIn, "spi-in"
	if p.dir == 2 {
		list, name = &p.sa.SPIOut, "spi-out"
	}
	if len(*list) >= 64 {
		return
	}
	*list = append(*list, spi)
	p.spi = &(*list)[len(*list)-1]
	if len(*list) == 1 {
		p.sa.Places.Set(name, spi.Place)
	}
}

// counters reads "#pkts encaps: 4, #pkts encrypt: 4, #pkts digest: 4" and the like.
func (p *ipsecParser) counters(t string, l facts.Line) {
	var place facts.Place
	for rest := t; rest != ""; {
		var part string
		rest = strings.TrimLeft(rest, "# ,")
		if i := strings.IndexByte(rest, '#'); i >= 0 {
			part, rest = rest[:i], rest[i:]
		} else {
			part, rest = rest, ""
		}
		part = strings.TrimRight(part, " ,\t")
		i := len(part)
		for i > 0 && isDigit(part[i-1]) {
			i--
		}
		if i == len(part) || i == 0 || len(part)-i > 18 {
			continue
		}
		var n int64
		for _, c := range part[i:] {
			n = n*10 + int64(c-'0')
		}
		name := strings.TrimPrefix(strings.TrimRight(part[:i], ": "), "pkts ")
		var to *int64
		key := ""
		switch name {
		case "encaps":
			to, key = &p.sa.Encaps, "encaps"
		case "encrypt":
			to = &p.sa.Encrypt
		case "digest":
			to = &p.sa.Digest
		case "decaps":
			to, key = &p.sa.Decaps, "decaps"
		case "decrypt":
			to = &p.sa.Decrypt
		case "verify":
			to = &p.sa.Verify
		case "send errors", "no sa (send)":
			to, key = &p.sa.SendErrors, "send-errors"
		case "recv errors", "verify failed":
			to, key = &p.sa.RecvErrors, "recv-errors"
		case "invalid sa (rcv)":
			to, key = &p.sa.InvalidSARecv, "invalid-sa"
		case "PMTUs sent":
			to, key = &p.sa.PMTUsSent, "pmtus"
		case "PMTUs rcvd":
			to, key = &p.sa.PMTUsRcvd, "pmtus-rcvd"
		case "fragment failures":
			to, key = &p.sa.FragFailures, "frag-failures"
		case "replay failed (rcv)":
			to, key = &p.sa.ReplayFailed, "replay-failed"
		}
		if to == nil {
			continue
		}
		if *to == facts.NotShown {
			*to = 0
		}
		*to += n
		if key != "" {
			if place.Line == 0 {
				place = p.o.place(l)
			}
			p.sa.Places.Set(key, place)
		}
	}
}

// lifetime reads what is left of an SA's life.
func lifetime(s *facts.SPI, t string) {
	if v, ok := after(t, "): ("); ok {
		v = strings.TrimRight(v, ") ")
		kb, sec, ok := strings.Cut(v, "/")
		if ok {
			s.KBytes = int64(atoi(strings.TrimSpace(kb)))
			s.Seconds = atoi(strings.TrimSpace(sec))
		}
		return
	}
	if v, ok := after(t, "(sec):"); ok {
		v, _ = word(v)
		s.Seconds = atoi(strings.Trim(v, "()"))
		return
	}
	if v, ok := after(t, "lifetime "); ok { // "4 hours, 2 mins"
		f := strings.Fields(v)
		for i := 0; i+1 < len(f); i++ {
			n := atoi(f[i])
			switch {
			case strings.HasPrefix(f[i+1], "day"):
				s.Seconds += n * 86400
			case strings.HasPrefix(f[i+1], "hour"):
				s.Seconds += n * 3600
			case strings.HasPrefix(f[i+1], "min"):
				s.Seconds += n * 60
			case strings.HasPrefix(f[i+1], "sec"):
				s.Seconds += n
			}
		}
	}
}

// selector reads "... ident (addr/mask/prot/port): (10.0.0.0/255.0.0.0/0/0)" and the
// shorter spellings of it.
func selector(t string) facts.Selector {
	v := t
	if i := strings.Index(t, "):"); i >= 0 {
		v = t[i+2:]
	} else if i := strings.LastIndexByte(t, '('); i >= 0 {
		v = t[i:]
	}
	v = strings.Trim(strings.TrimSpace(v), "()")
	s := facts.Selector{Text: v}
	var part [4]string
	n := 0
	for rest := v; n < 4; n++ {
		a, b, ok := strings.Cut(rest, "/")
		part[n] = a
		if !ok {
			n++
			break
		}
		rest = b
	}
	a := addr(part[0])
	if !a.IsValid() || n < 2 {
		if n == 1 {
			s.Prefix = host(a)
		}
		return s
	}
	if m := addr(part[1]); m.Is4() && strings.ContainsRune(part[1], '.') {
		if bits, ok := maskBits(m); ok {
			s.Prefix, _ = a.Prefix(bits)
		}
	} else if bits := atoi(part[1]); bits <= a.BitLen() && part[1] != "" {
		s.Prefix, _ = a.Prefix(bits)
	}
	if n > 2 {
		s.Proto = atoi(part[2])
	}
	if n > 3 {
		s.Port = atoi(part[3])
	}
	return s
}
