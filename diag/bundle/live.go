package bundle

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"vpnbot/diag/facts"
)

// File is one file of a bundle that is not on disk; names have forward slashes.
type File struct {
	Name string
	Data []byte
}

// ReadFiles reads files that are in memory as one bundle, the way Read would read them
// from a folder: a live run's evidence is judged exactly as its saved copy will be.
func ReadFiles(files []File, opt Options) (*facts.Set, error) {
	if len(opt.Key) == 0 {
		return nil, errors.New("read bundle: no key for the run was given")
	}
	// An archive without compression is the standard library's file system in memory.
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, f := range files {
		dst, err := w.CreateHeader(&zip.FileHeader{Name: f.Name, Method: zip.Store})
		if err != nil {
			return nil, fmt.Errorf("bundle in memory: %s: %w", f.Name, err)
		}
		if _, err := dst.Write(f.Data); err != nil {
			return nil, fmt.Errorf("bundle in memory: %s: %w", f.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("bundle in memory: %w", err)
	}
	fsys, err := zip.NewReader(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		return nil, fmt.Errorf("bundle in memory: %w", err)
	}
	r := newReading(opt)
	defer r.close()
	items, err := r.walk(fsys, "", "", 0)
	if err != nil {
		return nil, err
	}
	for _, it := range items {
		r.load(it)
	}
	r.finish()
	return r.set, nil
}

// Answer is one command of a live session and what the device said, secrets replaced.
type Answer struct {
	Command string
	Text    string
}

// promptLike lines of an answer could be taken for the next prompt.
var promptLike = regexp.MustCompile(`(?m)^(\S{1,80}[#>])`)

// Session writes a live session as one transcript with prompts. A line that looks like a
// prompt is moved by one blank, so that it shifts no answer when the file is read again.
func Session(device string, answers []Answer) []byte {
	var b bytes.Buffer
	for _, a := range answers {
		fmt.Fprintf(&b, "%s# %s\n", device, a.Command)
		text := strings.ReplaceAll(strings.ReplaceAll(a.Text, "\r\n", "\n"), "\r", "\n")
		b.WriteString(promptLike.ReplaceAllString(strings.TrimRight(text, "\n"), " $1"))
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%s# \n", device)
	return b.Bytes()
}

// Meta writes a device.yaml; platform is asa, ios or other.
func Meta(platform string, role facts.Role, addresses []string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "platform: %s\n", platform)
	if len(addresses) > 0 {
		fmt.Fprintf(&b, "address: %s\n", addresses[0])
	}
	if len(addresses) > 1 {
		fmt.Fprintf(&b, "addresses: [%s]\n", strings.Join(slices.Clone(addresses), ", "))
	}
	if role != "" {
		fmt.Fprintf(&b, "role: %s\n", role)
	}
	return b.Bytes()
}
