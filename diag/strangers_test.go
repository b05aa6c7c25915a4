package diag_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vpnbot/diag/report"
)

// strangers are what scanners of the Internet leave in the logs of devices whose own tunnels
// work; of a peer the same lines are faults.
var strangers = map[string][]string{
	"asa": {
		"%ASA-3-713048: IP = 192.0.2.66, Error processing payload: Payload ID: 1",
		"%ASA-3-713122: IP = 192.0.2.66, Keep-alives configured on but peer does not support keep-alives (type = None)",
		"%ASA-3-713902: IP = 192.0.2.66, Can't find a valid tunnel group, aborting...!",
		"%ASA-4-713903: Group = DefaultL2LGroup, IP = 192.0.2.66, Can't find a valid tunnel group, aborting...!",
		"%ASA-4-713255: IP = 192.0.2.66, Received ISAKMP Aggressive Mode message 1 with unknown tunnel group name 'vpn'",
		"%ASA-4-713903: Group = DefaultRAGroup, IP = 192.0.2.66, ERROR, had problems decrypting packet, probably due to mismatched pre-shared key.  Aborting",
		"%ASA-4-750003: Local:198.51.100.1:500 Remote:192.0.2.66:500 Username:Unknown IKEv2 Negotiation aborted due to ERROR: Failed to find a matching policy",
		"%ASA-4-750003: Local:198.51.100.1:500 Remote:192.0.2.66:500 Username:Unknown IKEv2 Negotiation aborted due to ERROR: Detected unsupported IKE version",
		"%ASA-4-402114: IPSEC: Received an ESP packet (SPI= 0x1234ABCD, sequence number= 0x1) from 192.0.2.66 (user= 192.0.2.66) to 198.51.100.1 with an invalid SPI.",
	},
	"ios": {
		"%CRYPTO-6-IKMP_MODE_FAILURE: Processing of Main mode failed with peer at 192.0.2.66",
		"%CRYPTO-6-IKMP_MODE_FAILURE: Processing of Aggressive mode failed with peer at 192.0.2.66",
		"%CRYPTO-4-IKMP_BAD_MESSAGE: IKE message from 192.0.2.66   failed its sanity check or is malformed",
		"%CRYPTO-4-IKMP_NO_SA: IKE message from 192.0.2.66  has no SA and is not an initialization offer",
		"%CRYPTO-5-IKMP_AG_MODE_DISABLED: Unable to initiate or respond to Aggressive Mode while disabled",
		"%CRYPTO-4-RECVD_PKT_INV_SPI: decaps: rec'd IPSEC packet has invalid spi for destaddr=198.51.100.1, prot=50, spi=0x1234ABCD(305441741), srcaddr=192.0.2.66",
	},
}

// TestStrangers puts their lines beside a peer that works: no finding. With the peer down, and
// the same line about it, there is one.
func TestStrangers(t *testing.T) {
	for kind, lines := range strangers {
		text := healthyASA
		if kind == "ios" {
			text = healthyIOS
		}
		for i, l := range lines {
			for _, n := range []int{1, 3} {
				t.Run(fmt.Sprintf("%s/%d/%d", kind, i, n), func(t *testing.T) {
					if f := faults(t, text+strings.Repeat(l+"\n", n)); len(f) > 0 {
						t.Errorf("%s: %v", l, f)
					}
				})
			}
		}
	}
	sick, _, _ := strings.Cut(healthyIOS, "rtr#show crypto ipsec sa")
	if f := faults(t, strings.Replace(sick, "QM_IDLE ", "MM_NO_STATE ", 1)+strings.ReplaceAll(strangers["ios"][2], "192.0.2.66", "203.0.113.5")+"\n"); !slices.Contains(f, "psk-mismatch") {
		t.Errorf("the peer's own line: %v", f)
	}
}

// harmless lines about the device's own peer and its administrators, beside a tunnel that counts
// both ways.
var harmless = map[string][]string{
	"asa": {
		"%ASA-5-713068: Group = 203.0.113.5, IP = 203.0.113.5, Received non-routine Notify message: Responder lifetime (24576)",
		"%ASA-4-402114: IPSEC: Received an ESP packet (SPI= 0x1A2B3C4D, sequence number= 0x12) from 203.0.113.5 (user= 203.0.113.5) to 198.51.100.1 with an invalid SPI.",
		"%ASA-6-113005: AAA user authentication Rejected : reason = AAA failure : server = 10.1.0.8 : user = tom",
		"%ASA-6-113015: AAA user authentication Rejected : reason = Invalid password : local database : user = root",
		"%ASA-4-713903: IP = 203.0.113.5, Received an IPC message during invalid state",
	},
	"ios": {
		"%CRYPTO-4-IKMP_NO_SA: IKE message from 203.0.113.5  has no SA and is not an initialization offer",
		"%CRYPTO-4-PKT_REPLAY_ERR: decrypt: replay check failed connection id=529, sequence number=6199",
		"%RADIUS-4-RADIUS_DEAD: RADIUS server 10.1.0.8:1645,1646 is not responding.",
	},
}

