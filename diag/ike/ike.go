// Package ike turns packet captures into negotiations: what was said between two ends,
// what was said again, what was never answered, and the traffic that followed.
//
// In: a capture file (pcap, pcapng, either in gzip) or packets that package dump took from
// a device's hex dump. Out: a facts.Capture. The way is one pass over the file: record
// (reader.go), IP packet (ip.go), datagram (reassemble.go), kind of traffic (follow.go),
// message (isakmp.go); when the file is through, each negotiation is put in order and its
// messages get their names (label.go). Packets are not kept; all that is kept is bounded.
//
// Reduce rewrites a capture so that it can be handed to others.
package ike

import (
	"errors"
	"fmt"
	"io"
	"net/netip"

	"vpnbot/diag/dump"
	"vpnbot/diag/facts"
)

// Options for reading a capture. The zero value is good.
type Options struct {
	IKEPorts  []uint16 // UDP ports beside 500 and 4500 on which IKE is expected, with or without the non-ESP marker
	CTCPPorts []uint16 // TCP ports beside 10000 on which IPsec over TCP is expected; other ports are recognised by content
	// MaxPackets stops the reading after that many records; 0 is no limit.
	MaxPackets int
	// Fold is from how many peers on negotiations and flows stay folded (facts.Folded); 0 is a good number.
	Fold int
}

// ErrNoPackets says that a capture is well-formed and holds no packet.
var ErrNoPackets = errors.New("the capture holds no packets")

// Read reads a capture to its end. name is the vantage point, source the file as reports name it.
//
// A capture comes back together with an error when the file is usable in part: with
// ErrNoPackets (empty capture), or with a *DamagedError (cut or damaged: all packets before
// that place are in the capture, and Capture.Cut is set when it ended within a packet).
// Without a capture the error wraps ErrNotCapture, io.EOF (empty file), or what the reader said.
func Read(r io.Reader, name, source string, opt Options) (*facts.Capture, error) {
	f, err := newFileReader(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	w := newFollower(name, source, opt)
	var rec record
	for opt.MaxPackets == 0 || rec.n < opt.MaxPackets {
		if err = f.next(&rec); err != nil {
			break
		}
		w.record(&rec)
	}
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	c := w.finish()
	c.Cut = f.cut
	switch {
	case f.broken != "":
		return c, &DamagedError{Source: source, Packets: c.Packets, What: f.broken}
	case f.cut:
		return c, &DamagedError{Source: source, Packets: c.Packets, What: "the file ends in the middle of a packet", Cut: true}
	case c.Packets == 0:
		return c, fmt.Errorf("%s: %w", source, ErrNoPackets)
	}
	return c, nil
}

// DamagedError says that a capture file could be read only up to a place.
type DamagedError struct {
	Source  string
	Packets int // that were read
	What    string
	Cut     bool // the file only ended early, as when a transfer was broken off
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s: %s; its first %d packets are used", e.Source, e.What, e.Packets)
}

// FromDump follows packets of a hex dump (package dump) like those of a file. The numbers
// of the packets are those the device printed. Its errors are those of Read.
func FromDump(d *dump.Dump, name, source string, opt Options) (*facts.Capture, error) {
	w := newFollower(name, source, opt)
	for i := range d.Packets {
		p := &d.Packets[i]
		rec := record{n: p.Number, link: linkEthernet, wire: len(p.Data), data: p.Data}
		if p.IP {
			rec.link = linkRaw
		}
		// A dump does not say how long a packet was; its IP header does.
		var ip ipPacket
		if o := ipOffset(rec.link, p.Data); o >= 0 && parseIP(p.Data[min(o, len(p.Data)):], 0, &ip) {
			rec.wire = max(rec.wire, o+ip.total)
		}
		if !p.Time.IsZero() {
			rec.ts = p.Time.UnixNano()
		}
		w.record(&rec)
		if opt.MaxPackets > 0 && i+1 >= opt.MaxPackets {
			break
		}
	}
	c := w.finish()
	c.Undated = !d.Dated
	if c.Packets == 0 {
		return c, fmt.Errorf("%s: %w", source, ErrNoPackets)
	}
	return c, nil
}

// addrPort makes an address with a port as facts show it.
func addrPort(a addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a.netip(), port) }
