package bundle

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"vpnbot/diag/facts"
)

// put writes files below a new folder.
func put(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func read(t *testing.T, paths ...string) *facts.Set {
	t.Helper()
	set, err := Read(paths, Options{Key: testKey})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

const ikeTable = "\n   Active SA: 1\n    Rekey SA: 0 (A tunnel will report 1 Active and 1 Rekey SA during rekey)\nTotal IKE SA: 1\n\n1   IKE Peer: 192.0.2.9\n    Type    : L2L             Role    : initiator \n    Rekey   : no              State   : MM_WAIT_MSG2 \n"

func utf16le(s string) string {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}

func zipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

// An empty pcap: the header alone.
const emptyPcap = "\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x00\x00\x01\x00\x00\x00"

func TestRead(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		want  string // devices, captures, errors in short
	}{
		{"folders are devices", map[string]string{"hq/sa.txt": ikeTable, "hq/device.yaml": "platform: asa\naddress: 198.51.100.1\nrole: headend\n", "spoke/show_crypto_isakmp_sa.txt": "dst             src             state          conn-id status\n198.51.100.1    192.0.2.9       MM_NO_STATE          0 ACTIVE (deleted)\n"},
			"hq asa headend [198.51.100.1] ike=1 out=1 | spoke ios  [] ike=1 out=1"},
		{"loose texts are one device", map[string]string{"a.txt": ikeTable, "b.log": "%ASA-5-713119: Group = 192.0.2.9, IP = 192.0.2.9, PHASE 1 COMPLETED\n"}, " asa  [] ike=1 out=1 ev=1"},
		{"file names", map[string]string{"hq-show-crypto-isakmp-sa.txt": ikeTable, "sh_ver.txt": "Cisco Adaptive Security Appliance Software Version 8.2(5)\n"}, " asa 8.2(5)  [] ike=1 out=2"},
		{"one file with everything", map[string]string{"all.txt": ": Saved\nASA Version 8.2(5)\nhostname hq\ncrypto isakmp enable outside\n: end\n" + ikeTable + "Aug 01 2019 10:00:00: %ASA-5-713119: Group = 192.0.2.9, IP = 192.0.2.9, PHASE 1 COMPLETED\nThere are no ipsec sas\n"}, " asa 8.2(5)  [] ike=1 out=3 ev=1 config"},
		{"utf-16", map[string]string{"a.txt": utf16le(strings.ReplaceAll(ikeTable, "\n", "\r\n"))}, " asa  [] ike=1 out=1"},
		{"text in gzip", map[string]string{"a.txt.gz": zipped(ikeTable)}, " asa  [] ike=1 out=1"},
		{"zero bytes with a name that says what was asked", map[string]string{"show_crypto_isakmp_sa.txt": "", "hq.txt": ikeTable}, " asa  [] ike=1 out=2"},
		{"the folder above the bundle", map[string]string{"expect.yaml": "a: b", "evidence/hq/device.yaml": "platform: asa\n", "evidence/hq/sa.txt": ikeTable, "evidence/spoke/log/a.txt": ikeTable}, "hq asa  [] ike=1 out=1 | spoke asa  [] ike=1 out=1"},
		{"folders within a device", map[string]string{"hq/device.yaml": "platform: asa\n", "hq/one/sa.txt": ikeTable, "hq/two/device.yaml": "platform: asa\n"}, "hq asa  [] ike=1 out=1"},
		{"skipped files", map[string]string{"a.txt": ikeTable, ".hidden": "x", "notes.yaml": "a: b", "expect.json": "{}", ".git/config": "x"}, " asa  [] ike=1 out=1"},
		{"captures by content", map[string]string{"hq.bin": emptyPcap, "far.pcap.gz": zipped(emptyPcap), "spoke/x.txt": emptyPcap}, "spoke   [] ike=0 out=0 | capture far far.pcap.gz | capture hq hq.bin | capture spoke spoke/x.txt"},
		{"garbage beside evidence", map[string]string{"a.txt": ikeTable, "core.bin": "\x00\x01\x02\x03\x04\x05\x06\x07\x80\x90", "x.pcap": "\x01\x02\x03\x04\x05\x06\x00\x00"}, " asa  [] ike=1 out=1 | error core.bin:0 neither a capture nor a text | error x.pcap:0 no packet capture (pcap or pcapng), whatever its name says"},
		{"empty file", map[string]string{"notes.txt": " \n\n"}, "error notes.txt:0 the file is empty"},
		{"nothing known", map[string]string{"notes.txt": "Remember the milk.\n"}, "   [] ike=0 out=0 | error notes.txt:0 nothing in this text was recognised as VPN evidence"},
		{"device.yaml is wrong in part", map[string]string{"hq/device.yaml": "platform: asa\nadress: 1.2.3.4\nrole: king\n", "hq/a.txt": ikeTable}, `hq asa  [] ike=1 out=1 | error hq/device.yaml:2 device.yaml: [2:1] unknown field "adress" | error hq/device.yaml:3 device.yaml: role "king" is none of headend, spoke, client, path`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set := read(t, put(t, tt.files))
			var out []string
			for _, d := range set.Devices {
				line := fmt.Sprintf("%s %s", d.Name, d.Platform)
				if d.Version.Text != "" {
					line += " " + d.Version.Text
				}
				line += fmt.Sprintf(" %s %v ike=%d out=%d", d.Role, d.Addresses, len(d.IKE), len(d.Outputs))
				if len(d.Events) > 0 {
					line += fmt.Sprintf(" ev=%d", len(d.Events))
				}
				if d.Config != nil {
					line += " config"
				}
				if d.Name == "" && d.Platform == "" && len(d.Outputs)+len(d.Events) == 0 && strings.TrimSpace(tt.want) != "" && strings.HasPrefix(tt.want, "error") {
					continue
				}
				out = append(out, line)
			}
			for _, c := range set.Captures {
				out = append(out, fmt.Sprintf("capture %s %s", c.Name, c.Source))
			}
			for _, e := range set.Errors {
				out = append(out, fmt.Sprintf("error %s:%d %s", e.Source, e.Line, e.Message))
			}
			if got := strings.Join(out, " | "); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestPaths(t *testing.T) {
	dir := put(t, map[string]string{"hq/sa.txt": ikeTable, "spoke/sa.txt": ikeTable, "x.txt": ikeTable})
	set := read(t, filepath.Join(dir, "hq"), filepath.Join(dir, "spoke"))
	if got := fmt.Sprint(set.Devices[0].Name, " ", set.Devices[1].Name, " ", set.Devices[1].IKE[0].Place.Source); got != "hq spoke spoke/sa.txt" {
		t.Errorf("two folders of files: %s", got)
	}
	set = read(t, filepath.Join(dir, "x.txt"))
	if got := fmt.Sprintf("%q %s", set.Devices[0].Name, set.Devices[0].IKE[0].Place.Source); got != `"" x.txt` {
		t.Errorf("a file: %s", got)
	}
	if _, err := Read([]string{filepath.Join(dir, "none")}, Options{Key: testKey}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing path: %v", err)
	}
	if _, err := Read([]string{t.TempDir()}, Options{Key: testKey}); !errors.Is(err, ErrNoEvidence) {
		t.Errorf("empty folder: %v", err)
	}
}

func TestLinksAreNotFollowed(t *testing.T) {
	dir := put(t, map[string]string{"a.txt": ikeTable})
	outside := put(t, map[string]string{"secret.txt": ikeTable})
	if err := os.Symlink(filepath.Join(outside, "secret.txt"), filepath.Join(dir, "b.txt")); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "dev")); err != nil {
		t.Fatal(err)
	}
	set := read(t, dir)
	if len(set.Devices) != 1 || len(set.Devices[0].IKE) != 1 || len(set.Errors) != 2 {
		t.Errorf("devices %d, errors %v", len(set.Devices), set.Errors)
	}
}

func TestLimits(t *testing.T) {
	dir := put(t, map[string]string{"a.txt": ikeTable + strings.Repeat("\n", 4096)})
	set, err := Read([]string{dir}, Options{Key: testKey, MaxText: 1024})
	if err != nil || len(set.Errors) != 1 || set.Errors[0].Kind != "truncated" || len(set.Devices[0].IKE) != 1 {
		t.Errorf("%v %+v", err, set.Errors)
	}
}

const liveConfig = ": Saved\n:\nASA Version 8.4(7)\n!\nhostname hq-asa\ninterface GigabitEthernet0/0\n nameif outside\n ip address 198.51.100.1 255.255.255.240\ncrypto map CMAP 10 set peer 192.0.2.9\ncrypto map CMAP interface outside\ncrypto ikev1 enable outside\ntunnel-group 192.0.2.9 type ipsec-l2l\ntunnel-group 192.0.2.9 ipsec-attributes\n ikev1 pre-shared-key Anis-7Stern\n: end\n"

func live() []Live {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return []Live{
		{Name: "hq", Platform: facts.ASA, Role: facts.Headend, Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.1")}, Answers: []Answer{
			{"show clock", "10:00:00.000 UTC Fri Jan 2 2026\n", at},
			{"show crypto isakmp sa", ikeTable + "hq# show version\nhq-asa#\n", at.Add(time.Second)},
			{"show running-config", liveConfig, at.Add(2 * time.Second)},
			{"show logging | include 192.0.2.9", "Jan 02 2026 10:00:00: %ASA-5-111008: User 'kim' executed the 'pre-shared-key Anis-7Stern' command.\nJan 02 2026 10:00:01: %ASA-3-713902: Anis-7Stern was echoed, IP = 192.0.2.9\n", at.Add(3 * time.Second)},
			{"show crypto ipsec sa peer 192.0.2.9", "There are no ipsec sas\n", at.Add(4 * time.Second)},
		}, Captures: []LiveCapture{{Name: "outside", Data: []byte(emptyPcap)}}},
		{Name: "lima", Platform: facts.IOS, Answers: []Answer{
			{"show running-config", "Building configuration...\n\nCurrent configuration : 500 bytes\n!\nversion 15.1\nhostname lima\ncrypto isakmp key Anis-7Stern address 198.51.100.1\nend\n", at},
		}},
	}
}

func TestLiveAndSavedAreTheSame(t *testing.T) {
	set, files, err := FromLive(live(), Options{Key: testKey})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "bundle")
	if err := Write(dir, files); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if bytes.Contains(f.Data, []byte("Anis-7Stern")) || bytes.Contains(f.Data, []byte("[h:")) {
			t.Errorf("%s holds a secret or its token:\n%s", f.Name, f.Data)
		}
	}
	saved, err := Read([]string{dir}, Options{Key: []byte("quite another key of another run")})
	if err != nil {
		t.Fatal(err)
	}
	// Tokens differ, and must mean the same.
	for _, s := range []*facts.Set{set, saved} {
		a, b := s.Devices[0].Config.Keys[0].Token, s.Devices[1].Config.Keys[0].Token
		if a == "" || a != b {
			t.Errorf("tokens of equal keys: %q %q", a, b)
		}
	}
	diff := cmp.Diff(set, saved, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, netip.AddrPort{}), cmpopts.IgnoreFields(facts.PSK{}, "Token"), cmpopts.IgnoreFields(facts.Output{}, "Time"),
		cmpopts.IgnoreFields(facts.Clock{}, "Read"), cmpopts.IgnoreUnexported(facts.Config{}), cmpopts.IgnoreFields(facts.Device{}, "Inventory"), cmpopts.EquateEmpty())
	if diff != "" {
		t.Errorf("live and saved differ:\n%s", diff)
	}
	hq := set.Devices[0]
	if len(hq.IKE) != 1 || len(hq.Outputs) != 5 || hq.Outputs[1].Time.IsZero() || hq.Clock.Read.IsZero() || !hq.Inventory || len(set.Captures) != 1 {
		t.Errorf("live facts: %s", summary(hq))
	}
	text := fmt.Sprintf("%+v", *hq) + fmt.Sprintf("%+v", *hq.Config) + fmt.Sprintf("%+v", set.Devices[1].Config)
	if strings.Contains(text, "Anis-7Stern") || strings.Contains(text, "****[h:") {
		t.Error("a secret or a token is left in the facts' texts")
	}
	if _, _, err := FromLive([]Live{{Name: "../x"}}, Options{Key: testKey}); err == nil {
		t.Error("a name with a path in it was taken")
	}
	if err := Write(dir, []File{{Name: "../../x", Data: nil}}); err == nil {
		t.Error("a file outside of the bundle was written")
	}
}

