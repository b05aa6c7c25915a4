package playbooks

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vpnbot/diag"
	"vpnbot/diag/bundle"
	"vpnbot/diag/redact"
	"vpnbot/diag/report"
)

// Show reads both ends' SAs and counters as they are now, and says them in a few lines.
func (r *Runner) Show(ctx context.Context, tunnel string) (string, report.Report, error) {
	t, err := r.opt.Inventory.Tunnel(tunnel)
	if err != nil {
		return "", report.Report{}, err
	}
	x := r.start(Request{Run: "show", Tunnel: t.Name}, Book{}, t, nil)
	if _, err := x.collect(ctx, Step{ID: "read", Kind: "collect", With: With{Evidence: []string{"ike-sa", "ipsec-sa"}}}); err != nil {
		return "", report.Report{}, err
	}
	x.analyze()
	var b strings.Builder
	for _, t := range x.diag.Report.Tunnels {
		b.WriteString(report.Headline(t) + "\n")
	}
	b.WriteString(x.counters())
	for _, o := range x.outputs {
		if !strings.HasSuffix(o.Evidence, "-sa") {
			continue
		}
		fmt.Fprintf(&b, "\n\n%s# %s\n%s", o.Device, o.Command, strings.TrimRight(redact.Strip(o.Text), "\r\n "))
	}
	return b.String(), x.diag.Report, nil
}

// Expire deletes raw captures that are older than keep; it returns how many.
func (r *Runner) Expire(keep time.Duration) (int, error) {
	dir := r.opt.Config.Captures.Dir
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("captures.dir: %w", err)
	}
	n := 0
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || e.IsDir() || !strings.HasPrefix(e.Name(), rawPrefix) || r.opt.Now().Sub(info.ModTime()) < keep {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return n, fmt.Errorf("captures.dir: %w", err)
		}
		n++
	}
	return n, nil
}

// rawPrefix marks the raw captures that are ours to delete.
const rawPrefix = "vpnbot-"

// Analyze diagnoses files that a person handed over: evidence without a device.
func (r *Runner) Analyze(_ context.Context, files []File) (*Result, error) {
	key := make([]byte, 32)
	r.opt.Random(key)
	in := make([]bundle.File, len(files))
	for i, f := range files {
		in[i] = bundle.File{Name: f.Name, Data: f.Data}
	}
	set, err := bundle.ReadFiles(in, bundle.Options{Key: key, CTCPPorts: r.opt.Config.Captures.CTCPPorts})
	if err != nil {
		return nil, err
	}
	d := diag.Analyze(set, diag.Options{Tunnels: r.named(), Now: r.opt.Now().UTC()})
	return &Result{Report: d.Report, Ladders: d.Ladders, Pictures: pictures(d.Ladders)}, nil
}