func TestHarmless(t *testing.T) {
	for kind, lines := range harmless {
		text := healthyASA
		if kind == "ios" {
			text = healthyIOS
		}
		for i, l := range lines {
			t.Run(fmt.Sprintf("%s/%d", kind, i), func(t *testing.T) {
				if f := faults(t, text+l+"\n"); len(f) > 0 {
					t.Errorf("%s: %v", l, f)
				}
			})
		}
	}
}

// faults diagnoses one text.
func faults(t *testing.T, text string) (ids []string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "session.txt"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range diagnose(t, dir).Report.Findings {
		if f.Severity != report.Info {
			ids = append(ids, f.ID)
		}
	}
	return ids
}

const healthyASA = `fw# show run
ASA Version 9.1(7)
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
object network OBJ-INSIDE
 subnet 10.1.0.0 255.255.255.0
object network OBJ-SITE1
 subnet 10.5.0.0 255.255.255.0
access-list VPN_10 extended permit ip 10.1.0.0 255.255.255.0 10.5.0.0 255.255.255.0
nat (inside,outside) source static OBJ-INSIDE OBJ-INSIDE destination static OBJ-SITE1 OBJ-SITE1 no-proxy-arp route-lookup
route outside 0.0.0.0 0.0.0.0 198.51.100.14 1
crypto ipsec ikev1 transform-set AES esp-aes-256 esp-sha-hmac
crypto map CMAP 10 match address VPN_10
crypto map CMAP 10 set peer 203.0.113.5
crypto map CMAP 10 set ikev1 transform-set AES
crypto map CMAP interface outside
crypto ikev1 enable outside
crypto ikev1 policy 10
 authentication pre-share
 encryption aes-256
 hash sha
 group 2
 lifetime 86400
tunnel-group 203.0.113.5 type ipsec-l2l
tunnel-group 203.0.113.5 ipsec-attributes
 ikev1 pre-shared-key *****
: end
fw# show crypto ikev1 sa

1   IKE Peer: 203.0.113.5
    Type    : L2L             Role    : initiator
    Rekey   : no              State   : MM_ACTIVE

fw# show crypto ipsec sa
interface: outside
    Crypto map tag: CMAP, seq num: 10, local addr: 198.51.100.1

      access-list VPN_10 extended permit ip 10.1.0.0 255.255.255.0 10.5.0.0 255.255.255.0
      local ident (addr/mask/prot/port): (10.1.0.0/255.255.255.0/0/0)
      remote ident (addr/mask/prot/port): (10.5.0.0/255.255.255.0/0/0)
      current_peer: 203.0.113.5

      #pkts encaps: 812, #pkts encrypt: 812, #pkts digest: 812
      #pkts decaps: 799, #pkts decrypt: 799, #pkts verify: 799
      #send errors: 0, #recv errors: 0

      local crypto endpt.: 198.51.100.1/0, remote crypto endpt.: 203.0.113.5/0
      current outbound spi: 1A2B3C4D
      current inbound spi : 5E6F7081
fw# show logging
`

const healthyIOS = `rtr#show running-config
version 15.2
hostname rtr
crypto isakmp policy 10
 encr aes 256
 authentication pre-share
 group 2
crypto isakmp key **** address 203.0.113.5
crypto ipsec transform-set TS esp-aes 256 esp-sha-hmac
crypto map CM 10 ipsec-isakmp
 set peer 203.0.113.5
 set transform-set TS
 match address 110
!
interface GigabitEthernet0/0
 ip address 198.51.100.1 255.255.255.248
 crypto map CM
!
ip route 0.0.0.0 0.0.0.0 198.51.100.6
access-list 110 permit ip 10.1.0.0 0.0.0.255 10.5.0.0 0.0.0.255
end
rtr#show crypto isakmp sa
IPv4 Crypto ISAKMP SA
dst             src             state          conn-id status
203.0.113.5     198.51.100.1    QM_IDLE           1001 ACTIVE

rtr#show crypto ipsec sa

interface: GigabitEthernet0/0
    Crypto map tag: CM, local addr 198.51.100.1

   local  ident (addr/mask/prot/port): (10.1.0.0/255.255.255.0/0/0)
   remote ident (addr/mask/prot/port): (10.5.0.0/255.255.255.0/0/0)
   current_peer 203.0.113.5 port 500
     PERMIT, flags={origin_is_acl,}
    #pkts encaps: 812, #pkts encrypt: 812, #pkts digest: 812
    #pkts decaps: 799, #pkts decrypt: 799, #pkts verify: 799
    #send errors 0, #recv errors 0

     local crypto endpt.: 198.51.100.1, remote crypto endpt.: 203.0.113.5
     current outbound spi: 0x1A2B3C4D(439041101)

     inbound esp sas:
      spi: 0x5E6F7081(1584361601)
        transform: esp-256-aes esp-sha-hmac ,
rtr#show logging
`
