package emulator

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// maxFleet bounds Options.Devices: addresses and memory.
const maxFleet = 5000

// hubAddress is where the fleet's tunnels end. The hub is not a device of the lab: its
// end has an address only.
var hubAddress = netip.MustParseAddr("198.51.100.250")

// addFleet generates n small devices, ASA and IOS in turn, each with one healthy tunnel
// to the hub; every fourth ASA speaks IKEv2.
func addFleet(sc *scenario, texts map[string]string, n int) {
	if n > 0 && sc.Credentials == nil {
		sc.Credentials = map[string]credentialSpec{}
	}
	for i := range n {
		name := fmt.Sprintf("site-%04d", i+1)
		a := 100 + i/250
		outside := netip.AddrFrom4([4]byte{192, 18 + byte(i/62500), byte(i / 250 % 250), byte(i%250 + 2)})
		inside := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(a), byte(i % 250), 1}), 24)
		gateway := netip.AddrFrom4([4]byte{192, 18 + byte(i/62500), byte(i / 250 % 250), 1})
		asa := i%2 == 0
		d := deviceSpec{
			Name: name, HostKeys: []string{"ed25519"}, KnownKeys: []string{"ed25519"},
			Uptime: time.Duration(200+i) * time.Hour, Tags: []string{"fleet"}, Config: name + ".cfg",
		}
		e := endSpec{Device: name, Address: outside, Networks: []netip.Prefix{inside.Masked()}, Map: "VPN", Sequence: 10, ACL: "VPN-HUB"}
		ike := 1
		source := "inside"
		if asa {
			d.Platform, d.Version, d.Model, d.Credentials = "asa", "9.8(4)", "ASA5506", "asa-ops"
			d.Interfaces = []ifaceSpec{
				{Name: "outside", Hardware: "GigabitEthernet1/1", Address: netip.PrefixFrom(outside, 24), Gateway: gateway},
				{Name: "inside", Hardware: "GigabitEthernet1/2", Address: inside},
			}
			e.Interface = "outside"
			if i%8 == 0 {
				ike = 2
			}
		} else {
			d.Platform, d.Version, d.Model, d.Credentials, d.Privilege = "ios", "15.2(4)M6", "C881", "ios-ops", 15
			d.Interfaces = []ifaceSpec{
				{Name: "FastEthernet4", Hardware: "FastEthernet4", Address: netip.PrefixFrom(outside, 24), Gateway: gateway, Outside: true},
				{Name: "Vlan1", Hardware: "Vlan1", Address: inside},
			}
			e.Interface, source = "FastEthernet4", "Vlan1"
		}
		texts[d.Config] = fleetConfig(d, e, ike)
		sc.Devices = append(sc.Devices, d)
		sc.Tunnels = append(sc.Tunnels, tunnelSpec{
			Name: "hub-" + name, Kind: "l2l", IKE: ike, Encryption: "aes-256", Group: "5",
			Ends:      []endSpec{e, {Address: hubAddress, Networks: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}}},
			Probe:     probeSpec{From: name, Source: source, To: netip.MustParseAddr("10.2.0.1")},
			ISP:       ispSpec{Name: "Example Telecom", Contact: "noc@example.net"},
			Initiator: name, Start: Up, LeadsTo: Up, WakesAfter: 3 * time.Second,
			UpFor: time.Duration(1+i%7) * time.Hour, Rate: [2]float64{2.5, 2.1},
		})
	}
}

func fleetConfig(d deviceSpec, e endSpec, ike int) string {
	in := d.Interfaces[1].Address
	out := d.Interfaces[0]
	net := netipNet(in.Masked())
	r := strings.NewReplacer("{NAME}", d.Name, "{VERSION}", d.Version, "{OUT}", out.Address.Addr().String(), "{IN}", in.Addr().String(),
		"{NET}", net.addr(), "{MASK}", net.mask(), "{WILD}", net.wild(), "{GW}", out.Gateway.String(), "{HUB}", hubAddress.String())
	switch {
	case d.Platform == "asa" && ike == 2:
		return r.Replace(strings.NewReplacer(
			"crypto ipsec ikev1 transform-set AES256-SHA esp-aes-256 esp-sha-hmac \n", "crypto ipsec ikev2 ipsec-proposal AES256-SHA\n protocol esp encryption aes-256\n protocol esp integrity sha-1\n",
			"set ikev1 transform-set AES256-SHA", "set ikev2 ipsec-proposal AES256-SHA",
			"crypto ikev1 enable outside\ncrypto ikev1 policy 10\n authentication pre-share\n encryption aes-256\n hash sha\n group 5\n lifetime 86400\n", "crypto ikev2 policy 10\n encryption aes-256\n integrity sha\n group 5\n prf sha\n lifetime seconds 86400\ncrypto ikev2 enable outside\n",
			" ikev1 pre-shared-key <<psk:fleet>>\n", " ikev2 remote-authentication pre-shared-key <<psk:fleet>>\n ikev2 local-authentication pre-shared-key <<psk:fleet>>\n",
			"vpn-tunnel-protocol ikev1", "vpn-tunnel-protocol ikev2").Replace(fleetASA))
	case d.Platform == "asa":
		return r.Replace(fleetASA)
	}
	return r.Replace(fleetIOS)
}

