// Package bundle reads evidence into facts: the folders and files of a saved bundle, and
// the answers of live sessions, by one and the same way.
//
// In come paths (contracts: the evidence bundle) or live answers; out comes a facts.Set.
// A folder directly under the bundle is a device, loose texts together are one unnamed
// device, a loose capture is a vantage point of its own. What cannot be read becomes an
// error of the set with file and place, and the rest goes on. Secrets are replaced before
// anything parses the text.
package bundle

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/redact"
	"vpnbot/diag/transcript"
)

// Options of one reading.
type Options struct {
	// Key is the key of the run for comparing secrets: 16 or more fresh random bytes.
	Key []byte
	// IKEPorts and CTCPPorts are ports beside the usual ones, for captures.
	IKEPorts, CTCPPorts []uint16
	// MaxText bounds the bytes of one text file; 0 is 128 MiB.
	MaxText int64
	// MaxTotal bounds the bytes of all text files together; 0 is 1 GiB.
	MaxTotal int64
}

// Bounds of a bundle.
const (
	defaultMaxText  = 128 << 20
	defaultMaxTotal = 1 << 30
	maxFiles        = 20000
	maxDepth        = 6
	maxErrors       = 500
)

// ErrNoEvidence says that the paths held no file at all.
var ErrNoEvidence = errors.New("no evidence files")

// item is one file of the bundle.
type item struct {
	fsys   fs.FS
	name   string // in fsys
	source string // as reports name it
	device string // folder, "" for loose files
	root   int    // which PATH it came from
}

// text is a decoded text file.
type text struct {
	item
	body string
}

// group is what belongs to one device.
type group struct {
	name  string
	meta  *meta
	texts []text
	files int
}

// Read reads the files and folders at paths as one bundle. It fails only when a path does
// not exist or there is no file at all; everything else is reported in Set.Errors.
func Read(paths []string, opt Options) (*facts.Set, error) {
	if len(opt.Key) == 0 {
		return nil, errors.New("read bundle: no key for the run was given")
	}
	r := newReading(opt)
	defer r.close()
	items, err := r.list(paths)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 && len(r.set.Errors) == 0 {
		return nil, fmt.Errorf("read bundle %s: %w; name files, or folders of files", strings.Join(paths, " "), ErrNoEvidence)
	}
	for _, it := range items {
		r.load(it)
	}
	r.finish()
	return r.set, nil
}

// Open opens a file of the bundle at paths by its source, as facts and findings name it.
// The error wraps fs.ErrNotExist when there is none.
func Open(paths []string, source string) (io.ReadCloser, error) {
	r := newReading(Options{})
	defer r.close()
	items, err := r.list(paths)
	if err != nil {
		return nil, err
	}
	for _, it := range items {
		if it.source == source {
			return it.fsys.Open(it.name)
		}
	}
	return nil, fmt.Errorf("%s: %w", source, fs.ErrNotExist)
}

// reading is one reading of a bundle.
type reading struct {
	opt     Options
	red     *redact.Redactor
	set     *facts.Set
	groups  []*group
	byName  map[string]*group
	total   int64
	ordinal int // PATH whose saved tokens count, -1 not yet known
	roots   []*os.Root
}

func (r *reading) close() {
	for _, root := range r.roots {
		_ = root.Close()
	}
}

func newReading(opt Options) *reading {
	if opt.MaxText == 0 {
		opt.MaxText = defaultMaxText
	}
	if opt.MaxTotal == 0 {
		opt.MaxTotal = defaultMaxTotal
	}
	return &reading{opt: opt, red: redact.New(opt.Key), set: &facts.Set{}, byName: map[string]*group{}, ordinal: -1}
}

func (r *reading) fail(source string, line int, kind, format string, args ...any) {
	if len(r.set.Errors) < maxErrors {
		r.set.Errors = append(r.set.Errors, facts.Error{Source: source, Line: line, Kind: kind, Message: fmt.Sprintf(format, args...)})
	}
}

func (r *reading) group(name string) *group {
	g := r.byName[name]
	if g == nil {
		g = &group{name: name}
		r.byName[name] = g
		r.groups = append(r.groups, g)
	}
	return g
}

