package asa

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"vpnbot/diag/facts"
)

func parseText(t *testing.T, text string) *facts.Device {
	t.Helper()
	dev, _ := readDevice(text, "", "t.txt")
	return dev
}

func TestIKE(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"7.2", "hq# sh cry isa sa\n\n   Active SA: 1\n    Rekey SA: 0 (A tunnel will report 1 Active and 1 Rekey SA during rekey)\nTotal IKE SA: 1\n\n1   IKE Peer: 192.0.2.9\n    Type    : L2L             Role    : initiator \n    Rekey   : no              State   : MM_WAIT_MSG2 \nhq# \n",
			"v1 192.0.2.9 MM_WAIT_MSG2 initiator L2L r0 @7"},
		{"detail", "hq# show crypto isakmp sa detail\n1   IKE Peer: 192.0.2.9\n    Type    : user            Role    : responder \n    Rekey   : yes             State   : AM_TM_INIT_MODECFG_V6H \n    Encrypt : 3des            Hash    : MD5       \n    Auth    : preshared       Lifetime: 86400\n    Lifetime Remaining: 85000\nhq# \n",
			"v1 192.0.2.9 AM_TM_INIT_MODECFG_V6H responder user r0 rekey 3des/MD5/preshared 86400/85000 @2"},
		{"columns lost, names", "hq# sh cry isa sa\n1 IKE Peer: branch-gw\nType : L2L Role : responder\nRekey : no State : MM_ACTIVE_REKEY\n",
			"v1 branch-gw MM_ACTIVE_REKEY responder L2L r0 @2"},
		{"both versions", "hq# sh cry isa sa\nIKEv1 SAs:\n   Active SA: 1\n1   IKE Peer: 192.0.2.9\n    Type    : L2L             Role    : initiator \n    Rekey   : no              State   : MM_ACTIVE \n\nIKEv2 SAs:\n\nSession-id:5, Status:UP-ACTIVE, IKE count:1, CHILD count:1\n\nTunnel-id                 Local                Remote     Status         Role\n 35639      198.51.100.1/500      192.0.2.7/500      READY    RESPONDER\n      Encr: AES-CBC, keysize: 256, Hash: SHA96, DH Grp:5, Auth sign: PSK, Auth verify: PSK\n      Life/Active Time: 86400/5 sec\nChild sa: local selector  10.0.0.0/0 - 10.0.0.255/65535\n          remote selector 10.9.0.0/0 - 10.9.0.255/65535\n          ESP spi in/out: 0x50f03fd7/0xa6fdeb3  \n",
			"v1 192.0.2.9 MM_ACTIVE initiator L2L r0 @4\nv2 192.0.2.7 READY responder r0 AES-CBC-256/SHA96/PSK 86400/86395 @13 child 50f03fd7/0a6fdeb3 10.0.0.0/0 - 10.0.0.255/65535"},
		{"none", "hq# sh cry isa sa\n\nThere are no IKEv1 SAs\n\nThere are no IKEv2 SAs\n", ""},
		{"two readings", "hq# sh cry isa sa\n1   IKE Peer: 192.0.2.9\n    Type    : L2L             Role    : initiator \n    Rekey   : no              State   : MM_WAIT_MSG2 \nhq# show crypto isakmp sa\n1   IKE Peer: 192.0.2.9\n    Type    : L2L             Role    : initiator \n    Rekey   : no              State   : MM_WAIT_MSG4 \n",
			"v1 192.0.2.9 MM_WAIT_MSG2 initiator L2L r0 @2\nv1 192.0.2.9 MM_WAIT_MSG4 initiator L2L r1 @6"},
		{"pix table", "pix# show isakmp sa\nTotal     : 1\nEmbryonic : 0\n        dst               src        state     pending     created\n     192.0.2.9     198.51.100.1    QM_IDLE         0           1\n", "v1 192.0.2.9 QM_IDLE r0 @5"},
		{"cut off", "hq# sh cry isa sa\n1   IKE Peer: 192.0.2.9\n    Type    : L2L      ", "v1 192.0.2.9  L2L r0 @2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dev := parseText(t, tt.text)
			var out []string
			for _, s := range dev.IKE {
				peer := s.RemoteName
				if s.Remote.IsValid() {
					peer = s.Remote.String()
				}
				line := fmt.Sprintf("v%d %s %s", s.Version, peer, s.State)
				for _, w := range []string{s.Role, s.Type} {
					if w != "" {
						line += " " + w
					}
				}
				line += fmt.Sprintf(" r%d", s.Reading)
				if s.Rekey {
					line += " rekey"
				}
				if s.Encryption != "" {
					line += fmt.Sprintf(" %s/%s/%s %d/%d", s.Encryption, s.Hash, s.Auth, s.Lifetime, s.Remaining)
				}
				line += fmt.Sprintf(" @%d", s.Place.Line)
				for _, c := range s.Children {
					line += fmt.Sprintf(" child %08x/%08x %s", c.SPIIn, c.SPIOut, c.Local)
				}
				out = append(out, line)
			}
			if got := strings.Join(out, "\n"); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			if dev.Skipped > 0 {
				t.Errorf("%d lines skipped", dev.Skipped)
			}
		})
	}
}

