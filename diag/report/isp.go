package report

import (
	"fmt"
	"strings"
)

// ISPFacts are the addressee of an evidence report and who asks, from the configuration.
type ISPFacts struct {
	Name    string // of the ISP, "" unknown
	Contact string
	Files   []string // reduced captures that go with the report
}

// ISP writes the evidence report: only what an ISP can act on — addresses, protocols and
// ports, sizes, IP ids, times in UTC, what left and did not arrive, what is asked for.
// Findings that an ISP cannot mend are left out; without any it says so.
func ISP(r Report, facts ISPFacts) []byte {
	var b strings.Builder
	b.WriteString("Evidence of a fault on the path between two VPN gateways\n")
	fmt.Fprintf(&b, "Written %s. All times are UTC.\n", r.GeneratedAt.UTC().Format("2006-01-02 15:04:05"))
	if facts.Name != "" {
		fmt.Fprintf(&b, "To: %s", line(facts.Name))
		if facts.Contact != "" {
			fmt.Fprintf(&b, " <%s>", line(facts.Contact))
		}
		b.WriteString("\n")
	}
	n := 0
	for _, t := range r.Tunnels {
		for _, f := range r.Findings {
			if f.Tunnel != t.Name || !forISP(f) {
				continue
			}
			n++
			b.WriteString("\n" + strings.Repeat("-", 72) + "\n")
			fmt.Fprintf(&b, "%d. %s\n\n", n, line(f.Title))
			for _, e := range t.Ends {
				if e.Address != "" {
					fmt.Fprintf(&b, "   End: %s\n", line(strings.TrimSpace(e.Address+"  "+e.Device)))
				}
			}
			b.WriteString("   Protocols: UDP 500 and UDP 4500 (IKE, NAT traversal), IP protocol 50 (ESP; a protocol, not a port), ICMP type 3 code 4\n\n")
			wrap(&b, "   ", f.Explanation)
			b.WriteString("\n   What was seen\n")
			for _, e := range f.Evidence {
				at := ""
				if e.Time != nil {
					at = e.Time.UTC().Format("2006-01-02 15:04:05.000") + "  "
				}
				fmt.Fprintf(&b, "     %s%s  (%s)\n", at, line(e.Text), Where(e))
			}
			asked := false
			for _, a := range f.Actions {
				if a.Class != EvidenceOnly {
					continue
				}
				for _, s := range a.Steps {
					if !asked {
						b.WriteString("\n   What is asked for\n")
						asked = true
					}
					wrap(&b, "     - ", s)
				}
			}
		}
	}
	if n == 0 {
		b.WriteString("\nNothing in this evidence points to a fault that an ISP could mend.\n")
	}
	if len(facts.Files) > 0 {
		b.WriteString("\nWith this report go the captures of both ends, reduced to headers (key exchange, identities and encrypted bodies are zeroed, lengths kept):\n")
		for _, f := range facts.Files {
			fmt.Fprintf(&b, "  %s\n", line(f))
		}
	}
	return []byte(b.String())
}

// forISP: a finding is the ISP's when one of its actions hands evidence to another party.
func forISP(f Finding) bool {
	for _, a := range f.Actions {
		if a.Class == EvidenceOnly {
			return true
		}
	}
	return false
}
