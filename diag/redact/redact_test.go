package redact

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const s1 = "Blau-7Wal" // the secret in the cases
const hex1 = "0123456789abcdef0123456789abcdef"

func TestText(t *testing.T) {
	r := New([]byte("0123456789abcdef"))
	tests := []struct{ name, line, want string }{
		{"ios psk", "crypto isakmp key " + s1 + " address 192.0.2.1 no-xauth", "crypto isakmp key **** address 192.0.2.1 no-xauth"},
		{"ios psk type 6", "crypto isakmp key 6 " + s1 + " hostname x", "crypto isakmp key 6 **** hostname x"},
		{"ios psk abbreviated at a prompt", "R1(config)#cry isa key " + s1 + " address 192.0.2.1", "R1(config)#cry isa key **** address 192.0.2.1"},
		{"old form", "crypto isakmp key address 192.0.2.1 " + s1, "crypto isakmp key address 192.0.2.1 ****"},
		{"pix psk", "isakmp key " + s1 + " address 192.0.2.1 netmask 255.255.255.255", "isakmp key **** address 192.0.2.1 netmask 255.255.255.255"},
		{"asa 8.2", " pre-shared-key " + s1, " pre-shared-key ****"},
		{"asa 8.4", " ikev1 pre-shared-key " + s1 + "\r", " ikev1 pre-shared-key ****\r"},
		{"asa ikev2", " ikev2 remote-authentication pre-shared-key " + s1, " ikev2 remote-authentication pre-shared-key ****"},
		{"asa ikev2 type 8", " ikev2 local-authentication pre-shared-key 8 " + s1, " ikev2 local-authentication pre-shared-key 8 ****"},
		{"keyring", " pre-shared-key address 192.0.2.1 255.255.255.255 key " + s1, " pre-shared-key address 192.0.2.1 255.255.255.255 key ****"},
		{"ikev2 keyring", "  pre-shared-key local " + s1, "  pre-shared-key local ****"},
		{"ikev2 profile", " authentication remote pre-share key " + s1, " authentication remote pre-share key ****"},
		{"group key", " key " + s1, " key ****"},
		{"key chain number", " key 1", " key 1"},
		{"key string", "  key-string 7 " + s1, "  key-string 7 ****"},
		{"masked", " pre-shared-key *****", " pre-shared-key *****"},
		{"removed", "crypto isakmp key <removed> address 192.0.2.1", "crypto isakmp key <removed> address 192.0.2.1"},
		{"enable", "enable secret 5 $1$abcd$" + s1, "enable secret 5 ****"},
		{"asa enable", "enable password " + s1 + " encrypted", "enable password **** encrypted"},
		{"passwd", "passwd " + s1 + " encrypted", "passwd **** encrypted"},
		{"username", "username bob privilege 15 secret 9 " + s1, "username bob privilege 15 secret 9 ****"},
		{"asa username", "username bob password " + s1 + " encrypted privilege 15", "username bob password **** encrypted privilege 15"},
		{"community", "snmp-server community " + s1 + " RO 10", "snmp-server community **** RO 10"},
		{"trap host", "snmp-server host 10.1.1.1 version 2c " + s1 + "  config", "snmp-server host 10.1.1.1 version 2c ****  config"},
		{"asa trap host", "snmp-server host inside 10.1.1.1 community " + s1 + " version 2c", "snmp-server host inside 10.1.1.1 community **** version 2c"},
		{"snmp v3", "snmp-server user u g v3 auth sha " + s1 + " priv aes 128 " + s1 + "x", "snmp-server user u g v3 auth sha **** priv aes 128 ****"},
		{"tacacs", "tacacs-server host 10.1.1.1 key 7 " + s1, "tacacs-server host 10.1.1.1 key 7 ****"},
		{"radius", "radius-server key " + s1, "radius-server key ****"},
		{"pix aaa", "aaa-server RAD (inside) host 10.1.1.1 " + s1 + " timeout 5", "aaa-server RAD (inside) host 10.1.1.1 **** timeout 5"},
		{"asa aaa", "aaa-server RAD (inside) host 10.1.1.1", "aaa-server RAD (inside) host 10.1.1.1"},
		{"ppp", " ppp chap password 0 " + s1, " ppp chap password 0 ****"},
		{"pap", " ppp pap sent-username u password 0 " + s1, " ppp pap sent-username u password 0 ****"},
		{"ospf", " ip ospf message-digest-key 1 md5 " + s1, " ip ospf message-digest-key 1 md5 ****"},
		{"bgp", " neighbor 10.1.1.1 password " + s1, " neighbor 10.1.1.1 password ****"},
		{"hsrp", " standby 1 authentication " + s1, " standby 1 authentication ****"},
		{"hsrp md5", " standby 1 authentication md5 key-string " + s1, " standby 1 authentication md5 key-string ****"},
		{"nhrp", " ip nhrp authentication " + s1, " ip nhrp authentication ****"},
		{"ntp", "ntp authentication-key 1 md5 " + s1, "ntp authentication-key 1 md5 ****"},
		{"wpa", "   wpa-psk ascii 0 " + s1, "   wpa-psk ascii 0 ****"},
		{"test aaa", "hq# test aaa-server authentication RAD host 10.1.1.1 username u password " + s1, "hq# test aaa-server authentication RAD host 10.1.1.1 username u password ****"},
		{"url", "copy ftp://u:" + s1 + "@10.1.1.1/x disk0:", "copy ftp://u:****@10.1.1.1/x disk0:"},
		{"ldap", " ldap-login-password " + s1, " ldap-login-password ****"},
		{"vpngroup", "vpngroup G password " + s1, "vpngroup G password ****"},
		{"vpnclient", "vpnclient username u password " + s1, "vpnclient username u password ****"},
		{"failover", "failover key " + s1, "failover key ****"},
		{"trap host with a dot in its community", "snmp-server host 10.1.1.1 " + s1 + ".x", "snmp-server host 10.1.1.1 ****"},
		{"logged exec", "%PARSER-5-CFGLOG_LOGGEDCMD: User:u  logged command:!exec: enable password " + s1, "%PARSER-5-CFGLOG_LOGGEDCMD: User:u  logged command:!exec: enable password ****"},
		{"manual keys of an ASA", "crypto map OUT 10 set session-key inbound esp 256 cipher " + hex1 + " authenticator " + hex1, "crypto map OUT 10 set session-key inbound esp 256 cipher **** authenticator ****"},
		{"crypto map without a key", "crypto map OUT 10 set peer 192.0.2.1", "crypto map OUT 10 set peer 192.0.2.1"},
		{"asa import", "%ASA-5-111008: User 'u' executed the 'crypto ca import TP pkcs12 " + s1 + "' command.", "%ASA-5-111008: User 'u' executed the 'crypto ca import TP pkcs12 ****' command."},
		{"ios import", "crypto pki import TP pkcs12 terminal password " + s1, "crypto pki import TP pkcs12 terminal password ****"},
		{"ios export", "crypto key export rsa K pem terminal 3des " + s1, "crypto key export rsa K pem terminal 3des ****"},
		{"transform", "crypto ipsec transform-set T esp-3des esp-sha-hmac", "crypto ipsec transform-set T esp-3des esp-sha-hmac"},
		{"rip", " rip authentication key " + s1 + " key_id 1", " rip authentication key **** key_id 1"},
		{"rsvp", " ip rsvp authentication key " + s1, " ip rsvp authentication key ****"},
		{"ospf ipsec", " ospf authentication ipsec spi 500 md5 " + hex1, " ospf authentication ipsec spi 500 md5 ****"},
		{"ospfv3 ipsec", " ipv6 ospf encryption ipsec spi 1001 esp null sha1 0 " + hex1, " ipv6 ospf encryption ipsec spi 1001 esp null sha1 0 ****"},
		{"msdp", "ip msdp password peer 10.1.1.1 0 " + s1, "ip msdp password peer 10.1.1.1 0 ****"},
		{"applet", ` action 2.0 cli command "crypto isakmp key ` + s1 + ` address 192.0.2.1"`, ` action 2.0 cli command "crypto isakmp key **** address 192.0.2.1"`},
		{"applet at the end", ` action 2.0 cli command "username u password ` + s1 + `"`, ` action 2.0 cli command "username u password ****"`},
		{"config-key", "key config-key password-encrypt " + s1, "key config-key password-encrypt ****"},
		{"logged ios", "%PARSER-5-CFGLOG_LOGGEDCMD: User:u  logged command:crypto isakmp key " + s1 + " address 192.0.2.1", "%PARSER-5-CFGLOG_LOGGEDCMD: User:u  logged command:crypto isakmp key **** address 192.0.2.1"},
		{"logged asa", "%ASA-5-111008: User 'u' executed the 'username x password " + s1 + "' command.", "%ASA-5-111008: User 'u' executed the 'username x password ****' command."},
		{"profile", "enc_GroupPwd=" + s1, "enc_GroupPwd=****"},
		{"mail", "psk: " + s1, "psk: ****"},
		{"quoted", `username u password "` + s1 + ` x"`, `username u password "****"`},
		{"sentence", "ERROR, had problems decrypting packet, probably due to mismatched pre-shared key.  Aborting", "ERROR, had problems decrypting packet, probably due to mismatched pre-shared key.  Aborting"},
		{"log reason", "AAA user authentication Rejected : reason = Invalid password : local database : user = bob", "AAA user authentication Rejected : reason = Invalid password : local database : user = bob"},
		{"sa timing", "         sa timing: remaining key lifetime (kB/sec): (4364001/18091)", "         sa timing: remaining key lifetime (kB/sec): (4364001/18091)"},
		{"policy", " authentication pre-share", " authentication pre-share"},
		{"service", "service password-encryption", "service password-encryption"},
		{"generate", "crypto key generate rsa modulus 2048", "crypto key generate rsa modulus 2048"},
		{"key acquire", "Queuing KEY-ACQUIRE messages to be processed when P1 SA is complete.", "Queuing KEY-ACQUIRE messages to be processed when P1 SA is complete."},
		{"peer", "current_peer: 203.0.113.1, username: u", "current_peer: 203.0.113.1, username: u"},
		{"traps", "snmp-server enable traps snmp authentication linkup", "snmp-server enable traps snmp authentication linkup"},
		{"storage", " password-storage enable", " password-storage enable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := r.Text(tt.line)
			if s := Strip(got); s != tt.want {
				t.Errorf("got  %q\nwant %q", s, tt.want)
			}
			if strings.Contains(got, s1) {
				t.Errorf("the secret survived: %q", got)
			}
		})
	}
}