const block = `interface: outside
    Crypto map tag: CMAP, seq num: 10, local addr: 198.51.100.1

      access-list VPN-A extended permit ip 10.1.0.0 255.255.255.0 10.2.0.0 255.255.255.0
      local ident (addr/mask/prot/port): (10.1.0.0/255.255.255.0/0/0)
      remote ident (addr/mask/prot/port): (10.2.0.0/255.255.255.0/0/0)
      current_peer: 192.0.2.9

      #pkts encaps: 10, #pkts encrypt: 11, #pkts digest: 12
      #pkts decaps: 20, #pkts decrypt: 21, #pkts verify: 22
      #PMTUs sent: 1, #PMTUs rcvd: 2, #decapsulated frgs needing reassembly: 0
      #send errors: 3, #recv errors: 4

      local crypto endpt.: 198.51.100.1/4500, remote crypto endpt.: 192.0.2.9/4500
      path mtu 1500, ipsec overhead 82(52), media mtu 1492
      current outbound spi: A6FDEB3
      current inbound spi : 50F03FD7

    inbound esp sas:
      spi: 0x50F03FD7 (1357922263)
         transform: esp-aes-256 esp-sha-hmac no compression
         in use settings ={L2L, Tunnel, NAT-T-Encaps, PFS Group 2, IKEv1, }
         slot: 0, conn_id: 8192, crypto-map: CMAP
         sa timing: remaining key lifetime (kB/sec): (4364001/18091)
    outbound esp sas:
      spi: 0xA6FDEB3 (175103667)
         transform: esp-aes-256 esp-sha-hmac no compression
         in use settings ={L2L, Tunnel, NAT-T-Encaps, PFS Group 2, IKEv1, }
         sa timing: remaining key lifetime (sec): 548
`

func TestIPsec(t *testing.T) {
	shape := func(s facts.IPsecSA) string {
		sp := func(list []facts.SPI) string {
			var out []string
			for _, x := range list {
				out = append(out, fmt.Sprintf("%08x:%d:%d", x.Value, x.Seconds, x.KBytes))
			}
			return strings.Join(out, ",")
		}
		return fmt.Sprintf("%s %s/%d %v>%v %s %v %v e%d/%d/%d d%d/%d/%d err%d/%d pmtu%d/%d mtu%d/%d/%d in[%s] out[%s] pfs=%s r%d complete=%v user=%q @%d", s.Interface, s.Map, s.Sequence, s.Local, s.Peer, s.PeerName, s.LocalID.Prefix, s.RemoteID.Prefix,
			s.Encaps, s.Encrypt, s.Digest, s.Decaps, s.Decrypt, s.Verify, s.SendErrors, s.RecvErrors, s.PMTUsSent, s.PMTUsRcvd, s.PathMTU, s.Overhead, s.MediaMTU, sp(s.SPIIn), sp(s.SPIOut), s.PFS, s.Reading, s.Complete, s.Username, s.Place.Line)
	}
	const whole = "outside CMAP/10 198.51.100.1>192.0.2.9  10.1.0.0/24 10.2.0.0/24 e10/11/12 d20/21/22 err3/4 pmtu1/2 mtu1500/82/1492 in[50f03fd7:18091:4364001] out[0a6fdeb3:548:0] pfs=group2 r%d complete=true user=\"\" @%d"
	tests := []struct {
		name, text string
		want       []string
	}{
		{"whole", "hq# sh cry ips sa\n" + block + "hq# \n", []string{fmt.Sprintf(whole, 0, 3)}},
		{"indentation lost", "hq# sh cry ips sa\n" + strings.ReplaceAll(block, "      ", "") + "hq# \n", []string{fmt.Sprintf(whole, 0, 3)}},
		{"two readings, the second filtered", "hq# sh cry ips sa peer 192.0.2.9\n" + block + "hq# sh cry ips sa peer 192.0.2.9 | i caps\n      #pkts encaps: 15, #pkts encrypt: 15, #pkts digest: 15\n      #pkts decaps: 25, #pkts decrypt: 25, #pkts verify: 25\nhq# \n",
			[]string{fmt.Sprintf(whole, 0, 3), "outside CMAP/10 198.51.100.1>192.0.2.9  10.1.0.0/24 10.2.0.0/24 e15/15/15 d25/25/25 err-1/-1 pmtu-1/-1 mtu0/0/0 in[] out[] pfs= r1 complete=false user=\"\" @32"}},
		{"cut within the block", "hq# sh cry ips sa\n" + block[:strings.Index(block, "    outbound")], []string{"outside CMAP/10 198.51.100.1>192.0.2.9  10.1.0.0/24 10.2.0.0/24 e10/11/12 d20/21/22 err3/4 pmtu1/2 mtu1500/82/1492 in[50f03fd7:18091:4364001] out[] pfs=group2 r0 complete=false user=\"\" @3"}},
		{"peers and counters only", "hq# sh cry ips sa | i peer|caps\n      current_peer: 192.0.2.9, username: kim\n      #pkts encaps: 1, #pkts encrypt: 1, #pkts digest: 1\n      #pkts decaps: 2, #pkts decrypt: 2, #pkts verify: 2\n      current_peer: branch-gw\n      #pkts encaps: 3, #pkts encrypt: 3, #pkts digest: 3\n",
			[]string{"  /0 invalid IP>192.0.2.9  invalid Prefix invalid Prefix e1/1/1 d2/2/2 err-1/-1 pmtu-1/-1 mtu0/0/0 in[] out[] pfs= r0 complete=false user=\"kim\" @2",
				"  /0 invalid IP>invalid IP branch-gw invalid Prefix invalid Prefix e3/3/3 d-1/-1/-1 err-1/-1 pmtu-1/-1 mtu0/0/0 in[] out[] pfs= r0 complete=false user=\"\" @5"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dev := parseText(t, tt.text)
			var got []string
			for _, s := range dev.IPsec {
				got = append(got, strings.Join(strings.Fields(shape(s)), " "))
			}
			for i := range tt.want {
				tt.want[i] = strings.Join(strings.Fields(tt.want[i]), " ")
			}
			if g, w := strings.Join(got, "\n"), strings.Join(tt.want, "\n"); g != w {
				t.Errorf("got\n%s\nwant\n%s", g, w)
			}
			if dev.Skipped > 0 {
				t.Errorf("%d lines skipped", dev.Skipped)
			}
		})
	}
	dev := parseText(t, "hq# sh cry ips sa\n"+block)
	if p, _ := dev.IPsec[0].Places.At("decaps"); p.Line != 11 || !strings.HasPrefix(p.Text, "#pkts decaps: 20") {
		t.Errorf("place of decaps: %+v", p)
	}
}

