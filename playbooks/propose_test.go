package playbooks

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vpnbot/devices/inventory"
	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// twoPeers is a headend with two sites behind one address, and a third by itself.
func twoPeers(t *testing.T, platform inventory.Platform) *run {
	t.Helper()
	known := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(known, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := inventory.Config{SSH: inventory.Defaults(), Credentials: map[string]inventory.Credential{"ops": {Username: "u", Password: "p"}},
		Devices: []inventory.Device{{Name: "hq", Platform: platform, Address: "198.51.100.1:22", Credentials: "ops"}}}
	c.SSH.KnownHosts = known
	for _, x := range []struct{ name, own, peer, net string }{{"one", "198.51.100.1", "203.0.113.9", "10.20.0.0/16"}, {"two", "198.51.100.2", "203.0.113.9", "10.30.0.0/16"}, {"three", "198.51.100.1", "203.0.113.77", "10.40.0.0/16"}} {
		c.Tunnels = append(c.Tunnels, inventory.Tunnel{Name: x.name, Kind: inventory.L2L, Ends: []inventory.End{
			{Device: "hq", Address: netip.MustParseAddr(x.own), Interface: "outside", Networks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}},
			{Address: netip.MustParseAddr(x.peer), Networks: []netip.Prefix{netip.MustParsePrefix(x.net)}},
		}})
	}
	inv, err := inventory.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return &run{Runner: New(Options{Inventory: inv})}
}

func (x *run) on(t *testing.T, tunnel string) *run {
	t.Helper()
	var err error
	if x.tunnel, err = x.opt.Inventory.Tunnel(tunnel); err != nil {
		t.Fatal(err)
	}
	return x
}

