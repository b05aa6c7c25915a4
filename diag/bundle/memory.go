package bundle

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"

	"vpnbot/diag/facts"
)

// ReadFiles reads files that are in memory as one bundle, the way Read reads a folder.
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
