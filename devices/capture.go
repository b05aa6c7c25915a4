package devices

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"vpnbot/devices/command"
	"vpnbot/devices/inventory"
	"vpnbot/devices/session"
	"vpnbot/diag/redact"
)

// CaptureSpec says what to capture on one device.
type CaptureSpec struct {
	Interface string
	Own       netip.Addr    // the device's address on that interface, as packets there carry it
	Peer      netip.Addr    // the other end; zero when it is not known (remote access)
	Duration  time.Duration // the device or vpnbot stops it after that at the latest; 0: 10 minutes
	MaxBytes  int64         // of what is brought home per buffer; 0: 20 MiB
	Ring      bool          // overwrite the oldest packets, for captures that wait for something
}

// Sizes of the buffers on the device.
const (
	mainBuffer = 4 << 20
	natBuffer  = 512 << 10
	maxFetch   = 20 << 20
)

// Capture is what was started on one device. Remove must be called on every way out.
type Capture struct {
	Device    string
	StartedAt time.Time
	Notes     []string // what this device's capture cannot see, in words for the user

	f      *Fleet
	d      *device
	spec   CaptureSpec
	target command.Target
	unit   unit // that captures

	mu      sync.Mutex
	parts   []*capturePart
	stopped bool
	timer   *time.Timer
	forget  func() bool // the stop of timer at the fleet's end
}

type capturePart struct {
	name     string
	id       int64 // in the journal
	filter   command.CaptureFilter
	returned bool
}

// CaptureData is one buffer brought home.
type CaptureData struct {
	Name   string // of the capture on the device
	Kind   string // "pcap", or "dump": the text of "show capture … dump" (diag/dump reads it)
	Data   []byte // raw: it holds what an attack on a key needs
	Via    string // "https" or "ssh"
	Reason string // why HTTPS was not used although it is configured; "" else
}

// ErrNoCapture is wrapped when this device cannot or should not capture now; the error
// says why.
var ErrNoCapture = errors.New("no capture")

// StartCapture starts the captures of one end: all IP between the two ends and ICMP to
// the own address, and UDP 4500 from anybody where the platform allows a second filter.
// It is written to the journal before the first command, and refused on a device that
// is busy. Call it for both ends at once, each in its own goroutine.
func (f *Fleet) StartCapture(ctx context.Context, name string, spec CaptureSpec) (*Capture, error) {
	d, err := f.device(name)
	if err != nil {
		return nil, err
	}
	if f.opt.Journal == nil {
		return nil, fmt.Errorf("%s: %w: there is no journal that would remember to remove it", d.conf.Name, ErrNoCapture)
	}
	if spec.Duration <= 0 {
		spec.Duration = 10 * time.Minute
	}
	if spec.MaxBytes <= 0 {
		spec.MaxBytes = maxFetch
	}
	c := &Capture{Device: d.conf.Name, f: f, d: d, spec: spec}
	var partly error // what went wrong after something may have been started
	err = f.with(ctx, d, func(s *session.Session) error {
		err := c.prepare(ctx, s)
		if err != nil || s.Err() != nil {
			return err
		}
		partly = c.start(ctx, s)
		return partly
	})
	if err != nil {
		if len(c.parts) > 0 {
			if e := c.Remove(ctx); e != nil {
				f.log.Warn("a capture that did not start could not be removed yet", "device", c.Device, "error", e)
			}
		}
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f.wg.Add(1)
	c.timer = time.AfterFunc(spec.Duration+30*time.Second, func() {
		defer f.wg.Done()
		ctx, cancel := context.WithTimeout(f.ctx, time.Minute)
		defer cancel()
		if err := c.Stop(ctx); err != nil {
			f.log.Warn("a capture that ran over its time could not be stopped", "device", c.Device, "error", err)
		}
	})
	c.forget = context.AfterFunc(f.ctx, c.stopTimer)
	return c, nil
}

func (c *Capture) stopTimer() {
	c.mu.Lock()
	t, forget := c.timer, c.forget
	c.timer, c.forget = nil, nil
	c.mu.Unlock()
	if forget != nil {
		forget()
	}
	if t != nil && t.Stop() {
		c.f.wg.Done()
	}
}

// prepare looks whether the device can bear a capture, and finds free names.
func (c *Capture) prepare(ctx context.Context, s *session.Session) error {
	c.parts, c.Notes = nil, nil
	no := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w: %s", c.Device, ErrNoCapture, fmt.Sprintf(format, args...))
	}
	if !s.Enabled() {
		return no("the session is not in privileged exec mode; configure enable for its credentials")
	}
	if s.OnStandby() {
		return no("this is the standby unit (%s)", s.Prompt())
	}
	v, err := c.f.versionIn(ctx, c.d, s)
	if err != nil {
		return err
	}
	c.target = command.TargetOf(c.d.conf, v)
	if c.unit, err = c.f.unitOf(ctx, c.d, s); err != nil {
		return err
	}
	read := func(name string) (string, error) {
		cmds, err := command.Evidence(c.target, name, command.Query{})
		if err != nil {
			return "", err
		}
		text := ""
		for _, cmd := range cmds {
			a, _, err := s.Exec(ctx, cmd)
			if err != nil {
				return "", err
			}
			if a.Refused {
				return "", no("the account may not run %q, which must be looked at first; see docs/devices.md", cmd.Line())
			}
			text += a.Text
		}
		return text, nil
	}
	text, err := read("cpu")
	if err != nil {
		return err
	}
	if cpu, ok := cpuPercent(text); !ok {
		return no("its CPU load could not be read")
	} else if cpu > 80 {
		return no("its CPU is at %d %%, over 80 %%", cpu)
	}
	if text, err = read("memory"); err != nil {
		return err
	}
	if free, ok := freePercent(c.d.conf.Platform, text); !ok {
		return no("its free memory could not be read")
	} else if free < 10 {
		return no("only %d %% of its memory is free, under 10 %%", free)
	}
	if text, err = read("captures"); err != nil {
		return err
	}
	return c.choose(text)
}

