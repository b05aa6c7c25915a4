package ios

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vpnbot/diag/facts"
)

func a(s string) netip.Addr   { return netip.MustParseAddr(s) }
func p(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func TestIsakmpSA(t *testing.T) {
	type row struct {
		local, remote, state, role, conn string
		deleted                          bool
	}
	cases := []struct {
		name, text string
		own        string
		want       []row
	}{
		{"brief", "IPv4 Crypto ISAKMP SA\ndst             src             state          conn-id status\n192.0.2.1       198.51.100.9    QM_IDLE           1001 ACTIVE\n203.0.113.7     192.0.2.1       MM_NO_STATE          0 ACTIVE (deleted)\n\nIPv6 Crypto ISAKMP SA\n", "192.0.2.1",
			[]row{{"192.0.2.1", "198.51.100.9", "QM_IDLE", "responder", "1001", false}, {"192.0.2.1", "203.0.113.7", "MM_NO_STATE", "initiator", "0", true}}},
		{"slot column, own address from several rows", "dst src state conn-id slot status\n192.0.2.1 198.51.100.9 QM_IDLE 1001 0 ACTIVE\n192.0.2.1 198.51.100.8 MM_KEY_EXCH 1002 0 ACTIVE", "",
			[]row{{"192.0.2.1", "198.51.100.9", "QM_IDLE", "responder", "1001", false}, {"192.0.2.1", "198.51.100.8", "MM_KEY_EXCH", "responder", "1002", false}}},
		{"old image without status", "    dst            src           state        conn-id   slot\n198.51.100.9   192.0.2.1    CONF_XAUTH         4        0", "192.0.2.1", []row{{"192.0.2.1", "198.51.100.9", "CONF_XAUTH", "initiator", "4", false}}},
		{"detail with and without VRF", "C-id  Local           Remote          I-VRF  Status Encr Hash   Auth DH Lifetime Cap.\n\n1001  192.0.2.1       198.51.100.9    RED    ACTIVE aes  sha    psk  14 20:01:47 D\n       Engine-id:Conn-id =  SW:1\n\n1002  192.0.2.1       198.51.100.8           ACTIVE 3des md5    rsig 2  00:01:12", "192.0.2.1",
			[]row{{"192.0.2.1", "198.51.100.9", "ACTIVE", "", "1001", false}, {"192.0.2.1", "198.51.100.8", "ACTIVE", "", "1002", false}}},
		{"IPv6", "IPv6 Crypto ISAKMP SA\n\n dst: 2001:DB8::2\n src: 2001:DB8::1\n state: QM_IDLE         conn-id:   1001 status: ACTIVE\n", "2001:db8::1", []row{{"2001:db8::1", "2001:db8::2", "QM_IDLE", "initiator", "1001", false}}},
		{"empty", "IPv4 Crypto ISAKMP SA\ndst             src             state          conn-id status\n\nIPv6 Crypto ISAKMP SA", "", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dev := &facts.Device{}
			if c.own != "" {
				dev.Addresses = []netip.Addr{a(c.own)}
			}
			if !run(dev, "show crypto isakmp sa", c.text) {
				t.Fatal("not understood")
			}
			var got []row
			for _, sa := range dev.IKE {
				got = append(got, row{sa.Local.String(), sa.Remote.String(), sa.State, sa.Role, sa.ConnID, sa.Deleted})
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %v\nwant %v", got, c.want)
			}
			if dev.Skipped != 0 {
				t.Errorf("%d lines skipped", dev.Skipped)
			}
		})
	}
}

func TestOwnSideIsFoundLater(t *testing.T) {
	dev := &facts.Device{}
	run(dev, "show crypto isakmp sa", "dst src state conn-id status\n192.0.2.1 198.51.100.9 QM_IDLE 1001 ACTIVE")
	if dev.IKE[0].Remote != a("192.0.2.1") {
		t.Fatalf("before: %+v", dev.IKE[0])
	}
	run(dev, "show running-config", "hostname r\ninterface Gi0/0\n ip address 192.0.2.1 255.255.255.0\n crypto map M\nend")
	if sa := dev.IKE[0]; sa.Local != a("192.0.2.1") || sa.Remote != a("198.51.100.9") || sa.Role != "responder" {
		t.Errorf("after: %+v", sa)
	}
}