// dumpText is an ASA's dump of one small UDP packet.
const dumpText = "1 packet captured\n   1: 10:00:00.000000       10.0.0.1.500 > 10.0.0.2.500:  udp 4 \n0x0000   a453 0ef3 7fc0 74ad 98e5 0004 0800 4500        .S....t.......E.\n0x0010   0020 0001 0000 4011 66ca 0a00 0001 0a00        . ....@.f.......\n0x0020   0002 01f4 01f4 000c 0000 3031 3233             ..........0123\n1 packet shown\n"

func TestDumps(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"in a session": {"hq/s.txt": "hq# show capture OUT dump\n" + dumpText + "hq# show clock\n10:00:00.000 UTC Fri Jan 2 2026\n"},
		"alone":        {"hq/out.txt": dumpText},
		"among others": {"hq/all.txt": ikeTable + dumpText},
	} {
		set := read(t, put(t, files))
		if len(set.Captures) != 1 || set.Captures[0].Device != "hq" || set.Captures[0].Packets != 1 || len(set.Errors) != 0 {
			t.Errorf("%s: %d captures, errors %v", name, len(set.Captures), set.Errors)
		}
		if name == "among others" && len(set.Devices[0].IKE) != 1 {
			t.Errorf("%s: the table beside the dump was lost", name)
		}
	}
}

