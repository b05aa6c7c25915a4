package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"vpnbot/diag"
	"vpnbot/diag/report"
	"vpnbot/playbooks"
)

type diagnoseCmd struct {
	Config    string        `required:"" type:"path" help:"Configuration file."`
	Capture   time.Duration `help:"Capture at both ends for this long, whatever the texts say." xor:"capture"`
	NoCapture bool          `help:"Do not capture." xor:"capture"`
	Format    string        `enum:"text,json,html" default:"text" help:"text, json or html."`
	Out       string        `type:"path" help:"Also write report, diagrams, ISP report and the evidence as a bundle into this folder."`
	Tunnel    string        `arg:"" help:"The tunnel's name, its peer's address, or one of its devices."`
}

// Run diagnoses one tunnel on its devices. It changes nothing on them but the captures
// it starts and removes.
func (c diagnoseCmd) Run(ctx context.Context, std streams) error {
	return withRunner(ctx, c.Config, std, func(rt *rooms) error {
		tunnel, err := rt.tunnel(c.Tunnel)
		if err != nil {
			return usageError{err}
		}
		req := playbooks.Request{Run: newID(), Playbook: "diagnose", Tunnel: tunnel, By: "cli", Duration: c.Capture}
		switch {
		case c.NoCapture:
			req.Capture = playbooks.CaptureNever
		case c.Capture > 0:
			req.Capture = playbooks.CaptureForce
		}
		res, err := rt.runner.Run(ctx, req, progress(std.err))
		if err != nil {
			return err
		}
		out := diag.Result{Report: res.Report, Ladders: res.Ladders}
		if c.Out != "" {
			t, _ := rt.inventory.Tunnel(tunnel)
			if err := writeOut(c.Out, out, report.ISPFacts{Name: t.ISP.Name, Contact: t.ISP.Contact}, func(source string) (io.ReadCloser, error) {
				for _, f := range res.Files {
					if f.Name == source {
						return io.NopCloser(bytes.NewReader(f.Data)), nil
					}
				}
				return nil, fs.ErrNotExist
			}); err != nil {
				return err
			}
			if err := saveFiles(filepath.Join(c.Out, "bundle"), res.Files); err != nil {
				return err
			}
			if err := saveFiles(c.Out, res.Pictures); err != nil {
				return err
			}
		}
		if err := write(std.out, c.Format, out); err != nil {
			return err
		}
		return incomplete(res.Report)
	})
}

// incomplete turns unread devices into exit status 3, or into a failure when nothing at all could be read.
func incomplete(r report.Report) error {
	switch n := len(r.Errors); {
	case n == 0:
		return nil
	case len(r.Tunnels) == 0:
		return fmt.Errorf("no device could be read: %s", r.Errors[0].Message)
	default:
		return partial{n}
	}
}

// saveFiles writes named files below a folder; names come from our own code and stay inside it.
func saveFiles(dir string, files []playbooks.File) error {
	for _, f := range files {
		name := filepath.FromSlash(f.Name)
		if !filepath.IsLocal(name) {
			return fmt.Errorf("--out: %q would leave the folder", f.Name)
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
		if err := os.WriteFile(path, f.Data, 0o600); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
	}
	return nil
}