func TestIKEv2(t *testing.T) {
	dev := &facts.Device{}
	run(dev, "show crypto ikev2 sa detailed", ` IPv4 Crypto IKEv2  SA

Tunnel-id Local                 Remote                fvrf/ivrf            Status
1         192.0.2.1/4500        198.51.100.9/4500     none/none            READY
      Encr: AES-CBC, keysize: 256, PRF: SHA512, Hash: SHA512, DH Grp:19, Auth sign: PSK, Auth verify: PSK
      Life/Active Time: 86400/5400 sec
      Local spi: 00AA11BB22CC33DD       Remote spi: 11AA11BB22CC33DD
      Initiator of SA : Yes
2         192.0.2.1/500         198.51.100.8/500      none/none            IN-NEG

 IPv6 Crypto IKEv2  SA
`)
	if len(dev.IKE) != 2 {
		t.Fatalf("%+v", dev.IKE)
	}
	x := dev.IKE[0]
	if x.Version != 2 || x.State != "READY" || x.Role != "initiator" || x.LocalPort != 4500 || x.Encryption != "aes-cbc-256" || x.Hash != "sha512" || x.DH != "19" || x.Auth != "preshared" || x.Remaining != 81000 {
		t.Errorf("%+v", x)
	}
	if y := dev.IKE[1]; y.State != "IN-NEG" || y.Remote != a("198.51.100.8") || y.Reading != 0 {
		t.Errorf("%+v", y)
	}
	run(dev, "show crypto ikev2 session", "Session-id:3, Status:UP-ACTIVE, IKE count:1, CHILD count:1\n\nTunnel-id Local Remote fvrf/ivrf Status\n1 192.0.2.1/500 198.51.100.9/500 none/none READY\nChild sa: local selector  10.1.0.0/0 - 10.1.255.255/65535\n          remote selector 10.2.0.0/0 - 10.2.255.255/65535\n          ESP spi in/out: 0x232CB82D/0x30767B6E")
	c := dev.IKE[2].Children
	if len(c) != 1 || c[0].SPIIn != 0x232CB82D || c[0].SPIOut != 0x30767B6E || c[0].Remote != "10.2.0.0/0 - 10.2.255.255/65535" {
		t.Errorf("%+v", c)
	}
}

const block = `
interface: GigabitEthernet0/0
    Crypto map tag: VPN, local addr 192.0.2.1

   protected vrf: (none)
   local  ident (addr/mask/prot/port): (10.1.0.0/255.255.0.0/0/0)
   remote ident (addr/mask/prot/port): (10.2.0.0/255.255.255.0/0/0)
   current_peer 198.51.100.9 port 4500
     PERMIT, flags={origin_is_acl,}
    #pkts encaps: 10, #pkts encrypt: 10, #pkts digest: 10
    #pkts decaps: 0, #pkts decrypt: 0, #pkts verify: 0
    #send errors 7, #recv errors 0

     local crypto endpt.: 192.0.2.1, remote crypto endpt.: 198.51.100.9
     path mtu 1400, ip mtu 1400, ip mtu idb GigabitEthernet0/0
     current outbound spi: 0xDC15BF68(3692412776)
     PFS (Y/N): Y, DH group: group14

     inbound esp sas:
      spi: 0x1E8246FC (511854332)
        transform: esp-256-aes esp-sha-hmac ,
        in use settings ={Tunnel UDP-Encaps, }
        sa timing: remaining key lifetime (k/sec): (4390001/3327)
        Status: ACTIVE(ACTIVE)
     outbound esp sas:
      spi: 0xDC15BF68(3692412776)
        transform: esp-256-aes esp-sha-hmac ,
        sa timing: remaining key lifetime 4 hours, 2 mins
     outbound ah sas:
     outbound pcp sas:
`

func TestIPsecSA(t *testing.T) {
	dev := &facts.Device{}
	run(dev, "show crypto ipsec sa", block+`
   protected vrf: (none)
   local  ident (addr/mask/prot/port): (192.0.2.1/255.255.255.255/47/0)
   remote ident (addr/mask/prot/port): (::/0/89/0)
   current_peer: hub.example.net
    #pkts encaps: 3, #pkts encrypt: 3, #pkts digest 3
`)
	if len(dev.IPsec) != 2 || dev.Skipped != 0 {
		t.Fatalf("%d blocks, %d skipped", len(dev.IPsec), dev.Skipped)
	}
	x := dev.IPsec[0]
	if x.Interface != "GigabitEthernet0/0" || x.Map != "VPN" || x.Local != a("192.0.2.1") || x.Peer != a("198.51.100.9") || x.LocalID.Prefix != p("10.1.0.0/16") || x.RemoteID.Prefix != p("10.2.0.0/24") ||
		x.Encaps != 10 || x.Decaps != 0 || x.SendErrors != 7 || x.PMTUsRcvd != facts.NotShown || x.PathMTU != 1400 || x.PFS != "group14" || !x.Complete {
		t.Errorf("%+v", x)
	}
	if len(x.SPIIn) != 1 || x.SPIIn[0].Value != 0x1E8246FC || x.SPIIn[0].Seconds != 3327 || x.SPIIn[0].KBytes != 4390001 || x.SPIIn[0].Settings != "Tunnel UDP-Encaps" || x.SPIIn[0].Status != "ACTIVE" {
		t.Errorf("in %+v", x.SPIIn)
	}
	if len(x.SPIOut) != 1 || x.SPIOut[0].Value != 0xDC15BF68 || x.SPIOut[0].Seconds != 4*3600+120 {
		t.Errorf("out %+v", x.SPIOut)
	}
	if pl, _ := x.Places.At("send-errors"); !strings.Contains(pl.Text, "#send errors 7") || pl.Line == 0 {
		t.Errorf("place %+v", pl)
	}
	y := dev.IPsec[1]
	if y.Complete || y.PeerName != "hub.example.net" || y.LocalID.Proto != 47 || y.RemoteID.Prefix != p("::/0") || y.Decaps != facts.NotShown {
		t.Errorf("cut block %+v", y)
	}
}