// Numbers of two saved runs must not be taken for one another's.
func TestOrdinalsOfTwoBundles(t *testing.T) {
	key := func(n int) string {
		return fmt.Sprintf(": Saved\nASA Version 8.2(5)\ntunnel-group 192.0.2.9 ipsec-attributes\n pre-shared-key ****[k%d]\n: end\n", n)
	}
	a := put(t, map[string]string{"hq/run.txt": key(1)})
	b := put(t, map[string]string{"far/run.txt": key(1)})
	set := read(t, a, b)
	if len(set.Devices) != 2 || set.Devices[0].Config.Keys[0].Token == set.Devices[1].Config.Keys[0].Token {
		t.Errorf("keys of different runs were taken for equal")
	}
}

func TestFileCommand(t *testing.T) {
	for name, want := range map[string]string{
		"show_crypto_isakmp_sa.txt": "show crypto isakmp sa", "show-running-config.log": "show running-config", "hq_sh_cry_ips_sa.txt": "show crypto ipsec sa",
		"show crypto ikev2 sa detail.txt": "show crypto ikev2 sa detail", "running-config": "show running-config", "show_crypto_ipsec_sa_2.txt": "show crypto ipsec sa",
		"show_crypto_ipsec_sa_peer_192.0.2.9.txt": "show crypto ipsec sa peer 192.0.2.9", "mail.txt": "", "push.txt": "", "show_vpn-sessiondb_detail_l2l.txt": "show vpn-sessiondb detail l2l", "router.show.version.txt": "show version",
	} {
		if got := fileCommand(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("show_run.txt", []byte(liveConfig))
	f.Add("x.txt", []byte(ikeTable+"hq# sh log\n%ASA-5-713119: Group = 192.0.2.9\nping\nSending 5, 100-byte ICMP Echos to 1.1.1.1\n0x0000 4500\n"))
	f.Add("a.pcap", []byte(emptyPcap))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if !safeName(name) {
			return
		}
		r := newReading(Options{Key: testKey})
		if isCapture(data) {
			r.wire("x", "", name, bytes.NewReader(data))
		} else {
			r.loadText(item{name: name, source: name}, bytes.NewReader(data))
		}
		r.finish()
	})
}