func TestTokens(t *testing.T) {
	r := New([]byte("key of the run"))
	a := r.Text("crypto isakmp key Rot-11Fuchs address 192.0.2.1\n pre-shared-key Rot-11Fuchs\n ikev1 pre-shared-key Gelb-4Amsel\n pre-shared-key *****\nlogged: Rot-11Fuchs.\n")
	lines := strings.Split(a, "\n")
	t0, ok0 := Token(lines[0])
	t1, ok1 := Token(lines[1])
	t2, ok2 := Token(lines[2])
	_, ok3 := Token(lines[3])
	if !ok0 || !ok1 || !ok2 || ok3 || t0 != t1 || t0 == t2 {
		t.Fatalf("tokens: %q", lines)
	}
	swept := r.Sweep(a)
	if strings.Contains(swept, "Rot-11Fuchs") {
		t.Errorf("a free-standing secret survived: %q", swept)
	}
	ord := r.Ordinals(swept)
	want := "crypto isakmp key ****[k1] address 192.0.2.1\n pre-shared-key ****[k1]\n ikev1 pre-shared-key ****[k2]\n pre-shared-key *****\nlogged: ****[k1].\n"
	if ord != want {
		t.Errorf("ordinals: %q", ord)
	}
	// A bundle on disk is read by another run: equal stays equal, nothing is masked twice.
	again := New([]byte("another run")).Text(ord)
	if again != ord {
		t.Errorf("read again: %q", again)
	}
	k1, ok := Token(strings.Split(again, "\n")[0])
	if !ok || k1 != "k1" || !HasOrdinals(again) || HasOrdinals(a) {
		t.Errorf("token of a saved bundle: %q %v", k1, ok)
	}
	other := New([]byte("another run")).Text(" pre-shared-key Rot-11Fuchs")
	if tok, _ := Token(other); tok == t0 {
		t.Error("two runs gave the same token")
	}
}