func TestIPsecReadings(t *testing.T) {
	dev := &facts.Device{}
	run(dev, "show crypto ipsec sa", block)
	run(dev, "show crypto ipsec sa peer 198.51.100.7", strings.ReplaceAll(strings.ReplaceAll(block, "198.51.100.9", "198.51.100.7"), "10.2.0.0", "10.3.0.0"))
	run(dev, "show crypto ipsec sa", strings.ReplaceAll(block, "encaps: 10", "encaps: 20"))
	var got []int
	for _, x := range dev.IPsec {
		got = append(got, x.Reading)
	}
	if !slices.Equal(got, []int{0, 0, 1}) {
		t.Errorf("readings %v", got)
	}
}

func TestFilteredIPsecIsNotComplete(t *testing.T) {
	dev := &facts.Device{}
	out := facts.Output{Command: "show crypto ipsec sa", Filter: "include ident|caps", Complete: true,
		Text: text("   local  ident (addr/mask/prot/port): (10.1.0.0/255.255.0.0/0/0)\n   remote ident (addr/mask/prot/port): (10.2.0.0/255.255.0.0/0/0)\n    #pkts encaps: 4, #pkts encrypt: 4, #pkts digest: 4\n    #pkts decaps: 9, #pkts decrypt: 9, #pkts verify: 9")}
	Parse(dev, out)
	if len(dev.IPsec) != 1 || dev.IPsec[0].Complete || dev.IPsec[0].Decaps != 9 {
		t.Errorf("%+v", dev.IPsec)
	}
}

func TestSession(t *testing.T) {
	dev := &facts.Device{}
	run(dev, "show crypto session detail", `Crypto session current status

Code: C - IKE Configuration mode, D - Dead Peer Detection
K - Keepalives, N - NAT-traversal, T - cTCP encapsulation

Interface: GigabitEthernet0/0
Uptime: 3d18h
Session status: UP-ACTIVE
Peer: 198.51.100.9 port 4500 fvrf: (none) ivrf: (none)
      Phase1_id: 198.51.100.9
      Desc: (none)
  Session ID: 0
  IKEv1 SA: local 192.0.2.1/4500 remote 198.51.100.9/4500 Active
          Capabilities:DN connid:1002 lifetime:05:50:03
  IPSEC FLOW: permit ip 10.1.0.0/255.255.0.0 10.2.0.0/255.255.0.0
        Active SAs: 2, origin: crypto map
        Inbound:  #pkts dec'ed 0 drop 3 life (KB/Sec) 4607363/2513
        Outbound: #pkts enc'ed 44 drop 0 life (KB/Sec) KB Vol Rekey Disabled/3060

Interface: GigabitEthernet0/0
Session status: UP-NO-IKE
Peer: 198.51.100.8 port 500 fvrf: (none) ivrf: (none)
  IPSEC FLOW: permit 47 host 192.0.2.1 host 198.51.100.8
        Active SAs: 2, origin: crypto map

Interface: GigabitEthernet0/0
Session status: DOWN-NEGOTIATING
Peer: 2001:db8::9 port 500
  IKEv1 SA: local 192.0.2.1/500
          remote 198.51.100.7/500 Inactive
  IPSEC FLOW: permit ip host 10.0.0.1 host 10.0.0.2
        Active SAs: 0, origin: crypto map
`)
	var got []string
	for _, s := range dev.Sessions {
		got = append(got, s.Peer.String()+" "+s.Status+" "+s.Fields["active-sas"])
	}
	if !slices.Equal(got, []string{"198.51.100.9 UP-ACTIVE 2", "198.51.100.8 UP-NO-IKE 2", "2001:db8::9 DOWN-NEGOTIATING 0"}) {
		t.Errorf("%q", got)
	}
	if len(dev.IPsec) != 1 || dev.IPsec[0].Encaps != 44 || dev.IPsec[0].Decaps != 0 || dev.IPsec[0].RecvErrors != 3 || dev.IPsec[0].RemoteID.Prefix != p("10.2.0.0/16") {
		t.Errorf("%+v", dev.IPsec)
	}
	if len(dev.IKE) != 2 || dev.IKE[1].State != "INACTIVE" || dev.IKE[1].Remote != a("198.51.100.7") || dev.IKE[0].ConnID != "1002" {
		t.Errorf("%+v", dev.IKE)
	}
	if dev.Skipped != 0 {
		t.Errorf("%d skipped", dev.Skipped)
	}
	// The tables tell more: what the session table said of that peer goes.
	run(dev, "show crypto ipsec sa", block)
	run(dev, "show crypto isakmp sa", "dst src state conn-id status\n192.0.2.1 198.51.100.9 QM_IDLE 1002 ACTIVE")
	if len(dev.IPsec) != 1 || dev.IPsec[0].SendErrors != 7 || len(dev.IKE) != 2 {
		t.Errorf("%+v %+v", dev.IPsec, dev.IKE)
	}
}