// list finds the files. Symbolic links below the given paths are not followed.
func (r *reading) list(paths []string) ([]item, error) {
	type root struct {
		path  string
		dir   bool
		loose bool // a folder with files and no folders
	}
	var roots []root
	dirs := 0
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, fmt.Errorf("read bundle: %w", err)
		}
		rt := root{path: p, dir: info.IsDir()}
		if rt.dir {
			dirs++
			entries, err := os.ReadDir(p)
			if err != nil {
				return nil, fmt.Errorf("read bundle: %w", err)
			}
			rt.loose = len(entries) > 0
			for _, e := range entries {
				if e.IsDir() && !hidden(e.Name()) {
					rt.loose = false
				}
			}
		}
		roots = append(roots, rt)
	}
	var items []item
	for n, rt := range roots {
		if !rt.dir {
			dir, base := filepath.Split(rt.path)
			if dir == "" {
				dir = "."
			}
			items = append(items, item{fsys: os.DirFS(dir), name: base, source: base, root: n})
			continue
		}
		fsys, err := os.OpenRoot(rt.path)
		if err != nil {
			return nil, fmt.Errorf("read bundle: %w", err)
		}
		r.roots = append(r.roots, fsys) // keeps every name within the folder, whatever happens to it meanwhile
		base := baseName(rt.path)
		// A folder that says it is a device, or one of several that hold nothing but files, is a device.
		_, metaErr := os.Stat(filepath.Join(rt.path, "device.yaml"))
		device := ""
		if rt.loose && (dirs > 1 || metaErr == nil) {
			device = base
		}
		prefix := ""
		if dirs > 1 {
			prefix = base + "/"
		}
		found, err := r.walk(fsys.FS(), device, prefix, n)
		if err != nil {
			return nil, err
		}
		items = append(items, found...)
	}
	return items, nil
}

