package redact

import (
	"strings"
	"testing"
)

// Commands of the ASA and IOS command references that carry a secret, each as the running
// configuration, a terminal or a log line shows it. {} is the secret, {hex} one of
// hexadecimal digits; nothing else of the line may change.
const carriers = `
# ASA: access to the device
enable password {} encrypted
enable password {} level 10 pbkdf2
passwd {} encrypted
password {} encrypted
username ops password {} encrypted privilege 15
username ops password {} pbkdf2 privilege 15
username ops password {} mschap
username ops nopassword
username ops attributes
ssh key-exchange hostkey rsa
changeto context admin
# ASA: VPN
crypto isakmp key {} address 192.0.2.1 netmask 255.255.255.255
crypto ikev1 pre-shared-key {}
tunnel-group 192.0.2.1 ipsec-attributes ikev1 pre-shared-key {}
tunnel-group 192.0.2.1 ipsec-attributes ikev2 local-authentication pre-shared-key {}
 ikev1 pre-shared-key {}
 ikev2 local-authentication pre-shared-key {}
 ikev2 remote-authentication pre-shared-key 8 {}
 ikev2 local-authentication pre-shared-key hex {hex}
 pre-shared-key {}
 radius-reject-message
 secondary-pre-fill-username client hide use-common-password {}
 secondary-pre-fill-username ssl-client hide use-common-password {}
 secondary-username-from-certificate use-script
 pre-fill-username ssl-client
 authentication-server-group LDAP
crypto map OUT 10 set session-key inbound esp 256 cipher {hex} authenticator {hex}
crypto map OUT 10 set session-key outbound ah 300 {hex}
vpnclient vpngroup GRP password {}
vpnclient username ops password {}
vpngroup GRP password {}
vpdn username ops password {}
vpdn username ops password {} store-local
vpdn group G ppp username ops
pppoe client vpdn group G
crypto ca authenticate TP nointeractive
crypto ca enroll TP
crypto ca import TP pkcs12 {}
crypto ca export TP pkcs12 {}
crypto ca server user-db add ops
crypto ca server user-db allow ops display-otp
crypto ca server unlock
 cifs-url http://crl.example.net/a.crl
crypto ca trustpoint TP
 password {}
 keypair K
 enrollment url http://ops:{}@ca.example.net:80
 passphrase {}
 protocol scep
crypto engine large-mod-accel
# ASA: AAA
aaa-server RAD protocol radius
aaa-server RAD (inside) host 10.1.1.9
aaa-server RAD (inside) host 10.1.1.9 {} timeout 5
aaa-server RAD (inside) host 10.1.1.9 key {}
aaa-server RAD host 10.1.1.9 {}
 key {}
 key 8 {}
 key *****
 radius-common-pw {}
 ldap-login-password {}
 ldap-login-dn cn=ops,dc=example,dc=net
 ldap-base-dn dc=example,dc=net
 ldap-attribute-map MAP
 server-type microsoft
 kerberos-realm EXAMPLE.NET
 sdi-version sdi-5
 sdi-pre-5-slave 10.1.1.10
 nt-auth-domain-controller DC1
 policy-server-secret {}
 sso-server S type siteminder
 web-agent-url https://sso.example.net
aaa kerberos import-keytab disk0:/asa.keytab
test aaa-server authentication RAD host 10.1.1.9 username ops password {}
test aaa-server authorization RAD host 10.1.1.9 username ops
  server 10.1.1.9 key {}
dynamic-authorization port 1700
# ASA: webvpn and AnyConnect
 http-proxy 10.1.1.9 8080 username ops password {}
 https-proxy 10.1.1.9 8443 username ops password {}
 auto-signon allow ip 10.1.0.0 255.255.0.0 auth-type all
 auto-signon allow uri https://x username ops password {} auth-type basic
 anyconnect ssl dtls enable
 smart-tunnel auto-signon LIST ip 10.1.1.9 255.255.255.255
 hidden-parameter secret%3Dvalue
 post-parameters user=ops
webvpn
saml idp https://idp.example.net/metadata
saml idp-trustpoint certificate TP
 url sign-in https://idp.example.net/sso
 signature rsa-sha256
 macro-substitution name csco_webvpn_password value {}
 cifs url value cifs://ops:{}@10.1.1.9/share
# ASA: failover, cluster, services
failover key {}
failover key hex {hex}
failover key 8 {}
failover key *****
failover ipsec pre-shared-key {}
failover ipsec pre-shared-key 8 {}
failover lan unit primary
 key {}
cluster group C
vpn load-balancing
 cluster key {}
 cluster encryption
 cluster ip address 10.1.1.1
snmp-server community {}
snmp-server community 8 {}
snmp-server host inside 10.1.1.9 community {}
snmp-server host inside 10.1.1.9 community 8 {} version 2c
snmp-server host inside 10.1.1.9 trap community {} version 2c udp-port 162
snmp-server user ops G v3 auth SHA {} priv AES 128 {}
snmp-server user ops G v3 engineID 80000009fe encrypted auth md5 {} priv aes 256 {}
snmp-server user ops G v3 encrypted auth sha {hex} priv 3des {hex}
snmp-server group G v3 priv
snmp-server location key storage room
ntp authentication-key 1 md5 {}
ntp authentication-key 1 sha256 {}
ntp authentication-key 1 cmac 8 {}
ntp trusted-key 1
ntp server 10.1.1.9 key 1 source inside
wccp web-cache password {}
wccp 61 redirect-list X password {}
auto-update server https://ops:{}@10.1.1.9/auto source inside
logging ftp-server 10.1.1.9 logs ops {}
logging ftp-server 10.1.1.9 /logs ops {} encrypted
copy tftp://10.1.1.9/x disk0:
copy ftp://ops:{}@10.1.1.9/x disk0:
copy http://ops:{}@10.1.1.9:8080/x disk0:
copy scp://ops:{}@10.1.1.9/x disk0:
copy /noconfirm smb://ops:{}@10.1.1.9/x disk0:
copy /pcap capture:CAP ftp://ops:{}@10.1.1.9/x;type=an
boot system disk0:/asa.bin
boot config tftp://10.1.1.9/x
license smart register idtoken {}
license smart register idtoken {} force
license smart proxy address 10.1.1.9 port 8080
key config-key password-encryption {}
key config-key password-encryption {} old{}
password encryption aes
 ospf authentication-key {}
 ospf authentication-key 8 {}
 ospf message-digest-key 1 md5 {}
 ospf message-digest-key 1 md5 8 {}
 ospf authentication message-digest
 authentication key eigrp 1 {} key-id 1
 authentication key eigrp 1 8 {} key-id 1
 authentication mode eigrp 1 md5
 rip authentication key {} key_id 1
 rip authentication mode md5
 neighbor 10.1.1.9 password {}
 neighbor 10.1.1.9 password 8 {}
 area 0 virtual-link 10.9.9.9 authentication-key {}
 area 0 virtual-link 10.9.9.9 message-digest-key 1 md5 {}
 isis password {} level-1
 isis password 8 {} level-1
 isis authentication key {} level-1
 isis authentication key 0 {} level-2
 authentication key {} level-1
 ip verify reverse-path interface outside
 ddns update method M
  web update-url https://ops:{}@members.example.net/nic/update?system=dyndns
 mount M type cifs
  password {}
 ftp-server
 url-server (inside) host 10.1.1.9
 ctl-provider P
  client username ops password {} encrypted
 phone-proxy P
scansafe general-options
 license {hex}
 server primary ip 10.1.1.9 port 8080
 tls-proxy P
cts import-pac disk0:/x.pac password {}
cts server-group RAD
cts sxp default password {}
cts sxp default password 8 {}
cts sxp connection peer 10.1.1.9 password default mode peer speaker
umbrella-global
 token {hex}
 public-key B735:1140:206F:225D:3E2B:D822:D7FD:691E:A1C3:3CC8:D666:8D0C:BE04:BFAB:CA43:FB79
hpm topn enable
call-home
 profile P
imap4s
# IOS: access to the device
enable secret {}
enable secret 5 {}
enable secret 8 {}
enable secret 9 {}
enable secret level 7 5 {}
enable algorithm-type scrypt secret {}
enable password 7 {}
enable password level 7 7 {}
username ops password 7 {}
username ops privilege 15 secret 8 {}
username ops privilege 15 secret 9 {}
username ops common-criteria-policy P password 0 {}
username ops algorithm-type scrypt secret {}
username ops secret {}
username ops one-time secret 5 {}
username ops view V secret 5 {}
 secret 5 {}
 password 7 {}
 password {}
parser view V
 secret 5 {}
ip ssh pubkey-chain
  key-hash ssh-rsa 0123456789ABCDEF0123456789ABCDEF ops@host
ip http authentication local
ip http client password 7 {}
ip http client proxy-server 10.1.1.9
ip ftp username ops
ip ftp password 7 {}
ip rcmd remote-host ops 10.1.1.9 ops enable
ip scp server enable
archive
 path ftp://ops:{}@10.1.1.9/conf
 path scp://ops:{}@10.1.1.9/$h
line vty 0 4
# IOS: VPN
crypto isakmp key {} address 192.0.2.1
crypto isakmp key 0 {} address 192.0.2.1
crypto isakmp key 6 {} address 0.0.0.0
crypto isakmp key {} hostname far.example.net no-xauth
crypto isakmp key {} address 192.0.2.0 255.255.255.0
crypto isakmp key 6 {} address ipv6 2001:DB8::1/128
crypto keyring KR vrf A
  pre-shared-key address 192.0.2.1 key {}
  pre-shared-key address 192.0.2.0 255.255.255.0 key 6 {}
  pre-shared-key address ipv6 2001:DB8::/32 key {}
  pre-shared-key hostname far.example.net key {}
  rsa-pubkey name far
crypto isakmp peer address 192.0.2.1
 set aggressive-mode password {}
 set aggressive-mode password 6 {}
 set aggressive-mode client-endpoint fqdn far
crypto isakmp client configuration group GRP
 key {}
 key 6 {}
 max-logins 1
crypto ipsec client ezvpn EZ
 group GRP key {}
 group GRP key 6 {}
 username ops password {}
 username ops password 6 {}
 xauth userid mode local
crypto ikev2 keyring KR
  pre-shared-key {}
  pre-shared-key 6 {}
  pre-shared-key local {}
  pre-shared-key remote 6 {}
  pre-shared-key hex {hex}
  pre-shared-key local hex {hex}
  identity key-id site1
 authentication remote pre-share key {}
 authentication local pre-share key 6 {}
 authentication local rsa-sig
 aaa authorization group psk list L name-mangler M password {}
 aaa authorization group psk list default default password 6 {}
 aaa authorization user psk cached
 aaa authentication eap L
 keyring local KR
 keyring aaa L name-mangler M password 6 {}
 match identity remote key-id site1
crypto gdoi group G
  rekey authentication mypubkey rsa K
crypto key generate rsa general-keys label K modulus 2048
crypto key import rsa K pem terminal {}
crypto key import rsa K terminal {}
crypto key import rsa K pem url nvram:K passphrase {}
crypto key export rsa K pem terminal 3des {}
crypto key export rsa K pem url nvram:K aes {}
crypto key export rsa K pem url nvram:K des {}
crypto key encrypt write rsa name K passphrase {}
crypto key decrypt rsa name K passphrase {}
crypto key lock rsa name K passphrase {}
crypto key unlock rsa name K passphrase {}
crypto key pubkey-chain rsa
crypto pki trustpoint TP
 enrollment url http://ops:{}@ca.example.net
 enrollment profile P
 password 7 {}
 password {}
 rsakeypair K 2048
 revocation-check crl
 usage ike
 auto-enroll 70 regenerate
crypto pki import TP pkcs12 nvram: password {}
crypto pki import TP pkcs12 nvram:x.p12 {}
crypto pki import TP pkcs12 tftp://10.1.1.9/x.p12 password {}
crypto pki import TP pem terminal {}
crypto pki import TP pem url nvram:x password {}
crypto pki import TP pem exportable terminal {}
crypto pki import TP certificate
crypto pki export TP pkcs12 ftp://10.1.1.9/x.p12 {}
crypto pki export TP pkcs12 terminal password {}
crypto pki export TP pem terminal 3des {}
crypto pki export TP pem terminal aes password {}
crypto pki export TP pem terminal
crypto pki authenticate TP
crypto pki server CA
 database archive pkcs12 password {}
 database archive pem password 7 {}
 database username ops password {}
 database url p12 ftp://10.1.1.9 username ops password 7 {}
crypto pki server CA password generate 60
crypto pki server CA unlock
crypto pki server CA request pkcs10 terminal
tacacs-server host 10.1.1.9 key {}
tacacs-server host 10.1.1.9 single-connection key 7 {}
tacacs-server key 6 {}
tacacs server T
 address ipv4 10.1.1.9
 address ipv4 10.1.1.9 key {}
 address 10.1.1.9 key 7 {}
 key 7 {}
 key {}
radius-server host 10.1.1.9 auth-port 1645 acct-port 1646 key 7 {}
radius-server key 7 {}
radius-server local
  nas 10.1.1.9 key 7 {}
  user ops password {}
  user ops nthash 7 {}
  user ops nthash {hex}
radius-server vsa send authentication
radius server R
 address ipv4 10.1.1.9 auth-port 1812 acct-port 1813
 pac key 7 {}
 key 6 {}
 server-private 10.1.1.9 key 7 {}
 client 10.1.1.9 server-key 7 {}
 client 10.1.1.9 vrf M server-key 7 {}
 server-key 7 {}
ldap server L
 bind authenticate root-dn cn=ops,dc=example password {}
 bind authenticate root-dn cn=ops,dc=example password 6 {}
 ipv4 10.1.1.9
# IOS: routing and lines
key chain KC
 key 1
  key-string {}
  key-string 7 {}
  key-string 6 {}
  cryptographic-algorithm hmac-sha-256
  accept-lifetime 00:00:00 Jan 1 2020 infinite
key chain MK macsec
 key 01
  key-string 7 {hex}
 ip ospf authentication-key {}
 ip ospf authentication-key 7 {}
 ip ospf message-digest-key 1 md5 7 {}
 ip ospf authentication message-digest
 ip ospf authentication key-chain KC
 ospfv3 authentication ipsec spi 256 sha1 {hex}
 ospfv3 encryption ipsec spi 256 esp aes-cbc 128 {hex} sha1 {hex}
 ospfv3 authentication md5 0 {hex}
 ipv6 ospf authentication ipsec spi 500 md5 {hex}
 ipv6 ospf encryption ipsec spi 1001 esp aes-cbc 128 7 {hex} sha1 7 {hex}
 area 0 authentication ipsec spi 500 md5 {hex}
 area 0 sham-link 10.1.1.1 10.1.1.2 authentication-key {}
 area 0 virtual-link 10.9.9.9 message-digest-key 1 md5 7 {}
 ip authentication mode eigrp 1 md5
 ip authentication key-chain eigrp 1 KC
  authentication mode hmac-sha-256 7 {}
  authentication mode hmac-sha-256 {}
 ip rip authentication key-chain KC
 ip rip authentication mode md5
 isis password {} level-2
 isis authentication key-chain KC
 domain-password {}
 area-password {} authenticate snp validate
 lsp-password {}
 neighbor 10.1.1.9 password 7 {}
 neighbor PEERS password {}
 template peer-session P
  password 7 {}
mpls ldp neighbor 10.9.9.9 password {}
mpls ldp neighbor 10.9.9.9 password 7 {}
mpls ldp neighbor vrf A 10.9.9.9 password {}
mpls ldp password option 1 for 10 key-chain KC
mpls ldp password option 1 for 10 {}
mpls ldp password option 1 for 10 7 {}
mpls ldp password fallback {}
mpls ldp password fallback 7 {}
mpls ldp vrf A password fallback {}
mpls ldp password required
mpls ldp password required for 10
 mpls ldp discovery transport-address interface
ip msdp password peer 10.1.1.9 7 {}
 ip rsvp authentication key {}
 ip rsvp authentication key 7 {}
 ip rsvp authentication key-chain KC
 ip nhrp authentication {}
 ip nhrp map multicast dynamic
 tunnel key 100
 tunnel protection ipsec profile P
 standby 1 authentication {}
 standby 1 authentication text {}
 standby 1 authentication md5 key-string {}
 standby 1 authentication md5 key-string 7 {} timeout 30
 standby 1 authentication md5 key-chain KC
 vrrp 1 authentication text {}
 vrrp 1 authentication md5 key-string 7 {}
 glbp 1 authentication text {}
 glbp 1 authentication md5 key-string {}
 ppp authentication chap callin
 ppp chap hostname ops
 ppp chap password {}
 ppp chap password 7 {}
 ppp pap sent-username ops password 7 {}
 ppp eap identity ops
 ppp eap password 7 {}
 ppp direction callin
 pppoe enable group global
 pppoe-client dial-pool-number 1
 dialer remote-name X
 l2tp tunnel password 7 {}
 l2tp tunnel authentication
 vpdn-group 1
 username ops password {}
l2tp-class C
 password 7 {}
 digest secret {}
 digest secret 7 {} hash SHA1
 digest hash MD5
 authentication
 cookie size 4
ip wccp web-cache password 7 {}
ip wccp 61 password {}
ntp authentication-key 1 md5 {} 7
ntp authentication-key 1 hmac-sha2-256 {} 7
ntp server 10.1.1.9 key 1
ntp trusted-key 1 - 3
snmp-server community {} RO
snmp-server community {} view V RW 10
snmp-server community 7 {} RO
snmp-server host 10.1.1.9 version 2c {}
snmp-server host 10.1.1.9 version 3 priv ops
snmp-server host 10.1.1.9 traps {}
snmp-server user ops G v3 auth sha {} priv aes 128 {}
snmp-server user ops G v3 auth sha-2 256 {} priv aes 256 {}
snmp-server user ops G remote 10.1.1.9 v3 auth md5 {} priv des56 {}
snmp-server user ops G v3 encrypted auth sha {hex} priv aes 128 {hex} access 10
snmp-server group G v3 auth
snmp mib community-map {} engineid 8000000903 security-name x
snmp-server contact the key holder
# IOS: wireless, services
dot11 ssid S
   wpa-psk ascii {}
   wpa-psk ascii 7 {}
   wpa-psk hex 0 {hex}
   authentication open
   authentication key-management wpa version 2
 encryption key 1 size 128bit {hex} transmit-key
 encryption key 1 size 128bit 7 {hex} transmit-key
 encryption vlan 10 key 1 size 40bit 7 {hex}
 encryption mode ciphers aes-ccm
 encryption vlan 10 mode ciphers tkip
 dot1x credentials C
 dot1x username ops password 7 {}
 eap profile P
 security wpa psk set-key ascii 0 {}
 security wpa psk set-key ascii 8 {} 
 security wpa akm psk
 security wpa wpa2 ciphers aes
 security static-wep-key encryption 104 ascii 0 {} 1
wlan W 1 W
 wpa-psk ascii 0 {} timeout 5
dot11 S wpa-psk ascii 7 {}
ap dot1x username ops password 8 {} 
 mgmtuser username ops password 0 {} secret 0 {}
parameter-map type webauth global
license smart register idtoken {}
license smart trust idtoken {} all force
license smart transport smart
cts credentials id sw password {}
cts credentials id sw password 7 {}
cts sxp default password 7 {}
cts manual
  sap pmk {hex} mode-list gcm-encrypt
  policy static sgt 10 trusted
 mka pre-shared-key key-chain MK
voice register pool 1
 username ops password {}
 authentication username ops password 7 {} realm example.net
 credentials username ops password 7 {} realm example.net
telephony-service
 web admin system name ops secret 5 {}
 web admin system name ops password {}
ephone-dn 1
 mgcp call-agent 10.1.1.9
sip-ua
 registrar dns:example.net
 crypto signaling default trustpoint TP
dspfarm profile 1
 call-home profile X
 action 2.0 cli command "username ops secret {}"
 action 3.0 mail server "ops:{}@10.1.1.9" to "a@example.net" from "b@example.net"
event manager environment _pw x
event manager session cli username "ops"
kron policy-list P
 cli copy running-config ftp://ops:{}@10.1.1.9/x
ip ddns update method M
  add http://ops:{}@members.example.net/nic/update?system=dyndns&hostname=<h>
netconf-yang ssh port 830
telemetry ietf subscription 1
object-group network KEY
 group-object secret-servers
banner motd ^C password protected ^C
guest-user add ops password {}
crypto wui tti registrar
 username ops nopassword
subscriber authorization enable
aaa attribute list L
 attribute type tunnel-password {}
 attribute type password {}
aaa group server radius R
aaa authentication login default group tacacs+ local
aaa new-model
aaa accounting exec default start-stop group tacacs+
 aaa authorization network L local
service password-encryption
 vnet tag 5
ip sla 1
 key-chain x
 http get http://ops:{}@10.1.1.9/
cns config initial 10.1.1.9 encrypt 80
cns password {}
kerberos password {}
kerberos srvtab entry host/hq@EXAMPLE.NET 0 891725446 4 1 8 {}
 x25 map ip 10.1.1.9 1
 lane server-bus ethernet E
 cpd cr-id 1
# as logs echo them
%ASA-5-111008: User 'ops' executed the 'tunnel-group 192.0.2.1 ipsec-attributes ikev1 pre-shared-key {}' command.
%ASA-5-111008: User 'ops' executed the 'license smart register idtoken {}' command.
%ASA-5-111008: User 'ops' executed the 'aaa-server RAD (inside) host 10.1.1.9 key {}' command.
%ASA-5-111008: User 'ops' executed the 'pre-shared-key {}' command.
%ASA-5-111008: User 'ops' executed the 'ldap-login-password {}' command.
%ASA-5-111008: User 'ops' executed the 'show running-config' command.
%ASA-5-111010: User 'ops', running 'CLI' from IP 10.1.1.9, executed 'username x password {} privilege 15'
%ASA-5-111010: User 'ops', running 'CLI' from IP 10.1.1.9, executed 'key {}'
%ASA-7-111009: User 'ops' executed cmd: show crypto isakmp sa
%ASA-7-111009: User 'ops' executed cmd: test aaa-server authentication RAD host 10.1.1.9 username u password {}
Nov 28 2026 01:00:00: %ASA-5-111008: User 'ops' executed the 'failover key {}' command.
%PARSER-5-CFGLOG_LOGGEDCMD: User:ops  logged command:username x secret {}
%PARSER-5-CFGLOG_LOGGEDCMD: User:ops  logged command: key 0 {}
%PARSER-5-CFGLOG_LOGGEDCMD: User:ops  logged command:address ipv4 10.1.1.9 key {}
%PARSER-5-CFGLOG_LOGGEDCMD: User:ops  logged command:wpa-psk ascii 0 {}
*Nov 28 01:00:00.123: %PARSER-5-CFGLOG_LOGGEDCMD: User:console  logged command:crypto isakmp key {} address 192.0.2.1
%PARSER-5-CFGLOG_LOGGEDCMD: User:ops  logged command:no ip http server
%HA_EM-6-LOG: X: R1(config)#enable secret {}
R1#sh run | i key
R1(config-keychain-key)# key-string {}
R1(config-isakmp-group)#key {}
hq-asa(config-tunnel-ipsec)# ikev1 pre-shared-key {}
hq-asa/pri/act(config)# username ops password {} privilege 15
hq-asa# more system:running-config | include pre-shared-key
# on their own
Keys are shared between the two sites.
The key is on the desk.
%ASA-4-713903: Group = 192.0.2.1, IP = 192.0.2.1, Error: Unable to remove PeerTblEntry
%ASA-6-713905: Group = 192.0.2.1, IP = 192.0.2.1, WARNING, had problems decrypting packet, probably due to mismatched pre-shared key.  Aborting
%ASA-3-713902: Group = G, IP = 192.0.2.1, Can't find a valid tunnel group, key length 128, aborting...!
%CRYPTO-6-IKMP_NOT_ENCRYPTED: IKE packet from 192.0.2.1 was not encrypted and it should've been.
ISAKMP:(0):found peer pre-shared key matching 192.0.2.1
ISAKMP:(0): local preshared key found
ISAKMP:(1001):Checking ISAKMP transform 1 against priority 10 policy
ISAKMP:      auth pre-share
ISAKMP:      keylength of 256
ISAKMP: key length is 128
IKEv2:(SESSION ID = 1,SA ID = 1):Get peer's preshared key for 192.0.2.1
IKEv2:(SESSION ID = 1,SA ID = 1):Verify peer's authentication data
IKEv2-ERROR: Couldn't find matching SA: password policy not met
      Encr: AES-CBC, keysize: 256, PRF: SHA256, Hash: SHA256, DH Grp:14, Auth sign: PSK, Auth verify: PSK
Pre-shared key authentication failed for the peer 192.0.2.1
key 1 -- text "(unencrypted)"
Key name: hq.example.net
 Key type: RSA KEYS
% Key pair was generated at: 01:00:00 UTC Nov 1 2026
 Usage: General Purpose Key
 Key Data:
 Authentication Method : Pre-Shared Key
  Auth Mode    : preSharedKeys
 IKE Neg Mode : Main                   Auth Mode    : preSharedKeys
access-list KEY extended permit ip any any
interface Tunnel1 description password server
ip access-list extended password-servers
hostname key-west
 match address key-list
 tunnel key 7
 ip address 10.1.1.1 255.255.255.0
 address 192.0.2.1
object network secret
 policy-map type inspect http key
vpn-simultaneous-logins 3
 password-storage enable
 passwords must be changed every 90 days
password-policy minimum-length 8
crypto isakmp policy 10
 encryption aes-256
`

