package conditions

import (
	"slices"
	"testing"

	"vpnbot/diag/facts"
)

// TestPIXForm: a PIX 6 has no modes, so each line stands for itself.
func TestPIXForm(t *testing.T) {
	pix := &End{Device: &facts.Device{Platform: facts.ASA, Version: facts.Version{Text: "6.3(5)", Major: 6, Minor: 3}}}
	for _, c := range []struct{ in, want []string }{
		{[]string{"crypto isakmp policy 10", "authentication pre-share", "group 2"}, []string{"isakmp policy 10 authentication pre-share", "isakmp policy 10 group 2"}},
		{[]string{"tunnel-group 192.0.2.9 ipsec-attributes", "no pre-shared-key", "pre-shared-key ****"},
			[]string{"no isakmp key **** address 192.0.2.9 netmask 255.255.255.255", "isakmp key **** address 192.0.2.9 netmask 255.255.255.255"}},
		{[]string{"access-list A extended permit ip host 10.1.1.1 any", "crypto isakmp enable outside", "crypto map M 10 set pfs group2"},
			[]string{"access-list A permit ip host 10.1.1.1 any", "isakmp enable outside", "crypto map M 10 set pfs group2"}},
	} {
		if got := advise(pix, c.in).Commands; !slices.Equal(got, c.want) {
			t.Errorf("%q\ngot  %q\nwant %q", c.in, got, c.want)
		}
		asa := &End{Device: &facts.Device{Platform: facts.ASA, Version: facts.Version{Text: "8.2(5)", Major: 8, Minor: 2}}}
		if got := advise(asa, c.in).Commands; !slices.Equal(got, c.in) {
			t.Errorf("an ASA's commands were changed: %q", got)
		}
	}
}
