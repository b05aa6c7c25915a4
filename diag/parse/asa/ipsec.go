package asa

import (
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/redact"
)

// ipsecSA reads show crypto ipsec sa in all forms, also what a filter left of it
// ("| include caps"): blocks without identities take those of the reading before.
func (p *reader) ipsecSA() {
	begin := len(p.dev.IPsec)
	b := blockReader{reader: p}
	p.dev.IPsec = slices.Grow(p.dev.IPsec, len(p.out.Text)/40) // a block has some 45 lines
	for i := range p.out.Text {
		b.line(p.out.Text[i])
	}
	b.close(p.out.Complete || p.out.Filter != "")
	added := p.dev.IPsec[begin:]
	if len(added) == 0 {
		return
	}
	p.adopt(begin)
	p.number(begin)
}

// identity is what makes two blocks of two readings the same SA.
type identity struct {
	peer          netip.Addr
	local, remote netip.Prefix
	seq           int
	username      string
}

func identityOf(s *facts.IPsecSA) identity {
	return identity{s.Peer, s.LocalID.Prefix, s.RemoteID.Prefix, 0, s.Username}
}

// number sets Reading: one more than the last reading that showed one of these SAs, else
// the number of earlier answers to the same command.
func (p *reader) number(begin int) {
	reading := 0
	for i := range p.dev.Outputs {
		o := &p.dev.Outputs[i]
		if o.Command == p.out.Command && o.Filter == p.out.Filter && !o.Refused {
			reading++
		}
	}
	if begin > 0 {
		last := make(map[identity]int, begin)
		for i := range p.dev.IPsec[:begin] {
			s := &p.dev.IPsec[i]
			last[identityOf(s)] = max(last[identityOf(s)], s.Reading+1)
		}
		for i := begin; i < len(p.dev.IPsec); i++ {
			reading = max(reading, last[identityOf(&p.dev.IPsec[i])])
		}
	}
	for i := begin; i < len(p.dev.IPsec); i++ {
		p.dev.IPsec[i].Reading = reading
	}
}

// adopt gives blocks without identity (a filtered answer) the ones of an earlier full
// answer: by the peer in the command, and by order when the numbers agree.
func (p *reader) adopt(begin int) {
	var bare []int
	for i := begin; i < len(p.dev.IPsec); i++ {
		s := &p.dev.IPsec[i]
		if !s.LocalID.Prefix.IsValid() && s.LocalID.Text == "" {
			bare = append(bare, i)
		}
	}
	if len(bare) == 0 || len(bare) != len(p.dev.IPsec)-begin {
		return
	}
	var peer netip.Addr
	if _, rest, ok := strings.Cut(p.out.Command, " peer "); ok {
		peer, _ = address(firstWord(rest))
	}
	for _, i := range bare {
		if s := &p.dev.IPsec[i]; !s.Peer.IsValid() {
			s.Peer = peer
		}
	}
	// The last full reading.
	var full []int
	reading := -1
	for i := begin - 1; i >= 0; i-- {
		s := &p.dev.IPsec[i]
		if s.LocalID.Text == "" || peer.IsValid() && s.Peer != peer {
			continue
		}
		if reading == -1 {
			reading = s.Reading
		}
		if s.Reading == reading {
			full = append(full, i)
		}
	}
	if len(full) != len(bare) {
		return
	}
	for k, i := range bare {
		s, from := &p.dev.IPsec[i], &p.dev.IPsec[full[len(full)-1-k]]
		if s.Peer.IsValid() && s.Peer != from.Peer {
			continue
		}
		s.Peer, s.PeerName, s.Local = from.Peer, from.PeerName, from.Local
		s.LocalID, s.RemoteID = from.LocalID, from.RemoteID
		s.Interface, s.Map, s.Sequence, s.ACL, s.ACLText, s.Username = from.Interface, from.Map, from.Sequence, from.ACL, from.ACLText, from.Username
	}
}

// maxSAs bounds the SAs of one device.
const maxSAs = 100000

type blockReader struct {
	*reader
	dropped   facts.IPsecSA
	sa        *facts.IPsecSA
	iface     string
	inbound   bool
	direction bool // a direction's header was seen
	outbound  bool
	spi       *facts.SPI
}

func (b *blockReader) close(complete bool) {
	if b.sa != nil {
		b.sa.Complete = complete && b.outbound
		b.sa = nil
	}
	b.spi = nil
	b.outbound, b.direction = false, false
}

