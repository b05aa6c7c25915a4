package emulator

import (
	"fmt"
	"strings"
)

// secretForms are lines of ASA and IOS configurations, and of logs that quote them, which
// hold a secret; {} is replaced by one, {hex} by one of hexadecimal digits.
const secretForms = `
enable password {} encrypted
enable password {} level 5 pbkdf2
passwd {} encrypted
username ops password {} encrypted privilege 15
username ops password {} nt-encrypted privilege 0
username ops password {}
 pre-shared-key {}
 ikev1 pre-shared-key {}
 ikev2 remote-authentication pre-shared-key {}
 ikev2 local-authentication pre-shared-key {}
 ikev2 local-authentication pre-shared-key 8 {}
 ikev2 remote-authentication pre-shared-key hex {hex}
tunnel-group 203.0.113.99 ipsec-attributes pre-shared-key {}
isakmp key {} address 203.0.113.99 netmask 255.255.255.255 no-xauth
aaa-server RAD (inside) host 10.1.1.9 {} timeout 5
 key {}
 radius-common-pw {}
 ldap-login-password {}
snmp-server community {}
snmp-server host inside 10.1.1.9 community {} version 2c
snmp-server host inside 10.1.1.9 poll community {} version 2c udp-port 161
snmp-server user ops grp v3 auth sha {} priv aes 128 {}
snmp-server user ops grp v3 encrypted auth md5 {} priv des {}
failover key {}
failover ipsec pre-shared-key {}
failover key hex {hex}
ntp authentication-key 1 md5 {}
vpdn username ops password {} store-local
vpnclient username ops password {}
vpnclient vpngroup GRP password {}
vpngroup GRP password {}
http-proxy 10.1.1.9 8080 username ops password {}
wccp web-cache password {}
auto-update server https://ops:{}@10.1.1.9/autoupdate
logging ftp-server 10.1.1.9 /logs ops {}
 authentication key eigrp 1 {} key-id 1
enable secret 5 {}
enable secret 9 {}
enable secret level 7 5 {}
enable password 7 {}
enable password {}
username ops privilege 15 secret 5 {}
username ops privilege 15 password 0 {}
username ops secret 9 {}
crypto isakmp key {} address 203.0.113.99
crypto isakmp key {} address 203.0.113.0 255.255.255.0 no-xauth
crypto isakmp key 6 {} address 203.0.113.99
crypto isakmp key {} hostname far.example.net
crypto isakmp key {} address ipv6 2001:DB8::1/128
 pre-shared-key address 0.0.0.0 0.0.0.0 key {}
 pre-shared-key address ipv6 2001:DB8::1/128 key 6 {}
 pre-shared-key hostname far.example.net key {}
 pre-shared-key local {}
 pre-shared-key remote 6 {}
 pre-shared-key hex {hex}
 authentication remote pre-share key {}
 authentication local pre-share key 6 {}
 group GRP key {}
 username ops password {}
 set session-key inbound esp 256 cipher {hex} authenticator {hex}
snmp-server community {} RO 10
snmp-server community {} view ALL RW
snmp-server host 10.1.1.9 {}
snmp-server host 10.1.1.9 version 2c {}
snmp-server host 10.1.1.9 vrf MGMT version 2c {}  config
snmp-server host 10.1.1.9 traps version 1 {} snmp
snmp-server host 10.1.1.9 informs version 2c {} udp-port 1162
tacacs-server host 10.1.1.9 key 7 {}
tacacs-server key {}
radius-server host 10.1.1.9 auth-port 1812 acct-port 1813 key {}
radius-server key 7 {}
 server-private 10.1.1.9 auth-port 1812 acct-port 1813 key 7 {}
 key 7 {}
 pac key 7 {}
 server-key 7 {}
 client 10.1.1.9 server-key {}
 ppp chap password 0 {}
 ppp pap sent-username ops password 7 {}
 ip ospf message-digest-key 1 md5 7 {}
 ip ospf authentication-key {}
 area 0 virtual-link 10.9.9.9 message-digest-key 1 md5 {}
 area 0 virtual-link 10.9.9.9 authentication-key {}
 neighbor 10.1.1.9 password 7 {}
 mpls ldp neighbor 10.9.9.9 password {}
mpls ldp neighbor 10.9.9.9 password {}
 standby 1 authentication {}
 standby 1 authentication text {}
 standby 1 authentication md5 key-string 7 {}
 vrrp 1 authentication text {}
 vrrp 1 authentication {}
 glbp 1 authentication md5 key-string {}
 ip nhrp authentication {}
 isis password {} level-2
 domain-password {}
 area-password {}
 authentication mode hmac-sha-256 {}
ntp authentication-key 1 md5 {} 7
  key-string 7 {}
  key-string {}
   wpa-psk ascii 0 {}
 wpa-psk ascii {}
 password 7 {}
 password {}
ip ftp password 7 {}
ip http client password {}
ip sla key-chain x key-string {}
 l2tp tunnel password 7 {}
 dialer password {}
 credentials username ops password 7 {} realm example.net
 authentication username ops password 7 {}
 path ftp://ops:{}@10.1.1.9/conf
  http://ops:{}@members.example.net/nic/update
key config-key password-encrypt {}
cts credentials id sw password {}
cts pac-key {}
 passphrase {}
 challenge-password {}
license smart register idtoken {} force
 cluster key {}
 policy-server-secret {}
ntp authentication-key 1 sha256 {}
mpls ldp password fallback 7 {}
mpls ldp password option 1 for 10 {}
 address ipv4 10.1.1.9 key 7 {}
  nas 10.1.1.9 key {}
  user ops nthash 7 {}
dot11 S wpa-psk ascii 7 {}
 security wpa psk set-key ascii 0 {}
 digest secret 7 {} hash SHA1
crypto pki import TP pem terminal {}
crypto key import rsa K terminal {}
crypto pki export TP pkcs12 terminal password {}
snmp-server user ops grp v3 auth sha-2 256 {} priv aes 256 {}
 ospfv3 authentication ipsec spi 256 sha1 {hex}
  sap pmk {hex} mode-list gcm-encrypt
%ASA-5-111008: User 'ops' executed the 'username ops password {}' command.
%ASA-5-111010: User 'ops', running 'CLI' from IP 10.1.1.9, executed 'crypto isakmp key {} address 203.0.113.99'
%PARSER-5-CFGLOG_LOGGEDCMD: User:ops  logged command:crypto isakmp key {} address 203.0.113.99
%PARSER-5-CFGLOG_LOGGEDCMD: User:ops  logged command:username ops secret 0 {}
-----BEGIN RSA PRIVATE KEY-----
{}
{}
-----END RSA PRIVATE KEY-----
`

// SeedSecrets makes every device add to every output of a show command lines of configurations and logs
// that hold random secrets, new ones for each form and device. Secrets returns them too.
func (l *Lab) SeedSecrets() error {
	for _, d := range l.devices {
		var b strings.Builder
		for i, form := range strings.Split(strings.TrimSpace(secretForms), "\n") {
			for n := 0; strings.Contains(form, "{"); n++ {
				mark, kind := "{}", "word"
				if h := strings.Index(form, "{hex}"); h >= 0 && h < strings.Index(form+"{}", "{}") {
					mark, kind = "{hex}", "hex"
				}
				v, err := l.secrets.get(kind, fmt.Sprintf("seed-%s-%d-%d", d.spec.Name, i, n))
				if err != nil {
					return err
				}
				form = strings.Replace(form, mark, v, 1)
			}
			b.WriteString(form + "\n")
		}
		text := b.String()
		d.fault(func(f *faults) { f.added = text })
	}
	return nil
}
