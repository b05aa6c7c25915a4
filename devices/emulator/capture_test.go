package emulator_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"vpnbot/devices/emulator"
)

// fetch downloads over HTTPS; the certificate must have the announced fingerprint.
func fetch(t testing.TB, d *emulator.Device, path, user, password string) (int, []byte) {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
		if sum := sha256.Sum256(s.PeerCertificates[0].Raw); hex.EncodeToString(sum[:]) != d.Fingerprint() {
			return fmt.Errorf("fingerprint %x", sum)
		}
		return nil
	}}}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequest("GET", "https://"+d.HTTPSAddr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	r, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, b
}

func download(t testing.TB, d *emulator.Device, name string) []byte {
	t.Helper()
	user, password, _ := d.Login()
	code, b := fetch(t, d, "/capture/"+name+"/pcap", user, password)
	if code != 200 {
		t.Fatalf("%s: HTTP %d", name, code)
	}
	return b
}

type seen struct {
	at   time.Time
	text string // src > dst proto ports/spi
	ip   []byte
}

// open reads a pcap with gopacket and verifies every checksum.
func decode(t testing.TB, pcap []byte) []seen {
	t.Helper()
	r, err := pcapgo.NewReader(bytes.NewReader(pcap))
	if err != nil {
		t.Fatal(err)
	}
	var out []seen
	for {
		data, ci, err := r.ReadPacketData()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		p := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.Default)
		ip, ok := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		if !ok {
			t.Fatalf("no IPv4 in %v", p)
		}
		whole := append(append([]byte(nil), ip.Contents...), ip.Payload...)
		if s := sum16(0, ip.Contents); s != 0xffff {
			t.Errorf("packet %d: IP checksum is wrong (%#x)", len(out)+1, s)
		}
		s := seen{at: ci.Timestamp.UTC(), text: fmt.Sprintf("%s > %s %s", ip.SrcIP, ip.DstIP, ip.Protocol), ip: whole}
		if ip.FragOffset > 0 {
			s.text += " later"
		} else if ip.Flags&layers.IPv4MoreFragments != 0 {
			s.text += " first"
		} else if u, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP); ok && u.Checksum != 0 {
			pseudo := append(append([]byte(nil), ip.SrcIP.To4()...), ip.DstIP.To4()...)
			pseudo = append(pseudo, 0, 17, byte(u.Length>>8), byte(u.Length))
			if v := sum16(sum16(0, pseudo), append(append([]byte(nil), u.Contents...), u.Payload...)); v != 0xffff {
				t.Errorf("packet %d: UDP checksum is wrong (%#x)", len(out)+1, v)
			}
		}
		out = append(out, s)
	}
}

