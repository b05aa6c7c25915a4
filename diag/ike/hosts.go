package ike

import (
	"encoding/binary"
	"slices"
	"strconv"

	"vpnbot/diag/facts"
)

// hostKey is one direction between two hosts.
type hostKey struct{ src, dst addr }

// hostTraffic counts what is no VPN from one host to another.
type hostTraffic struct {
	key         hostKey
	count       int
	first, last int64
	firstPacket int
	lastPacket  int
	protocols   []string
	lastProto   uint8
	lastPort    uint16
}

// other counts a packet that is no VPN. as overrides the protocol's name.
func (f *follower) other(p *ipPacket, as string) {
	k := hostKey{p.src, p.dst}
	h := f.lastHost
	if h == nil || h.key != k {
		h = f.hosts[k]
		if h == nil {
			if len(f.hostSeq) >= maxHosts {
				f.c.HostsDropped++
				return
			}
			h = &hostTraffic{key: k, first: p.ts, last: p.ts, firstPacket: p.n}
			f.hosts[k] = h
			f.hostSeq = append(f.hostSeq, h)
		}
		f.lastHost = h
	}
	h.count++
	h.first, h.last = min(h.first, p.ts), max(h.last, p.ts)
	h.lastPacket = p.n
	var port uint16
	if (p.proto == protoTCP || p.proto == protoUDP) && p.offset == 0 && len(p.data) >= 4 {
		port = min(binary.BigEndian.Uint16(p.data), binary.BigEndian.Uint16(p.data[2:]))
	}
	if h.lastProto == p.proto && h.lastPort == port && as == "" && h.count > 1 {
		return
	}
	h.lastProto, h.lastPort = p.proto, port
	if len(h.protocols) >= maxProtocols {
		return
	}
	if as == "" {
		as = protocolText(p.proto, port)
	}
	if !slices.Contains(h.protocols, as) {
		h.protocols = append(h.protocols, as)
	}
}

func protocolText(proto uint8, port uint16) string {
	name := ""
	switch proto {
	case protoICMP:
		name = "icmp"
	case protoICMPv6:
		name = "icmp6"
	case protoTCP:
		name = "tcp"
	case protoUDP:
		name = "udp"
	case protoESP:
		name = "esp"
	case protoAH:
		name = "ah"
	case 47:
		name = "gre"
	default:
		name = "ip/" + strconv.Itoa(int(proto))
	}
	if port != 0 {
		name += "/" + strconv.Itoa(int(port))
	}
	return name
}

func (f *follower) finishHosts() {
	for _, h := range f.hostSeq {
		f.c.Hosts = append(f.c.Hosts, facts.HostTraffic{
			Src: h.key.src.netip(), Dst: h.key.dst.netip(), Count: h.count, First: stamp(h.first), Last: stamp(h.last),
			FirstPacket: h.firstPacket, LastPacket: h.lastPacket, Protocols: h.protocols,
		})
	}
}
