package client

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vpnbot/diag/facts"
)

func lines(s string) []facts.Line {
	var out []facts.Line
	for i, t := range strings.Split(s, "\n") {
		out = append(out, facts.Line{N: i + 1, Text: t})
	}
	return out
}

func TestEvents(t *testing.T) {
	cases := []struct{ name, text, id, holds, peer string }{
		{"vpn client", "12     10:11:12.345  05/06/09  Sev=Warning/2\tIKE/0xE3000099\nFailed to authenticate peer (Navigator:904)\n", "IKE/0xE3000099", "authenticate", ""},
		{"vpn client on one line", "12     10:11:12.345  05/06/09  Sev=Info/4 IKE/0x63000013 SENDING >>> ISAKMP OAK AG (SA, KE) to 192.0.2.9", "IKE/0x63000013", "SENDING", "192.0.2.9"},
		{"reason English", "Secure VPN Connection terminated locally by the Client.\nReason 412: The remote peer is no longer responding.", "Reason 412", "terminated locally", ""},
		{"reason in one line", "Help! Secure VPN Connection terminated by Peer. Reason 433: (Reason Not Specified by Peer)", "Reason 433", "", ""},
		{"reason German", "Die VPN-Verbindung wurde beendet. Grund 426: Maximale Lebensdauer", "Reason 426", "", ""},
		{"reason Spanish", "Conexión VPN terminada. Razón 414: fallo", "Reason 414", "", ""},
		{"reason French", "Connexion VPN interrompue. Raison 412 : le pair ne répond plus", "Reason 412", "", ""},
		{"reason Japanese", "VPN 接続が終了しました。理由 412", "Reason 412", "", ""},
		{"error number", "my VPN client shows error 413 all day", "Reason 413", "", ""},
		{"words only", "popup: \"The remote peer is no longer responding\"", "Reason 412", "", ""},
		{"hash", "it says: The received HASH payload cannot be verified", "IKE/0xE3000056", "", ""},
		{"code only", "log has 0xE300007D again", "IKE/0xE300007D", "", ""},
		{"installer", "Failed to launch 64-bit VA installer to enable the virtual adapter due to error 0xffffffff", AnyConnect, "0xffffffff", ""},
		{"concentrator", "5 02/05/2004 10:11:12.340 SEV=4 AUTH/5 RPT=10 192.0.2.4\nAuthentication rejected: Reason = Simultaneous logins exceeded for user\nhandle = 11, server = Internal, user = joe, domain = <not specified>", "AUTH/5", "Simultaneous", "192.0.2.4"},
		{"statistics", "Packets Encrypted: 123\nPackets Decrypted: 0\nPackets Discarded: 4\nTransparent Tunneling: Inactive", Statistics, "Decrypted: 0", ""},
		{"secured routes", "Secured Routes\nNetwork Subnet Mask\n10.1.0.0 255.255.0.0\n10.2.0.0 255.255.0.0", Routes, "10.2.0.0 255.255.0.0", ""},
		{"data card", "Adapter: Sierra Wireless WWAN Modem", Adapter, "WWAN", ""},
		{"windows", "Running on: 6.1.7601 Service Pack 1", System, "6.1", ""},
		{"agent", "Apr 27 10:11:12 mac acvpnagent[77]: Function: foo Return Code: -1", AnyConnect, "Function", ""},
		{"trace", "Tracing route to 192.0.2.1 over a maximum of 30 hops\n\n  1    <1 ms    <1 ms    <1 ms  192.168.1.1\n  2     *        *        *     Request timed out.\n\nTrace complete.", Trace, "192.168.1.1", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			evs, _, _ := Parse(lines(c.text), "mail.txt")
			if len(evs) != 1 {
				t.Fatalf("%d events: %+v", len(evs), evs)
			}
			e := evs[0]
			if e.ID != c.id || !strings.Contains(e.Text, c.holds) || e.Place.Line == 0 {
				t.Errorf("id %q text %q", e.ID, e.Text)
			}
			if c.peer != "" && e.Peer != netip.MustParseAddr(c.peer) {
				t.Errorf("peer %v", e.Peer)
			}
		})
	}
}

func TestClientLogReason(t *testing.T) {
	evs, _, rest := Parse(lines("266    14:51:03.438  11/04/10  Sev=Info/4\tCM/0x63100014\nUnable to establish Phase 1 SA with server \"192.0.2.100\" because of \"DEL_REASON_PEER_NOT_RESPONDING\"\n\nbye"), "log.txt")
	if len(evs) != 2 || evs[1].ID != "Reason 412" || evs[0].Peer != netip.MustParseAddr("192.0.2.100") {
		t.Fatalf("%+v", evs)
	}
	if !evs[0].HasTime || evs[0].Time.Format("2006-01-02 15:04:05") != "2010-11-04 14:51:03" {
		t.Errorf("time %v", evs[0].Time)
	}
	if len(rest) != 2 {
		t.Errorf("rest %v", rest)
	}
}

