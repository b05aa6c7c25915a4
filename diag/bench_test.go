package diag_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"vpnbot/diag"
	"vpnbot/diag/bundle"
)

// saBlock is one SA of: sequence, peer, its access list, own and far network, packets decapsulated, SPIs.
const saBlock = `    Crypto map tag: CMAP, seq num: %[1]d, local addr: 198.51.100.1

      access-list %[3]s extended permit ip %[4]s 255.255.255.0 %[5]s 255.255.255.0
      local ident (addr/mask/prot/port): (%[4]s/255.255.255.0/0/0)
      remote ident (addr/mask/prot/port): (%[5]s/255.255.255.0/0/0)
      current_peer: %[2]s

      #pkts encaps: 317191, #pkts encrypt: 317191, #pkts digest: 317191
      #pkts decaps: %[6]d, #pkts decrypt: %[6]d, #pkts verify: %[6]d
      #pkts compressed: 0, #pkts decompressed: 0
      #pkts not compressed: 317191, #pkts comp failed: 0, #pkts decomp failed: 0
      #pre-frag successes: 0, #pre-frag failures: 0, #fragments created: 0
      #PMTUs sent: 0, #PMTUs rcvd: 0, #decapsulated frgs needing reassembly: 0
      #TFC rcvd: 0, #TFC sent: 0
      #Valid ICMP Errors rcvd: 0, #Invalid ICMP Errors rcvd: 0
      #send errors: 0, #recv errors: 0

      local crypto endpt.: 198.51.100.1/0, remote crypto endpt.: %[2]s/0
      path mtu 1500, ipsec overhead 74(44), media mtu 1500
      PMTU time remaining (sec): 0, DF policy: copy-df
      ICMP error validation: disabled, TFC packets: disabled
      current outbound spi: %[8]X
      current inbound spi : %[7]X

    inbound esp sas:
      spi: 0x%[7]X (%[7]d)
         transform: esp-aes-256 esp-sha-hmac no compression
         in use settings ={L2L, Tunnel, IKEv1, }
         slot: 0, conn_id: 8192, crypto-map: CMAP
         sa timing: remaining key lifetime (kB/sec): (4364001/18091)
         IV size: 16 bytes
         replay detection support: Y
         Anti replay bitmap:
          0xFFFFFFFF 0xFFFFFFFF
    outbound esp sas:
      spi: 0x%[8]X (%[8]d)
         transform: esp-aes-256 esp-sha-hmac no compression
         in use settings ={L2L, Tunnel, IKEv1, }
         slot: 0, conn_id: 8192, crypto-map: CMAP
         sa timing: remaining key lifetime (kB/sec): (4364001/18091)
         IV size: 16 bytes
         replay detection support: Y
         Anti replay bitmap:
          0x00000000 0x00000001

`

// peers of the headend: two IPsec SAs each, and eight lines of configuration. Of every
// fiftieth nothing comes back.
const (
	peers = 2500
	mute  = 50
)

// headend is the text of a headend: 5,000 IPsec SAs and a configuration of some 20,000 lines.
func headend(peers int) string {
	peer := func(i int) string { return fmt.Sprintf("192.%d.2.%d", i/250, i%250) }
	far := func(i int) string { return fmt.Sprintf("10.%d.%d.0", 2+i/250, i%250) }
	own := []string{"10.1.0.0", "10.1.1.0"}
	var b strings.Builder
	b.WriteString("hq# show running-config\n: Saved\n:\nASA Version 8.4(7)\n!\nhostname hq\ninterface GigabitEthernet0/0\n nameif outside\n security-level 0\n ip address 198.51.100.1 255.255.255.240\n!\nroute outside 0.0.0.0 0.0.0.0 198.51.100.14 1\n")
	for i := range peers {
		for _, net := range own {
			fmt.Fprintf(&b, "access-list VPN-%d extended permit ip %s 255.255.255.0 %s 255.255.255.0 \n", i, net, far(i))
		}
	}
	for i := range peers {
		fmt.Fprintf(&b, "crypto map CMAP %d match address VPN-%d\ncrypto map CMAP %d set peer %s \ncrypto map CMAP %d set ikev1 transform-set TS\n", i+1, i, i+1, peer(i), i+1)
	}
	b.WriteString("crypto map CMAP interface outside\ncrypto ikev1 enable outside\n")
	for i := range peers {
		fmt.Fprintf(&b, "tunnel-group %s type ipsec-l2l\ntunnel-group %s ipsec-attributes\n ikev1 pre-shared-key *****\n", peer(i), peer(i))
	}
	b.WriteString(": end\nhq# show crypto ipsec sa\ninterface: outside\n")
	for i := range peers {
		back := 786556
		if i%mute == 0 {
			back = 0
		}
		for k, net := range own {
			fmt.Fprintf(&b, saBlock, i+1, peer(i), fmt.Sprintf("VPN-%d", i), net, far(i), back, 0xB0AC0000+2*i+k, 0xC2C80000+2*i+k)
		}
	}
	b.WriteString("hq# \n")
	return b.String()
}

// headendFile is headend's text as a file of a bundle.
func headendFile(b *testing.B) (path, text string) {
	b.Helper()
	text = headend(peers)
	path = filepath.Join(b.TempDir(), "hq", "session.txt")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	return path, text
}

