package transcript

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"vpnbot/diag/facts"
)

func TestNormalise(t *testing.T) {
	tests := []struct{ typed, command, filter string }{
		{"sh cry isa sa", "show crypto isakmp sa", ""},
		{"SHOW CRYPTO IPSEC SA PEER 192.0.2.1", "show crypto ipsec sa peer 192.0.2.1", ""},
		{"sh cry ips sa peer 192.0.2.1 | i caps", "show crypto ipsec sa peer 192.0.2.1", "include caps"},
		{"do sh run | s crypto map", "show running-config", "section crypto map"},
		{"sh run all sysopt", "show running-config all sysopt", ""},
		{"sh ver", "show version", ""},
		{"sh vpn- det l2l", "show vpn-sessiondb detail l2l", ""},
		{"sho isa sa det", "show isakmp sa detail", ""},
		{"sh ip local pool X", "show ip local pool x", ""},
		{"ping inside 10.1.1.1", "ping inside 10.1.1.1", ""},
		{"$w crypto isakmp sa detail", "show crypto isakmp sa detail", ""},
		{"sh log", "show logging", ""},
		{"sh run| i nat", "show running-config", "include nat"},
		{"frobnicate", "frobnicate", ""},
		{"", "", ""},
	}
	for _, tt := range tests {
		command, filter := Normalise(tt.typed)
		if command != tt.command || filter != tt.filter {
			t.Errorf("Normalise(%q) = %q, %q; want %q, %q", tt.typed, command, filter, tt.command, tt.filter)
		}
	}
}

// shape writes outputs in one line each: command @line, number of lines, flags.
func shape(outs []facts.Output) string {
	var b strings.Builder
	for _, o := range outs {
		fmt.Fprintf(&b, "%s@%d:%d", o.Command, o.Place.Line, len(o.Text))
		if o.Complete {
			b.WriteString(" complete")
		}
		if o.Refused {
			b.WriteString(" refused")
		}
		if o.Empty {
			b.WriteString(" empty")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestCut(t *testing.T) {
	tests := []struct {
		name, text, want, host string
	}{
		{"echo and several commands", "hq# sh cry isa sa\nThere are no isakmp sas\nhq# sh clock\n10:00:00\nhq# \n",
			"show crypto isakmp sa@1:1 complete empty\nshow clock@3:1 complete\n", "hq"},
		{"failover parts change", "hq/pri/act# sh ver\nCisco\nhq/sec/stby# sh clock\nx\n", "show version@1:1 complete\nshow clock@3:1\n", "hq"},
		{"no prompt", "IKEv1 SAs:\n\n   Active SA: 1\n", "@1:3\n", ""},
		{"caret", "r1#sh cyrpto\n        ^\n% Invalid input detected at '^' marker.\nr1#sh clock\nx\n", "show cyrpto@1:2 complete refused\nshow clock@4:1\n", "r1"},
		{"foreign prompt in the output", "hq# sh log\nother# show run is what he typed\nspoke> \nhq# sh clock\nx\n", "show logging@1:2 complete\nshow clock@4:1\n", "hq"},
		{"log line behind a prompt", "hq# sh cry isa sa\nIKEv1 SAs:\nhq# %ASA-5-713119: Group = 192.0.2.1, PHASE 1 COMPLETED\n1   IKE Peer: 192.0.2.1\n    Type    : L2L\nhq# sh clock\n1\n",
			"show crypto isakmp sa@1:4 complete\nshow clock@6:1\n", "hq"},
		{"banner with the name", "hq# sh ver\nhq# authorised staff only, all is logged.\nCisco\nhq# exit\n", "show version@1:2 complete\nexit@4:0 empty\n", "hq"},
		{"config mode and do", "Hub(config)#do sh cry isa sa\ndst src\nHub(config)#crypto isakmp enable outside\nERROR: IkeReceiverInit, unable to bind to port\nHub(config)#\n",
			"show crypto isakmp sa@1:1 complete\ncrypto isakmp enable outside@3:1 complete refused\n", "Hub"},
		{"echo missing", "hq# sh clock\n1\nhq# There are no IKEv1 SAs\nhq# sh ver\nx\n", "show clock@1:1 complete\n@3:1 complete empty\nshow version@4:1\n", "hq"},
		{"broken echo", "hq# show crypto ipsec sa peer 198.51.100.201 detail | include encaps|decaps|spi|\npkts\n  #pkts encaps: 1\n", "show crypto ipsec sa peer 198.51.100.201 detail@1:1\n", "hq"},
		{"pager only lines are dropped, numbers stay", "hq# sh ver\na\n<--- More --->\nb\n<--- More --->\r              \rc\nhq# sh clock\n", "show version@1:3 complete\nshow clock@6:0 empty\n", "hq"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			outs, host := Cut(tt.text, "f.txt")
			got := shape(outs)
			if got != tt.want || host != tt.host {
				t.Errorf("got %q host %q\nwant %q host %q", got, host, tt.want, tt.host)
			}
		})
	}
}

func TestLines(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"pager wiped by carriage returns", "<--- More --->\r              \r      current_peer\n", "1:      current_peer"},
		{"pager wiped by backspaces", " --More-- \b\b\b\b\b\b\b\b\b         \b\b\b\b\b\b\b\b\binterface", "1: interface"},
		{"pager without its controls", "a\n<--- More --->              b", "1:a|2:b"},
		{"escapes", "\x1b[1mbold\x1b[0m \x1b]0;title\x07end", "1:bold end"},
		{"crlf", "a\r\n\r\nb\r\r\n", "1:a|2:|3:b"},
		{"old mac", "a\rb", "1:a|2:b"},
	}
	for _, tt := range tests {
		var parts []string
		for _, l := range Lines(tt.text) {
			parts = append(parts, fmt.Sprintf("%d:%s", l.N, l.Text))
		}
		if got := strings.Join(parts, "|"); got != tt.want {
			t.Errorf("%s: got %q want %q", tt.name, got, tt.want)
		}
	}
}

