package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"vpnbot/diag"
	"vpnbot/diag/bundle"
	"vpnbot/diag/report"
)

type analyzeCmd struct {
	Format string   `enum:"text,json,html" default:"text" help:"text, json or html."`
	Out    string   `type:"path" help:"Also write report.html, report.json, a ladder diagram (SVG) per negotiation, and the ISP evidence report with its reduced captures into this folder."`
	Tunnel string   `help:"Only this tunnel: its name, or A,B after its addresses."`
	Paths  []string `arg:"" name:"path" help:"Files or bundle folders; several form one bundle."`
}

// Run diagnoses evidence that was collected before.
func (c analyzeCmd) Run(std streams) error {
	signal.Reset(os.Interrupt, syscall.SIGTERM) // it holds nothing on any device: a signal may end it at once
	pace()
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return fmt.Errorf("no randomness: %w", err)
	}
	set, err := bundle.Read(c.Paths, bundle.Options{Key: key})
	if err != nil {
		return usageError{fmt.Errorf("analyze: %w", err)}
	}
	res := diag.Analyze(set, diag.Options{Only: c.Tunnel, Now: time.Now().UTC()})
	if c.Tunnel != "" && len(res.Report.Tunnels) == 0 {
		return usageError{fmt.Errorf("analyze: no tunnel %q in this evidence; run without --tunnel to see their names", c.Tunnel)}
	}
	if c.Out != "" {
		if err := writeOut(c.Out, res, report.ISPFacts{}, func(source string) (io.ReadCloser, error) {
			return bundle.Open(c.Paths, source)
		}); err != nil {
			return err
		}
	}
	if err := write(std.out, c.Format, res); err != nil {
		return err
	}
	if n := len(res.Report.Errors); n > 0 {
		return partial{n}
	}
	return nil
}