// What people write around the evidence is kept with its place; device text is not taken for it.
func TestNotes(t *testing.T) {
	set := read(t, put(t, map[string]string{
		"mail.txt":       "Hallo zusammen,\n\nseit gestern bricht der Tunnel alle 18 Stunden ab.\n-- \n10.0.0.1\n",
		"fw/session.txt": "fw# show crypto isakmp sa\n" + ikeTable + "\nUsers say that database sessions drop at every rekey.\nfw# \n",
	}))
	var got []string
	for _, d := range set.Devices {
		for _, n := range d.Notes {
			got = append(got, fmt.Sprintf("%s:%d %s", n.Place.Source, n.Place.Line, n.Lower))
		}
	}
	want := []string{
		"mail.txt:3 seit gestern bricht der tunnel alle 18 stunden ab.",
		"fw/session.txt:11 users say that database sessions drop at every rekey.",
	}
	if d := cmp.Diff(want, got, cmpopts.SortSlices(func(a, b string) bool { return a < b })); d != "" {
		t.Error(d)
	}
}

// A session that a mail program quoted is read as if it were not.
func TestQuoted(t *testing.T) {
	set := read(t, put(t, map[string]string{"mail.txt": "Hi,\n\n> fw# show crypto isakmp sa\n> " + strings.ReplaceAll(ikeTable, "\n", "\n> ") + "\n> fw# \n"}))
	if len(set.Devices) != 1 || len(set.Devices[0].IKE) != 1 || set.Devices[0].Hostname != "fw" || set.Devices[0].IKE[0].StatePlace.Line != 11 {
		t.Errorf("%+v", set.Devices)
	}
}