func (b *blockReader) open(l facts.Line) {
	b.close(true)
	n := facts.NotShown
	if len(b.dev.IPsec) >= maxSAs { // read on, and keep nothing
		b.dev.Skipped++
		b.dropped = facts.IPsecSA{}
		b.sa = &b.dropped
		return
	}
	b.dev.IPsec = append(b.dev.IPsec, facts.IPsecSA{Interface: b.iface, Place: b.place(l), Places: make(facts.Places, 0, 8), Time: b.out.Time,
		Encaps: n, Encrypt: n, Digest: n, Decaps: n, Decrypt: n, Verify: n, SendErrors: n, RecvErrors: n, InvalidSARecv: n,
		PMTUsSent: n, PMTUsRcvd: n, FragFailures: n, ReplayFailed: n})
	b.sa = &b.dev.IPsec[len(b.dev.IPsec)-1]
}

// ensure opens a block when a line that belongs into one stands alone: the beginning was cut off.
func (b *blockReader) ensure(l facts.Line) *facts.IPsecSA {
	if b.sa == nil {
		b.open(l)
	}
	return b.sa
}

func (b *blockReader) line(l facts.Line) {
	t := strings.TrimSpace(l.Text)
	if t == "" {
		return
	}
	// By the first letter: a headend has hundreds of thousands of these lines.
	known := true
	switch t[0] {
	case '#':
		b.counters(t, l)
	case 's':
		known = b.association(t, l)
	case 'l', 'r', 'c', 'd', 'p':
		known = b.ends(t, l)
	case 'C':
		if known = strings.HasPrefix(t, "Crypto map tag:"); known {
			b.open(l)
			b.mapTag(t)
		}
	case 'a':
		if known = strings.HasPrefix(t, "access-list "); known {
			s := b.ensure(l)
			s.ACL, s.ACLText = firstWord(strings.TrimLeft(t[len("access-list "):], " \t")), t
		}
	case 'i', 'o':
		known = b.header(t, l)
	case 't':
		if known = strings.HasPrefix(t, "transform:"); known && b.spi != nil {
			b.spi.Transform = strings.Trim(t[len("transform:"):], " ,")
		}
	case 'S':
		if known = strings.HasPrefix(t, "SA State") || strings.HasPrefix(t, "Status:"); known && b.spi != nil {
			b.spi.Status = strings.ToUpper(firstWord(afterByte(t, ':')))
		}
	case '0': // anti-replay bitmap
		known = strings.HasPrefix(t, "0x")
	case 'P':
		known = strings.HasPrefix(t, "PMTU time") || strings.HasPrefix(t, "Protected vrf") || strings.HasPrefix(t, "PERMIT")
	case 'I':
		known = strings.HasPrefix(t, "IV size") || strings.HasPrefix(t, "ICMP error") || strings.HasPrefix(t, "Initiator")
	default:
		known = strings.HasPrefix(t, "Anti replay") || strings.HasPrefix(t, "DF policy") || strings.HasPrefix(t, "There are no ipsec sas")
	}
	if !known {
		b.skip(l)
	}
}

// header opens an interface's or a direction's part; settings stand among what begins with "in".
func (b *blockReader) header(t string, l facts.Line) bool {
	switch {
	case strings.HasPrefix(t, "in use settings"):
		b.settings(t)
	case strings.HasPrefix(t, "inbound esp sas"):
		b.ensure(l)
		b.inbound, b.direction, b.spi = true, true, nil
	case strings.HasPrefix(t, "outbound esp sas"):
		b.ensure(l)
		b.inbound, b.direction, b.spi, b.outbound = false, true, nil, true
	case strings.HasPrefix(t, "inbound ah sas"), strings.HasPrefix(t, "inbound pcp sas"):
		b.ensure(l)
		b.direction, b.spi = false, nil
	case strings.HasPrefix(t, "outbound ah sas"), strings.HasPrefix(t, "outbound pcp sas"):
		b.ensure(l)
		b.direction, b.spi, b.outbound = false, nil, true
	case strings.HasPrefix(t, "interface:"):
		b.close(true)
		b.iface = strings.TrimSpace(t[len("interface:"):])
	default:
		return false
	}
	return true
}

// association reads a line of one SPI's part.
func (b *blockReader) association(t string, l facts.Line) bool {
	switch {
	case strings.HasPrefix(t, "spi:"):
		b.openSPI(t, l)
	case strings.HasPrefix(t, "sa timing"):
		b.timing(t)
	default:
		return strings.HasPrefix(t, "slot:")
	}
	return true
}