const config = `Building configuration...

Current configuration : 4711 bytes
!
version 15.4
service timestamps log datetime msec
!
hostname edge-1
!
crypto keyring KR vrf INET
  pre-shared-key address 198.51.100.20 key ****[h:0011223344556677]
  pre-shared-key address 0.0.0.0 0.0.0.0 key ****[h:1011223344556677]
!
no crypto isakmp enable
crypto isakmp policy 10
 encr aes 256
 hash sha256
 authentication pre-share
 group 14
crypto isakmp policy 20
 encr 3des
 lifetime 3600
crypto isakmp key ****[h:2011223344556677] address 198.51.100.9 no-xauth
crypto isakmp key 6 **** hostname far.example.net
crypto isakmp key ****[h:3011223344556677] address 198.51.100.0 255.255.255.0
crypto isakmp keepalive 15 3 periodic
crypto isakmp aggressive-mode disable
no crypto ipsec nat-transparency udp-encapsulation
crypto isakmp client configuration group STAFF
 key ****[h:4011223344556677]
 dns 10.1.0.5
 pool VPNPOOL
 acl 140
crypto ikev2 proposal P2
 encryption aes-cbc-256 aes-cbc-128
 integrity sha1 sha256
 group 14 5
crypto ikev2 policy POL
 proposal P2
crypto ikev2 keyring K2
 peer FAR
  address 198.51.100.30
  pre-shared-key local ****[h:5011223344556677]
  pre-shared-key remote ****[h:6011223344556677]
 !
!
crypto ikev2 profile PR2
 match identity remote address 198.51.100.30 255.255.255.255
 authentication local pre-share
 keyring local K2
crypto ipsec security-association idle-time 600
crypto ipsec transform-set T1 esp-aes 256 esp-sha-hmac
 mode transport
crypto ipsec profile IPP
 set transform-set T1
 set pfs group14
 set ikev2-profile PR2
crypto dynamic-map DYN 5
 set transform-set T1
 reverse-route
crypto map VPN client authentication list USERS
crypto map VPN 10 ipsec-isakmp
 description far
 set peer 198.51.100.9 default
 set peer 198.51.100.10
 set security-association lifetime seconds 28800
 set transform-set T1 T9
 set pfs
 match address CRYPTO
crypto map VPN 65000 ipsec-isakmp dynamic DYN
!
interface Tunnel0
 ip address 172.31.0.1 255.255.255.252
 ip mtu 1400
 tunnel source GigabitEthernet0/0
 tunnel destination 198.51.100.30
 tunnel protection ipsec profile IPP
!
interface GigabitEthernet0/0
 ip address 192.0.2.1 255.255.255.0
 ip access-group IN in
 ip nat outside
 crypto map VPN
!
interface GigabitEthernet0/1
 ip address 10.1.0.1 255.255.0.0
 ip nat inside
 ip tcp adjust-mss 1360
 shutdown
!
object-group network REMOTE
 host 10.9.0.1
 10.8.0.0 255.255.0.0
 range 10.7.0.0 10.7.0.255
!
ip local pool VPNPOOL 10.1.99.1 10.1.99.200
ip nat inside source route-map NONAT interface GigabitEthernet0/0 overload
ip nat inside source static 10.1.0.25 192.0.2.25
ip nat inside source static udp 10.1.0.7 500 interface GigabitEthernet0/0 500
ip route 0.0.0.0 0.0.0.0 192.0.2.254
ip route 10.2.0.0 255.255.0.0 GigabitEthernet0/0 192.0.2.254 200 name to-far
!
ip access-list extended CRYPTO
 10 permit ip 10.1.0.0 0.0.255.255 10.2.0.0 0.0.255.255
 20 permit tcp object-group LOCAL eq 22 object-group REMOTE
 remark nothing
access-list 140 permit ip any 10.1.99.0 0.0.0.255
access-list 175 deny   ip 10.1.0.0 0.0.255.255 host 10.2.0.1
access-list 10 permit 10.1.0.0 0.0.255.255
!
route-map NONAT permit 10
 match ip address 175
!
radius-server host 10.1.0.9 auth-port 1812 timeout 4
end
`

func TestConfig(t *testing.T) {
	for _, form := range []struct {
		name string
		text string
	}{{"as printed", config}, {"indentation lost", flat(config)}, {"one blank more and trailing blanks", strings.ReplaceAll(config, "\n ", "\n  ")}} {
		t.Run(form.name, func(t *testing.T) {
			dev := &facts.Device{}
			run(dev, "show running-config", form.text)
			checkConfig(t, dev)
		})
	}
}

// flat takes the indentation off, as some mail programs do.
func flat(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.TrimLeft(line, " "))
	}
	return b.String()
}

