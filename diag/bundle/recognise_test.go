package bundle

import "testing"

// TestStarts: answers that begin without their command are known by their first line.
func TestStarts(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"Interface: Tunnel0", "show crypto session"},
		{"Interface: GigabitEthernet0/0/1", "show crypto session"},
		{"Interface: inside", ""},
		{"Interface: Tunnel84, IPv4 NHRP Details", ""},
		{"Code: C - IKE Configuration mode, D - Dead Peer Detection", "show crypto session"},
		{"Session status: UP-ACTIVE", "show crypto session"},
		{"Status: A- Active, U - Up, D - Down, I - Idle, S - Standby, N - Negotiating", "show crypto session brief"},
		{"Syslog logging: enabled (0 messages dropped, 20 messages rate-limited)", "show logging"},
		{"Extended IP access list CRYPTO", "show access-lists"},
		{"Standard IP access list 10", "show access-lists"},
		{"Pro Inside global      Inside local       Outside local      Outside global", "show ip nat translations"},
		{"Starting the packet display ........ Press Ctrl + Shift + 6 to exit", "show monitor capture buffer"},
		{"IOS (tm) C2600 Software (C2600-IPBASE-M), Version 12.3(6f), RELEASE SOFTWARE (fc1)", "show version"},
		{"interface: outside", "show crypto ipsec sa"},
		{"hello world", ""},
	} {
		if got := starts(c.line, ""); got != c.want {
			t.Errorf("%q: %q, want %q", c.line, got, c.want)
		}
	}
}