// ends reads who the ends of a block are, and the way between them.
func (b *blockReader) ends(t string, l facts.Line) bool {
	switch {
	case strings.HasPrefix(t, "local ident"), strings.HasPrefix(t, "local  ident"):
		if b.sa == nil || b.sa.LocalID.Text != "" {
			b.open(l)
		}
		b.sa.LocalID = selector(after(t, "):"))
		b.sa.Places.Set("ident", b.place(l))
	case strings.HasPrefix(t, "remote ident"):
		s := b.ensure(l)
		s.RemoteID = selector(after(t, "):"))
	case strings.HasPrefix(t, "current_peer"), strings.HasPrefix(t, "current peer"):
		b.peer(t, l)
	case strings.HasPrefix(t, "current outbound spi"), strings.HasPrefix(t, "current inbound spi"):
		b.ensure(l)
	case strings.HasPrefix(t, "path mtu"):
		b.mtu(t, l)
	case strings.HasPrefix(t, "local crypto endpt"):
		b.endpoints(t, l)
	case strings.HasPrefix(t, "remote crypto endpt"):
		s := b.ensure(l)
		if a, _ := address(firstWord(afterByte(t, ':'))); a.IsValid() && !s.Peer.IsValid() {
			s.Peer = a
		}
	case strings.HasPrefix(t, "dynamic allocated peer ip"):
		if s := b.ensure(l); s.Dynamic == "" || s.Dynamic == "0.0.0.0" {
			s.Dynamic = strings.TrimSpace(afterByte(t, ':'))
		}
	default:
		return strings.HasPrefix(t, "replay detection")
	}
	return true
}

func after(s, sep string) string {
	if i := strings.Index(s, sep); i >= 0 {
		return s[i+len(sep):]
	}
	return ""
}

func afterByte(s string, c byte) string {
	if i := strings.IndexByte(s, c); i >= 0 {
		return s[i+1:]
	}
	return ""
}

// mapTag: Crypto map tag: CMAP, seq num: 10, local addr: 203.0.113.101
func (b *blockReader) mapTag(t string) {
	for part := range strings.SplitSeq(t, ",") {
		k, v, _ := strings.Cut(part, ":")
		v = strings.TrimSpace(v)
		switch strings.TrimSpace(k) {
		case "Crypto map tag":
			b.sa.Map = v
		case "seq num":
			b.sa.Sequence = atoi(v)
		case "local addr":
			b.sa.Local, _ = address(v)
		default:
			// PIX: Crypto map tag: x, local addr. 192.0.2.1
			if rest, ok := strings.CutPrefix(strings.TrimSpace(part), "local addr."); ok {
				b.sa.Local, _ = address(rest)
			}
		}
	}
}

func (b *blockReader) peer(t string, l facts.Line) {
	s := b.ensure(l)
	if _, told := s.Places.At("peer"); told && s.Peer.IsValid() { // a filtered answer: peers and counters only
		b.open(l)
		s = b.sa
	}
	v := strings.TrimSpace(t[len("current_peer"):])
	v = strings.TrimSpace(strings.TrimPrefix(v, ":"))
	v, rest, _ := strings.Cut(v, ",")
	word := firstWord(v)
	s.Peer, _ = address(word)
	if !s.Peer.IsValid() {
		s.PeerName = redact.Strip(word)
		if i := strings.IndexByte(s.PeerName, '/'); i > 0 {
			s.PeerName = s.PeerName[:i]
		}
	}
	if _, u, ok := strings.Cut(rest, "username:"); ok {
		s.Username = redact.Strip(strings.TrimSpace(u))
	}
	s.Places.Set("peer", b.place(l))
}

func (b *blockReader) endpoints(t string, l facts.Line) {
	s := b.ensure(l)
	local, remote, _ := strings.Cut(t, "remote crypto endpt.")
	local = strings.TrimLeft(strings.TrimPrefix(local, "local crypto endpt."), ": ")
	if a, _ := address(firstWord(local)); a.IsValid() {
		s.Local = a
	}
	if a, _ := address(firstWord(strings.TrimLeft(remote, ": "))); a.IsValid() && !s.Peer.IsValid() {
		s.Peer = a
	}
}

// mtu: path mtu 1500, ipsec overhead 74(44), media mtu 1500
func (b *blockReader) mtu(t string, l facts.Line) {
	s := b.ensure(l)
	for part := range strings.SplitSeq(t, ",") {
		part = strings.TrimSpace(part)
		if v, ok := strings.CutPrefix(part, "path mtu "); ok {
			s.PathMTU = atoi(v)
		} else if v, ok := strings.CutPrefix(part, "ipsec overhead "); ok {
			s.Overhead = atoi(v)
		} else if v, ok := strings.CutPrefix(part, "media mtu "); ok {
			s.MediaMTU = atoi(v)
		}
	}
	if s.PathMTU != 0 && s.PathMTU < 1500 || s.MediaMTU != 0 && s.MediaMTU < 1500 {
		s.Places.Set("mtu", b.place(l))
	}
}