func TestDecode(t *testing.T) {
	text := "hq# sh ver\r\nZürich – ok\r\n"
	little, big := []byte{}, []byte{}
	for _, u := range utf16.Encode([]rune(text)) {
		little = append(little, byte(u), byte(u>>8))
		big = append(big, byte(u>>8), byte(u))
	}
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"utf-8", []byte(text), text},
		{"utf-8 with mark", append([]byte{0xef, 0xbb, 0xbf}, text...), text},
		{"utf-16 with mark", append([]byte{0xff, 0xfe}, little...), text},
		{"utf-16 big with mark", append([]byte{0xfe, 0xff}, big...), text},
		{"utf-16 guessed", little, text},
		{"utf-16 big guessed", big, text},
		{"latin-1", []byte("Z\xfcrich"), "Zürich"},
		{"empty", nil, ""},
	}
	for _, tt := range tests {
		got, err := Decode(string(tt.data))
		if err != nil || got != tt.want {
			t.Errorf("%s: got %q, %v", tt.name, got, err)
		}
	}
	if _, err := Decode("\x00\x01\x02garbage\x03\x04\x05\x06\x0e\x0f\x10\x11"); err == nil {
		t.Error("binary bytes were taken for a text")
	}
}

func FuzzCut(f *testing.F) {
	f.Add("hq# sh cry isa sa\r\n<--- More --->\r   \r x\nhq(config)# do sh ver | i x\n")
	f.Add("\x1b[2J\x1b]0;\b\bR1>en\nR1#$w crypto\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Decode(text)
		if err != nil {
			return
		}
		n := strings.Count(s, "\n") + strings.Count(s, "\r") + 1
		last := 0
		outs, _ := Cut(s, "f")
		for _, o := range outs {
			if o.Place.Line < last || o.Place.Line > n {
				t.Fatalf("line %d after %d of %d", o.Place.Line, last, n)
			}
			last = o.Place.Line
		}
	})
}

func BenchmarkCut(b *testing.B) {
	line := "      #pkts encaps: 317191, #pkts encrypt: 317191, #pkts digest: 317191\n"
	text := "hq# sh cry ips sa\n" + strings.Repeat(line, 1<<17) + "hq# sh clock\n"
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		Cut(text, "x")
	}
}

// TestShared reads the published outputs when they lie beside the checkout.
func TestShared(t *testing.T) {
	root := filepath.Join("..", "..", "..", "shared", "outputs")
	if _, err := os.Stat(root); err != nil {
		t.Skip("no published outputs beside the checkout: " + root)
	}
	files, prompts := 0, 0
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".txt") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		s, err := Decode(string(data))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return nil
		}
		outs, host := Cut(s, path)
		files++
		if host != "" {
			prompts++
			t.Logf("%s: %s %d outputs: %q", path[len(root):], host, len(outs), outs[0].Command)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files, %d with prompts", files, prompts)
}