// BenchmarkHeadend reads and diagnoses a headend; compare its cpu-ms/op with those of the
// other two in the same run.
func BenchmarkHeadend(b *testing.B) {
	path, text := headendFile(b)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	defer cpu(b)()
	for b.Loop() {
		set, err := bundle.Read([]string{path}, bundle.Options{Key: []byte("the key of this test run, 32 byte")})
		if err != nil {
			b.Fatal(err)
		}
		if n := len(set.Devices[0].IPsec); n != 2*peers {
			b.Fatalf("%d SAs", n)
		}
		res := diag.Analyze(set, diag.Options{Now: now})
		if n := len(res.Report.Tunnels); n != peers {
			b.Fatalf("%d tunnels", n)
		}
		if n := len(res.Report.Findings); n != peers/mute {
			b.Fatalf("%d findings", n)
		}
	}
}

// BenchmarkHeadendSplit is the measure: the same text split into lines and fields.
func BenchmarkHeadendSplit(b *testing.B) {
	text := headend(peers)
	b.SetBytes(int64(len(text)))
	defer cpu(b)()
	n := 0
	for b.Loop() {
		for _, l := range strings.Split(text, "\n") {
			n += len(strings.Fields(l))
		}
	}
}

// BenchmarkHeadendSAs reads the SAs alone, as the bundle they are in would be read.
func BenchmarkHeadendSAs(b *testing.B) {
	text := headend(peers)
	text = "hq# " + text[strings.Index(text, "show crypto ipsec sa"):]
	path := filepath.Join(b.TempDir(), "hq.txt")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	defer cpu(b)()
	for b.Loop() {
		set, err := bundle.Read([]string{path}, bundle.Options{Key: []byte("the key of this test run, 32 byte")})
		if err != nil {
			b.Fatal(err)
		}
		if n := len(set.Devices[0].IPsec); n != 2*peers {
			b.Fatalf("%d SAs", n)
		}
	}
}

// textfsm reads of each SA what our parser keeps of it.
const textfsm = `import sys, textfsm, io
template = r"""Value Filldown Map (\S+)
Value Filldown Sequence (\d+)
Value LocalAddr (\S+)
Value List ACL (.+)
Value Local (\S+?)
Value Remote (\S+?)
Value Required Peer (\S+)
Value Encaps (\d+)
Value Encrypt (\d+)
Value Digest (\d+)
Value Decaps (\d+)
Value Decrypt (\d+)
Value Verify (\d+)
Value FragFailures (\d+)
Value PMTUsSent (\d+)
Value PMTUsRcvd (\d+)
Value SendErrors (\d+)
Value RecvErrors (\d+)
Value LocalEnd (\S+?)
Value RemoteEnd (\S+?)
Value PathMTU (\d+)
Value Overhead (\d+)
Value MediaMTU (\d+)
Value List SPI (0x[0-9A-F]+)
Value List Transform (.+?)
Value List Settings (.+?)
Value List KBytes (\d+)
Value List Seconds (\d+)

Start
  ^\s+Crypto map tag: -> Continue.Record
  ^\s+Crypto map tag: ${Map}, seq num: ${Sequence}, local addr: ${LocalAddr}
  ^\s+access-list ${ACL}
  ^\s+local ident .*: \(${Local}\)
  ^\s+remote ident .*: \(${Remote}\)
  ^\s+current_peer: ${Peer}
  ^\s+#pkts encaps: ${Encaps}, #pkts encrypt: ${Encrypt}, #pkts digest: ${Digest}
  ^\s+#pkts decaps: ${Decaps}, #pkts decrypt: ${Decrypt}, #pkts verify: ${Verify}
  ^\s+#pre-frag successes: \d+, #pre-frag failures: ${FragFailures},
  ^\s+#PMTUs sent: ${PMTUsSent}, #PMTUs rcvd: ${PMTUsRcvd},
  ^\s+#send errors: ${SendErrors}, #recv errors: ${RecvErrors}
  ^\s+local crypto endpt.: ${LocalEnd}, remote crypto endpt.: ${RemoteEnd}
  ^\s+path mtu ${PathMTU}, ipsec overhead ${Overhead}.*, media mtu ${MediaMTU}
  ^\s+spi: ${SPI}
  ^\s+transform: ${Transform}
  ^\s+in use settings =\{${Settings}\}
  ^\s+sa timing: .*\(${KBytes}/${Seconds}\)
"""
rows = textfsm.TextFSM(io.StringIO(template)).ParseText(sys.stdin.read())
assert len(rows) >= 5000, len(rows)
`

// BenchmarkTextFSM is a peer: python3-textfsm over the SAs alone, start of the interpreter included.
func BenchmarkTextFSM(b *testing.B) {
	python := "/usr/bin/python3" // Debian's own has Debian's modules
	if err := exec.Command(python, "-c", "import textfsm").Run(); err != nil {
		b.Skip("no python3 with textfsm (Debian: python3-textfsm)")
	}
	text := headend(peers)
	text = text[strings.Index(text, "show crypto ipsec sa"):]
	b.SetBytes(int64(len(text)))
	used := 0.0
	for b.Loop() {
		c := exec.Command(python, "-c", textfsm)
		c.Stdin = strings.NewReader(text)
		if out, err := c.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		u := c.ProcessState.SysUsage().(*syscall.Rusage)
		used += float64(u.Utime.Nano()+u.Stime.Nano()) / 1e6
	}
	b.ReportMetric(used/float64(b.N), "cpu-ms/op")
}