const config84 = `: Saved
:
ASA Version 8.4(7)
!
hostname hq
names
name 192.0.2.20 branch-gw
name 10.9.0.0 net-branch
!
interface GigabitEthernet0/0
 nameif outside
 security-level 0
 ip address 198.51.100.1 255.255.255.240
!
interface GigabitEthernet0/1
 nameif inside
 security-level 100
 ip address 10.1.0.1 255.255.255.0
!
interface GigabitEthernet0/2
 shutdown
 no nameif
 no security-level
 no ip address
!
object network lan
 subnet 10.1.0.0 255.255.255.0
object network far
 subnet 10.2.0.0 255.255.255.0
object network web
 host 10.1.0.80
object network span
 range 10.3.0.0 10.3.1.255
object-group network inner
 network-object object far
 network-object 10.4.0.0 255.255.0.0
object-group network all-far
 group-object inner
 network-object host 10.5.0.1
object-group service ports tcp
 port-object eq https
object-group service mixed
 service-object tcp destination eq 80
access-list VPN-A extended permit ip object lan object far
access-list VPN-B extended permit ip 10.1.0.0 255.255.255.0 net-branch 255.255.255.0
access-list VPN-C extended permit ip object-group all-far any
access-list VPN-D extended permit tcp any host 10.1.0.80 object-group ports
access-list VPN-E extended permit object-group mixed host 10.0.0.1 host 10.0.0.2 log inactive
access-list SPLIT standard permit 10.1.0.0 255.255.255.0
access-list SPLIT remark all of it
access-list OLD permit udp any eq 500 any range 500 4500
logging queue 512
ip local pool POOL 10.8.0.10-10.8.0.99 mask 255.255.255.0
nat (inside,outside) source static lan lan destination static far far no-proxy-arp route-lookup
nat (inside,outside) after-auto source dynamic any interface
!
object network web
 nat (inside,outside) static 198.51.100.3 service tcp www 8080
access-group OUT in interface outside
route outside 0.0.0.0 0.0.0.0 198.51.100.14 1
aaa-server RAD protocol radius
aaa-server RAD (inside) host 10.1.0.5
 timeout 4
 key *****
sysopt connection tcpmss 1300
no sysopt connection permit-vpn
crypto ipsec ikev1 transform-set TS esp-aes-256 esp-sha-hmac
crypto ipsec ikev2 ipsec-proposal P2
 protocol esp encryption aes-256 aes
 protocol esp integrity sha-1
crypto ipsec security-association lifetime seconds 28800
crypto dynamic-map DYN 5 set ikev1 transform-set TS
crypto map CMAP 10 match address VPN-A
crypto map CMAP 10 set pfs
crypto map CMAP 10 set peer 192.0.2.9 192.0.2.10
crypto map CMAP 10 set ikev1 transform-set TS
crypto map CMAP 10 set ikev2 ipsec-proposal P2
crypto map CMAP 10 set connection-type answer-only
crypto map CMAP 20 set peer branch-gw
crypto map CMAP 20 set nat-t-disable
crypto map CMAP 65535 ipsec-isakmp dynamic DYN
crypto map CMAP interface outside
crypto isakmp identity address
no crypto isakmp nat-traversal
crypto ikev2 policy 1
 encryption aes-256 aes
 integrity sha
 group 5 2
 prf sha
 lifetime seconds 86400
crypto ikev1 enable outside
crypto ikev1 am-disable
crypto ikev1 policy 10
 authentication pre-share
 encryption aes-256
 hash sha
 group 5
 lifetime none
crypto ikev1 policy 20
 group 2
management-access inside
threat-detection scanning-threat shun except ip-address 192.0.2.0 255.255.255.0
group-policy GP internal
group-policy GP attributes
 vpn-tunnel-protocol ikev1 l2tp-ipsec
 dns-server value 10.1.0.10
 no vpn-filter
 webvpn
  svc compression deflate
 pfs enable
username kim password 3USUcOPFUiMCO4Jk encrypted
username kim attributes
 vpn-group-policy GP
tunnel-group 192.0.2.9 type ipsec-l2l
tunnel-group 192.0.2.9 ipsec-attributes
 ikev1 pre-shared-key Anis-7Stern
 ikev2 remote-authentication pre-shared-key *****
 isakmp keepalive threshold 15 retry 10
tunnel-group "my clients" type ipsec-ra
tunnel-group "my clients" general-attributes
 address-pool POOL
 default-group-policy GP
tunnel-group branch-gw ipsec-attributes
 pre-shared-key Anis-7Stern
: end
`

