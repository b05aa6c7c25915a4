package ios

import (
	"strings"
	"testing"

	"vpnbot/diag/facts"
)

// TestHostileSizes parses texts made to be slow: the work must grow with the text, not with
// its square. The texts are a megabyte each; a quadratic parser would not come back.
func TestHostileSizes(t *testing.T) {
	for _, c := range []struct{ command, line string }{
		{"show running-config", "interface A\n"},
		{"show running-config", "crypto map M %d ipsec-isakmp\n"},
		{"show running-config", "access-list %d permit ip any any\n"},
		{"show running-config", "crypto ikev2 keyring K\n peer P\n  pre-shared-key x\n  address 192.0.2.1\n"},
		{"show running-config", "object-group network G\n host 192.0.2.1\n group-object G\n"},
		{"show running-config", "crypto map M isakmp-profile P\n"},
		{"show crypto ipsec sa", "local ident (1.1.1.1/1.1.1.1/0/0):\n#pkts encaps: 1\n"},
		{"show crypto session", "Peer: 192.0.2.1 port 500\nIPSEC FLOW: permit ip host 1.1.1.1 host 2.2.2.2\nInbound: #pkts dec'ed 1\n"},
		{"show crypto isakmp sa", "192.0.2.1 192.0.2.2 QM_IDLE 1 ACTIVE\n"},
		{"show ip route", "S 10.0.0.0/8 [1/0] via 192.0.2.1\n [1/0] via 192.0.2.2\n"},
		{"show ip nat translations", "tcp 1.1.1.1 2.2.2.2 3.3.3.3 4.4.4.4\n"},
		{"show access-lists", "Extended IP access list X%d\n 10 permit ip any any\n"},
	} {
		var b strings.Builder
		for i := 0; b.Len() < 1<<20; i++ {
			line := c.line
			if strings.Contains(line, "%d") {
				line = strings.ReplaceAll(line, "%d", itoaAdd("", i+1))
			}
			b.WriteString(line)
		}
		t.Run(c.command+" "+c.line[:9], func(t *testing.T) {
			dev := &facts.Device{}
			run(dev, c.command, b.String())
		})
	}
}
