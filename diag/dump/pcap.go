package dump

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// ErrMixed is returned by WritePcap when some packets begin with an IP header and others with Ethernet.
var ErrMixed = errors.New("the dump holds packets with and without a link header")

// WritePcap writes the packets as a pcap file (microseconds), in their order. at turns a
// time as printed into a moment: a device prints its own clock, and an ASA no date. What
// the dump cut off a packet counts as not captured: its length on the wire is taken from
// its IP header.
func (d *Dump) WritePcap(w io.Writer, at func(time.Time) time.Time) error {
	link := layers.LinkTypeEthernet
	for i := range d.Packets {
		if d.Packets[i].IP != d.Packets[0].IP {
			return ErrMixed
		}
	}
	if len(d.Packets) > 0 && d.Packets[0].IP {
		link = layers.LinkTypeRaw
	}
	out := pcapgo.NewWriter(w)
	if err := out.WriteFileHeader(maxBytes, link); err != nil {
		return fmt.Errorf("writing a dump as a capture: %w", err)
	}
	for i := range d.Packets {
		p := &d.Packets[i]
		ci := gopacket.CaptureInfo{Timestamp: at(p.Time), CaptureLength: len(p.Data), Length: max(len(p.Data), onWire(p))}
		if err := out.WritePacket(ci, p.Data); err != nil {
			return fmt.Errorf("writing a dump as a capture, packet %d: %w", p.Number, err)
		}
	}
	return nil
}

// onWire is the length that the packet's own header gives, 0 when it gives none.
func onWire(p *Packet) int {
	b, link := p.Data, 0
	if !p.IP {
		if len(b) < 14 || binary.BigEndian.Uint16(b[12:]) != 0x0800 && binary.BigEndian.Uint16(b[12:]) != 0x86dd {
			return 0
		}
		b, link = b[14:], 14
	}
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		return link + int(binary.BigEndian.Uint16(b[2:]))
	case len(b) >= 40 && b[0]>>4 == 6:
		return link + 40 + int(binary.BigEndian.Uint16(b[4:]))
	}
	return 0
}