func TestConfig(t *testing.T) {
	for _, flat := range []bool{false, true} {
		text := config84
		name := "as printed"
		if flat {
			name = "indentation lost"
			lines := strings.Split(text, "\n")
			for i := range lines {
				lines[i] = strings.TrimLeft(lines[i], " ")
			}
			text = strings.Join(lines, "\n")
		}
		t.Run(name, func(t *testing.T) { checkConfig(t, parseText(t, "hq# sh run\n"+text+"hq# \n"), flat) })
	}
}

func checkConfig(t *testing.T, dev *facts.Device, flat bool) {
	c := dev.Config
	if c == nil {
		t.Fatal("no configuration")
	}
	check := func(what string, got, want any) {
		t.Helper()
		if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
			t.Errorf("%s: got %s, want %s", what, g, w)
		}
	}
	check("version", dev.Version, facts.Version{Text: "8.4(7)", Major: 8, Minor: 4})
	check("complete", c.Complete, true)
	check("skipped", dev.Skipped, 0)
	check("addresses", dev.Addresses, "[198.51.100.1]")
	check("interfaces", len(c.Interfaces), 3)
	check("outside", c.Interfaces[0].Address, "198.51.100.1/28")
	check("outside list", c.Interfaces[0].ACLIn, "OUT")
	check("shut", c.Interfaces[2].Shutdown, true)
	acl := func(name string) facts.ACE { return c.ACL(name).Entries[0] }
	check("objects in a list", []any{acl("VPN-A").Src, acl("VPN-A").Dst, acl("VPN-A").SrcName}, "[[10.1.0.0/24] [10.2.0.0/24] lan]")
	check("name in a list", acl("VPN-B").Dst, "[10.9.0.0/24]")
	check("nested group", []any{acl("VPN-C").Src, acl("VPN-C").DstAny}, "[[10.5.0.1/32 10.4.0.0/16 10.2.0.0/24] true]")
	check("port group", []any{acl("VPN-D").DstPort, acl("VPN-D").SrcAny, acl("VPN-D").Dst}, "[object-group ports true [10.1.0.80/32]]")
	check("service group", []any{acl("VPN-E").Proto, acl("VPN-E").Inactive, acl("VPN-E").Src}, "[mixed true [10.0.0.1/32]]")
	check("standard", []any{c.ACL("SPLIT").Standard, len(c.ACL("SPLIT").Entries), acl("SPLIT").Src}, "[true 1 [10.1.0.0/24]]")
	check("ports", []any{acl("OLD").SrcPort, acl("OLD").DstPort}, "[eq 500 range 500 4500]")
	for _, o := range c.Objects {
		if o.Name == "span" {
			check("range", o.Prefixes, "[10.3.0.0/23]")
		}
	}
	if len(c.NAT) != 3 {
		t.Fatalf("%d NAT rules", len(c.NAT))
	}
	n := c.NAT[0]
	check("twice NAT", []any{n.Form, n.RealIf, n.MappedIf, n.Identity, n.SrcReal, n.DstReal, n.NoProxyARP, n.RouteLook, n.Names.DstReal}, "[twice inside outside true [10.1.0.0/24] [10.2.0.0/24] true true far]")
	check("after-auto", []any{c.NAT[1].After, c.NAT[1].Dynamic, c.NAT[1].SrcAny, c.NAT[1].Interface, c.NAT[1].DstAny}, "[true true true true true]")
	check("object NAT", []any{c.NAT[2].Form, c.NAT[2].SrcReal, c.NAT[2].SrcMapped, c.NAT[2].Service}, "[object [10.1.0.80/32] [198.51.100.3/32] tcp www 8080]")
	check("route", []any{c.Routes[0].Prefix, c.Routes[0].Via, c.Routes[0].Interface}, "[0.0.0.0/0 198.51.100.14 outside]")
	check("pool", []any{c.Pools[0].From, c.Pools[0].To, c.Pools[0].Mask}, "[10.8.0.10 10.8.0.99 255.255.255.0]")
	check("aaa", []any{c.AAAServers[1].Host, c.AAAServers[1].Protocol, c.AAAServers[1].Timeout}, "[10.1.0.5 radius 4]")
	check("map entries", len(c.MapEntries), 4)
	e := c.MapEntries[1]
	check("entry", []any{e.Map, e.Sequence, e.ACL, e.Peers, e.PFS, e.Transforms, e.Proposals, e.ConnType, e.Places["pfs"].Line > 0}, "[CMAP 10 VPN-A [192.0.2.9 192.0.2.10] default [TS] [P2] answer-only true]")
	check("named peer", []any{c.MapEntries[2].Peers, c.MapEntries[2].NATTDisable}, "[[192.0.2.20] true]")
	check("dynamic", []any{c.MapEntries[0].DynamicMap, c.MapEntries[3].Dynamic}, "[true DYN]")
	check("binding", []any{c.MapBindings[0].Map, c.MapBindings[0].Interface}, "[CMAP outside]")
	p := c.Proposals[0]
	check("proposal", []any{p.Encryption, p.Integrity}, "[[aes-256 aes] [sha-1]]")
	var pol []string
	for _, p := range c.IKEPolicies {
		pol = append(pol, fmt.Sprintf("v%d %d %v %v %s %v %d %v", p.Version, p.Number, p.Encryption, p.Hash, p.Auth, p.Groups, p.Lifetime, p.Defaulted))
	}
	check("policies", strings.Join(pol, "; "), "v2 1 [aes-256 aes] [sha]  [5 2] 86400 []; v1 10 [aes-256] [sha] pre-share [5] 0 []; v1 20 [3des] [sha] pre-share [2] 86400 [encryption hash auth lifetime]")
	setting := func(key string) string {
		s, ok := c.Setting(key)
		return fmt.Sprintf("%v %v %q", ok, s.No, s.Value)
	}
	check("tcpmss", setting("sysopt connection tcpmss"), `true false "1300"`)
	check("permit-vpn", setting("sysopt connection permit-vpn"), `true true ""`)
	check("identity", setting("crypto isakmp identity"), `true false "address"`)
	check("nat-t", setting("crypto isakmp nat-traversal"), `true true ""`)
	check("am-disable", setting("crypto isakmp am-disable"), `true false ""`)
	check("management", setting("management-access"), `true false "inside"`)
	check("queue", setting("logging queue"), `true false "512"`)
	check("threat", setting("threat-detection scanning-threat"), `true false "shun except ip-address 192.0.2.0 255.255.255.0"`)
	check("lifetime", setting("crypto ipsec security-association lifetime seconds"), `true false "28800"`)
	var attrs []string
	for _, a := range c.GroupPolicies[0].Attrs {
		attrs = append(attrs, fmt.Sprintf("%s=%s/%v", a.Key, a.Value, a.No))
	}
	want := "vpn-tunnel-protocol=ikev1 l2tp-ipsec/false dns-server=10.1.0.10/false vpn-filter=/true webvpn svc compression=deflate/false pfs=enable/false"
	if flat { // where the webvpn part ends cannot be seen without indentation
		want = strings.Replace(want, "pfs=enable", "webvpn pfs=enable", 1)
	}
	check("group policy", strings.Join(attrs, " "), want)
	check("user", c.Users[0].Attrs[0].Value, "GP")
	check("tunnel-groups", len(c.TunnelGroups), 3)
	check("type", []any{c.TunnelGroups[1].Name, c.TunnelGroups[1].Type}, "[my clients remote-access]")
	ka, _ := facts.Get(c.TunnelGroups[0].Attrs, "isakmp keepalive")
	check("keepalive", ka.Value, "threshold 15 retry 10")
	if len(c.Keys) != 3 {
		t.Fatalf("%d keys", len(c.Keys))
	}
	check("key", []any{c.Keys[0].Version, c.Keys[0].Peer, c.Keys[1].Side, c.Keys[1].Token, c.Keys[2].Peer}, "[1 192.0.2.9/32 remote  192.0.2.20/32]")
	if c.Keys[0].Token == "" || c.Keys[0].Token != c.Keys[2].Token {
		t.Errorf("equal keys have tokens %q and %q", c.Keys[0].Token, c.Keys[2].Token)
	}
	if text := fmt.Sprint(*c); strings.Contains(text, "[h:") || strings.Contains(text, "Anis-7Stern") {
		t.Error("a token or a secret is left in a text of the configuration")
	}
}