func TestPrivateKeyAndTable(t *testing.T) {
	r := New([]byte("k"))
	in := "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIEow\r\nabcdef\n-----END RSA PRIVATE KEY-----\nhq# show crypto isakmp key\nKeyring      Hostname/Address                            Preshared Key\n\ndefault      192.0.2.1                                   Gruen-9Kuh\nhq# exit\n"
	want := "a\n-----BEGIN RSA PRIVATE KEY-----\n****\r\n****\n-----END RSA PRIVATE KEY-----\nhq# show crypto isakmp key\nKeyring      Hostname/Address                            Preshared Key\n\ndefault      192.0.2.1                                   ****\nhq# exit\n"
	if got := Strip(r.Text(in)); got != want {
		t.Errorf("got %q", got)
	}
}

func FuzzText(f *testing.F) {
	f.Add(" pre-shared-key abc\ncopy ftp://a:b@c/\n****[k1]\n****[h:0011223344556677]\nsnmp-server host x\nkey")
	f.Add("a://b:c@d://e:f@g\"password \"\"\nradius-server key\n-----BEGIN X PRIVATE KEY-----\r\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		r := New([]byte("k"))
		out := r.Sweep(r.Text(s))
		if strings.Count(out, "\n") != strings.Count(s, "\n") {
			t.Fatalf("lines changed: %q to %q", s, out)
		}
		if plain := Strip(out); strings.Contains(plain, openHMAC) && !strings.Contains(s, openHMAC) {
			t.Fatalf("a token survived: %q", plain)
		}
		Token(r.Ordinals(out))
	})
}

