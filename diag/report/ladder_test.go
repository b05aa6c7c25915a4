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
