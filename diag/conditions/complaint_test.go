package conditions

import (
	"slices"
	"strings"
	"testing"

	"vpnbot/diag/facts"
)

// heard makes the complaints of a text as the bundle would hand it over.
func heard(text string) *complaints {
	d := &facts.Device{}
	for i, l := range strings.Split(text, "\n") {
		l = strings.Join(strings.Fields(l), " ")
		if l != "" {
			d.Notes = append(d.Notes, facts.Note{Place: facts.Place{Source: "mail.txt", Line: i + 1, Text: l}, Lower: strings.ToLower(l)})
		}
	}
	return listen(&facts.Set{Devices: []*facts.Device{d}})
}

func TestComplaints(t *testing.T) {
	for _, x := range []struct {
		text string
		want []complaint
		not  []complaint
	}{
		{"Users complain: no Internet while the VPN client is connected.", []complaint{noInternet}, []complaint{namesFail, localLAN}},
		{"Sobald das VPN verbunden ist, geht kein Internet mehr, die Server in der Firma gehen.", []complaint{noInternet}, []complaint{onlyLocal}},
		{"Dès que le VPN est connecté, plus d'accès à Internet.", []complaint{noInternet}, nil},
		{"Cuando me conecto a la VPN pierdo la conexión a Internet.", []complaint{noInternet}, nil},
		{"Internet works, but the file server is not reachable", nil, []complaint{noInternet}},
		{"Namen werden nicht aufgelöst, mit der IP-Adresse geht es.", []complaint{namesFail, addressesWork}, []complaint{noInternet}},
		{"Les noms ne sont pas résolus; par adresse IP cela fonctionne.", []complaint{namesFail, addressesWork}, nil},
		{"*** UnKnown can't find intranet: Non-existent domain", []complaint{namesFail}, nil},
		{"L'imprimante locale n'est plus accessible quand le VPN est connecté.", []complaint{localLAN}, []complaint{noInternet}},
		{"users reach only their own LAN and nothing inside answers", []complaint{onlyLocal}, []complaint{localLAN}},
		{"Everything over \"IPSec over TCP\" is slow", []complaint{slowness, overTCP}, nil},
		{"It connects, and after\nsome 10 minutes the traffic stalls.", []complaint{breaksOff, hanging}, nil},
		{"In the hotel I get nothing, at home it works", []complaint{oneSite}, nil},
		{"Wartungsplan für nächste Woche im Wiki", nil, []complaint{noInternet, namesFail, localLAN, slowness, oneSite}},
	} {
		c := heard(x.text)
		for _, w := range x.want {
			if len(c.of(w)) == 0 {
				t.Errorf("%q: complaint %d is not heard", x.text, w)
			}
		}
		for _, w := range x.not {
			if p := c.of(w); len(p) > 0 {
				t.Errorf("%q: complaint %d is heard in %v", x.text, w, p)
			}
		}
	}
}

// An address counts as not reached where its clause, or the next one, says so.
func TestComplaintAddresses(t *testing.T) {
	c := heard("We need 192.0.2.7, but do not reach it.\n198.51.100.9 works fine.\nping 203.0.113.5 times out")
	got, where := c.addresses()
	var names []string
	for i, a := range got {
		names = append(names, a.String())
		if where[i].Line == 0 {
			t.Errorf("%s has no line", a)
		}
	}
	if !slices.Equal(names, []string{"192.0.2.7", "203.0.113.5"}) {
		t.Errorf("not reached: %v", names)
	}
}

func FuzzComplaints(f *testing.F) {
	f.Add("no internet while connected, but 192.0.2.7 works")
	f.Add("l'imprimante n'est plus là\n\n„kein“ Netz – 10.0.0.1")
	f.Fuzz(func(t *testing.T, text string) {
		c := heard(text)
		lines := strings.Count(text, "\n") + 1
		for _, cl := range c.clause {
			if cl.place.Line < 1 || cl.place.Line > lines {
				t.Fatalf("clause %q at line %d of %d", cl.text, cl.place.Line, lines)
			}
		}
		c.addresses()
	})
}