func sum16(start uint16, b []byte) uint16 {
	s := uint32(start)
	for i := 0; i < len(b); i += 2 {
		s += uint32(b[i]) << 8
		if i+1 < len(b) {
			s += uint32(b[i+1])
		}
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

func texts(s []seen) string {
	var b strings.Builder
	for _, p := range s {
		b.WriteString(p.text + "\n")
	}
	return b.String()
}

const both = " match ip host 198.51.100.1 host %s match icmp any host 198.51.100.1"

func TestEasyVPNCaptureLosesItsFragmentsOnTheWay(t *testing.T) {
	clk := newClock()
	l := start(t, emulator.Options{Now: clk.Now, Dir: sharedKeys})
	hq, hp := open(t, l.Device("hq-asa"))
	pap, pp := open(t, l.Device("pap-asa"))
	if out := hq.run(hp, "capture VB-x1a interface outside buffer 4000000 packet-length 1522"+fmt.Sprintf(both, "203.0.113.10")); out != "" {
		t.Fatalf("capture: %s", out)
	}
	began := clk.Now()
	clk.forward(300 * time.Millisecond)
	pap.run(pp, "capture VB-x1b interface outside match ip host 203.0.113.10 host 198.51.100.1 match icmp any host 203.0.113.10")
	if n := len(decode(t, download(t, l.Device("hq-asa"), "VB-x1a"))); n != 0 {
		t.Errorf("%d packets before anything happened", n)
	}
	clk.forward(5 * time.Second)
	early := len(decode(t, download(t, l.Device("hq-asa"), "VB-x1a")))
	clk.forward(20 * time.Second)
	pap.run(pp, "ping inside 10.1.0.1") // late traffic does not move what was seen
	a, b := decode(t, download(t, l.Device("hq-asa"), "VB-x1a")), decode(t, download(t, l.Device("pap-asa"), "VB-x1b"))
	if early == 0 || early >= len(a) {
		t.Errorf("%d packets after 5 s, %d after 25 s", early, len(a))
	}
	if len(a) != 19 || len(b) != 11 {
		t.Errorf("hq has %d packets, pap %d; want 19 and 11\n%s\n%s", len(a), len(b), texts(a), texts(b))
	}
	if n := strings.Count(texts(a), "later"); n != 4 || strings.Contains(texts(b), "later") || strings.Contains(texts(b), "first") {
		t.Errorf("fragments:\n%s\n%s", texts(a), texts(b))
	}
	for _, s := range append(a, b...) {
		if s.at.Before(began) || s.at.After(clk.Now()) {
			t.Errorf("packet at %s", s.at)
		}
	}
	// one clock: what the spoke sends arrives at the headend a little later
	if d := a[0].at.Sub(b[0].at); d <= 0 || d > 200*time.Millisecond {
		t.Errorf("the first packet took %s", d)
	}

	// stopped: the buffer stays and does not grow
	hq.run(hp, "no capture VB-x1a interface outside")
	if out := hq.run(hp, "show capture"); !strings.Contains(out, "VB-x1a type raw-data buffer 4000000 packet-length 1522 [Stopped") {
		t.Errorf("show capture: %s", out)
	}
	if n := len(decode(t, download(t, l.Device("hq-asa"), "VB-x1a"))); n != 19 {
		t.Errorf("%d packets after the stop", n)
	}
	// the dump over SSH has the same packets
	if got := dumped(t, hq.run(hp, "show capture VB-x1a dump")); cmp.Diff(bytesOf(a), got) != "" {
		t.Errorf("dump and pcap differ: %s", cmp.Diff(bytesOf(a), got))
	}
	hq.run(hp, "no capture VB-x1a")
	if c := l.Device("hq-asa").Captures(); len(c) != 0 {
		t.Errorf("left behind: %v", c)
	}
	user, password, _ := l.Device("hq-asa").Login()
	if code, _ := fetch(t, l.Device("hq-asa"), "/capture/VB-x1a/pcap", user, password); code != 404 {
		t.Errorf("removed capture: HTTP %d", code)
	}
}

func bytesOf(s []seen) []string {
	var out []string
	for _, p := range s {
		out = append(out, hex.EncodeToString(p.ip))
	}
	return out
}

var dumpRow = regexp.MustCompile(`^0x([0-9a-f]{4})   ((?:[0-9a-f]{2,4} ?)+)`)

// dumped reads the ASA's dump text back.
func dumped(t testing.TB, text string) []string {
	t.Helper()
	var out []string
	for l := range strings.SplitSeq(text, "\n") {
		p := dumpRow.FindStringSubmatch(l)
		if p == nil {
			continue
		}
		if p[1] == "0000" {
			out = append(out, "")
		}
		hexa := l[9:min(9+39, len(l))]
		out[len(out)-1] += strings.ReplaceAll(hexa, " ", "")
	}
	return out
}

func TestAPortFilterMissesLaterFragments(t *testing.T) {
	clk := newClock()
	l := start(t, emulator.Options{Now: clk.Now, Scenario: "london-pap", Dir: sharedKeys})
	hq, hp := open(t, l.Device("hq-asa"))
	hq.run(hp, "capture PORTS interface outside match udp any host 198.51.100.1 eq 500")
	hq.run(hp, "capture SHORT interface outside packet-length 96 buffer 2000 match ip any any")
	hq.run(hp, "capture RING interface outside buffer 2000 circular-buffer match ip any any")
	hq.run(hp, "capture IN interface inside match ip any any")
	clk.forward(time.Minute)
	ports := decode(t, download(t, l.Device("hq-asa"), "PORTS"))
	if len(ports) != 15 || strings.Contains(texts(ports), "later") {
		t.Errorf("port filter took %d:\n%s", len(ports), texts(ports))
	}
	user, password, _ := l.Device("hq-asa").Login()
	_, short := fetch(t, l.Device("hq-asa"), "/admin/capture/SHORT/pcap", user, password)
	r, err := pcapgo.NewReader(bytes.NewReader(short))
	if err != nil {
		t.Fatal(err)
	}
	data, ci, err := r.ReadPacketData()
	if err != nil || len(data) != 96 || ci.Length != 1345 {
		t.Errorf("snap length: %d of %d bytes (%v)", len(data), ci.Length, err)
	}
	ring := decode(t, download(t, l.Device("hq-asa"), "RING"))
	if len(ring) == 0 || len(ring) >= 19 || !strings.HasSuffix(texts(ring), "later\n") {
		t.Errorf("ring holds %d:\n%s", len(ring), texts(ring))
	}
	if n := len(decode(t, download(t, l.Device("hq-asa"), "IN"))); n != 0 {
		t.Errorf("%d packets of the outside on the inside interface", n)
	}
}

func TestMovedCaptureIsTheRecordingButForAddresses(t *testing.T) {
	clk := newClock()
	l := start(t, emulator.Options{Now: clk.Now, Dir: sharedKeys})
	hq, hp := open(t, l.Device("hq-asa"))
	hq.run(hp, "capture VB-q interface outside buffer 4000000 packet-length 1522"+fmt.Sprintf(both, "203.0.113.42"))
	clk.forward(2 * time.Minute)
	got := decode(t, download(t, l.Device("hq-asa"), "VB-q"))
	file, err := os.ReadFile(filepath.Join("scenarios", "main", "captures", "wrong-psk.hq.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	want := decode(t, file)
	if len(got) != len(want) {
		t.Fatalf("%d packets, recorded %d", len(got), len(want))
	}
	for i := range got {
		if !strings.Contains(got[i].text, "203.0.113.42") || strings.Contains(got[i].text, "203.0.113.10") {
			t.Errorf("packet %d: %s", i+1, got[i].text)
		}
		if a, b := got[i].at.Sub(got[0].at), want[i].at.Sub(want[0].at); a != b {
			t.Errorf("packet %d after %s, recorded after %s", i+1, a, b)
		}
		// beside addresses and checksums only the digests of addresses (NAT-D) may differ
		a, b := bytes.Clone(got[i].ip), bytes.Clone(want[i].ip)
		for _, p := range [][]byte{a, b} {
			clear(p[10:20])
			clear(p[26:28])
		}
		diff := 0
		for j := range a {
			if a[j] != b[j] {
				diff++
			}
		}
		if natd := i == 2 || i == 3; natd && (diff == 0 || diff > 2*32) || !natd && diff != 0 {
			t.Errorf("packet %d differs in %d bytes", i+1, diff)
		}
	}
}

func TestCapturesFitTheTunnelsState(t *testing.T) {
	esp := regexp.MustCompile(`(?m)^(\S+) > \S+ IPSecESP`)
	senders := func(s []seen) map[string]int {
		m := map[string]int{}
		for _, p := range esp.FindAllStringSubmatch(texts(s), -1) {
			m[p[1]]++
		}
		return m
	}
	clk := newClock()
	l := start(t, emulator.Options{Now: clk.Now, Dir: sharedKeys})
	hq, hp := open(t, l.Device("hq-asa"))
	take := func(name, peer string) []seen {
		hq.run(hp, "capture "+name+" interface outside buffer 4000000 packet-length 1522"+fmt.Sprintf(both, peer))
		clk.forward(100 * time.Millisecond)
		hq.run(hp, "ping inside "+map[string]string{"203.0.113.26": "10.30.0.1", "203.0.113.34": "10.40.0.1"}[peer])
		clk.forward(20 * time.Second)
		out := decode(t, download(t, l.Device("hq-asa"), name))
		hq.run(hp, "no capture "+name)
		return out
	}
	stale := take("A", "203.0.113.26")
	if s := senders(stale); s["198.51.100.1"] == 0 || len(s) != 1 || strings.Contains(texts(stale), "UDP") {
		t.Errorf("stale SA: %v\n%s", s, texts(stale))
	}
	if want := spiOut(t, hq.run(hp, "show crypto ipsec sa peer 203.0.113.26")); fmt.Sprintf("%X", stale[0].ip[20:24]) != want {
		t.Errorf("SPI on the wire %X, listed %s", stale[0].ip[20:24], want)
	}
	healthy := take("B", "203.0.113.34")
	if s := senders(healthy); s["198.51.100.1"] == 0 || s["198.51.100.1"] != s["203.0.113.34"] || strings.Contains(texts(healthy), "UDP") {
		t.Errorf("healthy: %v\n%s", s, texts(healthy))
	}
	hq.run(hp, "capture C interface outside"+fmt.Sprintf(both, "203.0.113.26"))
	hq.run(hp, "clear crypto isakmp sa 203.0.113.26")
	clk.forward(time.Second)
	hq.run(hp, "ping inside 10.30.0.1")
	clk.forward(20 * time.Second)
	fresh := decode(t, download(t, l.Device("hq-asa"), "C"))
	if s := senders(fresh); s["198.51.100.1"] == 0 || s["203.0.113.26"] == 0 || !strings.HasPrefix(texts(fresh), "198.51.100.1 > 203.0.113.26 UDP\n") {
		t.Errorf("after the clear: %v\n%s", s, texts(fresh))
	}
}

func TestCaptureDownloadAsksWho(t *testing.T) {
	l := start(t, emulator.Options{Scenario: "london-oslo", Dir: sharedKeys})
	d := l.Device("hq-asa")
	user, password, _ := d.Login()
	for _, tc := range []struct {
		path, user, password string
		want                 int
	}{
		{"/capture/VB-x/pcap", "", "", 401},
		{"/capture/VB-x/pcap", user, "wrong", 401},
		{"/capture/VB-x/pcap", "wrong", password, 401},
		{"/capture/VB-x/pcap", user, password, 404},
		{"/other", user, password, 404},
		{"/capture/admin/OPEN/pcap", user, password, 200},
		{"/admin/capture/OPEN/pcap", user, password, 200},
		{"/capture/OPEN/pcap", user, password, 200},
	} {
		c, prompt := open(t, d)
		c.run(prompt, "capture OPEN interface outside")
		if code, _ := fetch(t, d, tc.path, tc.user, tc.password); code != tc.want {
			t.Errorf("%s as %q: HTTP %d, want %d", tc.path, tc.user, code, tc.want)
		}
		c.ssh.Close()
		awaitSessions(t, d, 0)
	}
}

func TestCaptureCommandsAreChecked(t *testing.T) {
	l := start(t, emulator.Options{Scenario: "london-oslo", Dir: sharedKeys})
	c, prompt := open(t, l.Device("hq-asa"))
	for _, tc := range []struct{ line, want string }{
		{"capture X interface nosuch", "ERROR: Interface <nosuch> not found"},
		{"capture X match ip any any", "ERROR: % Incomplete command"},
		{"capture X interface outside match ip host 1.2.3 any", "Invalid input"},
		{"capture X interface outside match ip any any match ip any any match ip any any match ip any any", "only 3 match"},
		{"capture X interface outside access-list NOSUCH", "does not exist"},
		{"capture X interface outside buffer 99999999999", "Invalid input"},
		{"no capture NOSUCH", "ERROR: Capture <NOSUCH> does not exist"},
		{"show capture NOSUCH", "ERROR: Capture <NOSUCH> does not exist"},
	} {
		if out := c.run(prompt, tc.line); !strings.Contains(out, tc.want) {
			t.Errorf("%s: %s", tc.line, out)
		}
	}
	if n := len(l.Device("hq-asa").Captures()); n != 0 {
		t.Errorf("%d captures after bad commands", n)
	}
}

func TestRouterCaptures(t *testing.T) {
	for _, tc := range []struct {
		device             string
		start, stop, dump  []string
		remove             []string
		row                *regexp.Regexp
		columns            [2]int
		scenario, firstSrc string
	}{
		{
			device: "quito-rtr", scenario: "london-quito", firstSrc: "203.0.113.42",
			start: []string{"monitor capture VB-a interface GigabitEthernet0/0/0 both", "monitor capture VB-a match ipv4 host 203.0.113.42 host 198.51.100.1 bidirectional",
				"monitor capture VB-a buffer size 5", "monitor capture VB-a limit duration 60", "monitor capture VB-a start"},
			stop: []string{"monitor capture VB-a stop"}, dump: []string{"show monitor capture VB-a buffer dump"}, remove: []string{"no monitor capture VB-a"},
			row: regexp.MustCompile(`^  ([0-9A-F]{4}):  `), columns: [2]int{9, 44},
		},
		{
			device: "lima-rtr", scenario: "london-lima", firstSrc: "198.51.100.1",
			start: []string{"monitor capture buffer VB-a size 2048 max-size 1518 linear", "monitor capture buffer VB-a filter access-list VB-CAP",
				"monitor capture point ip cef VB-aC GigabitEthernet0/0 both", "monitor capture point ip process-switched VB-aP both",
				"monitor capture point associate VB-aC VB-a", "monitor capture point associate VB-aP VB-a", "monitor capture point start VB-aC", "monitor capture point start VB-aP"},
			stop: []string{"monitor capture point stop VB-aC", "monitor capture point stop VB-aP"}, dump: []string{"show monitor capture buffer VB-a dump"},
			remove: []string{"no monitor capture point ip cef VB-aC GigabitEthernet0/0 both", "no monitor capture point ip process-switched VB-aP both", "no monitor capture buffer VB-a"},
			row:    regexp.MustCompile(`^([0-9A-F]{8}): `), columns: [2]int{10, 45},
		},
	} {
		t.Run(tc.device, func(t *testing.T) {
			clk := newClock()
			l := start(t, emulator.Options{Now: clk.Now, Scenario: tc.scenario, Dir: sharedKeys})
			c, prompt := open(t, l.Device(tc.device))
			for _, line := range tc.start {
				if out := c.run(prompt, line); strings.Contains(out, "% ") || strings.Contains(out, "Unable") {
					t.Fatalf("%s: %s", line, out)
				}
			}
			clk.forward(30 * time.Second)
			for _, line := range tc.stop {
				c.run(prompt, line)
			}
			text := c.run(prompt, tc.dump[0])
			// the Ethernet header stands first; the IP source is at byte 26
			var first string
			for l := range strings.SplitSeq(text, "\n") {
				if tc.row.MatchString(l) {
					first += strings.ReplaceAll(l[tc.columns[0]-1:min(tc.columns[1], len(l))], " ", "")
				} else if first != "" {
					break
				}
			}
			raw, err := hex.DecodeString(first)
			if err != nil || len(raw) < 34 {
				t.Fatalf("dump: %v %q\n%s", err, first, text)
			}
			if src := fmt.Sprintf("%d.%d.%d.%d", raw[26], raw[27], raw[28], raw[29]); src != tc.firstSrc {
				t.Errorf("first packet is from %s\n%s", src, text)
			}
			for _, line := range tc.remove {
				c.run(prompt, line)
			}
			if left := l.Device(tc.device).Captures(); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
			if n := l.Device(tc.device).ConfigModeEntered(); n != 0 {
				t.Errorf("configuration mode entered %d times", n)
			}
		})
	}
}
