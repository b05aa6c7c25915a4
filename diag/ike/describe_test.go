package ike

import (
	"fmt"
	"strings"

	"vpnbot/diag/facts"
)

// describe writes a capture as text, one line per message or flow: what golden files hold.
func describe(c *facts.Capture) string {
	var b strings.Builder
	p := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	p("%d packets, cut %v, %d snapped, made up %v", c.Packets, c.Cut, c.Snapped, c.MadeUp)
	if c.Packets == 0 {
		return b.String()
	}
	rel := func(t interface{ UnixNano() int64 }) string {
		return fmt.Sprintf("%9.3f", float64(t.UnixNano()-c.First.UnixNano())/1e9)
	}
	for _, n := range c.Negotiations {
		p("negotiation %s v%d %s %s > %s known %v via %s nat %v %q offered %v floated %v frag %v id %q resp %s", facts.SPIHex(n.InitSPI), n.Version, n.Exchange, n.Initiator, n.Responder, n.RoleKnown, n.Transport, n.NATDetected, n.NATSide, n.NATTOffered, n.Floated, n.FragIKE, n.Identity, spis(n.RespSPIs))
		for _, v := range n.VendorIDs {
			p("  vendor %s, initiator %v", v.Name, v.FromInitiator)
		}
		p("  offered %s", proposalText(n.Offered))
		p("  chosen %s", proposalText(n.Chosen))
		for _, u := range n.Paths {
			p("  path %s %s: %d there, %d back, packet %d", u.Initiator, u.Responder, u.FromInitiator, u.FromResponder, u.Packet)
		}
		for i := range n.Messages {
			m := &n.Messages[i]
			dir := "<"
			if m.FromInitiator {
				dir = ">"
			}
			s := fmt.Sprintf("  %3d %s %s %-28s %s>%s ip %d id %04x", m.Packet, rel(m.Time), dir, m.Label, m.Src, m.Dst, m.IPLength, m.IPID)
			if m.DF {
				s += " DF"
			}
			s += fmt.Sprintf(" ike %d/%d", m.Captured, m.Length)
			if m.MessageID != 0 {
				s += fmt.Sprintf(" mid %08x", m.MessageID)
			}
			if m.CopyOf >= 0 {
				s += fmt.Sprintf(" copy %d of #%d", m.Copy, m.CopyOf)
			}
			if m.DuplicateOf >= 0 {
				s += fmt.Sprintf(" duplicate of #%d", m.DuplicateOf)
			}
			for _, f := range m.Fragments {
				s += fmt.Sprintf(" [%d: %d+%d last %v]", f.Packet, f.Offset, f.Length, f.Last)
			}
			if !m.Complete {
				s += " INCOMPLETE"
			}
			for _, pl := range m.Payloads {
				s += " " + pl.Name
			}
			for _, x := range m.Notifies {
				s += " !" + x.Name
			}
			if m.Malformed != "" {
				s += " MALFORMED " + m.Malformed
			}
			p("%s", s)
		}
	}
	for _, e := range c.ESP {
		p("esp %08x %s > %s udp %v ctcp %v trusted %v: %d, dup %d, reordered %d, missing %d, seq %d-%d, %d bytes, packets %d-%d sampled %v/%d", e.SPI, e.Src, e.Dst, e.UDP, e.CTCP, e.Trusted, e.Count, e.Duplicates, e.Reordered, e.Missing, e.FirstSeq, e.LastSeq, e.Bytes, e.FirstPacket, e.LastPacket, e.Sampled, len(e.Sample))
		for _, s := range e.Sizes {
			p("  size %d: %d, df %d, frag %d", s.Length, s.Count, s.DF, s.Frag)
		}
	}
	for _, i := range c.ICMP {
		p("icmp %d %s %s > %s %d/%d mtu %d quotes %s > %s proto %d len %d df %v off %d more %v spi %08x ike %v %s", i.Packet, rel(i.Time), i.From, i.To, i.Type, i.Code, i.MTU, i.Quoted.Src, i.Quoted.Dst, i.Quoted.Proto, i.Quoted.Length, i.Quoted.DF, i.Quoted.Offset, i.Quoted.More, i.Quoted.SPI, i.Quoted.IKE, facts.SPIHex(i.Quoted.InitSPI))
	}
	for _, k := range c.Keepalives {
		p("keepalive %s > %s: %d, packets %d-%d", k.Src, k.Dst, k.Count, k.FirstPacket, k.LastPacket)
	}
	for _, t := range c.CTCP {
		p("ctcp %s > %s content %v syn %d/%d rst %q %d fin %d, packets %d-%d", t.Client, t.Server, t.Content, t.SYNs, t.SYNACKs, t.ResetBy, t.ResetPacket, t.FINs, t.FirstPacket, t.LastPacket)
		for _, s := range t.Segments {
			p("  %3d %s client %v seq %d ack %d len %d %s resend %v", s.Packet, rel(s.Time), s.FromClient, s.Seq, s.Ack, s.Length, s.Label, s.Resend)
		}
	}
	for _, o := range c.Orphans {
		p("orphan %s > %s proto %d id %04x %v", o.Src, o.Dst, o.Proto, o.IPID, o.Fragments)
	}
	for _, g := range c.Garbage {
		p("garbage %s > %s %s: %d, packets %d-%d", g.Src, g.Dst, g.What, g.Count, g.FirstPacket, g.LastPacket)
	}
	for _, h := range c.Hosts {
		p("host %s > %s: %d %v, packets %d-%d", h.Src, h.Dst, h.Count, h.Protocols, h.FirstPacket, h.LastPacket)
	}
	return b.String()
}

func spis(v []uint64) string {
	var s []string
	for _, x := range v {
		s = append(s, facts.SPIHex(x))
	}
	return strings.Join(s, ",")
}
