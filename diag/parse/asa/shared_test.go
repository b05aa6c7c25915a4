package asa

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"vpnbot/diag/facts"
	"vpnbot/diag/redact"
	"vpnbot/diag/transcript"
)

// readDevice parses a text whose command is known beforehand (used where no prompt stands in it).
func readDevice(text, command, source string) (*facts.Device, int) {
	dev := &facts.Device{Platform: facts.ASA}
	red := redact.New([]byte("test"))
	outs, _ := transcript.Cut(red.Text(text), source)
	lines := 0
	for _, o := range outs {
		if o.Command == "" {
			o.Command = command
		}
		for _, l := range o.Text {
			if strings.TrimSpace(l.Text) != "" {
				lines++
			}
		}
		Parse(dev, o)
		dev.Outputs = append(dev.Outputs, o)
	}
	return dev, lines
}

// TestShared parses the published outputs when they lie beside the checkout and prints what
// was understood.
func TestShared(t *testing.T) {
	root := filepath.Join("..", "..", "..", "..", "shared", "outputs")
	if _, err := os.Stat(root); err != nil {
		t.Skip("no published outputs beside the checkout: " + root)
	}
	total, skipped := 0, 0
	for _, platform := range []string{"cisco_asa", "cisco_ftd"} {
		err := filepath.WalkDir(filepath.Join(root, platform), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".txt") || strings.Contains(path, ".expected.") {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text, err := transcript.Decode(string(data))
			if err != nil {
				t.Errorf("%s: %v", path, err)
				return nil
			}
			command := strings.ReplaceAll(filepath.Base(filepath.Dir(path)), "_", " ")
			dev, lines := readDevice(text, command, filepath.Base(path))
			total += lines
			skipped += dev.Skipped
			n := len(dev.IKE) + len(dev.IPsec) + len(dev.Sessions) + len(dev.Counters) + len(dev.Routes)
			if dev.Config != nil {
				n += len(dev.Config.Lines) + len(dev.Config.ACLs)
			}
			t.Logf("%5d lines %4d skipped %5d facts  %s/%s", lines, dev.Skipped, n, filepath.Base(filepath.Dir(path)), filepath.Base(path))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("understood %d of %d lines (%.1f %%)", total-skipped, total, 100*float64(total-skipped)/float64(total))
	if skipped*100 > total*5 {
		t.Errorf("more than one line in twenty was skipped")
	}
}

// TestSharedExpected compares key fields with what the sources' own parsers made of the same
// outputs. Those are a hint: names in the place of addresses stay unresolved here.
func TestSharedExpected(t *testing.T) {
	root := filepath.Join("..", "..", "..", "..", "shared", "outputs", "cisco_asa")
	if _, err := os.Stat(root); err != nil {
		t.Skip("no published outputs beside the checkout: " + root)
	}
	tests := []struct {
		name, file, command string
		// want makes keys of an expected row, "" for rows that say nothing; got makes the same of the facts.
		want func(row map[string]string) string
		got  func(dev *facts.Device) []string
	}{
		{"routes", "show_route/ntc-templates-1", "show route", routeKey, routeKeys},
		{"routes with names", "show_route/ntc-templates-2", "show route", routeKey, routeKeys},
		{"sessions", "show_vpn-sessiondb_detail_l2l/ntc-templates-2", "show vpn-sessiondb detail l2l", sessionKey, sessionKeysOf},
		{"sessions of IKEv2", "show_vpn-sessiondb_detail_l2l/ntc-templates-3", "show vpn-sessiondb detail l2l", sessionKey, sessionKeysOf},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(root, filepath.FromSlash(tt.file))
			text, err := os.ReadFile(path + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			expected, err := os.ReadFile(path + ".expected.yml")
			if err != nil {
				t.Fatal(err)
			}
			var rows struct {
				Rows []map[string]any `yaml:"parsed_sample"`
			}
			if err := yaml.Unmarshal(expected, &rows); err != nil {
				t.Fatal(err)
			}
			dev, _ := readDevice(string(text), tt.command, tt.file)
			have := map[string]bool{}
			for _, k := range tt.got(dev) {
				have[k] = true
			}
			n := 0
			for _, r := range rows.Rows {
				row := map[string]string{}
				for k, v := range r {
					row[k], _ = v.(string)
				}
				k := tt.want(row)
				if k == "" {
					continue
				}
				n++
				if !have[k] {
					t.Errorf("missing %s", k)
				}
			}
			t.Logf("%d of %d rows compared", n, len(rows.Rows))
		})
	}
}

func routeKey(r map[string]string) string {
	p := masked(r["network"], r["netmask"])
	if !p.IsValid() {
		return ""
	}
	return p.String() + " " + r["nexthopip"] + " " + r["nexthopif"]
}

func routeKeys(dev *facts.Device) (out []string) {
	for _, r := range dev.Routes {
		via := ""
		if r.Via.IsValid() {
			via = r.Via.String()
		}
		out = append(out, r.Prefix.String()+" "+via+" "+r.Interface)
	}
	return out
}

func sessionKey(r map[string]string) string { return r["index"] + " " + r["ip_address"] }

func sessionKeysOf(dev *facts.Device) (out []string) {
	for _, s := range dev.Sessions {
		out = append(out, s.Fields["index"]+" "+s.Fields["ip addr"])
	}
	return out
}
