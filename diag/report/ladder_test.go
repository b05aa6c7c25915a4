package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"strings"
	"testing"
	"time"
)

func sampleLadder() Ladder {
	t := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(ms int) time.Time { return t.Add(time.Duration(ms) * time.Millisecond) }
	return Ladder{
		Tunnel: "198.51.100.1,203.0.113.10", Title: "Easy VPN, aggressive mode: stops at MODECFG", Note: "fragments of the reply leave hq and never arrive",
		Lanes: []string{"spoke 10.20.0.10", "NAT 203.0.113.65", "hq 198.51.100.1"},
		Steps: []LadderStep{
			{At: at(0), From: 0, To: 2, Label: "AM1", Detail: "UDP 500→500, 1331 bytes with DF", Fate: "changed", Packets: []string{"spoke 1", "hq 1"}},
			{At: at(40), From: 2, To: 0, Label: "AM2", Detail: "UDP 500→500, 420 bytes", Fate: "arrived"},
			{At: at(100), From: 0, To: 2, Label: "MODECFG request", Detail: "UDP 4500→4500", Fate: "unseen", Repeat: 3},
			{At: at(9000), From: 2, To: 0, Label: "MODECFG reply", Detail: "1708 bytes of IKE in 2 fragments", Fate: "lost", Failing: true,
				Fragments: []LadderFragment{{Offset: 0, Length: 1480, Fate: "arrived"}, {Offset: 1480, Length: 236, Fate: "lost"}}, Packets: []string{"hq 9-10"}},
			{At: at(9100), From: 0, To: 2, Label: "hostile <script>alert('x')</script> \x00\x1b &amp;", Fate: "injected"},
		},
	}
}

func TestSVGIsWellFormedAndEscapesCapturedText(t *testing.T) {
	svg := SVG(sampleLadder())
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
	}
	s := string(svg)
	if strings.Contains(s, "<script") {
		t.Error("text of a capture became markup")
	}
	for _, want := range []string{"AM1", "INCOMPLETE", "NOT SENT BY THIS END", "it stops here", "1480 at 0", "8.9 s later", "×4"} {
		if !strings.Contains(s, want) {
			t.Errorf("the drawing does not say %q", want)
		}
	}
}

func TestPNGHasTheDrawingsSize(t *testing.T) {
	b, err := PNG(sampleLadder())
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	_, h := layout(sampleLadder())
	if got := img.Bounds().Dx(); got != int(ladderWidth*pngScale) {
		t.Errorf("width %d", got)
	}
	if got := img.Bounds().Dy(); got != int(h*pngScale) {
		t.Errorf("height %d, want %d", got, int(h*pngScale))
	}
}

func TestLadderWithNothingInIt(t *testing.T) {
	for name, l := range map[string]Ladder{"empty": {}, "no lanes": {Steps: []LadderStep{{Label: "x", From: 3, To: -1}}}} {
		if len(SVG(l)) == 0 {
			t.Errorf("%s: no SVG", name)
		}
		if _, err := PNG(l); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Nothing that is looked for at night may be cut off: the packets of the lost message, both
// addresses under long names, how many messages were left out.
func TestLadderShowsAll(t *testing.T) {
	addr := "2001:db8:1234:5678:9abc:def0:1234:5678"
	l := Ladder{Title: "IKEv2: stops at IKE_AUTH", Lanes: []string{"branch-office-with-a-very-long-name-in-the-mountains " + addr, "NAT", "hq 192.0.2.1"}, Steps: []LadderStep{
		{From: 0, To: 2, Label: "IKE_SA_INIT request", Detail: "UDP 500→500, 484 bytes", Fate: "arrived", Packets: []string{"spoke 4", "hq 3"}},
		{From: 0, To: 2, Label: "IKE_AUTH request", Detail: "UDP 4500→4500, 1272 bytes; sent 5 times (again +2.0 s, +5.2 s, +10 s, +19 s)", Repeat: 4, Fate: "lost", Failing: true,
			Packets: []string{"spoke 7", "spoke 9", "spoke 11", "spoke 13", "spoke 15"}, Skipped: 61},
	}}
	shapes, height := layout(l)
	all := ""
	for _, s := range shapes {
		if s.kind == 't' {
			all += s.text
			if s.y1 > height {
				t.Errorf("%q stands below the picture", s.text)
			}
		}
	}
	all = strings.ReplaceAll(all, stick, " ")
	for _, want := range []string{addr, "spoke 7, 9, 11, 13, 15", "spoke 4; hq 3", "61 more messages", "+19 s"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing in %s", want, all)
		}
	}
	frame := -1.0
	for _, s := range shapes {
		if s.kind == 'r' && s.width == 3 {
			frame = s.y1 + s.y2
		}
	}
	for _, s := range shapes {
		if s.kind == 't' && strings.HasPrefix(s.text, "spoke 7") && s.y1 > frame {
			t.Error("the failing step's packets stand outside its frame")
		}
	}
}
