package ios

import (
	"fmt"
	"strings"
	"testing"

	"vpnbot/diag/facts"
)

// headend writes show crypto ipsec sa of a router with n tunnels.
func headend(n int) string {
	var b strings.Builder
	b.WriteString("\ninterface: GigabitEthernet0/0\n    Crypto map tag: VPN, local addr 192.0.2.1\n\n")
	for i := range n {
		peer := fmt.Sprintf("198.51.%d.%d", 100+i/250, 1+i%250)
		fmt.Fprintf(&b, `   protected vrf: (none)
   local  ident (addr/mask/prot/port): (10.0.0.0/255.0.0.0/0/0)
   remote ident (addr/mask/prot/port): (172.%d.%d.0/255.255.255.0/0/0)
   current_peer %s port 500
     PERMIT, flags={origin_is_acl,}
    #pkts encaps: %d, #pkts encrypt: %d, #pkts digest: %d
    #pkts decaps: %d, #pkts decrypt: %d, #pkts verify: %d
    #pkts compressed: 0, #pkts decompressed: 0
    #pkts not compressed: 0, #pkts compr. failed: 0
    #pkts not decompressed: 0, #pkts decompress failed: 0
    #send errors 0, #recv errors 0

     local crypto endpt.: 192.0.2.1, remote crypto endpt.: %s
     path mtu 1500, ip mtu 1500, ip mtu idb GigabitEthernet0/0
     current outbound spi: 0x%08X(1)
     PFS (Y/N): N, DH group: none

     inbound esp sas:
      spi: 0x%08X(1)
        transform: esp-256-aes esp-sha-hmac ,
        in use settings ={Tunnel, }
        conn id: 2010, flow_id: Onboard VPN:10, sibling_flags 80000046, crypto map: VPN
        sa timing: remaining key lifetime (k/sec): (4390001/3327)
        IV size: 16 bytes
        replay detection support: Y
        Status: ACTIVE(ACTIVE)

     inbound ah sas:

     inbound pcp sas:

     outbound esp sas:
      spi: 0x%08X(1)
        transform: esp-256-aes esp-sha-hmac ,
        in use settings ={Tunnel, }
        conn id: 2010, flow_id: Onboard VPN:10, sibling_flags 80000046, crypto map: VPN
        sa timing: remaining key lifetime (k/sec): (4390001/3327)
        IV size: 16 bytes
        replay detection support: Y
        Status: ACTIVE(ACTIVE)

     outbound ah sas:

     outbound pcp sas:

`, 16+i/250%16, i%250, peer, i, i, i, i, i, i, peer, 0x10000000+i, 0x20000000+i, 0x10000000+i)
	}
	return b.String()
}

var sink int

// BenchmarkFields is the measure for the parser: the same text cut into lines and fields.
func BenchmarkFields(b *testing.B) {
	s := headend(5000)
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		for line := range strings.Lines(s) {
			sink += len(strings.Fields(line))
		}
	}
}

// BenchmarkIPsecSA parses 5,000 IPsec SAs from lines that are cut already.
func BenchmarkIPsecSA(b *testing.B) {
	s := headend(5000)
	lines := text(s)
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		dev := &facts.Device{}
		Parse(dev, facts.Output{Command: "show crypto ipsec sa", Complete: true, Text: lines})
		if len(dev.IPsec) != 5000 {
			b.Fatalf("%d SAs", len(dev.IPsec))
		}
	}
}

// configuration writes a running configuration of some n*10 lines.
func configuration(n int) string {
	var b strings.Builder
	b.WriteString("version 15.1\nhostname hub\n!\ncrypto isakmp policy 10\n encr aes 256\n authentication pre-share\n group 14\n")
	for i := range n {
		fmt.Fprintf(&b, "crypto isakmp key **** address 198.51.%d.%d\n", i/250, i%250)
	}
	b.WriteString("crypto ipsec transform-set T esp-aes 256 esp-sha-hmac\n!\n")
	for i := range n {
		fmt.Fprintf(&b, "crypto map VPN %d ipsec-isakmp\n set peer 198.51.%d.%d\n set transform-set T\n match address V%d\n", i+1, i/250, i%250, i)
	}
	b.WriteString("!\ninterface GigabitEthernet0/0\n ip address 192.0.2.1 255.255.255.0\n crypto map VPN\n!\n")
	for i := range n {
		fmt.Fprintf(&b, "ip access-list extended V%d\n permit ip 10.0.0.0 0.255.255.255 172.%d.%d.0 0.0.0.255\n", i, 16+i/250, i%250)
	}
	b.WriteString("end\n")
	return b.String()
}

func BenchmarkConfigFields(b *testing.B) {
	s := configuration(2900)
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		for line := range strings.Lines(s) {
			sink += len(strings.Fields(line))
		}
	}
}

func BenchmarkConfig(b *testing.B) {
	s := configuration(2900)
	lines := text(s)
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		dev := &facts.Device{}
		Parse(dev, facts.Output{Command: "show running-config", Complete: true, Text: lines})
		if len(dev.Config.MapEntries) != 2900 {
			b.Fatal(len(dev.Config.MapEntries))
		}
	}
}