func TestNoEvents(t *testing.T) {
	for _, s := range []string{
		"crypto isakmp policy 412", "Reasonable people disagree", "    #pkts encaps: 412, #pkts encrypt: 412, #pkts digest: 412", "HTTP error 404 not found",
		"Hallo Support,", "the reason is 4123", "Data bytes: 500", "path mtu 1500, ipsec overhead 58, media mtu 1500", "1.2.412.3",
	} {
		if evs, pings, _ := Parse(lines(s), "x"); len(evs)+len(pings) != 0 {
			t.Errorf("%q became %+v %+v", s, evs, pings)
		}
	}
}

func TestPings(t *testing.T) {
	cases := []struct {
		name, text string
		want       facts.Ping
	}{
		{"windows", "C:\\Users\\x>ping -f -l 1200 -n 3 192.0.2.41\n\nPinging 192.0.2.41 with 1200 bytes of data:\nReply from 192.0.2.41: bytes=1200 time=41ms TTL=126\nReply from 192.0.2.41: bytes=1200 time=43ms TTL=126\nRequest timed out.\n\nPing statistics for 192.0.2.41:\n    Packets: Sent = 3, Received = 2, Lost = 1 (33% loss),\nApproximate round trip times in milli-seconds:\n    Minimum = 41ms, Maximum = 43ms, Average = 42ms\n",
			facts.Ping{Size: 1200, DF: true, Sent: 3, Received: 2, MillisRT: 42}},
		{"windows too big", "C:\\>ping -f -l 1472 192.0.2.41\nPinging 192.0.2.41 with 1472 bytes of data:\nPacket needs to be fragmented but DF set.\nPacket needs to be fragmented but DF set.\n\nPing statistics for 192.0.2.41:\n    Packets: Sent = 2, Received = 0, Lost = 2 (100% loss),",
			facts.Ping{Size: 1472, DF: true, Sent: 2, TooBig: true, MillisRT: -1}},
		{"windows without statistics", "Pinging 192.0.2.41 with 32 bytes of data:\n\nReply from 192.0.2.41: bytes=32 time=411ms TTL=127\nReply from 192.0.2.41: bytes=32 time=399ms TTL=127\n", facts.Ping{Size: 32, Sent: 2, Received: 2, MillisRT: 405}},
		{"windows unreachable", "Pinging 192.0.2.41 with 32 bytes of data:\nReply from 10.0.0.1: Destination host unreachable.\nReply from 10.0.0.1: Destination host unreachable.\n\nPing statistics for 192.0.2.41:\n    Packets: Sent = 2, Received = 2, Lost = 0 (0% loss),", facts.Ping{Size: 32, Sent: 2, Received: 0, MillisRT: -1}},
		{"german", "C:\\>ping -f -l 1372 192.0.2.41\n\nPing wird ausgeführt für 192.0.2.41 mit 1372 Bytes Daten:\nZeitüberschreitung der Anforderung.\nAntwort von 192.0.2.41: Bytes=1372 Zeit=20ms TTL=126\n\nPing-Statistik für 192.0.2.41:\n    Pakete: Gesendet = 2, Empfangen = 1, Verloren = 1 (50% Verlust),\nCa. Zeitangaben in Millisek.:\n    Minimum = 20ms, Maximum = 20ms, Mittelwert = 20ms", facts.Ping{Size: 1372, DF: true, Sent: 2, Received: 1, MillisRT: 20}},
		{"german too big", "Ping wird ausgeführt für 192.0.2.41 mit 1472 Bytes Daten:\nPaket müsste fragmentiert werden, DF-Flag ist jedoch gesetzt.\n\nPing-Statistik für 192.0.2.41:\n    Pakete: Gesendet = 1, Empfangen = 0, Verloren = 1 (100% Verlust),", facts.Ping{Size: 1472, Sent: 1, TooBig: true, MillisRT: -1}},
		{"spanish", "Haciendo ping a 192.0.2.41 con 32 bytes de datos:\nRespuesta desde 192.0.2.41: bytes=32 tiempo=12ms TTL=55\n\nEstadísticas de ping para 192.0.2.41:\n    Paquetes: enviados = 1, recibidos = 1, perdidos = 0\n    (0% perdidos),", facts.Ping{Size: 32, Sent: 1, Received: 1, MillisRT: 12}},
		{"french", "Envoi d'une requête 'Ping'  192.0.2.41 avec 32 octets de données :\nDélai d'attente de la demande dépassé.\n\nStatistiques Ping pour 192.0.2.41:\n    Paquets : envoyés = 1, reçus = 0, perdus = 1 (perte 100%),", facts.Ping{Size: 32, Sent: 1, MillisRT: -1}},
		{"linux", "$ ping -M do -s 1372 -c 2 192.0.2.41\nPING 192.0.2.41 (192.0.2.41) 1372(1400) bytes of data.\n1380 bytes from 192.0.2.41: icmp_seq=1 ttl=61 time=9.61 ms\n\n--- 192.0.2.41 ping statistics ---\n2 packets transmitted, 1 received, 50% packet loss, time 1001ms\nrtt min/avg/max/mdev = 9.6/9.6/9.6/0.0 ms", facts.Ping{Size: 1372, DF: true, Sent: 2, Received: 1, MillisRT: 10}},
		{"linux too big", "PING 192.0.2.41 (192.0.2.41) 1472(1500) bytes of data.\nFrom 10.1.1.1 icmp_seq=1 Frag needed and DF set (mtu = 1400)\nping: local error: Message too long, mtu=1400\n\n--- 192.0.2.41 ping statistics ---\n2 packets transmitted, 0 received, +2 errors, 100% packet loss, time 1001ms", facts.Ping{Size: 1472, Sent: 2, TooBig: true, MillisRT: -1}},
		{"macOS", "PING 192.0.2.41 (192.0.2.41): 56 data bytes\n64 bytes from 192.0.2.41: icmp_seq=0 ttl=61 time=9.1 ms\nRequest timeout for icmp_seq 1\n\n--- 192.0.2.41 ping statistics ---\n2 packets transmitted, 1 packets received, 50.0% packet loss\nround-trip min/avg/max/stddev = 9.1/9.1/9.1/0.0 ms", facts.Ping{Size: 56, Sent: 2, Received: 1, MillisRT: 9}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			evs, pings, _ := Parse(lines(c.text), "x")
			if len(pings) != 1 {
				t.Fatalf("pings %+v events %+v", pings, evs)
			}
			got := pings[0]
			got.Place = facts.Place{}
			c.want.Target = netip.MustParseAddr("192.0.2.41")
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestSeveralPings(t *testing.T) {
	one := "C:\\>ping -f -l 1300 192.0.2.1\n\nPinging 192.0.2.1 with 1300 bytes of data:\nRequest timed out.\n\nPing statistics for 192.0.2.1:\n    Packets: Sent = 1, Received = 0, Lost = 1 (100% loss),\n\n"
	_, pings, _ := Parse(lines(one+strings.ReplaceAll(one, "1300", "1000")+"C:\\>"), "x")
	if len(pings) != 2 || pings[0].Size != 1300 || pings[1].Size != 1000 || !pings[1].DF {
		t.Errorf("%+v", pings)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"1 1:2:3.4 1/2/3 Sev=Info/4 CM/0x63100002\nx", "Reason 412", "PING 1.2.3.4 (1.2.3.4) 1(2) bytes\n3 packets transmitted, 1 received, 5%", "Pinging 1.2.3.4 with 32 bytes of data:\nx=1 x=2 x=3 %", "Secured Routes\n1.2.3.4 1.1.1.1", "SEV=4 AUTH/5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		Parse(lines(s), "f")
	})
}

// Pings that somebody wrote down in one line, and pings of which only the answers were pasted.
func TestPingsTold(t *testing.T) {
	var lines []facts.Line
	for i, s := range []string{"ping 192.0.2.1: 15ms 14 ms 16ms", "from home ping 10.1.1.1 through vpn: time=300ms time=400ms", "ping me in 5 minutes", `C:\>ping 10.1.1.9`, "Reply from 10.1.1.9: bytes=32 time=40ms TTL=126", "Request timed out."} {
		lines = append(lines, facts.Line{N: i + 1, Text: s})
	}
	_, pings, _ := Parse(lines, "t.txt")
	var got []string
	for _, p := range pings {
		got = append(got, fmt.Sprintf("%s %d/%d %dms line %d", p.Target, p.Received, p.Sent, p.MillisRT, p.Place.Line))
	}
	want := []string{"192.0.2.1 3/3 15ms line 1", "10.1.1.1 2/2 350ms line 2", "10.1.1.9 1/2 40ms line 5"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