// choose names the captures and which filter each has.
func (c *Capture) choose(listing string) error {
	taken := captureWords(listing)
	var base string
	for try := 0; ; try++ {
		base = c.f.random()
		if !slices.ContainsFunc(taken, func(w string) bool { return strings.HasPrefix(w, "VB-"+base) }) {
			break
		}
		if try == 20 {
			return fmt.Errorf("%s: %w: no free name", c.Device, ErrNoCapture)
		}
	}
	add := func(letter string, filter command.CaptureFilter) error {
		n, err := command.CaptureName(base, letter)
		if err != nil {
			return err
		}
		c.parts = append(c.parts, &capturePart{name: n, filter: filter})
		return nil
	}
	acl := c.d.conf.CaptureACL
	asa := c.d.conf.Platform == inventory.CiscoASA
	switch {
	case acl != "" && (!asa || c.target.Version.Before(7, 2)):
		return add("o", command.ListTraffic)
	case !c.spec.Peer.IsValid():
		if !asa {
			return fmt.Errorf("%s: %w: the client's address is not known; prepare an access list and name it in capture_acl", c.Device, ErrNoCapture)
		}
		return add("c", command.ClientIKE)
	case !asa:
		c.Notes = append(c.Notes, "on "+c.Device+" only packets between the two ends are captured: ICMP errors from routers between are not seen; an access list named in capture_acl would take them too")
		return add("o", command.PeerTraffic)
	}
	if err := add("o", command.PeerTraffic); err != nil {
		return err
	}
	return add("n", command.NATTraffic)
}

func (c *Capture) start(ctx context.Context, s *session.Session) error {
	parts := c.parts
	c.parts = nil
	for _, p := range parts {
		size := int64(mainBuffer)
		if p.filter == command.NATTraffic {
			size = natBuffer
		}
		cmds, err := command.CaptureStart(c.target, command.CaptureOptions{Name: p.name, Interface: c.spec.Interface, Own: c.spec.Own, Peer: c.spec.Peer,
			Filter: p.filter, ACL: c.d.conf.CaptureACL, Bytes: min(size, max(c.spec.MaxBytes, 64<<10)), Duration: c.spec.Duration, Ring: c.spec.Ring})
		if err != nil {
			return fmt.Errorf("%s: %w: %w", c.Device, ErrNoCapture, err)
		}
		at := c.f.now()
		p.id, err = c.f.opt.Journal.Lend(ctx, command.Lent{Device: c.Device, Name: p.name, Interface: c.spec.Interface, Context: c.d.conf.Context, Unit: c.unit.serial, Prompt: c.unit.prompt, StartedAt: at})
		if err != nil {
			return fmt.Errorf("%s: %w: it could not be written down: %w", c.Device, ErrNoCapture, err)
		}
		c.parts = append(c.parts, p)
		if c.StartedAt.IsZero() {
			c.StartedAt = at
		}
		for _, cmd := range cmds {
			a, _, err := s.Exec(ctx, cmd)
			if err != nil {
				return err
			}
			if a.Refused || strings.Contains(a.Text, "Unable to activate") {
				return fmt.Errorf("%s: %w: the device refused %q: %s", c.Device, ErrNoCapture, cmd.Line(), firstWords(a.Text))
			}
		}
	}
	return nil
}