func checkConfig(t *testing.T, dev *facts.Device) {
	t.Helper()
	c := dev.Config
	if c == nil || !c.Complete || c.Partial || c.Hostname != "edge-1" || dev.Version.Text != "15.4" || dev.Version.Major != 15 {
		t.Fatalf("%+v %+v", c, dev.Version)
	}
	if !slices.Equal(dev.Addresses, []netip.Addr{a("192.0.2.1")}) {
		t.Errorf("addresses %v", dev.Addresses)
	}
	if len(c.IKEPolicies) != 3 {
		t.Fatalf("%d policies", len(c.IKEPolicies))
	}
	if x := c.IKEPolicies[0]; x.Encryption[0] != "aes-256" || x.Hash[0] != "sha256" || x.Auth != "pre-share" || x.Groups[0] != "14" || !slices.Equal(x.Defaulted, []string{"lifetime"}) {
		t.Errorf("%+v", x)
	}
	if x := c.IKEPolicies[1]; x.Auth != "rsa-sig" || x.Groups[0] != "1" || x.Lifetime != 3600 || !slices.Equal(x.Defaulted, []string{"hash", "auth", "group"}) {
		t.Errorf("%+v", x)
	}
	if x := c.IKEPolicies[2]; x.Version != 2 || !slices.Equal(x.Encryption, []string{"aes-256", "aes"}) || !slices.Equal(x.Hash, []string{"sha", "sha256"}) {
		t.Errorf("%+v", x)
	}
	var keys []string
	for _, k := range c.Keys {
		s := k.Keyring + "|" + k.Name + "|" + k.Side + "|" + k.Token
		if k.Peer.IsValid() {
			s = k.Peer.String() + "|" + s
		}
		if k.NoXAuth {
			s += "|no-xauth"
		}
		keys = append(keys, s)
	}
	if want := []string{"198.51.100.20/32|KR|||h:0011223344556677", "0.0.0.0/0|KR|||h:1011223344556677", "198.51.100.9/32||||h:2011223344556677|no-xauth", "|far.example.net||",
		"198.51.100.0/24||||h:3011223344556677", "|STAFF||h:4011223344556677", "198.51.100.30/32|K2|FAR|local|h:5011223344556677", "198.51.100.30/32|K2|FAR|remote|h:6011223344556677"}; !slices.Equal(keys, want) {
		t.Errorf("keys\n got %q\nwant %q", keys, want)
	}
	if len(c.MapEntries) != 3 {
		t.Fatalf("%+v", c.MapEntries)
	}
	if d := c.MapEntries[0]; !d.DynamicMap || d.Map != "DYN" || !d.Reverse {
		t.Errorf("%+v", d)
	}
	m := c.MapEntries[1]
	if m.Sequence != 10 || len(m.Peers) != 2 || m.ACL != "CRYPTO" || m.PFS != "default" || m.Lifetime != 28800 || !slices.Equal(m.Transforms, []string{"T1", "T9"}) || m.Places["acl"].Line == 0 {
		t.Errorf("%+v", m)
	}
	if c.MapEntries[2].Dynamic != "DYN" {
		t.Errorf("%+v", c.MapEntries[2])
	}
	if len(c.MapBindings) != 1 || c.MapBindings[0].Interface != "GigabitEthernet0/0" {
		t.Errorf("%+v", c.MapBindings)
	}
	if x := c.TransformSets[0]; !x.Transport || !slices.Equal(x.Transforms, []string{"esp-aes-256", "esp-sha-hmac"}) {
		t.Errorf("%+v", x)
	}
	if x := c.Interfaces[0]; x.TunnelSrc != "GigabitEthernet0/0" || x.TunnelDst != a("198.51.100.30") || x.Protection != "IPP" || x.MTU != 1400 {
		t.Errorf("%+v", x)
	}
	if x := c.Interfaces[1]; x.Map != "VPN" || !x.NATOutside || x.ACLIn != "IN" || x.Shutdown {
		t.Errorf("%+v", x)
	}
	if x := c.Interfaces[2]; !x.NATInside || x.AdjustMSS != 1360 || !x.Shutdown || x.Address != netip.MustParsePrefix("10.1.0.1/16") {
		t.Errorf("%+v", x)
	}
	acl := c.ACL("CRYPTO")
	if acl == nil || len(acl.Entries) != 2 || acl.Entries[0].Sequence != 10 || acl.Entries[0].Src[0] != p("10.1.0.0/16") || acl.Entries[0].Dst[0] != p("10.2.0.0/16") {
		t.Fatalf("%+v", acl)
	}
	if e := acl.Entries[1]; e.Proto != "tcp" || e.SrcPort != "eq 22" || e.DstName != "REMOTE" || !slices.Equal(e.Dst, []netip.Prefix{p("10.9.0.1/32"), p("10.8.0.0/16"), p("10.7.0.0/24")}) || e.SrcName != "LOCAL" || e.SrcAny {
		t.Errorf("%+v", e)
	}
	if e := c.ACL("140").Entries[0]; !e.SrcAny || e.DstAny || e.Dst[0] != p("10.1.99.0/24") {
		t.Errorf("%+v", e)
	}
	if e := c.ACL("175").Entries[0]; e.Permit || e.Dst[0] != p("10.2.0.1/32") {
		t.Errorf("%+v", e)
	}
	if x := c.ACL("10"); !x.Standard || x.Entries[0].Src[0] != p("10.1.0.0/16") {
		t.Errorf("%+v", x)
	}
	if len(c.NAT) != 3 || c.NAT[0].RouteMap != "NONAT" || !c.NAT[0].Interface || c.NAT[1].Form != "static" || c.NAT[1].SrcMapped[0] != p("192.0.2.25/32") || c.NAT[2].Service != "udp 500 500" || !c.NAT[2].Interface {
		t.Errorf("%+v", c.NAT)
	}
	if len(c.RouteMaps) != 1 || !slices.Equal(c.RouteMaps[0].ACLs, []string{"175"}) {
		t.Errorf("%+v", c.RouteMaps)
	}
	if len(c.Routes) != 2 || c.Routes[1].Via != a("192.0.2.254") || c.Routes[1].Interface != "GigabitEthernet0/0" || c.Routes[1].Metric != 200 {
		t.Errorf("%+v", c.Routes)
	}
	if len(c.Pools) != 1 || c.Pools[0].To != a("10.1.99.200") {
		t.Errorf("%+v", c.Pools)
	}
	if len(c.AAAServers) != 1 || c.AAAServers[0].Timeout != 4 {
		t.Errorf("%+v", c.AAAServers)
	}
	if len(c.IKEEnabled) != 1 || !c.IKEEnabled[0].No {
		t.Errorf("%+v", c.IKEEnabled)
	}
	for key, want := range map[string]string{"crypto isakmp keepalive": "15 3 periodic", "crypto ipsec security-association idle-time": "600", "crypto isakmp aggressive-mode disable": "", "crypto map VPN client authentication list": "USERS"} {
		if s, ok := c.Setting(key); !ok || s.Value != want || s.No {
			t.Errorf("%s: %+v %v", key, s, ok)
		}
	}
	if s, ok := c.Setting("crypto ipsec nat-transparency udp-encapsulation"); !ok || !s.No {
		t.Errorf("nat transparency: %+v", s)
	}
	if len(c.ClientGroups) != 1 {
		t.Fatalf("%+v", c.ClientGroups)
	}
	if v, ok := facts.Get(c.ClientGroups[0].Attrs, "acl"); !ok || v.Value != "140" {
		t.Errorf("%+v", c.ClientGroups)
	}
	var prof []string
	for _, x := range c.Profiles {
		prof = append(prof, x.Kind+" "+x.Name)
		if x.Kind == "ipsec" {
			if v, _ := facts.Get(x.Attrs, "set pfs"); v.Value != "group14" {
				t.Errorf("%+v", x)
			}
		}
	}
	if !slices.Equal(prof, []string{"ikev2 PR2", "ipsec IPP"}) {
		t.Errorf("%q", prof)
	}
}