const fleetASA = `: Saved
:
ASA Version {VERSION} 
!
hostname {NAME}
enable password <<asahash:fleet-enable>> encrypted
names
!
interface GigabitEthernet1/1
 nameif outside
 security-level 0
 ip address {OUT} 255.255.255.0 
!
interface GigabitEthernet1/2
 nameif inside
 security-level 100
 ip address {IN} {MASK} 
!
object network LAN
 subnet {NET} {MASK}
object network HUB
 subnet 10.2.0.0 255.255.0.0
access-list VPN-HUB extended permit ip {NET} {MASK} 10.2.0.0 255.255.0.0 
pager lines 24
logging enable
logging timestamp
logging buffered informational
mtu outside 1500
mtu inside 1500
icmp permit any inside
nat (inside,outside) source static LAN LAN destination static HUB HUB no-proxy-arp route-lookup
!
nat (inside,outside) after-auto source dynamic any interface
route outside 0.0.0.0 0.0.0.0 {GW} 1
aaa authentication ssh console LOCAL 
snmp-server community <<word:fleet-snmp>>
sysopt connection preserve-vpn-flows
crypto ipsec ikev1 transform-set AES256-SHA esp-aes-256 esp-sha-hmac 
crypto ipsec security-association lifetime seconds 28800
crypto map VPN 10 match address VPN-HUB
crypto map VPN 10 set peer {HUB} 
crypto map VPN 10 set ikev1 transform-set AES256-SHA
crypto map VPN interface outside
crypto isakmp identity address 
crypto isakmp nat-traversal 20
crypto ikev1 enable outside
crypto ikev1 policy 10
 authentication pre-share
 encryption aes-256
 hash sha
 group 5
 lifetime 86400
ssh timeout 5
management-access inside
group-policy GP-L2L internal
group-policy GP-L2L attributes
 vpn-idle-timeout none
 vpn-tunnel-protocol ikev1 
username vpnbot password <<asahash:fleet-vpnbot>> encrypted privilege 15
tunnel-group {HUB} type ipsec-l2l
tunnel-group {HUB} general-attributes
 default-group-policy GP-L2L
tunnel-group {HUB} ipsec-attributes
 ikev1 pre-shared-key <<psk:fleet>>
prompt hostname context 
: end
`

const fleetIOS = `!
version 15.2
service timestamps log datetime msec
!
hostname {NAME}
!
logging buffered 65536 informational
enable secret 5 <<hash5:fleet-enable>>
!
username vpnbot privilege 15 secret 5 <<hash5:fleet-vpnbot>>
!
crypto logging session
!
crypto isakmp policy 10
 encr aes 256
 authentication pre-share
 group 5
 lifetime 86400
crypto isakmp key <<psk:fleet>> address {HUB}
crypto isakmp keepalive 10 periodic
!
crypto ipsec security-association lifetime seconds 28800
!
crypto ipsec transform-set AES256-SHA esp-aes 256 esp-sha-hmac 
!
crypto map VPN 10 ipsec-isakmp 
 set peer {HUB}
 set transform-set AES256-SHA 
 match address VPN-HUB
!
interface FastEthernet4
 ip address {OUT} 255.255.255.0
 ip nat outside
 crypto map VPN
!
interface Vlan1
 ip address {IN} {MASK}
 ip nat inside
 ip tcp adjust-mss 1350
!
ip nat inside source route-map NONAT interface FastEthernet4 overload
ip route 0.0.0.0 0.0.0.0 {GW}
!
ip access-list extended NAT-LAN
 deny   ip {NET} {WILD} 10.2.0.0 0.0.255.255
 permit ip {NET} {WILD} any
ip access-list extended VPN-HUB
 permit ip {NET} {WILD} 10.2.0.0 0.0.255.255
!
route-map NONAT permit 10
 match ip address NAT-LAN
!
snmp-server community <<word:fleet-snmp>> RO
!
line vty 0 4
 transport input ssh
!
end
`