// firstWords of a refusal, without secrets: a log line may stand between.
func firstWords(s string) string {
	s = redact.Strip(redact.New([]byte("not shown")).Text(s[:min(len(s), 400)]))
	s = strings.Join(strings.Fields(s), " ")
	return s[:min(len(s), 100)]
}

// Stop ends the captures and keeps their packets on the device. It may be called again.
func (c *Capture) Stop(ctx context.Context) error {
	c.mu.Lock()
	stopped := c.stopped
	c.mu.Unlock()
	if stopped {
		return nil
	}
	err := c.each(ctx, func(s *session.Session, p *capturePart) error {
		cmds, err := command.CaptureStop(c.target, p.name, c.spec.Interface)
		return c.run(ctx, s, cmds, err)
	})
	if err == nil {
		c.mu.Lock()
		c.stopped = true
		c.mu.Unlock()
		c.stopTimer()
	}
	return err
}

func (c *Capture) each(ctx context.Context, fn func(*session.Session, *capturePart) error) error {
	return c.f.onUnit(ctx, c.d, c.unit, func(s *session.Session) error {
		for _, p := range c.parts {
			if err := fn(s, p); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *Capture) run(ctx context.Context, s *session.Session, cmds []command.Command, err error) error {
	for _, cmd := range cmds {
		if err != nil {
			return err
		}
		_, _, err = s.Exec(ctx, cmd)
	}
	return err
}

// Fetch brings the packets home: by HTTPS where a CA or fingerprint is configured, else
// as text over SSH. Parts that could be read come even when another could not.
func (c *Capture) Fetch(ctx context.Context) ([]CaptureData, error) {
	var out []CaptureData
	var errs []error
	for _, p := range c.parts {
		reason := ""
		if c.canHTTPS() {
			data, err := c.f.download(ctx, c.d, p.name, c.spec.MaxBytes)
			if err == nil {
				out = append(out, CaptureData{Name: p.name, Kind: "pcap", Data: data, Via: "https"})
				continue
			}
			reason = err.Error()
			if ctx.Err() != nil {
				errs = append(errs, err)
				continue
			}
			c.f.log.Warn("the capture is read over SSH instead of HTTPS", "device", c.Device, "error", err)
		}
		cmd, err := command.CaptureDump(c.target, p.name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		err = c.f.onUnit(ctx, c.d, c.unit, func(s *session.Session) error {
			a, _, err := s.Exec(ctx, cmd)
			if err != nil {
				return err
			}
			late, err := s.Fence(ctx)
			if err != nil {
				return err
			}
			s.Late(&a, late)
			if a.Refused {
				return &Error{Device: c.Device, Reason: Privilege, Tried: cmd.Line(), Hint: "the account needs \"show capture\"; see docs/devices.md", Err: errors.New("the device refused")}
			}
			// A dump writes 16 bytes in about 70 characters.
			if int64(len(a.Text)) > c.spec.MaxBytes*6 {
				return &Error{Device: c.Device, Reason: NotUnderstood, Tried: cmd.Line(), Hint: "raise captures.max_bytes or capture for a shorter time", Err: errors.New("the capture is larger than the limit")}
			}
			out = append(out, CaptureData{Name: p.name, Kind: "dump", Data: []byte(a.Text), Via: "ssh", Reason: reason})
			return nil
		})
		if err != nil {
			errs = append(errs, err)
		}
	}
	return out, errors.Join(errs...)
}

// Remove deletes the captures, looks that they are gone, and tells the journal. It works
// with a cancelled context too. What could not be removed is the error; it is tried again
// until the fleet is closed, and stays in the journal for CleanUp.
func (c *Capture) Remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	c.stopTimer()
	err := c.f.remove(ctx, c.d, c.lent(func(p *capturePart) { p.returned = true }))
	if err != nil {
		c.f.removeLater(c.d, c.lent(func(*capturePart) {}))
	}
	return err
}

// lent are the parts that were not returned yet.
func (c *Capture) lent(returned func(*capturePart)) []lentPart {
	var out []lentPart
	for _, p := range c.parts {
		if !p.returned {
			out = append(out, lentPart{p.id, p.name, c.spec.Interface, c.unit, func() { returned(p) }})
		}
	}
	return out
}

// removeLater goes on trying to remove what a device kept: it may have been away, which is
// when people capture.
func (f *Fleet) removeLater(d *device, lent []lentPart) {
	if f.ctx.Err() != nil {
		return // it stays in the journal
	}
	first := f.opt.RemoveAgain
	if first <= 0 {
		first = time.Minute
	}
	f.wg.Go(func() {
		for wait := first; ; wait = min(2*wait, 60*first) {
			select {
			case <-f.ctx.Done():
				return
			case <-time.After(wait):
			}
			ctx, cancel := context.WithTimeout(f.ctx, time.Minute)
			err := f.remove(ctx, d, lent)
			cancel()
			if err == nil {
				f.log.Info("captures that had stayed on a device are removed", "device", d.conf.Name)
				return
			}
			f.log.Warn("captures are still on a device", "device", d.conf.Name, "error", err)
		}
	})
}

type lentPart struct {
	id          int64
	name, iface string
	unit        unit // that captures
	returned    func()
}

// remove deletes captures from the units that hold them: at the device's address, and
// after a failover at its standby address.
func (f *Fleet) remove(ctx context.Context, d *device, lent []lentPart) error {
	if len(lent) == 0 {
		return nil
	}
	var here unit
	var rest []lentPart // on another unit than the one that was reached
	removeIn := func(s *session.Session) error {
		var err error
		if here, err = f.unitOf(ctx, d, s); err != nil {
			return err
		}
		rest, err = f.removeIn(ctx, d, s, here, lent)
		return err
	}
	err := f.with(ctx, d, removeIn)
	if err != nil || len(rest) == 0 {
		return err
	}
	var standby error
	if d.conf.Standby != "" {
		lent = rest
		if standby = f.atStandby(ctx, d, removeIn); standby == nil && len(rest) == 0 {
			return nil
		} else if standby != nil {
			rest = lent
		}
	}
	var names []string
	for _, l := range rest {
		names = append(names, l.name)
	}
	what := strings.Join(names, ", ")
	return f.onOtherUnit(d, "remove "+what, ": it is removed when that unit is reached again, or remove it there with \"no capture "+names[0]+"\"", rest[0].unit, here, standby)
}

// removeIn removes the captures that the unit of a session lists, and returns those that
// are another unit's.
func (f *Fleet) removeIn(ctx context.Context, d *device, s *session.Session, here unit, lent []lentPart) (rest []lentPart, err error) {
	v, err := f.versionIn(ctx, d, s)
	if err != nil {
		return nil, err
	}
	t := command.TargetOf(d.conf, v)
	before, err := f.listIn(ctx, s, t)
	if err != nil {
		return nil, err
	}
	for _, l := range lent {
		if !slices.Contains(before, l.name) {
			continue
		}
		cmds, err := command.CaptureRemove(t, l.name, l.iface)
		if err != nil {
			return nil, err
		}
		for _, cmd := range cmds {
			if _, _, err := s.Exec(ctx, cmd); err != nil {
				return nil, err
			}
		}
	}
	after, err := f.listIn(ctx, s, t)
	if err != nil {
		return nil, err
	}
	var left []string
	for _, l := range lent {
		switch {
		case slices.Contains(after, l.name):
			left = append(left, l.name)
			continue
		case l.unit.other(here),
			// Where no serial number can be read only the prompt may tell.
			(l.unit.serial == "" || here.serial == "") && l.unit.prompt != "" && l.unit.prompt != here.prompt && !slices.Contains(before, l.name):
			rest = append(rest, l)
			continue
		}
		// Removed here, or a reload took it.
		if err := f.opt.Journal.Returned(ctx, l.id); err != nil {
			return nil, fmt.Errorf("%s: capture %s is removed, and this could not be written down: %w", d.conf.Name, l.name, err)
		}
		if l.returned != nil {
			l.returned()
		}
	}
	if len(left) > 0 {
		return nil, &Error{Device: d.conf.Name, Reason: Privilege, Tried: "remove " + strings.Join(left, ", "), Hint: "remove it by hand with \"no capture\"; see docs/devices.md for the privilege", Err: errors.New("the device still lists it")}
	}
	return rest, nil
}

// listIn gives the words of the device's list of captures that are our names.
func (f *Fleet) listIn(ctx context.Context, s *session.Session, t command.Target) ([]string, error) {
	cmds, err := command.Evidence(t, "captures", command.Query{})
	if err != nil {
		return nil, err
	}
	var ours []string
	for _, cmd := range cmds {
		a, _, err := s.Exec(ctx, cmd)
		if err != nil {
			return nil, err
		}
		if a.Refused {
			return nil, &session.Failure{Reason: session.Privilege, Tried: cmd.Line(), Hint: "the account needs it to see and remove its own captures (docs/devices.md), or the image has no captures (IOS before 12.4(20)T)", Err: errors.New("the device refused")}
		}
		for _, w := range captureWords(a.Text) {
			if t.Platform == inventory.CiscoIOS && !command.IsOurs(w) { // a capture point of ours: the buffer's name and a letter
				w = strings.TrimRight(w, "CP")
			}
			if command.IsOurs(w) && !slices.Contains(ours, w) {
				ours = append(ours, w)
			}
		}
	}
	return ours, nil
}

// captureWords are the words of a listing that begin like our names.
func captureWords(listing string) []string {
	words := strings.FieldsFunc(listing, func(r rune) bool {
		return !(r == '-' || r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	})
	return slices.DeleteFunc(words, func(w string) bool { return !strings.HasPrefix(w, "VB-") })
}

// Leftovers lists the captures on a device whose names are ours, running ones included.
func (f *Fleet) Leftovers(ctx context.Context, name string) ([]string, error) {
	d, err := f.device(name)
	if err != nil {
		return nil, err
	}
	var ours []string
	err = f.with(ctx, d, func(s *session.Session) error {
		v, err := f.versionIn(ctx, d, s)
		if err != nil {
			return err
		}
		ours, err = f.listIn(ctx, s, command.TargetOf(d.conf, v))
		return err
	})
	return ours, err
}

// CleanUp removes the captures that the journal says were lent and never returned: those
// of a run that was killed. Call it at the start, before anything captures. Devices that
// do not answer keep theirs in the journal and are in the error.
func (f *Fleet) CleanUp(ctx context.Context) error {
	if f.opt.Journal == nil {
		return nil
	}
	out, err := f.opt.Journal.Outstanding(ctx)
	if err != nil {
		return fmt.Errorf("captures to remove: %w", err)
	}
	byDevice := map[*device][]lentPart{}
	var errs []error
	for id, l := range out {
		d, err := f.device(l.Device)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("capture %s was left on a device that is no longer configured: %w", l.Name, err))
		case !command.IsOurs(l.Name):
			errs = append(errs, fmt.Errorf("%s: capture %q is not one of ours and is not touched", l.Device, l.Name))
		default:
			byDevice[d] = append(byDevice[d], lentPart{id: id, name: l.Name, iface: l.Interface, unit: unit{l.Unit, l.Prompt}})
		}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for d, lent := range byDevice {
		wg.Go(func() {
			if err := f.remove(ctx, d, lent); err != nil {
				f.removeLater(d, lent)
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// random gives four small letters and digits.
func (f *Fleet) random() string {
	if f.opt.Random != nil {
		return f.opt.Random()
	}
	const alphabet = "abcdefghijklmnopqrstuvwxyz234567"
	var b [4]byte
	_, _ = rand.Read(b[:]) // it never fails
	for i := range b {
		b[i] = alphabet[b[i]&31]
	}
	return string(b[:])
}

var (
	percent    = regexp.MustCompile(`(\d{1,3})%`)
	asaFree    = regexp.MustCompile(`(?i)free memory:?\s+\d+ bytes\s+\(\s*(\d{1,3})%\)`)
	iosMemory  = regexp.MustCompile(`(?m)^\s*Processor\s+[0-9A-Fa-f]+\s+(\d+)\s+\d+\s+(\d+)`)
	iosPercent = regexp.MustCompile(`(?i)CPU utilization for five seconds: (\d{1,3})%`)
)

func cpuPercent(text string) (int, bool) {
	m := iosPercent.FindStringSubmatch(text)
	if m == nil {
		i := strings.Index(text, "CPU utilization")
		if i < 0 {
			return 0, false
		}
		m = percent.FindStringSubmatch(text[i:])
	}
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(m[1])
	return n, err == nil
}

func freePercent(p inventory.Platform, text string) (int, bool) {
	if p == inventory.CiscoASA {
		m := asaFree.FindStringSubmatch(text)
		if m == nil {
			return 0, false
		}
		n, err := strconv.Atoi(m[1])
		return n, err == nil
	}
	m := iosMemory.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	total, err1 := strconv.ParseUint(m[1], 10, 64)
	free, err2 := strconv.ParseUint(m[2], 10, 64)
	if err1 != nil || err2 != nil || total == 0 {
		return 0, false
	}
	return int(free * 100 / total), true
}