func baseName(p string) string {
	abs, err := filepath.Abs(p)
	if err != nil {
		return filepath.Base(p)
	}
	return filepath.Base(abs)
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") }

func (r *reading) walk(fsys fs.FS, device, prefix string, root int) ([]item, error) {
	var items []item
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		source := prefix + name
		if err != nil {
			r.fail(source, 0, "", "cannot be read: %v", cause(err))
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if name == "." {
			return nil
		}
		if hidden(d.Name()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			if strings.Count(name, "/") >= maxDepth {
				r.fail(source, 0, "", "folders are nested too deeply")
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			r.fail(source, 0, "", "is no regular file (symbolic links are not followed)")
			return nil
		}
		if len(items) >= maxFiles {
			r.fail(source, 0, "truncated", "more than %d files; the rest is not read", maxFiles)
			return fs.SkipAll
		}
		it := item{fsys: fsys, name: name, source: source, device: device, root: root}
		if first, _, ok := strings.Cut(name, "/"); ok {
			it.device = first
		}
		items = append(items, it)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	descend(items, device)
	slices.SortStableFunc(items, func(a, b item) int { return natural(a.source, b.source) })
	return items, nil
}

// descend names the devices where somebody gave the folder above the bundle: nothing but
// one folder, with devices' folders in it that say so. Read as it stands, two ends would
// become one device, and what is said of it would be wrong.
func descend(items []item, device string) {
	if device != "" {
		return
	}
	only, described := "", false
	for _, it := range items {
		parts := strings.Split(it.name, "/")
		if len(parts) == 1 && aside(it.name) {
			continue
		}
		meta := parts[len(parts)-1] == "device.yaml"
		if only == "" {
			only = parts[0]
		}
		if parts[0] != only || len(parts) < 3 && (meta || !aside(it.name)) {
			return
		}
		described = described || len(parts) == 3 && meta
	}
	for i := range items {
		if parts := strings.Split(items[i].name, "/"); described && len(parts) > 2 {
			items[i].device = parts[1]
		}
	}
}

// aside tells whether a file is no evidence by its name.
func aside(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// natural compares names so that "sa-2" stands before "sa-10".
func natural(a, b string) int {
	for a != "" && b != "" {
		da, db := digits(a), digits(b)
		if da > 0 && db > 0 {
			na, nb := strings.TrimLeft(a[:da], "0"), strings.TrimLeft(b[:db], "0")
			if len(na) != len(nb) {
				return len(na) - len(nb)
			}
			if c := strings.Compare(na, nb); c != 0 {
				return c
			}
			a, b = a[da:], b[db:]
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

func digits(s string) int {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return i
}

// load reads one file: device.yaml, a capture, or a text that is kept for finish.
func (r *reading) load(it item) {
	base := path.Base(it.name)
	if aside(base) {
		if base == "device.yaml" && it.device != "" {
			r.loadMeta(it)
		}
		return
	}
	f, err := it.fsys.Open(it.name)
	if err != nil {
		r.fail(it.source, 0, "", "cannot be opened: %v", cause(err))
		return
	}
	defer f.Close()
	br := bufio.NewReaderSize(f, 1<<16)
	head, _ := br.Peek(512)
	switch {
	case isCapture(head):
		r.capture(it, br)
		return
	case isGzip(head):
		if gzipHoldsCapture(it) {
			r.capture(it, br)
			return
		}
		zr, err := gzip.NewReader(br)
		if err != nil {
			r.fail(it.source, 0, "not-understood", "damaged gzip file: %v", err)
			return
		}
		r.loadText(it, zr)
		return
	}
	r.loadText(it, br)
}

func isCapture(head []byte) bool {
	for _, magic := range []string{"\xd4\xc3\xb2\xa1", "\xa1\xb2\xc3\xd4", "\x4d\x3c\xb2\xa1", "\xa1\xb2\x3c\x4d", "\x34\xcd\xb2\xa1", "\xa1\xb2\xcd\x34", "\x0a\x0d\x0d\x0a"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return false
}

func isGzip(head []byte) bool { return len(head) > 2 && head[0] == 0x1f && head[1] == 0x8b }

// gzipHoldsCapture looks into a gzip file.
func gzipHoldsCapture(it item) bool {
	f, err := it.fsys.Open(it.name)
	if err != nil {
		return false
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		return false
	}
	inner := make([]byte, 8)
	n, _ := io.ReadFull(zr, inner)
	return isCapture(inner[:n])
}

func (r *reading) loadText(it item, src io.Reader) {
	limit := min(r.opt.MaxText, r.opt.MaxTotal-r.total)
	if limit <= 0 {
		r.fail(it.source, 0, "truncated", "not read: the bundle's texts are larger than %d MiB together", r.opt.MaxTotal>>20)
		return
	}
	var buf strings.Builder
	if it.fsys != nil {
		if f, err := fs.Stat(it.fsys, it.name); err == nil && f.Size() < limit {
			buf.Grow(int(f.Size()))
		}
	}
	_, err := io.Copy(&buf, io.LimitReader(src, limit+1))
	data := buf.String()
	if err != nil && len(data) == 0 {
		r.fail(it.source, 0, "", "cannot be read: %v", cause(err))
		return
	}
	if err != nil {
		r.fail(it.source, 0, "truncated", "could be read in part only: %v", cause(err))
	}
	if int64(len(data)) > limit {
		data = data[:limit]
		r.fail(it.source, 0, "truncated", "only the first %d MiB were read", limit>>20)
	}
	r.total += int64(len(data))
	body, err := transcript.Decode(data)
	if err != nil {
		what := "neither a capture nor a text"
		if n := strings.ToLower(it.name); strings.Contains(n, ".pcap") || strings.HasSuffix(n, ".cap") {
			what = "no packet capture (pcap or pcapng), whatever its name says"
		}
		r.fail(it.source, 0, "not-understood", "%s", what)
		return
	}
	g := r.group(it.device)
	g.files++
	if strings.TrimSpace(body) == "" {
		if fileCommand(path.Base(it.name)) == "" {
			r.fail(it.source, 0, "not-understood", "the file is empty")
			return
		}
	}
	if redact.HasOrdinals(body) {
		// Saved tokens are numbers within their own run: those of another bundle are not comparable.
		if r.ordinal < 0 {
			r.ordinal = it.root
		} else if r.ordinal != it.root {
			body = redact.Strip(body)
		}
	}
	g.texts = append(g.texts, text{item: it, body: r.red.Text(body)})
}

// finish parses all texts, when every secret is known.
func (r *reading) finish() {
	for _, g := range r.groups {
		if len(g.texts) == 0 && g.meta == nil && g.name == "" {
			continue
		}
		r.set.Devices = append(r.set.Devices, r.device(g))
	}
	// A capture within a device's folder knows its device's addresses.
	for _, c := range r.set.Captures {
		for _, d := range r.set.Devices {
			if c.Device != "" && c.Device == d.Name {
				c.Own = d.Addresses
			}
		}
	}
	slices.SortStableFunc(r.set.Devices, func(a, b *facts.Device) int { return strings.Compare(a.Name, b.Name) })
}
