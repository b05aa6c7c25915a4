package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"vpnbot/diag"
	"vpnbot/diag/ike"
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

// writeOut writes the files of --out: the report in two forms, a diagram per negotiation,
// the evidence report for an ISP and the captures that go with it, reduced to the packets
// in question. open gives the bytes of a capture by its source.
func writeOut(dir string, res diag.Result, isp report.ISPFacts, open func(source string) (io.ReadCloser, error)) error {
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
	question := report.InQuestion(res.Report, res.Ladders)
	for _, source := range slices.Sorted(maps.Keys(question)) {
		f, err := open(source)
		if err != nil {
			continue // packets that came from a device's dump text have no file to reduce
		}
		var out bytes.Buffer
		_, err = ike.Reduce(f, &out, question[source].Has, ike.Options{})
		f.Close()
		if err != nil {
			return fmt.Errorf("--out: %s: %w", source, err)
		}
		name := "isp-" + report.FileName(source)
		if err := save(name, out.Bytes()); err != nil {
			return err
		}
		isp.Files = append(isp.Files, report.ISPFile{Name: name, Source: source, Packets: question[source]})
	}
	page, err := report.ISP(res.Report, res.Ladders, isp)
	if err != nil {
		return err
	}
	return save("isp-report.html", page)
}
