package playbooks

import (
	"context"
	"errors"
	"fmt"

	"vpnbot/devices"
	"vpnbot/devices/command"
)

// probe sends the tunnel's configured ping, or a sweep of sizes, and keeps its answers as evidence.
func (x *run) probe(ctx context.Context, s Step) (string, error) {
	sizes := s.With.Sizes
	if len(sizes) == 0 {
		sizes = []int{s.With.Size}
	}
	note := ""
	for _, size := range sizes {
		out, err := x.ping(ctx, s.With.Count, size, s.With.DF)
		if err != nil {
			return note, err
		}
		x.outputs = append(x.outputs, out)
		x.changed = true
		note = fmt.Sprintf("%s: %s", out.Device, out.Command)
	}
	return note, nil
}

// ping sends the configured probe once.
func (x *run) ping(ctx context.Context, count, size int, df bool) (devices.Output, error) {
	p := x.tunnel.Probe
	if p.From == "" || !p.To.IsValid() {
		return devices.Output{}, errors.New("no probe is configured for this tunnel: name probe.from, probe.source and probe.to")
	}
	target, err := x.opt.Fleet.Target(ctx, p.From)
	if err != nil {
		return devices.Output{}, err
	}
	cmd, err := command.Ping(target, command.PingOptions{To: p.To, Source: p.Source, Count: count, Size: size, DF: df})
	if err != nil {
		return devices.Output{}, err
	}
	outs, err := x.opt.Fleet.Run(ctx, p.From, x.red.Text, cmd)
	if err != nil {
		return devices.Output{}, err
	}
	return outs[0], nil
}
