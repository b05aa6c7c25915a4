package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"vpnbot/diag/facts"
	"vpnbot/diag/transcript"
)

// Live is what sessions with one device gave.
type Live struct {
	Name      string // inventory name, also its folder: letters, digits, dot, dash, underscore
	Platform  facts.Platform
	Role      facts.Role
	Addresses []netip.Addr // from the inventory, those that face a peer
	Answers   []Answer     // in the order in which they were read
	Captures  []LiveCapture
}

// Answer is one command and the text that answered it, without prompt and echo.
type Answer struct {
	Command string
	Text    string
	Time    time.Time // when the bot read it
}

// LiveCapture is a capture file that was fetched from the device.
type LiveCapture struct {
	Name string // of the interface or vantage: "outside"
	Data []byte // pcap or pcapng
}

// File is a file of a bundle; the name is relative, with forward slashes.
type File struct {
	Name string
	Data []byte
}

// FromLive makes facts of live answers, and the files of the bundle that holds the same
// evidence. The facts are read from those very files, so that analyze on the saved bundle
// finds the same: sources are the files' names, and no secret is in either. In the files
// equal keys carry equal numbers (****[k1]) in place of their tokens.
//
// The set differs from what Read makes of the saved bundle only in the times of reading
// (Output.Time, Clock.Read) and in Inventory.
func FromLive(devices []Live, opt Options) (*facts.Set, []File, error) {
	if len(opt.Key) == 0 {
		return nil, nil, errors.New("live evidence: no key for the run was given")
	}
	r := newReading(opt)
	var files []File
	seen := map[string]bool{}
	for i := range devices {
		d := &devices[i]
		if !safeName(d.Name) || seen[d.Name] {
			return nil, nil, fmt.Errorf("live evidence: %q cannot be a folder's name, or is there twice", d.Name)
		}
		seen[d.Name] = true
		g := r.group(d.Name)
		g.meta = &meta{platform: d.Platform, role: d.Role, addresses: d.Addresses}
		data, err := metaFile(d)
		if err != nil {
			return nil, nil, err
		}
		files = append(files, File{Name: d.Name + "/device.yaml", Data: data})
		if len(d.Answers) > 0 {
			source := d.Name + "/session.txt"
			body := r.red.Text(session(d))
			g.texts = append(g.texts, text{item: item{name: "session.txt", source: source, device: d.Name}, body: body})
		}
		for n, c := range d.Captures {
			name := fmt.Sprintf("%s/%s%s", d.Name, captureName(c.Name, n), captureExt(c.Data))
			files = append(files, File{Name: name, Data: c.Data})
			r.wire(d.Name, d.Name, name, bytes.NewReader(c.Data))
		}
	}
	// Every secret of the run is known now: what is written is swept of all of them.
	for _, g := range r.groups {
		for _, t := range g.texts {
			files = append(files, File{Name: t.source, Data: []byte(r.red.Ordinals(r.red.Sweep(t.body)))})
		}
	}
	r.finish()
	for _, dev := range r.set.Devices {
		for i := range devices {
			if d := &devices[i]; d.Name == dev.Name {
				dev.Inventory = len(d.Addresses) > 0
				times(dev, d)
			}
		}
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return r.set, files, nil
}

// times puts the times of reading to the outputs: the n-th answer is the n-th prompt.
func times(dev *facts.Device, d *Live) {
	next := 0
	for i := range dev.Outputs {
		o := &dev.Outputs[i]
		for j := next; j < len(d.Answers); j++ {
			if strings.TrimSpace(d.Answers[j].Command) == o.Typed {
				o.Time = d.Answers[j].Time
				if dev.Clock != nil && o.Command == "show clock" && dev.Clock.Place.Line > o.Place.Line {
					dev.Clock.Read = o.Time
				}
				next = j + 1
				break
			}
		}
	}
}

func safeName(s string) bool {
	if s == "" || len(s) > 64 || s[0] == '.' || s[0] == '-' {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}

func captureName(name string, n int) string {
	if !safeName(name) {
		name = fmt.Sprintf("capture-%d", n+1)
	}
	return name
}

func captureExt(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte{0x0a, 0x0d, 0x0d, 0x0a}):
		return ".pcapng"
	case isGzip(data):
		return ".pcap.gz"
	}
	return ".pcap"
}

func metaFile(d *Live) ([]byte, error) {
	var m struct {
		Platform  string   `yaml:"platform,omitempty"`
		Role      string   `yaml:"role,omitempty"`
		Addresses []string `yaml:"addresses,omitempty"`
	}
	m.Platform, m.Role = string(d.Platform), string(d.Role)
	for _, a := range d.Addresses {
		m.Addresses = append(m.Addresses, a.String())
	}
	data, err := yaml.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write device.yaml of %s: %w", d.Name, err)
	}
	return data, nil
}

// session writes answers as a terminal session with prompts. A line of an answer that looks
// like one of these prompts is set off by a blank: it must not shift the answers.
func session(d *Live) string {
	var b strings.Builder
	prompt := d.Name + "#"
	for _, a := range d.Answers {
		line := prompt + " " + strings.Join(strings.Fields(a.Command), " ")
		b.WriteString(line)
		if n := len(line); n == 79 || n == 80 {
			b.WriteString("  ") // not as wide as a terminal, whose echo would go on in the next line
		}
		b.WriteByte('\n')
		for _, l := range transcript.Lines(a.Text) {
			if transcript.Prompts(l.Text) {
				b.WriteByte(' ')
			}
			b.WriteString(l.Text)
			b.WriteByte('\n')
		}
	}
	b.WriteString(prompt)
	b.WriteByte('\n')
	return b.String()
}

// Write saves the files of a bundle under dir, readable by the owner alone. dir is made when
// it is missing. No file can come to lie outside of it.
func Write(dir string, files []File) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	defer root.Close()
	for _, f := range files {
		name := filepath.FromSlash(path.Clean(f.Name))
		if d := filepath.Dir(name); d != "." {
			if err := root.MkdirAll(d, 0o700); err != nil {
				return fmt.Errorf("write bundle: %w", err)
			}
		}
		if err := root.WriteFile(name, f.Data, 0o600); err != nil {
			return fmt.Errorf("write bundle: %w", err)
		}
	}
	return nil
}
