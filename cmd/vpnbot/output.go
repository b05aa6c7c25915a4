package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"vpnbot/diag"
	"vpnbot/diag/report"
)

// write prints a result in one of the three forms.
func write(w io.Writer, format string, res diag.Result) error {
	switch format {
	case "json":
		return report.WriteJSON(w, res.Report)
	case "html":
		return report.WriteHTML(w, res.Report, res.Ladders)
	}
	return report.WriteText(w, res.Report)
}

// writeOut writes the files of --out: the report in two forms, a diagram per negotiation
// and the evidence report for an ISP.
func writeOut(dir string, res diag.Result, isp report.ISPFacts) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	save := func(name string, data []byte) error {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
		return nil
	}
	var html, js bytes.Buffer
	if err := report.WriteHTML(&html, res.Report, res.Ladders); err != nil {
		return err
	}
	if err := report.WriteJSON(&js, res.Report); err != nil {
		return err
	}
	if err := save("report.html", html.Bytes()); err != nil {
		return err
	}
	if err := save("report.json", js.Bytes()); err != nil {
		return err
	}
	for i, l := range res.Ladders {
		if err := save(fmt.Sprintf("ladder-%02d.svg", i+1), report.SVG(l)); err != nil {
			return err
		}
	}
	return save("isp-report.txt", report.ISP(res.Report, isp))
}