func TestConfigOld(t *testing.T) {
	dev := parseText(t, `pix# write terminal
: Saved
:
PIX Version 6.3(5)
nameif ethernet0 outside security0
nameif ethernet1 inside security100
access-list nonat permit ip 10.1.0.0 255.255.255.0 10.2.0.0 255.255.255.0
ip address outside 198.51.100.1 255.255.255.240
ip address inside 10.1.0.1 255.255.255.0
global (outside) 1 interface
nat (inside) 0 access-list nonat
nat (inside) 1 0.0.0.0 0.0.0.0 0 0
static (inside,outside) tcp interface 500 10.1.0.9 500 netmask 255.255.255.255 0 0
static (inside,outside) 198.51.100.3 10.1.0.80 netmask 255.255.255.255
sysopt connection permit-ipsec
crypto ipsec transform-set TS esp-3des esp-md5-hmac
crypto map M 10 ipsec-isakmp
crypto map M 10 match address nonat
crypto map M 10 set peer 192.0.2.9
crypto map M interface outside
isakmp enable outside
isakmp key Anis-7Stern address 192.0.2.9 netmask 255.255.255.255 no-xauth
isakmp policy 10 authentication pre-share
isakmp policy 10 encryption 3des
isakmp policy 20 hash md5
isakmp nat-traversal 20
vpngroup G idle-time 1800
Cryptochecksum:0
: end
`)
	c := dev.Config
	got := fmt.Sprint(dev.Version.Text, dev.Addresses, c.Complete, len(c.Interfaces), c.Interfaces[0].Security, c.IKEEnabled[0].Interface, c.Keys[0].Peer, c.Keys[0].NoXAuth, c.Keys[0].Token != "")
	if want := "6.3(5)[198.51.100.1] true 2 0outside192.0.2.9/32 true true"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
	var nat []string
	for _, n := range c.NAT {
		nat = append(nat, fmt.Sprintf("%s %s>%s %s %d any=%v if=%v %v>%v %s", n.Form, n.RealIf, n.MappedIf, n.ACL, n.ID, n.SrcAny, n.Interface, n.SrcReal, n.SrcMapped, n.Service))
	}
	want := `global >outside  1 any=false if=true []>[] 
nat0 inside>any nonat 0 any=false if=false []>[] 
dynamic inside>  1 any=true if=false []>[] 
static inside>outside  0 any=false if=true [10.1.0.9/32]>[] tcp 500 500
static inside>outside  0 any=false if=false [10.1.0.80/32]>[198.51.100.3/32] `
	if g := strings.Join(nat, "\n"); g != want {
		t.Errorf("NAT\n%s\nwant\n%s", g, want)
	}
	p := c.IKEPolicies
	if g, w := fmt.Sprint(p[0].Encryption, p[0].Auth, p[0].Groups, p[1].Encryption, p[1].Hash, p[1].Auth), "[3des]pre-share[1] [des] [md5]rsa-sig"; g != w {
		t.Errorf("policies %s want %s", g, w)
	}
}

