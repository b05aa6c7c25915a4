package emulator

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// asaIsakmp is show crypto isakmp sa: IKEv1, and from 8.4 on IKEv2 below it.
func (d *Device) asaIsakmp(detail, both bool) string {
	if !d.atLeast(8, 4) {
		rows := d.asaIKERows(detail)
		if rows == "" {
			return "\nThere are no isakmp sas\n"
		}
		return d.asaIKEHead() + rows
	}
	return d.asaIKEv1(detail) + d.asaIKEv2(detail)
}

func (d *Device) asaIKEHead() string {
	n := 0
	for _, e := range d.ends {
		if e.t.lists(e.i) && e.t.spec.IKE == 1 {
			n++
		}
	}
	return fmt.Sprintf("\n   Active SA: %d\n    Rekey SA: 0 (A tunnel will report 1 Active and 1 Rekey SA during rekey)\nTotal IKE SA: %d\n\n", n, n)
}

func (d *Device) asaIKEv1(detail bool) string {
	rows := d.asaIKERows(detail)
	if rows == "" {
		return "\nThere are no IKEv1 SAs\n"
	}
	return "\nIKEv1 SAs:\n" + d.asaIKEHead() + rows
}

func (d *Device) asaIKERows(detail bool) string {
	d.settle()
	var b strings.Builder
	n := 0
	for _, e := range d.ends {
		if e.t.spec.IKE != 1 || !e.t.lists(e.i) {
			continue
		}
		n++
		role, kind, state := "responder", "L2L", "MM_ACTIVE"
		if e.initiates() {
			role = "initiator"
		}
		if e.ezvpn() {
			kind, state = "user", "AM_ACTIVE"
		}
		if e.t.state == Stuck {
			state = e.stuckState()
		}
		fmt.Fprintf(&b, "%-3d IKE Peer: %s\n", n, e.remote())
		fmt.Fprintf(&b, "    Type    : %-15s Role    : %-10s\n", kind, role)
		fmt.Fprintf(&b, "    Rekey   : no              State   : %-10s\n", state+" ")
		if detail {
			enc := e.t.spec.Encryption
			fmt.Fprintf(&b, "    Encrypt : %-15s Hash    : SHA       \n", enc)
			fmt.Fprintf(&b, "    Auth    : preshared       Lifetime: 86400\n")
			if e.t.state != Stuck {
				fmt.Fprintf(&b, "    Lifetime Remaining: %d\n", remaining(86400, e.age()))
			}
		}
	}
	return b.String()
}

func remaining(life int, age time.Duration) int {
	return max(life-int(age.Seconds())%life, 1)
}

