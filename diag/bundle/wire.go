package bundle

import (
	"errors"
	"io"
	"path"
	"strings"

	"vpnbot/diag/dump"
	"vpnbot/diag/facts"
	"vpnbot/diag/ike"
)

// wire hands a capture to the decoder.
func (r *reading) wire(name, device, source string, src io.Reader) {
	c, err := ike.Read(src, name, source, ike.Options{IKEPorts: r.opt.IKEPorts, CTCPPorts: r.opt.CTCPPorts})
	r.captured(c, device, source, err)
}

// captured keeps a capture, also one that is usable in part, and reports what is wrong with it.
func (r *reading) captured(c *facts.Capture, device, source string, err error) {
	if c != nil {
		c.Device = device
		r.set.Captures = append(r.set.Captures, c)
	}
	if err == nil || errors.Is(err, ike.ErrNoPackets) && c != nil {
		return
	}
	kind := "not-understood"
	var damaged *ike.DamagedError
	if errors.As(err, &damaged) {
		kind = "truncated"
	}
	r.fail(source, 0, kind, "%s", strings.TrimPrefix(err.Error(), source+": "))
}

// dumped takes an answer that is the hex dump of a capture: show capture NAME dump, show
// monitor capture ... dump, or text that looks like one. Every dump is a vantage point of
// the device.
func (r *reading) dumped(dev *facts.Device, o *facts.Output) bool {
	asked := strings.HasPrefix(o.Command, "show capture ") || strings.HasPrefix(o.Command, "show monitor capture")
	if !asked && (o.Command != "" || !looksDumped(o.Text)) {
		return false
	}
	if asked && !looksDumped(o.Text) {
		return false
	}
	var b strings.Builder
	for _, l := range o.Text {
		b.WriteString(l.Text)
		b.WriteByte('\n')
	}
	d := dump.Parse(b.String())
	if d == nil || len(d.Packets) == 0 {
		return false
	}
	name := dev.Name
	if name == "" {
		name = vantage(path.Base(o.Place.Source))
	}
	c, err := ike.FromDump(d, name, o.Place.Source, ike.Options{IKEPorts: r.opt.IKEPorts, CTCPPorts: r.opt.CTCPPorts})
	r.captured(c, dev.Name, o.Place.Source, err)
	return true
}

// looksDumped tells whether lines hold "0x0000   4500 0054 ..." rows.
func looksDumped(lines []facts.Line) bool {
	rows := 0
	for i := range lines {
		t := strings.TrimSpace(lines[i].Text)
		if len(t) > 12 && (strings.HasPrefix(t, "0x0000") || strings.HasPrefix(t, "0x0010") || strings.HasPrefix(t, "0000:") || strings.HasPrefix(t, "0000  ") || strings.HasPrefix(t, "0010:") || strings.HasPrefix(t, "0010  ")) {
			if rows++; rows >= 1 {
				return true
			}
		}
	}
	return false
}