func TestSections(t *testing.T) {
	dev := parseText(t, "hq# show run all sysopt\nno sysopt connection preserve-vpn-flows\nsysopt connection permit-vpn\nhq# sh run access-list\naccess-list A extended permit ip object-group L any\nhq# sh run object-group\nobject-group network L\n network-object 10.1.0.0 255.255.255.0\nhq# sh run | i tunnel-group\ntunnel-group 192.0.2.9 type ipsec-l2l\nhq# \n")
	c := dev.Config
	if c == nil || !c.Partial || !c.All {
		t.Fatalf("sections: %+v", c)
	}
	if s, ok := c.Setting("sysopt connection preserve-vpn-flows"); !ok || !s.No {
		t.Errorf("setting %+v", s)
	}
	if got := fmt.Sprint(c.ACL("A").Entries[0].Src, len(c.TunnelGroups)); got != "[10.1.0.0/24] 1" {
		t.Errorf("group of a later section: %s", got)
	}
	// The whole replaces the sections and keeps what only "all" prints.
	dev = parseText(t, "hq# show run all sysopt\nno sysopt connection preserve-vpn-flows\nhq# sh run\n"+config84+"hq# \n")
	if s, ok := dev.Config.Setting("sysopt connection preserve-vpn-flows"); !ok || !s.No || dev.Config.Partial || len(dev.Config.TunnelGroups) != 3 {
		t.Errorf("whole after a section: %+v %v", s, dev.Config.Partial)
	}
}