func TestCarriers(t *testing.T) {
	const secret, hex = "Gruen.9-Kuh_x", "a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4"
	hidden, plain := 0, 0
	for form := range strings.SplitSeq(strings.Trim(carriers, "\n"), "\n") {
		if strings.HasPrefix(form, "#") {
			continue
		}
		line := strings.NewReplacer("{hex}", hex, "{}", secret).Replace(form)
		want := strings.NewReplacer("{hex}", Mask, "{}", Mask).Replace(form)
		want = strings.ReplaceAll(want, "old"+Mask, Mask) // the second one of key config-key is one word
		if line == form {
			plain++
		} else {
			hidden++
		}
		for _, end := range []string{"", "\r"} {
			if got := Strip(New([]byte("0123456789abcdef")).Text(line + end)); got != want+end {
				t.Errorf("\n got %q\nwant %q", got, want+end)
				break
			}
		}
	}
	t.Logf("%d lines with secrets, %d without", hidden, plain)
}

// Private keys in each dress, with what stands around them.
func TestPrivateKeys(t *testing.T) {
	for name, in := range map[string]string{
		"PEM":    "-----BEGIN PRIVATE KEY-----\nMIIEow\n-----END PRIVATE KEY-----\n",
		"SSH":    "-----BEGIN OPENSSH PRIVATE KEY-----\r\nb3BlbnNz\r\n-----END OPENSSH PRIVATE KEY-----\r\n",
		"SSH2":   "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nP2/56wAA\n---- END SSH2 ENCRYPTED PRIVATE KEY ----\n",
		"PuTTY":  "Private-Lines: 1\nAAABAQ\nPrivate-MAC: 00\n",
		"PKCS12": "Exported pkcs12 follows:\n-----BEGIN PKCS12-----\nMIIHPw\n-----END PKCS12-----\n",
	} {
		got := Strip(New([]byte("0123456789abcdef")).Text("before\n" + in + "after\n"))
		lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(in, "\r", "")), "\n")
		key := lines[len(lines)-2]
		if strings.Contains(got, key) || !strings.Contains(got, Mask) || !strings.HasSuffix(got, "after\n") || !strings.HasPrefix(got, "before\n") || !strings.Contains(got, lines[len(lines)-1]) {
			t.Errorf("%s: %q", name, got)
		}
	}
	cert := "-----BEGIN CERTIFICATE-----\nMIIDdz\n-----END CERTIFICATE-----\n certificate 01\n  308202d7 30820240 a0030201\n  quit\n"
	if got := New([]byte("0123456789abcdef")).Text(cert); got != cert {
		t.Errorf("a certificate is public: %q", got)
	}
}
