package command

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// PingOptions of a sourced ping.
type PingOptions struct {
	To     netip.Addr
	Source string // interface of the protected side: ASA nameif, IOS interface name
	Count  int    // echo requests, 1 to 100; 0 is 5
	Size   int    // bytes, 36 to 18024; 0 is 100. IOS counts the IP header, an ASA the data
	DF     bool   // do not fragment; IOS only
}

// Ping sends test packets from the protected side, so that they are interesting traffic.
func Ping(t Target, o PingOptions) (Command, error) {
	if err := t.check(); err != nil {
		return Command{}, err
	}
	to, err := address("ping", o.To)
	if err != nil {
		return Command{}, err
	}
	if o.Source == "" {
		return Command{}, errors.New("ping: a source interface of the protected side is needed; without one the packets are not interesting traffic")
	}
	if err := checkWord("source interface", o.Source); err != nil {
		return Command{}, err
	}
	if o.Count == 0 {
		o.Count = 5
	}
	if o.Size == 0 {
		o.Size = 100
	}
	if o.Count < 1 || o.Count > 100 || o.Size < 36 || o.Size > 18024 {
		return Command{}, fmt.Errorf("ping: count %d (1 to 100) or size %d (36 to 18024) is out of range", o.Count, o.Size)
	}
	c := Command{effect: Probes, evidence: "ping", timeout: time.Duration(o.Count)*2*time.Second + 10*time.Second}
	if t.asa() {
		if o.DF {
			return Command{}, errors.New("ping: an ASA cannot set DF; sweep from an IOS end or from a host")
		}
		c.line = fmt.Sprintf("ping %s %s repeat %d size %d", o.Source, to, o.Count, o.Size)
		return c, nil
	}
	vrf := ""
	if t.VRF != "" {
		vrf = "vrf " + t.VRF + " "
	}
	c.line = fmt.Sprintf("ping %s%s source %s repeat %d size %d", vrf, to, o.Source, o.Count, o.Size)
	if o.DF {
		c.line += " df-bit"
	}
	return c, nil
}

// PacketTracer simulates an ICMP packet from local to remote through an ASA's inside
// interface: which route, NAT rule and crypto map it meets.
func PacketTracer(t Target, inside string, local, remote netip.Addr) (Command, error) {
	if err := t.check(); err != nil {
		return Command{}, err
	}
	if !t.asa() {
		return Command{}, errors.New("packet-tracer: only an ASA has it")
	}
	if err := checkWord("interface", inside); err != nil {
		return Command{}, err
	}
	l, err := address("local", local)
	if err != nil {
		return Command{}, err
	}
	r, err := address("remote", remote)
	if err != nil {
		return Command{}, err
	}
	return Command{line: fmt.Sprintf("packet-tracer input %s icmp %s 8 0 %s detailed", inside, l, r), effect: Probes, evidence: "packet-tracer"}, nil
}