func TestTables(t *testing.T) {
	dev := parseText(t, `hq# sh asp drop
Frame drop:
  Expired VPN context (vpn-context-expired)                                   17
hq# sh memory
Free memory:         9812344 bytes ( 4%)
Used memory:       258623112 bytes (96%)
Total memory:      268435456 bytes (100%)
hq# show ip local pool POOL
Begin           End             Mask            Free     Held     In use
10.8.0.10       10.8.0.12       255.255.255.0       0        0        3
hq# sh ver
Cisco Adaptive Security Appliance Software Version 8.2(5)
hq up 3 days 1 hour
Inside Hosts                   : 50
hq# sh shun
shun (outside) 192.0.2.9 0.0.0.0 0 0 0
hq# sh local-host | i host|Interface
Current host count: 50, towards licensed host limit of: 50
Interface inside: 50 active, 50 maximum active, 12 denied
hq# sh xlate
1 in use, 2 most used
PAT Global 198.51.100.1(500) Local 10.1.0.9(500)
hq# sh aaa-server
Server Group:    RAD
Server Protocol: radius
Server Address:  10.1.0.5
Server port:     1645(authentication), 1646(accounting)
Server status:   FAILED, Server disabled at 10:20:11 CET Mon Mar 5 2012
Number of pending requests              0
Number of timeouts                      9
hq# sh asp table classify domain encrypt
out id=0xd613ea40, priority=70, domain=encrypt, deny=false
        hits=5, user_data=0x0, cs_id=0xd5b9a0a8, reverse, flags=0x0, protocol=0
        src ip=10.1.0.0, mask=255.255.255.0, port=0
        dst ip=10.2.0.0, mask=255.255.255.0, port=0
hq# sh capture IKE
2 packets captured
   1: 11:32:03.012345 802.1Q vlan#2 P0 192.0.2.9.500 > 198.51.100.1.500:  udp 168
   2: 11:32:11.012345 192.0.2.9.500 > 198.51.100.1.500:  udp 168
2 packets shown
hq# sh clock
10:20:11.123 CET Mon Mar 5 2012
hq# ping inside 10.2.0.5 size 1400
Type escape sequence to abort.
Sending 5, 1400-byte ICMP Echos to 10.2.0.5, timeout is 2 seconds:
?!!!!
Success rate is 80 percent (4/5), round-trip min/avg/max = 30/32/40 ms
hq# packet-tracer input inside icmp 10.1.0.5 8 0 10.2.0.5
Phase: 1
Type: NAT
Subtype: rpf-check
Result: DROP
Config:
nat (inside) 1 0.0.0.0 0.0.0.0
Additional Information:

Result:
input-interface: inside
output-interface: outside
Action: drop
Drop-reason: (acl-drop) Flow is denied by configured rule
hq# sh route | i 10.2
S    10.2.0.0 255.255.0.0 [1/0] via 10.1.0.2, inside
hq# sh access-list VPN-A
access-list VPN-A; 1 elements
access-list VPN-A line 1 extended permit ip object-group L 10.2.0.0 255.255.255.0 (hitcnt=7) 0x20db5032
  access-list VPN-A line 1 extended permit ip 10.1.0.0 255.255.255.0 10.2.0.0 255.255.255.0 (hitcnt=7) 0x1
hq# show vpn-sessiondb l2l
Session Type: LAN-to-LAN

Connection   : 192.0.2.9
Index        : 41                     IP Addr      : 192.0.2.9
Protocol     : IKE IPsec
Bytes Tx     : 4821133                Bytes Rx     : 0
hq# show nat
Manual NAT Policies (Section 1)
1 (inside) to (outside) source static lan lan   destination static far far
    translate_hits = 5, untranslate_hits = 7
hq# 
`)
	var got []string
	for _, c := range dev.Counters {
		got = append(got, fmt.Sprintf("%s|%s|%d|%d", c.Group, c.Name, c.Value, c.Limit))
	}
	want := []string{"asp-drop|vpn-context-expired|17|-1", "memory|free|9812344|268435456", "memory|used|258623112|268435456", "ip-local-pool|POOL|0|3", "version|uptime|0|-1", "version|inside-hosts|50|-1", "shun|192.0.2.9|-1|-1",
		"local-host|hosts|50|50", "local-host|inside|50|50", "local-host|inside denied|12|-1", "xlate|in-use|1|-1", "xlate|10.1.0.9/500 198.51.100.1/500|1|-1", "aaa-server|RAD 10.1.0.5 status|-1|-1", "aaa-server|RAD 10.1.0.5 pending requests|0|-1", "aaa-server|RAD 10.1.0.5 timeouts|9|-1",
		"asp-classify|encrypt 10.1.0.0/255.255.255.0 10.2.0.0/255.255.255.0|5|-1", "capture|IKE packets|2|-1", "capture-flow|192.0.2.9.500 > 198.51.100.1.500 udp|2|-1", "access-list|VPN-A 1|7|-1", "nat|1 (inside) to (outside) source static lan lan destination static far far|5|-1", "nat|1 (inside) to (outside) source static lan lan destination static far far untranslate|7|-1"}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("counters\n%s\nwant\n%s", g, w)
	}
	p := dev.Pings[0]
	if g := fmt.Sprint(p.Target, p.Source, p.Size, p.Sent, p.Received, p.MillisRT); g != "10.2.0.5inside1400 5 4 32" && g != "10.2.0.5 inside 1400 5 4 32" {
		t.Errorf("ping %s", g)
	}
	tr := dev.Traces[0]
	if g := fmt.Sprint(tr.Input, " ", tr.Proto, " ", tr.Src, " ", tr.Dst, " ", tr.Result, " ", tr.DropReason, " ", tr.Phases[0].Type, " ", tr.Phases[0].Subtype, " ", tr.Phases[0].Result); g != "inside icmp 10.1.0.5 10.2.0.5 drop (acl-drop) Flow is denied by configured rule NAT rpf-check DROP" {
		t.Errorf("trace %s", g)
	}
	r := dev.Routes[0]
	if r.Prefix != netip.MustParsePrefix("10.2.0.0/16") || r.Via.String() != "10.1.0.2" || r.Interface != "inside" || r.Kind != "S" {
		t.Errorf("route %+v", r)
	}
	if a := dev.Config.ACL("VPN-A"); fmt.Sprint(a.Entries[0].Src, a.Entries[0].Hits) != "[10.1.0.0/24] 7" {
		t.Errorf("list %+v", a.Entries)
	}
	if s := dev.Sessions[0]; s.Peer.String() != "192.0.2.9" || s.BytesTx != 4821133 || s.BytesRx != 0 || s.Type != "LAN-to-LAN" || s.Fields["protocol"] != "IKE IPsec" {
		t.Errorf("session %+v", s)
	}
	if dev.Clock == nil || dev.Clock.Device.UTC().Format("2006-01-02T15:04:05.000") != "2012-03-05T09:20:11.123" {
		t.Errorf("clock %+v", dev.Clock)
	}
	if dev.Skipped > 0 {
		t.Errorf("%d lines skipped", dev.Skipped)
	}
}