func TestSections(t *testing.T) {
	dev := &facts.Device{}
	Parse(dev, facts.Output{Command: "show running-config", Filter: "section crypto map", Complete: true, Text: text("crypto map VPN 10 ipsec-isakmp\n set peer 198.51.100.9\n match address 101")})
	Parse(dev, facts.Output{Command: "show running-config", Filter: "include access-list", Complete: true, Text: text("access-list 101 permit ip 10.1.0.0 0.0.255.255 any")})
	if c := dev.Config; !c.Partial || c.Complete || len(c.MapEntries) != 1 || c.ACL("101") == nil {
		t.Errorf("%+v", dev.Config)
	}
	run(dev, "show running-config", config)
	if c := dev.Config; c.Partial || len(c.MapEntries) != 3 {
		t.Errorf("the whole configuration does not replace the sections: %+v", c)
	}
	Parse(dev, facts.Output{Command: "show running-config", Filter: "section crypto map", Complete: true, Text: text("crypto map VPN 10 ipsec-isakmp\n set peer 198.51.100.9\n match address CRYPTO")})
	if len(dev.Config.MapEntries) != 3 || dev.Config.Partial {
		t.Errorf("a section counts twice: %+v", dev.Config.MapEntries)
	}
}

func TestPing(t *testing.T) {
	cases := []struct {
		name, command, text string
		want                facts.Ping
	}{
		{"plain", "ping 198.51.100.9", "Type escape sequence to abort.\nSending 5, 100-byte ICMP Echos to 198.51.100.9, timeout is 2 seconds:\n.....\nSuccess rate is 0 percent (0/5)", facts.Ping{Size: 100, Sent: 5, MillisRT: -1}},
		{"source, size, df", "ping 198.51.100.9 source gigabitethernet0/1 size 1500 df-bit", "Sending 5, 1500-byte ICMP Echos to 198.51.100.9, timeout is 2 seconds:\nPacket sent with a source address of 10.1.0.1\nPacket sent with the DF bit set\nM.M.M\nSuccess rate is 0 percent (0/5)", facts.Ping{Source: "gigabitethernet0/1", Size: 1500, DF: true, Sent: 5, TooBig: true, MillisRT: -1}},
		{"answers", "ping", "Target IP address: 198.51.100.9\nRepeat count [5]: \nDatagram size [100]: 1400\nSource address or interface: 10.1.0.1\nSet DF bit in IP header? [no]: yes\nSending 5, 1400-byte ICMP Echos to 198.51.100.9, timeout is 2 seconds:\n.!!!!\nSuccess rate is 80 percent (4/5), round-trip min/avg/max = 1/24/40 ms", facts.Ping{Source: "10.1.0.1", Size: 1400, DF: true, Sent: 5, Received: 4, MillisRT: 24}},
		{"outcome alone", "ping 198.51.100.9 size 1440 repeat 20", "Success rate is 0 percent (0/20)", facts.Ping{Size: 1440, Sent: 20, MillisRT: -1}},
		{"marks alone", "ping 198.51.100.9", "!!!..", facts.Ping{Sent: 5, Received: 3, MillisRT: -1}},
		{"cut off", "ping 198.51.100.9", "Sending 5, 100-byte ICMP Echos to 198.51.100.9, timeout is 2 seconds:\n!!U", facts.Ping{Size: 100, Sent: 5, Received: 2, MillisRT: -1}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dev := &facts.Device{}
			run(dev, c.command, c.text)
			if len(dev.Pings) != 1 {
				t.Fatalf("%+v", dev.Pings)
			}
			got := dev.Pings[0]
			got.Place = facts.Place{}
			c.want.Target = a("198.51.100.9")
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestSmallOutputs(t *testing.T) {
	dev := &facts.Device{}
	run(dev, "show version", "Cisco IOS Software, C2900 Software (C2900-UNIVERSALK9-M), Version 15.1(4)M7, RELEASE SOFTWARE (fc1)\nedge uptime is 3 weeks\n")
	if dev.Version.Text != "15.1(4)M7" || dev.Hostname != "edge" {
		t.Errorf("%+v %q", dev.Version, dev.Hostname)
	}
	run(dev, "show clock", "*14:27:47.974 UTC Mon Mar 16 2020")
	if dev.Clock == nil || dev.Clock.Device.Year() != 2020 {
		t.Errorf("%+v", dev.Clock)
	}
	run(dev, "show platform cerm-information", "Crypto Export Restrictions Manager(CERM) Information:\n CERM functionality: ENABLED\n\n ----------------------------------------------------------------\n Resource                       Maximum Limit           Available\n ----------------------------------------------------------------\n Tx Bandwidth(in kbps)          85000                   0\n Number of tunnels              225                     219\n")
	found := map[string][2]int64{}
	for _, c := range dev.Counters {
		if c.Group == "cerm" {
			found[c.Name] = [2]int64{c.Value, c.Limit}
		}
	}
	if found["Tx Bandwidth(in kbps)"] != [2]int64{0, 85000} || found["Number of tunnels"] != [2]int64{219, 225} {
		t.Errorf("%v", found)
	}
	run(dev, "show ip route", "Gateway of last resort is 192.0.2.254 to network 0.0.0.0\n\nS*    0.0.0.0/0 [1/0] via 192.0.2.254\n      10.0.0.0/8 is variably subnetted, 2 subnets, 2 masks\nC        10.1.0.0/16 is directly connected, GigabitEthernet0/1\nS        10.2.0.0/16 [1/0] via 192.0.2.253\n                     [1/0] via 192.0.2.252\nO E2     10.3.0.0/16\n           [110/20] via 10.1.0.2, 1d18h, GigabitEthernet0/1\n")
	if len(dev.Routes) != 5 || dev.Routes[3].Via != a("192.0.2.252") || dev.Routes[4].Interface != "GigabitEthernet0/1" || dev.Routes[4].Prefix != p("10.3.0.0/16") {
		t.Errorf("%+v", dev.Routes)
	}
	run(dev, "show access-lists", "Extended IP access list CRYPTO\n    10 permit ip 10.1.0.0 0.0.255.255 10.2.0.0 0.0.255.255 (123 matches)\n    20 deny ip any any\nStandard IP access list 10\n    10 permit 10.1.0.0, wildcard bits 0.0.255.255 (4 matches)")
	if acl := dev.Config.ACL("CRYPTO"); acl == nil || len(acl.Entries) != 2 || acl.Entries[0].Hits != 123 || acl.Entries[0].Dst[0] != p("10.2.0.0/16") {
		t.Errorf("%+v", acl)
	}
	if acl := dev.Config.ACL("10"); acl == nil || acl.Entries[0].Src[0] != p("10.1.0.0/16") || acl.Entries[0].Hits != 4 {
		t.Errorf("%+v", acl)
	}
	run(dev, "show crypto map", "Crypto Map IPv4 \"VPN\" 10 ipsec-isakmp\n\tPeer = 198.51.100.9\n\tExtended IP access list CRYPTO\n\t    access-list CRYPTO permit ip 10.1.0.0 0.0.255.255 10.2.0.0 0.0.255.255\n\tCurrent peer: 198.51.100.9\n\tSecurity association lifetime: 4608000 kilobytes/3600 seconds\n\tPFS (Y/N): Y\n\tDH group:  group2\n\tTransform sets={\n\t\tT1:  { esp-256-aes esp-sha-hmac  } ,\n\t}\n\tInterfaces using crypto map VPN:\n\t\tGigabitEthernet0/0")
	if m := dev.Config.MapEntries; len(m) != 1 || m[0].Peers[0] != a("198.51.100.9") || m[0].PFS != "group2" || dev.Config.TransformSets[0].Transforms[0] != "esp-aes-256" {
		t.Errorf("%+v", m)
	}
	bare := &facts.Device{}
	run(bare, "show crypto map", "Crypto Map IPv4 \"VPN\" 10 ipsec-isakmp\n\tPeer = 198.51.100.9\n\tExtended IP access list CRYPTO\n\t    access-list CRYPTO permit ip 10.1.0.0 0.0.255.255 10.2.0.0 0.0.255.255\n\t    access-list CRYPTO permit ip 10.1.0.0 0.0.255.255 host 10.3.0.1\n\tInterfaces using crypto map VPN:\n\t\tGigabitEthernet0/0\n\t\tDialer1\nCrypto Map IPv4 \"B\" 1 ipsec-isakmp\n")
	if l := bare.Config.ACL("CRYPTO"); l == nil || len(l.Entries) != 2 || l.Entries[1].Dst[0] != p("10.3.0.1/32") || len(bare.Config.MapBindings) != 2 || bare.Config.MapBindings[1].Interface != "Dialer1" || len(bare.Config.MapEntries) != 2 {
		t.Errorf("%+v %+v", l, bare.Config)
	}
	if Parse(dev, facts.Output{Command: "show vpn-sessiondb"}) {
		t.Error("an ASA command is understood")
	}
}

func TestSessionBrief(t *testing.T) {
	dev := &facts.Device{}
	run(dev, "show crypto session brief", "Status: A- Active, U - Up, D - Down, I - Idle, S - Standby, N - Negotiating\n        K - No IKE\nivrf = (none)\n           Peer     I/F        Username          Group/Phase1_id      Uptime   Status\n      198.51.100.9     Vi2    eva   ra   00:00:20     UA\n 198.51.100.10  Gi0/0  198.51.100.10  D\n 198.51.100.11  Gi0/0  198.51.100.11  DN\n 198.51.100.12  Gi0/0  198.51.100.12 00:12:00 UK\n 198.51.100.13  Gi0/0  198.51.100.13 3d02h UI")
	var got []string
	for _, s := range dev.Sessions {
		got = append(got, s.Peer.String()+" "+s.Status)
	}
	want := []string{"198.51.100.9 UP-ACTIVE", "198.51.100.10 DOWN", "198.51.100.11 DOWN-NEGOTIATING", "198.51.100.12 UP-NO-IKE", "198.51.100.13 UP-IDLE"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	run(dev, "show crypto session brief", "Crypto session current status\n\nInterface: Tunnel1\nSession status: UP-ACTIVE\nPeer: 198.51.100.14 port 500\n  IKEv1 SA: local 192.0.2.1/500 remote 198.51.100.14/500 Active")
	if len(dev.Sessions) != 6 {
		t.Errorf("the long form: %d sessions", len(dev.Sessions))
	}
}

func TestCaptured(t *testing.T) {
	dev := &facts.Device{}
	run(dev, "show monitor capture buffer ike", "14:02:11.104 UTC Mar 2 2016 : IPv4 LES CEF    : Gi0/0 None\n   192.0.2.1 -> 198.51.100.9 UDP 53\n   192.0.2.1 -> 198.51.100.9 UDP 53")
	run(dev, "show monitor capture ike buffer brief", "  0  114    0.000000   192.0.2.1       ->  198.51.100.9 UDP\n    1   0.000614     192.0.2.1 -> 198.51.100.9     ISAKMP 210 Identity Protection (Main Mode)\n 2 0.1 192.0.2.1 -> 198.51.100.9 UDP 114 500 → 4500 Len=72\n 3 0.2 Cisco_00:00:20 -> Cisco_00:00:21 0xffff 500")
	var got []string
	for _, c := range dev.Counters {
		got = append(got, fmt.Sprintf("%s %s %d", c.Group, c.Name, c.Value))
	}
	want := []string{"capture-flow 192.0.2.1 > 198.51.100.9.53 udp 2", "capture-flow 192.0.2.1 > 198.51.100.9 udp 1", "capture-flow 192.0.2.1 > 198.51.100.9 isakmp 1", "capture-flow 192.0.2.1.500 > 198.51.100.9.4500 udp 1"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestScatteredWildcard(t *testing.T) {
	got := scattered(a("10.0.0.0"), a("0.0.2.255"))
	if !slices.Equal(got, []netip.Prefix{p("10.0.0.0/24"), p("10.0.2.0/24")}) {
		t.Errorf("%v", got)
	}
}

func FuzzParse(f *testing.F) {
	for i, s := range []string{block, config, "dst src state conn-id status\n192.0.2.1 198.51.100.9 QM_IDLE 1001 ACTIVE", "Session status: UP\nPeer: 1.1.1.1 port 500\nIKEv1 SA: local 1.1.1.1/5 remote 2.2.2.2/5 Active\nIPSEC FLOW: permit ip host 1.1.1.1 host 2.2.2.2\nInbound: #pkts dec'ed 4 drop 0",
		"S 1.1.1.1 [1/0] via 2.2.2.2", "Sending 5, 100-byte ICMP Echos to 1.1.1.1\n!!.", "Extended IP access list X\n10 permit ip any any (5 matches)", "Crypto Map \"A\" 10 ipsec-isakmp\nPeer = 1.1.1.1",
		"Peer I/F Username Group/Phase1_id Uptime Status\n1.1.1.1 Gi0/0 x 00:00:01 UA\n2.2.2.2 Gi0/0 DN", "0 114 0.0 1.1.1.1 -> 2.2.2.2 UDP\n1.1.1.1 -> 2.2.2.2 UDP 114 500 → 500", "Success rate is 0 percent (0/5)\n!!!"} {
		f.Add(uint8(i), s)
	}
	f.Fuzz(func(t *testing.T, n uint8, s string) {
		dev := &facts.Device{}
		for range 2 {
			run(dev, handlers[int(n)%len(handlers)].words, s)
		}
	})
}