// Two peers share an address: on IOS the right SA is named by its connection id, told by
// the networks of its session; everywhere else a person is asked, and nothing is proposed.
func TestTwoPeersShareAnAddress(t *testing.T) {
	peer := netip.MustParseAddr("203.0.113.9")
	session := func(net, id string) facts.Session {
		return facts.Session{Peer: peer, Fields: map[string]string{"connid": id, "flow": "permit ip 10.1.0.0/255.255.0.0 " + net}}
	}
	router := &facts.Device{Name: "hq", Platform: facts.IOS,
		IKE:      []facts.IKESA{{Version: 1, Remote: peer, State: "QM_IDLE", ConnID: "1001"}, {Version: 1, Remote: peer, State: "QM_IDLE", ConnID: "1002"}},
		Sessions: []facts.Session{session("10.20.0.0/255.255.0.0", "1001"), session("10.30.0.0/255.255.0.0", "1002")}}
	for tunnel, id := range map[string]string{"one": "1001", "two": "1002"} {
		params := map[string]string{"peer": peer.String(), "ike": "1", "conn_id": "1001"}
		if _, err := twoPeers(t, inventory.CiscoIOS).on(t, tunnel).alone(router, 0, report.ClearIKESA, params); err != nil || params["conn_id"] != id {
			t.Errorf("%s: connection id %s, want %s (%v)", tunnel, params["conn_id"], id, err)
		}
	}
	asa := &facts.Device{Name: "hq", Platform: facts.ASA, IKE: []facts.IKESA{{Version: 1, Remote: peer, State: "MM_ACTIVE"}}}
	for _, c := range []struct {
		name, tunnel, kind string
		d                  *facts.Device
		params             map[string]string
		want               string
	}{
		{"an ASA whose sessions were not read", "one", report.ClearIKESA, asa, map[string]string{"ike": "1"}, "one and two share the peer address 203.0.113.9"},
		{"IPsec SAs by address", "one", report.ClearIPsecSA, router, nil, "share the peer address"},
		{"IKEv2 by address", "one", report.ClearIKESA, router, map[string]string{"ike": "2"}, "share the peer address"},
		{"sessions do not say which is which", "one", report.ClearIKESA, &facts.Device{Name: "hq", Platform: facts.IOS, IKE: router.IKE}, map[string]string{"ike": "1", "conn_id": "1001"}, "share the peer address"},
		{"a stranger behind the address of a tunnel that has it alone", "three", report.ClearIKESA, &facts.Device{Name: "hq", Platform: facts.ASA,
			IKE: []facts.IKESA{{Version: 1, Remote: netip.MustParseAddr("203.0.113.77"), State: "MM_ACTIVE"}, {Version: 1, Remote: netip.MustParseAddr("203.0.113.77"), State: "AM_ACTIVE"}}}, map[string]string{"ike": "1"}, "several SAs on hq share"},
		{"alone", "three", report.ClearIKESA, &facts.Device{Name: "hq", Platform: facts.ASA, IKE: []facts.IKESA{{Version: 1, Remote: netip.MustParseAddr("203.0.113.77"), State: "MM_ACTIVE"}}}, map[string]string{"ike": "1"}, ""},
		{"alone, during a rekey", "three", report.ClearIKESA, &facts.Device{Name: "hq", Platform: facts.ASA,
			IKE: []facts.IKESA{{Version: 1, Remote: netip.MustParseAddr("203.0.113.77"), State: "MM_ACTIVE"}, {Version: 1, Remote: netip.MustParseAddr("203.0.113.77"), State: "MM_ACTIVE_REKEY", Rekey: true}}}, map[string]string{"ike": "1"}, ""},
	} {
		platform := map[facts.Platform]inventory.Platform{facts.ASA: inventory.CiscoASA, facts.IOS: inventory.CiscoIOS}[c.d.Platform]
		_, err := twoPeers(t, platform).on(t, c.tunnel).alone(c.d, 0, c.kind, c.params)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// IKEv2 counts tunnel ids of its own: one that is equal to a connection id is no proof
// that the IKEv1 SA with that id is this peer's.
func TestTunnelIDIsNoConnectionID(t *testing.T) {
	peer, other := netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("192.0.2.5")
	router := &facts.Device{Name: "hq", Platform: facts.IOS,
		IKE: []facts.IKESA{{Version: 1, Remote: other, State: "QM_IDLE", ConnID: "1001"}, {Version: 2, Remote: peer, State: "READY", ConnID: "1001"},
			{Version: 1, Remote: peer, State: "QM_IDLE", ConnID: "1002"}},
		Sessions: []facts.Session{{Peer: peer, Fields: map[string]string{"connid": "1001", "flow": "permit ip 10.1.0.0/255.255.0.0 10.20.0.0/255.255.0.0;"}}}}
	if hasConn(router, peer.String(), "1001") || !hasConn(router, peer.String(), "1002") || !hasConn(router, other.String(), "1001") {
		t.Error("an IKEv2 tunnel id passes as the peer's IKEv1 connection id, or a real one does not")
	}
	params := map[string]string{"peer": peer.String(), "ike": "1"}
	if _, err := twoPeers(t, inventory.CiscoIOS).on(t, "one").alone(router, 0, report.ClearIKESA, params); err == nil || params["conn_id"] != "" {
		t.Errorf("proposed to clear connection %s, another peer's (%v)", params["conn_id"], err)
	}
}

// After the first command a reason must not say that nothing was sent.
func TestUnsent(t *testing.T) {
	if unsent(0) != "nothing was sent" || strings.Contains(unsent(1), "nothing was sent") || !strings.Contains(unsent(1), "before this one were sent") {
		t.Error(unsent(0), "/", unsent(1))
	}
}

// What each command takes away.
func TestDrops(t *testing.T) {
	peer := netip.MustParseAddr("203.0.113.9")
	sa := func(spi uint32, user string) facts.IPsecSA {
		return facts.IPsecSA{Peer: peer, Username: user, Encaps: 1000, Decaps: 10, SPIIn: []facts.SPI{{Value: spi}}}
	}
	d := func(p facts.Platform, sas ...facts.IPsecSA) *facts.Device {
		return &facts.Device{Platform: p, IKE: []facts.IKESA{{Version: 1, Remote: peer, State: "QM_IDLE", ConnID: "1001"}, {Version: 1, Remote: peer, State: "ACTIVE", ConnID: "1001"}}, IPsec: sas,
			Sessions: []facts.Session{{Peer: peer, BytesTx: 3 << 20, BytesRx: 2048}}}
	}
	for _, c := range []struct {
		name string
		c    ProposedCommand
		d    *facts.Device
		want string
	}{
		{"ASA phase 1 takes phase 2 along", ProposedCommand{Device: "hq", Kind: report.ClearIKESA, Line: "clear crypto ikev1 sa 203.0.113.9"}, d(facts.ASA, sa(0x1A, ""), sa(0x2B, "")),
			"hq: 1 IKE SA and 2 IPsec SAs (inbound SPI 0x0000001A, 0x0000002B) with 203.0.113.9; so far 2000 packets out, 20 in, 3.0 MiB out, 2.0 KiB in; no user of a client"},
		{"IOS connection id leaves phase 2", ProposedCommand{Device: "hq", Kind: report.ClearIKESA, Line: "clear crypto isakmp 1001", Parameters: map[string]string{"conn_id": "1001"}}, d(facts.IOS, sa(0x1A, "")),
			"hq: 1 IKE SA with 203.0.113.9; its IPsec SAs stay until they expire"},
		{"phase 2 leaves phase 1", ProposedCommand{Device: "hq", Kind: report.ClearIPsecSA, Line: "clear crypto sa peer 203.0.113.9"}, d(facts.IOS, sa(0x1A, "")),
			"hq: 1 IPsec SA (inbound SPI 0x0000001A) with 203.0.113.9; the IKE SA stays; so far 1000 packets out, 10 in, 3.0 MiB out, 2.0 KiB in; no user of a client"},
		{"users", ProposedCommand{Device: "hq", Kind: report.ClearSession, Line: "vpn-sessiondb logoff ipaddress 203.0.113.9 noconfirm"}, d(facts.ASA, sa(1, "ann"), sa(2, "ben"), sa(3, "ann")),
			"2 users must dial again"},
	} {
		if got := drops(c.d, peer, nil, c.c); !strings.Contains(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// The configuration may name another peer that takes over.
func TestBackup(t *testing.T) {
	entry := facts.MapEntry{Map: "VPN", Sequence: 10, Peers: []netip.Addr{netip.MustParseAddr("203.0.113.77"), netip.MustParseAddr("203.0.113.78")}}
	for _, c := range []struct {
		d    *facts.Device
		want string
	}{
		{&facts.Device{Name: "hq", Config: &facts.Config{MapEntries: []facts.MapEntry{entry}}}, "203.0.113.78 on hq (crypto map VPN 10)"},
		{&facts.Device{Name: "hq", Config: &facts.Config{}}, "none is configured"},
		{&facts.Device{Name: "hq"}, "not known"},
	} {
		if got := twoPeers(t, inventory.CiscoASA).on(t, "three").backup(&facts.Set{Devices: []*facts.Device{c.d}}); !strings.Contains(got, c.want) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// On an ASA the session of a tunnel among several behind one address is told by its
// networks and named by its index; at the moment of the run it must be the same session.
func TestSessionByIndex(t *testing.T) {
	peer := netip.MustParseAddr("203.0.113.9")
	session := func(index, net, user, login string) facts.Session {
		return facts.Session{Type: "LAN-to-LAN", Peer: peer, Name: "203.0.113.9", Fields: map[string]string{"index": index, "ipsec remote addr": net + "/0/0", "username": user, "login time": login}}
	}
	const one, two, at = "10.20.0.0/255.255.0.0", "10.30.0.0/255.255.0.0", "08:12:44 UTC Mon Jul 3 2017"
	device := func(s ...facts.Session) *facts.Device {
		return &facts.Device{Name: "hq", Platform: facts.ASA, Sessions: s, IKE: []facts.IKESA{{Version: 1, Remote: peer, State: "MM_ACTIVE"}, {Version: 1, Remote: peer, State: "MM_ACTIVE"}}}
	}
	x := twoPeers(t, inventory.CiscoASA).on(t, "two")
	params := map[string]string{"peer": peer.String(), "ike": "1"}
	kind, err := x.alone(device(session("41", one, "", at), session("57", two, "", at)), 0, report.ClearIKESA, params)
	if err != nil || kind != report.ClearSession || params["index"] != "57" || !strings.Contains(params["session"], at) {
		t.Fatalf("%s %v %v", kind, params, err)
	}
	for name, c := range map[string]struct {
		s    []facts.Session
		same bool
	}{
		"the same":             {[]facts.Session{session("41", one, "", at), session("57", two, "", at)}, true},
		"read twice":           {[]facts.Session{session("57", two, "", at), session("57", two, "", at)}, true},
		"another index":        {[]facts.Session{session("58", two, "", at)}, false},
		"another site has it":  {[]facts.Session{session("57", one, "", at)}, false},
		"logged in later":      {[]facts.Session{session("57", two, "", "08:12:45 UTC Mon Jul 3 2017")}, false},
		"another user":         {[]facts.Session{session("57", two, "mallory", at)}, false},
		"gone":                 {nil, false},
		"two of them":          {[]facts.Session{session("57", two, "", at), session("58", two, "", at)}, false},
		"no time of its login": {[]facts.Session{session("57", two, "", "")}, false},
	} {
		if hasSession(device(c.s...), peer, x.query(0).Networks, "57", params["session"]) != c.same {
			t.Errorf("%s: same session: %v", name, !c.same)
		}
	}
	if _, err := x.alone(device(session("57", two, "", at), session("58", two, "", at)), 0, report.ClearIKESA, map[string]string{}); err == nil {
		t.Error("one of two sessions of the same networks was chosen")
	}
}

// A peer's SA in another VRF of the router is not this tunnel's, also when this tunnel has none.
func TestOtherVRF(t *testing.T) {
	peer := netip.MustParseAddr("203.0.113.77")
	s := facts.Session{Peer: peer, Fields: map[string]string{"connid": "1001", "fvrf": "RED", "flow": "permit ip 10.1.0.0/255.255.0.0 10.40.0.0/255.255.0.0"}}
	d := &facts.Device{Name: "hq", Platform: facts.IOS, Sessions: []facts.Session{s}, IKE: []facts.IKESA{{Version: 1, Remote: peer, State: "QM_IDLE", ConnID: "1001"}}}
	x := twoPeers(t, inventory.CiscoIOS).on(t, "three")
	for _, kind := range []string{report.ClearIKESA, report.ClearIPsecSA, report.ClearSession} {
		params := map[string]string{"peer": peer.String(), "ike": "1", "conn_id": "1001"}
		if _, err := x.alone(d, 0, kind, params); err == nil || !strings.Contains(err.Error(), "several VRFs") {
			t.Errorf("%s: %v", kind, err)
		}
	}
	own := facts.Session{Peer: peer, Fields: map[string]string{"connid": "1002", "fvrf": "(none)", "flow": s.Fields["flow"]}}
	d.Sessions, d.IKE = append(d.Sessions, own), append(d.IKE, facts.IKESA{Version: 1, Remote: peer, State: "QM_IDLE", ConnID: "1002"})
	params := map[string]string{"peer": peer.String(), "ike": "1", "conn_id": "1001"}
	if _, err := x.alone(d, 0, report.ClearIKESA, params); err != nil || params["conn_id"] != "1002" {
		t.Errorf("connection %s, %v", params["conn_id"], err)
	}
	if _, err := x.alone(d, 0, report.ClearIPsecSA, params); err == nil {
		t.Error("a line without a VRF may mean every one")
	}
	if _, err := x.alone(d, 0, report.ClearSession, params); err == nil {
		t.Error("a session is cleared in every VRF")
	}
}

// Whether a log line is from after a moment, when the device's clock is an hour ahead and
// in a zone of its own.
func TestAfter(t *testing.T) {
	now := time.Date(2026, 11, 28, 2, 0, 0, 0, time.UTC)
	zone := time.FixedZone("ECT", -5*3600)
	clock := &facts.Clock{Device: now.Add(time.Hour).In(zone), Read: now} // it shows 22:00
	wall := func(h, m, s int) facts.Event {
		return facts.Event{HasTime: true, Time: time.Date(2026, 11, 27, h, m, s, 0, time.UTC)}
	}
	since := now.Add(-time.Minute) // 21:59 on the device
	for _, c := range []struct {
		e     facts.Event
		clock *facts.Clock
		want  bool
	}{{wall(21, 58, 59), clock, false}, {wall(21, 59, 1), clock, true}, {wall(21, 59, 1), nil, false},
		{facts.Event{HasTime: true, Time: time.Date(0, 11, 27, 21, 59, 1, 0, time.UTC)}, clock, true}, {facts.Event{HasTime: true, Time: time.Date(0, 11, 27, 21, 58, 0, 0, time.UTC)}, clock, false},
		{facts.Event{HasTime: true, Time: time.Date(0, 12, 30, 1, 0, 0, 0, time.UTC)}, clock, false}, {facts.Event{}, clock, false}} {
		if got := after(c.e, c.clock, since); got != c.want {
			t.Errorf("%v: %v", c.e.Time, got)
		}
	}
}