func (d *Device) asaIKEv2(detail bool) string {
	d.settle()
	var b strings.Builder
	n := 0
	for _, e := range d.ends {
		if e.t.spec.IKE != 2 || !e.t.carries(e.i) {
			continue
		}
		n++
		role := "RESPONDER"
		if e.initiates() {
			role = "INITIATOR"
		}
		fmt.Fprintf(&b, "\nSession-id:%d, Status:UP-ACTIVE, IKE count:1, CHILD count:1\n\n", n)
		b.WriteString("Tunnel-id                 Local                Remote     Status         Role\n")
		fmt.Fprintf(&b, "%9d %21s %21s      READY    %s\n", e.t.conn[e.i]*7919, e.local().String()+"/500", e.remote().String()+"/500", role)
		b.WriteString("      Encr: AES-CBC, keysize: 256, Hash: SHA96, DH Grp:5, Auth sign: PSK, Auth verify: PSK\n")
		fmt.Fprintf(&b, "      Life/Active Time: 86400/%d sec\n", int(e.age().Seconds()))
		if detail {
			fmt.Fprintf(&b, "      Session-id: %d\n      Status Description: Negotiation done\n      Local spi: %016X       Remote spi: %016X\n      Local id: %s\n      Remote id: %s\n      Local req mess id: 4                 Remote req mess id: 11\n      Local next mess id: 4                Remote next mess id: 11\n      DPD configured for 10 seconds, retry 2\n      NAT-T is not detected  \n",
				n, uint64(e.spiIn())<<32|0x5bd1e995, uint64(e.spiOut())<<32|0x9e3779b9, e.local(), e.remote())
		}
		last := func(p netipNet) string { return lastAddr(netip.Prefix(p)).String() }
		fmt.Fprintf(&b, "Child sa: local selector  %s/0 - %s/65535\n          remote selector %s/0 - %s/65535\n          ESP spi in/out: 0x%x/0x%x  \n",
			e.localNet().addr(), last(e.localNet()), e.remoteNet().addr(), last(e.remoteNet()), e.spiIn(), e.spiOut())
	}
	if n == 0 {
		return "\nThere are no IKEv2 SAs\n"
	}
	return "\nIKEv2 SAs:\n" + b.String()
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

func (d *Device) asaIPsec(peer netip.Addr) string {
	d.settle()
	var b strings.Builder
	for _, e := range d.ends {
		if !e.t.carries(e.i) || peer.IsValid() && e.remote() != peer {
			continue
		}
		if b.Len() == 0 {
			if peer.IsValid() {
				fmt.Fprintf(&b, "peer address: %s\n", peer)
			} else {
				fmt.Fprintf(&b, "interface: %s\n", e.spec().Interface)
			}
		} else {
			b.WriteString("\n")
		}
		d.asaIPsecBlock(&b, e)
	}
	if b.Len() == 0 {
		if peer.IsValid() {
			return fmt.Sprintf("\nThere are no ipsec sas for peer %s\n", peer)
		}
		return "\nThere are no ipsec sas\n"
	}
	return b.String()
}

func (d *Device) asaIPsecBlock(b *strings.Builder, e end) {
	enc, dec := e.encaps(), e.decaps()
	life := remaining(28800, e.age())
	mapName, seq := e.spec().Map, e.spec().Sequence
	if e.ezvpn() {
		if e.headend() {
			mapName, seq = "EZ-DYN", 10
		} else {
			mapName, seq = "_vpnc_cm", 10
		}
	}
	fmt.Fprintf(b, "    Crypto map tag: %s, seq num: %d, local addr: %s\n\n", mapName, seq, e.local())
	if e.spec().ACL != "" {
		fmt.Fprintf(b, "      access-list %s extended permit ip %s %s %s %s \n", e.spec().ACL, e.localNet().addr(), e.localNet().mask(), e.remoteNet().addr(), e.remoteNet().mask())
	}
	fmt.Fprintf(b, "      local ident (addr/mask/prot/port): (%s/%s/0/0)\n", e.localNet().addr(), e.localNet().mask())
	fmt.Fprintf(b, "      remote ident (addr/mask/prot/port): (%s/%s/0/0)\n", e.remoteNet().addr(), e.remoteNet().mask())
	fmt.Fprintf(b, "      current_peer: %s", e.remote())
	if e.ezvpn() && e.headend() {
		fmt.Fprintf(b, ", username: %s\n      dynamic allocated peer ip: 0.0.0.0", e.t.spec.User)
	}
	b.WriteString("\n\n")
	fmt.Fprintf(b, "      #pkts encaps: %d, #pkts encrypt: %d, #pkts digest: %d\n", enc, enc, enc)
	fmt.Fprintf(b, "      #pkts decaps: %d, #pkts decrypt: %d, #pkts verify: %d\n", dec, dec, dec)
	b.WriteString("      #pkts compressed: 0, #pkts decompressed: 0\n")
	fmt.Fprintf(b, "      #pkts not compressed: %d, #pkts comp failed: 0, #pkts decomp failed: 0\n", enc)
	b.WriteString("      #pre-frag successes: 0, #pre-frag failures: 0, #fragments created: 0\n")
	b.WriteString("      #PMTUs sent: 0, #PMTUs rcvd: 0, #decapsulated frgs needing reassembly: 0\n")
	if d.atLeast(8, 4) {
		b.WriteString("      #TFC rcvd: 0, #TFC sent: 0\n      #Valid ICMP Errors rcvd: 0, #Invalid ICMP Errors rcvd: 0\n")
	}
	b.WriteString("      #send errors: 0, #recv errors: 0\n\n")
	fmt.Fprintf(b, "      local crypto endpt.: %s/0, remote crypto endpt.: %s/0\n", e.local(), e.remote())
	if d.atLeast(8, 4) {
		b.WriteString("      path mtu 1500, ipsec overhead 74(44), media mtu 1500\n      PMTU time remaining (sec): 0, DF policy: copy-df\n      ICMP error validation: disabled, TFC packets: disabled\n")
	} else {
		b.WriteString("      path mtu 1500, ipsec overhead 74, media mtu 1500\n")
	}
	fmt.Fprintf(b, "      current outbound spi: %08X\n      current inbound spi : %08X\n\n", e.spiOut(), e.spiIn())
	flags := "{L2L, Tunnel, IKEv1, }"
	if e.t.spec.IKE == 2 {
		flags = "{L2L, Tunnel, IKEv2, }"
	}
	if e.ezvpn() {
		flags = "{RA, Tunnel, IKEv1, }"
	}
	if !d.atLeast(8, 4) {
		flags = strings.Replace(flags, "IKEv1, ", "", 1)
	}
	tr := "esp-aes-256 esp-sha-hmac"
	if e.t.spec.Encryption == "aes" {
		tr = "esp-aes esp-sha-hmac"
	}
	for _, s := range []struct {
		dir, bitmap string
		spi         uint32
		n           int64
	}{{"inbound", "0xFFFFFFFF 0xFFFFFFFF", e.spiIn(), dec}, {"outbound", "0x00000000 0x00000001", e.spiOut(), enc}} {
		fmt.Fprintf(b, "    %s esp sas:\n      spi: 0x%08X (%d)\n         transform: %s no compression \n         in use settings =%s\n         slot: 0, conn_id: %d, crypto-map: %s\n         sa timing: remaining key lifetime (kB/sec): (%d/%d)\n         IV size: 16 bytes\n         replay detection support: Y\n         Anti replay bitmap: \n          %s\n",
			s.dir, s.spi, s.spi, tr, flags, e.t.conn[e.i]*4096, mapName, max(4374000-e.sizeOf(s.n)/1024, 1), life, s.bitmap)
	}
}

func asaSessionSummary(s *session, a args) string {
	d := s.dev
	d.settle()
	l2l, ra := 0, 0
	for _, e := range d.ends {
		if e.t.carries(e.i) {
			if e.ezvpn() {
				ra++
			} else {
				l2l++
			}
		}
	}
	var b strings.Builder
	line := strings.Repeat("-", 75) + "\n"
	b.WriteString(line + "VPN Session Summary\n" + line)
	b.WriteString("                               Active : Cumulative : Peak Concur : Inactive\n                             ----------------------------------------------\n")
	fmt.Fprintf(&b, "Site-to-Site VPN             : %6d : %10d : %11d\n", l2l, l2l+41, l2l+1)
	fmt.Fprintf(&b, "  IKEv1 IPsec                : %6d : %10d : %11d\n", l2l, l2l+41, l2l+1)
	fmt.Fprintf(&b, "IKEv1 IPsec/L2TP IPsec       : %6d : %10d : %11d\n", ra, ra+12, ra+1)
	b.WriteString(line)
	fmt.Fprintf(&b, "Total Active and Inactive    : %6d             Total Cumulative : %6d\nDevice Total VPN Capacity    :    750\nDevice Load                  :     0%%\n", l2l+ra, l2l+ra+53)
	b.WriteString(line)
	return b.String()
}

// asaSessions is show vpn-sessiondb [detail] KIND.
func (d *Device) asaSessions(kind string, detail bool, peer netip.Addr) string {
	d.settle()
	var b strings.Builder
	n := 0
	for _, e := range d.ends {
		l2l := !e.ezvpn()
		if !e.t.carries(e.i) || l2l != (kind == "l2l") || kind == "anyconnect" || kind == "webvpn" || kind == "svc" || peer.IsValid() && peer != e.remote() {
			continue
		}
		n++
		if n == 1 {
			title := "LAN-to-LAN"
			if !l2l {
				title = "IKEv1 IPsec"
			}
			if detail {
				title += " Detailed"
			}
			fmt.Fprintf(&b, "\nSession Type: %s\n", title)
		}
		ip := "IKEv1 IPsec"
		if e.t.spec.IKE == 2 {
			ip = "IKEv2 IPsec"
		}
		enc := "IKEv1: (1)AES256  IPsec: (1)AES256"
		if l2l {
			fmt.Fprintf(&b, "\nConnection   : %s\n", e.remote())
		} else {
			fmt.Fprintf(&b, "\nUsername     : %s\n", e.t.spec.User)
		}
		born := e.t.since.In(d.zone)
		fmt.Fprintf(&b, "Index        : %-22d IP Addr      : %s\nProtocol     : %s\nEncryption   : %s  Hashing      : IKEv1: (1)SHA1  IPsec: (1)SHA1\n", e.t.conn[e.i], e.remote(), ip, enc)
		fmt.Fprintf(&b, "Bytes Tx     : %-22d Bytes Rx     : %d\nLogin Time   : %s\nDuration     : %s\n", e.sizeOf(e.encaps()), e.sizeOf(e.decaps()),
			born.Format("15:04:05 ")+d.zoneName()+born.Format(" Mon Jan 2 2006"), duration(e.age()))
		if detail {
			fmt.Fprintf(&b, "\nIKEv1 Tunnels: 1\nIPsec Tunnels: 1\n\nIKEv1:\n  Tunnel ID    : %[1]d.1\n  UDP Src Port : 500                    UDP Dst Port : 500\n  IKE Neg Mode : Main                   Auth Mode    : preSharedKeys\n  Encryption   : AES256                 Hashing      : SHA1\n  Rekey Int (T): 86400 Seconds          Rekey Left(T): %[2]d Seconds\n  D/H Group    : %[3]s\n  Filter Name  : \n\nIPsec:\n  Tunnel ID    : %[1]d.2\n  Local Addr   : %[4]s/%[5]s/0/0\n  Remote Addr  : %[6]s/%[7]s/0/0\n  Encryption   : AES256                 Hashing      : SHA1\n  Encapsulation: Tunnel\n  Rekey Int (T): 28800 Seconds          Rekey Left(T): %[8]d Seconds\n  Rekey Int (D): 4608000 K-Bytes        Rekey Left(D): %[9]d K-Bytes\n  Idle Time Out: 0 Minutes              Idle TO Left : 0 Minutes\n  Bytes Tx     : %-22[10]d Bytes Rx     : %[11]d\n  Pkts Tx      : %-22[12]d Pkts Rx      : %[13]d\n",
				e.t.conn[e.i], remaining(86400, e.age()), or(e.t.spec.Group, "2"), e.localNet().addr(), e.localNet().mask(), e.remoteNet().addr(), e.remoteNet().mask(),
				remaining(28800, e.age()), max(4608000-e.sizeOf(e.encaps())/1024, 1), e.sizeOf(e.encaps()), e.sizeOf(e.decaps()), e.encaps(), e.decaps())
		}
	}
	if n == 0 {
		return "INFO: There are presently no active sessions\n\n"
	}
	return b.String()
}