func (b *blockReader) openSPI(t string, l facts.Line) {
	s := b.ensure(l)
	v := strings.TrimSpace(t[len("spi:"):])
	if !b.direction || strings.HasPrefix(v, "[") {
		b.spi = nil
		return
	}
	n := facts.SPI{Value: spi(v), Place: b.place(l)}
	key := "spi-out"
	list := &s.SPIOut
	if b.inbound {
		key, list = "spi-in", &s.SPIIn
	}
	*list = append(*list, n)
	b.spi = &(*list)[len(*list)-1]
	if len(*list) == 1 {
		s.Places.Set(key, n.Place)
	}
}

// settings: in use settings ={L2L, Tunnel, NAT-T-Encaps, PFS Group 2, IKEv1, }
func (b *blockReader) settings(t string) {
	if b.spi == nil {
		return
	}
	v := strings.Trim(afterByte(t, '='), "{} ")
	v = strings.Trim(v, ", ")
	b.spi.Settings = v
	if _, g, ok := strings.Cut(v, "PFS Group "); ok {
		b.sa.PFS = "group" + strings.TrimRight(firstWord(g), ",")
	}
}

// timing: (kB/sec): (4364001/18091), (sec): 548, (kB/sec): (KB Vol Rekey Disabled/239)
func (b *blockReader) timing(t string) {
	if b.spi == nil {
		return
	}
	i := strings.LastIndex(t, "):")
	if i < 0 {
		return
	}
	v := strings.Trim(t[i+2:], " ()")
	if kb, sec, ok := strings.Cut(v, "/"); ok {
		b.spi.Seconds = atoi(strings.TrimSpace(sec))
		b.spi.KBytes = max(0, count(strings.TrimSpace(kb)))
	} else {
		b.spi.Seconds = atoi(v)
	}
}

// counters: "#pkts encaps: 5, #pkts encrypt: 5, #pkts digest 5", "#send errors 0", "##pkts ...".
func (b *blockReader) counters(t string, l facts.Line) {
	s := b.ensure(l)
	known := false
	for t != "" {
		i := strings.IndexByte(t, '#')
		if i < 0 {
			break
		}
		t = strings.TrimLeft(t[i:], "#")
		// The name ends at the colon or before the number.
		end := 0
		for end < len(t) && t[end] != ':' && t[end] != ',' && t[end] != '#' && !(t[end] >= '0' && t[end] <= '9') {
			end++
		}
		name := strings.TrimSpace(t[:end])
		for t = t[end:]; t != "" && (t[0] == ':' || t[0] == ' '); {
			t = t[1:]
		}
		n := count(t)
		if n == facts.NotShown {
			continue
		}
		var at *int64
		key := ""
		switch name {
		case "pkts encaps":
			if s.Encaps != facts.NotShown { // only filtered answers have no line between blocks
				b.open(l)
				s = b.sa
			}
			at, key = &s.Encaps, "encaps"
		case "pkts encrypt":
			at = &s.Encrypt
		case "pkts digest":
			at = &s.Digest
		case "pkts decaps":
			at, key = &s.Decaps, "decaps"
		case "pkts decrypt":
			at = &s.Decrypt
		case "pkts verify":
			at, key = &s.Verify, "verify"
		case "send errors":
			at, key = &s.SendErrors, "send-errors"
		case "recv errors":
			at, key = &s.RecvErrors, "recv-errors"
		case "pkts invalid sa (rcv)":
			at, key = &s.InvalidSARecv, "invalid-sa"
		case "pkts replay failed (rcv)":
			at, key = &s.ReplayFailed, "replay-failed"
		case "PMTUs sent":
			at = &s.PMTUsSent
		case "PMTUs rcvd":
			at, key = &s.PMTUsRcvd, "pmtus-rcvd"
		case "pre-frag failures":
			at, key = &s.FragFailures, "frag-failures"
		}
		known = true
		if at != nil {
			*at = n
			// What is zero on every healthy block gets a place only when it is not.
			switch key {
			case "", "verify", "recv-errors", "invalid-sa", "replay-failed", "frag-failures":
				if key == "" || n == 0 || key == "verify" && n == s.Decrypt {
					continue
				}
			}
			s.Places.Set(key, b.place(l))
		}
	}
	if !known {
		b.skip(l)
	}
}
