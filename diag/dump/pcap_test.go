package dump

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// TestWritePcap: a dump and the file made of it hold the same packets; what the dump cut
// off is missing in the file too, and the length on the wire is the packet's own.
func TestWritePcap(t *testing.T) {
	long := frame(300)
	text := asaText(1, "20:40:01.108469", frame(60)) + asaText(2, "20:40:02.000001", long[:114])
	d := Parse(text)
	var out bytes.Buffer
	day := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	if err := d.WritePcap(&out, func(x time.Time) time.Time { return x.Add(day.Sub(time.Unix(0, 0))) }); err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	if r.LinkType() != layers.LinkTypeEthernet {
		t.Errorf("link type %v", r.LinkType())
	}
	for i, want := range [][]byte{frame(60), long[:114]} {
		data, ci, err := r.ReadPacketData()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, want) {
			t.Errorf("packet %d: other bytes", i+1)
		}
		if wire := []int{74, 314}[i]; ci.Length != wire {
			t.Errorf("packet %d: %d bytes on the wire, want %d", i+1, ci.Length, wire)
		}
		if at := []string{"2026-03-04 20:40:01.108469", "2026-03-04 20:40:02.000001"}[i]; ci.Timestamp.UTC().Format("2006-01-02 15:04:05.000000") != at {
			t.Errorf("packet %d: at %s, want %s", i+1, ci.Timestamp.UTC(), at)
		}
	}
	if _, _, err := r.ReadPacketData(); err != io.EOF {
		t.Errorf("more packets, or %v", err)
	}
	d.Packets[1].IP = true
	if err := d.WritePcap(io.Discard, func(x time.Time) time.Time { return x }); !errors.Is(err, ErrMixed) {
		t.Errorf("mixed links: %v", err)
	}
}