// The tables of entries and rules stand in for a configuration that nobody showed.
func TestTablesForConfig(t *testing.T) {
	dev := parseText(t, "hq# show crypto map\nCrypto Map: \"outside_map\" interfaces: { outside }\n\nCrypto Map \"outside_map\" 10 ipsec-isakmp\n\tPeer = 192.0.2.9 192.0.2.10\n\tExtended IP access list VPN-A\n\t    access-list VPN-A extended permit ip 10.1.0.0 255.255.0.0 10.2.0.0 255.255.0.0 \n\tCurrent peer: 192.0.2.9\n\tSecurity association lifetime: 4608000 kilobytes/28800 seconds\n\tPFS (Y/N): Y\n\tDH group:  group5\n\tIKEv1 Transform sets={ T1, T2, }\n\nCrypto Map \"outside_map\" 65535 ipsec-isakmp\n\tDynamic map template tag: DYN\nhq# "+
		"show nat detail\nManual NAT Policies (Section 1)\n1 (inside) to (outside) source dynamic lan interface\n    translate_hits = 5, untranslate_hits = 0\n    Source - Origin: 10.1.0.0/16, Translated: 192.0.2.1/24\n2 (inside) to (outside) source static lan lan   destination static far far no-proxy-arp route-lookup\n    translate_hits = 0, untranslate_hits = 7\n    Source - Origin: 10.1.0.0/16, Translated: 10.1.0.0/16\n    Destination - Origin: 10.2.0.0/16, Translated: 10.2.0.0/16\n\nAuto NAT Policies (Section 2)\n1 (dmz) to (outside) source static web 192.0.2.80 \n    translate_hits = 1, untranslate_hits = 2\n    Source - Origin: 172.16.0.10/32, Translated: 192.0.2.80/32\n\nManual NAT Policies (Section 3)\n1 (any) to (outside) source dynamic any interface\n    translate_hits = 1, untranslate_hits = 2\nhq# ")
	c := dev.Config
	if c == nil || !c.Partial || len(c.MapEntries) != 2 || len(c.NAT) != 4 {
		t.Fatalf("%+v", c)
	}
	m := c.MapEntries[0]
	if got, want := fmt.Sprintf("%s %d %v %s %s %v %d %s %v", m.Map, m.Sequence, m.Peers, m.ACL, m.PFS, m.Transforms, m.Lifetime, c.MapEntries[1].Dynamic, c.MapBindings[0].Interface),
		"outside_map 10 [192.0.2.9 192.0.2.10] VPN-A group5 [T1 T2] 28800 DYN outside"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if l := c.ACL("VPN-A"); l == nil || len(l.Entries) != 1 || fmt.Sprint(l.Entries[0].Dst) != "[10.2.0.0/16]" || l.Entries[0].Place.Line != 7 {
		t.Errorf("%+v", l)
	}
	var rules []string
	for _, r := range c.NAT {
		rules = append(rules, fmt.Sprintf("%s (%s,%s) %v>%v %v>%v id %v after %v @%d", r.Form, r.RealIf, r.MappedIf, r.SrcReal, r.SrcMapped, r.DstReal, r.DstMapped, r.Identity, r.After, r.Place.Line))
	}
	want := []string{
		"twice (inside,outside) [10.1.0.0/16]>[192.0.2.0/24] []>[] id false after false @18",
		"twice (inside,outside) [10.1.0.0/16]>[10.1.0.0/16] [10.2.0.0/16]>[10.2.0.0/16] id true after false @21",
		"object (dmz,outside) [172.16.0.10/32]>[192.0.2.80/32] []>[] id false after false @27",
		"twice (any,outside) []>[] []>[] id false after true @32"}
	if strings.Join(rules, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", strings.Join(rules, "\n"), strings.Join(want, "\n"))
	}
}

func FuzzParse(f *testing.F) {
	f.Add("show crypto ipsec sa", block)
	f.Add("show running-config", config84)
	f.Add("ping inside 1.1.1.1 size 1440", "Success rate is 0 percent (0/5)")
	for _, k := range commands {
		f.Add(k.command, "Phase: 1\nSession Type: x\nUsername : a Index : 1\nBegin End\n10.0.0.1 10.0.0.2 255.0.0.0 1 2 3\nS* 0.0.0.0 0.0.0.0 [1/0] via 1.1.1.1, x\naccess-list A line 1 extended permit ip fqdn a any\n")
	}
	f.Fuzz(func(t *testing.T, command, text string) {
		readDevice("hq# "+command+"\n"+text+"\nhq# "+command+"\n"+text, command, "f")
	})
}

func BenchmarkIPsec(b *testing.B) {
	var text strings.Builder
	for i := range 5000 {
		text.WriteString(strings.NewReplacer("192.0.2.9", fmt.Sprintf("192.%d.%d.9", i/250, i%250), "10.2.0.0", fmt.Sprintf("10.%d.%d.0", 2+i/250, i%250)).Replace(block))
	}
	s := "hq# sh cry ips sa\n" + text.String() + "hq# \n"
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		dev, _ := readDevice(s, "", "x")
		if len(dev.IPsec) != 5000 {
			b.Fatal(len(dev.IPsec))
		}
	}
}

// BenchmarkSplit is what the speed of parsing is measured against: the same text into lines and fields.
func BenchmarkSplit(b *testing.B) {
	s := strings.Repeat(block, 5000)
	b.SetBytes(int64(len(s)))
	n := 0
	for b.Loop() {
		for _, l := range strings.Split(s, "\n") {
			n += len(strings.Fields(l))
		}
	}
}