func BenchmarkText(b *testing.B) {
	block := "      #pkts encaps: 317191, #pkts encrypt: 317191, #pkts digest: 317191\n         sa timing: remaining key lifetime (kB/sec): (4364001/18091)\naccess-list outside_access_in extended permit tcp any host 192.168.250.10 eq www\n"
	text := " pre-shared-key Rot-11Fuchs\n" + strings.Repeat(block, 1<<16)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		r := New([]byte("k"))
		r.Sweep(r.Text(text))
	}
}

// TestBundles: no clear-text secret that the example bundles name survives.
func TestBundles(t *testing.T) {
	root := filepath.Join("..", "..", "..", "shared", "bundles")
	dirs, err := os.ReadDir(root)
	if err != nil {
		t.Skip("no example bundles beside the checkout: " + root)
	}
	named := 0
	for _, d := range dirs {
		expect, err := os.ReadFile(filepath.Join(root, d.Name(), "expect.yaml"))
		if err != nil {
			continue
		}
		var keys []string
		for line := range strings.Lines(string(expect)) {
			if rest, ok := strings.CutPrefix(line, "secrets: ["); ok {
				for k := range strings.SplitSeq(strings.Trim(rest, "]\n"), ",") {
					keys = append(keys, strings.Trim(strings.TrimSpace(k), `"`))
				}
			}
		}
		if len(keys) == 0 {
			continue
		}
		r := New([]byte("k"))
		var texts []string
		_ = filepath.WalkDir(filepath.Join(root, d.Name(), "evidence"), func(path string, e os.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				data, _ := os.ReadFile(path)
				texts = append(texts, r.Text(string(data)))
			}
			return nil
		})
		for _, s := range texts {
			s = r.Sweep(s)
			for _, k := range keys {
				named++
				if strings.Contains(s, k) {
					t.Errorf("%s: %q survived", d.Name(), k)
				}
			}
		}
	}
	t.Logf("%d secrets looked for", named)
}
