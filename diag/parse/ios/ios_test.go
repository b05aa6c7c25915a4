package ios

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"vpnbot/diag/facts"
)

func TestDump(t *testing.T) {
	for _, c := range strings.Split(os.Getenv("DUMP"), ",") {
		cmd, f, ok := strings.Cut(c, "=")
		if !ok {
			continue
		}
		b, _ := os.ReadFile(f)
		dev := &facts.Device{}
		run(dev, cmd, string(b))
		for _, x := range dev.IKE {
			x.Place = facts.Place{}
			fmt.Printf("IKE %+v\n", x)
		}
		for _, x := range dev.IPsec {
			x.Places, x.Place = nil, facts.Place{}
			fmt.Printf("IPSEC %+v\n", x)
		}
		for _, x := range dev.Sessions {
			x.Place = facts.Place{}
			fmt.Printf("SESSION %+v\n", x)
		}
		for _, x := range dev.Routes {
			x.Place = facts.Place{}
			fmt.Printf("ROUTE %+v\n", x)
		}
		for _, x := range dev.Counters {
			x.Place = facts.Place{}
			fmt.Printf("COUNTER %+v\n", x)
		}
		if g := dev.Config; g != nil {
			fmt.Println("CONFIG", g.Complete, g.Partial, g.Hostname, dev.Version, dev.Addresses)
			for _, x := range g.Interfaces {
				x.Place = facts.Place{}
				fmt.Printf("IF %+v\n", x)
			}
			for _, x := range g.MapEntries {
				x.Place, x.Places = facts.Place{}, nil
				fmt.Printf("MAP %+v\n", x)
			}
			for _, x := range g.IKEPolicies {
				x.Place, x.Places = facts.Place{}, nil
				fmt.Printf("POL %+v\n", x)
			}
			for _, x := range g.Keys {
				x.Place = facts.Place{}
				fmt.Printf("KEY %+v\n", x)
			}
			for _, x := range g.ACLs {
				for i := range x.Entries {
					x.Entries[i].Place = facts.Place{}
				}
				x.Place = facts.Place{}
				if len(x.Entries) > 5 {
					x.Entries = x.Entries[:5]
				}
				fmt.Printf("ACL %+v\n", x)
			}
			for _, x := range g.NAT {
				x.Place = facts.Place{}
				fmt.Printf("NAT %+v\n", x)
			}
			for _, x := range g.RouteMaps {
				x.Place = facts.Place{}
				fmt.Printf("RM %+v\n", x)
			}
			for _, x := range g.Routes {
				x.Place = facts.Place{}
				fmt.Printf("RT %+v\n", x)
			}
			for _, x := range g.Settings {
				x.Place = facts.Place{}
				fmt.Printf("SET %+v\n", x)
			}
			for _, x := range g.Profiles {
				fmt.Printf("PROF %s %s\n", x.Kind, x.Name)
				for _, a := range x.Attrs {
					fmt.Printf("   %q=%q no=%v\n", a.Key, a.Value, a.No)
				}
			}
			for _, x := range g.Proposals {
				fmt.Printf("PROP %+v\n", x)
			}
			for _, x := range g.TransformSets {
				x.Place = facts.Place{}
				fmt.Printf("TS %+v\n", x)
			}
			fmt.Printf("POOLS %+v AAA %+v GROUPS %+v\n", g.Pools, g.AAAServers, g.ClientGroups)
		}
	}
}
