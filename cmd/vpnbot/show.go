package main

import (
	"context"
	"fmt"

	"vpnbot/diag/report"
)

type showCmd struct {
	Config string `required:"" type:"path" help:"Configuration file."`
	Tunnel string `arg:"" help:"The tunnel's name, its peer's address, or one of its devices."`
}

// Run prints both ends' SAs and counters as they are now.
func (c showCmd) Run(ctx context.Context, std streams) error {
	return withRunner(ctx, c.Config, std, func(rt *rooms) error {
		tunnel, err := rt.tunnel(c.Tunnel)
		if err != nil {
			return usageError{err}
		}
		text, rep, err := rt.runner.Show(ctx, tunnel)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(std.out, report.Plain(text)); err != nil {
			return err
		}
		return incomplete(rep)
	})
}
