package main

import (
	"context"
	"fmt"
	"sync"

	"vpnbot/diag"
	"vpnbot/diag/report"
	"vpnbot/playbooks"
)

type sweepCmd struct {
	Config string `required:"" type:"path" help:"Configuration file."`
	Format string `enum:"text,json" default:"text" help:"text or json."`
}

// Run looks once at every tunnel. A device that cannot be read is reported and the rest goes on.
func (c sweepCmd) Run(ctx context.Context, std streams) error {
	return withRunner(ctx, c.Config, std, func(rt *rooms) error {
		tunnels := rt.inventory.Tunnels()
		results := make([]*playbooks.Result, len(tunnels))
		errs := make([]error, len(tunnels))
		limit := make(chan struct{}, max(1, rt.config.Network.SSH.MaxDevicesAtOnce))
		var wg sync.WaitGroup
		for i, t := range tunnels {
			wg.Go(func() {
				limit <- struct{}{}
				defer func() { <-limit }()
				results[i], errs[i] = rt.runner.Run(ctx, playbooks.Request{Run: newID(), Playbook: "sweep", Tunnel: t.Name, By: "cli", Capture: playbooks.CaptureNever}, nil)
			})
		}
		wg.Wait()
		all := report.Report{Schema: report.Schema, GeneratedAt: rt.now().UTC(), Tunnels: []report.Tunnel{}, Findings: []report.Finding{}, Errors: []report.Error{}}
		for i, res := range results {
			if errs[i] != nil {
				all.Errors = append(all.Errors, report.Error{Source: tunnels[i].Name, Message: errs[i].Error()})
				continue
			}
			all.Tunnels = append(all.Tunnels, res.Report.Tunnels...)
			all.Findings = append(all.Findings, res.Report.Findings...)
			all.Errors = append(all.Errors, res.Report.Errors...)
		}
		report.Sort(&all)
		if c.Format == "json" {
			if err := write(std.out, "json", diag.Result{Report: all}); err != nil {
				return err
			}
			return incomplete(all)
		}
		for _, t := range all.Tunnels {
			cause := "no cause to be seen in the SAs alone: vpnbot diagnose " + t.Name
			for _, f := range all.Findings {
				if f.Tunnel == t.Name {
					cause = f.Title
					break
				}
			}
			if _, err := fmt.Fprintf(std.out, "%s\n    %s\n", report.Headline(t), report.Plain(cause)); err != nil {
				return err
			}
		}
		for _, e := range all.Errors {
			if _, err := fmt.Fprintf(std.out, "not read: %s\n", report.Plain(e.Message)); err != nil {
				return err
			}
		}
		return incomplete(all)
	})
}
