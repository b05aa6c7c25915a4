package redact

import (
	"strings"
	"testing"
)

// What mail programs, diffs, lists and terminal logs put before a line hides no command.
func TestSecretsBehindMargins(t *testing.T) {
	lines := []string{
		"crypto isakmp key Geheim77x address 192.0.2.1", "isakmp key Geheim77x address 192.0.2.1 netmask 255.255.255.255",
		" pre-shared-key Geheim77x", " ikev1 pre-shared-key Geheim77x", " ikev2 local-authentication pre-shared-key Geheim77x",
		"username admin password Geheim77x privilege 15", "enable secret Geheim77x", "snmp-server community Geheim77x RO",
		" key Geheim77x", "aaa-server R (inside) host 10.0.0.1 Geheim77x", "radius-server key Geheim77x", "hq(config)# crypto isakmp key Geheim77x address 192.0.2.1",
		"hq#crypto isakmp key Geheim77x address 192.0.2.1", "tacacs-server host 10.0.0.2 key Geheim77x", "ntp authentication-key 1 md5 Geheim77x",
		"crypto ca export TP pkcs12 Geheim77x", "neighbor 10.0.0.9 password Geheim77x",
	}
	for _, m := range []string{"", "> ", ">", ">> ", "> > ", "| ", "+", "+ ", "-", "- ", "* ", "• ", "» ", "`", "! ", "#", "12: ", "  12 : ", "12. ", "[10:22:33] ", "[2024-05-06 10:22:33.123] ", "\t", "│ ", "\""} {
		for _, l := range lines {
			if out := New([]byte("k")).Text(m + l); strings.Contains(out, "Geheim77x") {
				t.Errorf("%q", out)
			}
		}
	}
}
