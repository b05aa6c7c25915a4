package bundle

import (
	"errors"
	"io"
	"strings"

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

// dumped takes an answer that is the hex dump of a capture.
func (r *reading) dumped(dev *facts.Device, o *facts.Output) bool {
	return false
}

// clientParse finds lines of VPN clients.
func clientParse(lines []facts.Line, source string) ([]facts.Event, []facts.Ping, []facts.Line) {
	return nil, nil, lines
}

// iosParse reads an output of IOS.
func iosParse(dev *facts.Device, o facts.Output) bool { return false }
