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

// looksDumped tells whether lines hold rows of a hex dump: "0x0000 4500 0054 ...",
// "67F3CC80: 0012 ...", "0000:  00 12 ...".
func looksDumped(lines []facts.Line) bool {
	for i := range lines {
		t := strings.TrimSpace(lines[i].Text)
		if len(t) < 12 {
			continue
		}
		n := 0
		if strings.HasPrefix(t, "0x") {
			n = 2
		}
		from := n
		for n < len(t) && n-from < 9 && hexDigit(t[n]) {
			n++
		}
		if n-from != 4 && n-from != 8 || n+3 >= len(t) {
			continue
		}
		if t[n] != ':' && t[n] != ' ' && t[n] != '\t' || t[n] != ':' && from == 0 && !strings.HasPrefix(t, "0000") {
			continue
		}
		rest := strings.TrimLeft(t[n+1:], " \t")
		if len(rest) > 4 && hexDigit(rest[0]) && hexDigit(rest[1]) && (rest[2] == ' ' || hexDigit(rest[2]) && hexDigit(rest[3])) {
			return true
		}
	}
	return false
}

func hexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
