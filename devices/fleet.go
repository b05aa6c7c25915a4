package devices

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"vpnbot/devices/command"
	"vpnbot/devices/inventory"
	"vpnbot/devices/session"
)

// Options of a Fleet. Only what a use needs must be set: without Gate no disruptive
// command is possible, without Journal no capture.
type Options struct {
	Gate        Gate
	Journal     Journal
	Memory      Memory // of refused passwords over a restart; nil: none
	Logger      *slog.Logger
	Now         func() time.Time
	Dir         string        // relative paths of the configuration start here
	AgentSocket string        // of ssh-agent, for credentials without password and key; "": SSH_AUTH_SOCK
	Random      func() string // four small letters or digits for capture names; nil: from crypto/rand
	MaxOutput   int           // bytes of one output; 0: 64 MiB
	RemoveAgain time.Duration // after that a capture that could not be removed is tried again, then ever more seldom; 0: a minute
}

// Fleet is the one way to the devices: it queues, logs in politely, keeps idle sessions,
// and lets nothing disruptive pass but through the gate. It is safe for many goroutines.
type Fleet struct {
	inv     *inventory.Inventory
	opt     Options
	log     *slog.Logger
	now     func() time.Time
	devices map[string]*device
	hosts   map[string]*session.KnownHosts
	atOnce  chan struct{} // max_devices_at_once
	pace    pace
	lockout *lockout
	refused refusals

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// device is one device's queue and its sessions.
type device struct {
	conf  inventory.Device
	ssh   inventory.SSH
	slots chan struct{} // sessions_per_device; waiting on it is the queue, in order of arrival

	mu      sync.Mutex
	idle    []*idleSession
	version command.Version

	httpsRefused bool // the device refused our credentials for HTTPS
}

type idleSession struct {
	s     *session.Session
	timer *time.Timer
}

// New makes the fleet of an inventory. It opens no connection.
func New(inv *inventory.Inventory, opt Options) (*Fleet, error) {
	if inv == nil {
		return nil, errors.New("devices: an inventory is needed")
	}
	f := &Fleet{inv: inv, opt: opt, log: opt.Logger, now: opt.Now, devices: map[string]*device{}, hosts: map[string]*session.KnownHosts{}}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	if f.now == nil {
		f.now = time.Now
	}
	if f.opt.AgentSocket == "" {
		f.opt.AgentSocket = os.Getenv("SSH_AUTH_SOCK")
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.atOnce = make(chan struct{}, max(1, inv.SSH().MaxDevicesAtOnce))
	f.pace = pace{perSecond: inv.SSH().LoginsPerSecond, now: time.Now}
	f.lockout = newLockout(f.now)
	f.refused.mem = opt.Memory
	for _, d := range inv.Devices() {
		s := inv.SSHFor(d)
		f.devices[strings.ToLower(d.Name)] = &device{conf: d, ssh: s, slots: make(chan struct{}, max(1, s.SessionsPerDevice))}
		path := f.path(s.KnownHosts)
		if f.hosts[path] == nil {
			f.hosts[path] = session.NewKnownHosts(path)
		}
	}
	return f, nil
}

func (f *Fleet) path(p string) string {
	if p == "" || filepath.IsAbs(p) || f.opt.Dir == "" {
		return p
	}
	return filepath.Join(f.opt.Dir, p)
}

// Close logs out of all idle sessions. Running exchanges end with their own contexts.
func (f *Fleet) Close() error {
	f.cancel()
	var idle []*session.Session
	for _, d := range f.devices {
		d.mu.Lock()
		for _, i := range d.idle {
			if i.timer.Stop() {
				f.wg.Done()
			} // else it is about to look for itself in the list, in vain
			idle = append(idle, i.s)
		}
		d.idle = nil
		d.mu.Unlock()
	}
	var wg sync.WaitGroup
	for _, s := range idle {
		wg.Go(func() { _ = s.Close() })
	}
	wg.Wait()
	f.wg.Wait()
	return nil
}

func (f *Fleet) device(name string) (*device, error) {
	if d, ok := f.devices[strings.ToLower(name)]; ok {
		return d, nil
	}
	_, err := f.inv.Device(name)
	return nil, err
}

// Run sends reading and probing commands to one device, in order, in one session, and
// gives their outputs with secrets replaced by redactor. A command that the device
// rejects yields an output with Refused set and the others go on. When the session
// fails, the outputs so far come with an *Error.
func (f *Fleet) Run(ctx context.Context, name string, redactor func(string) string, cmds ...command.Command) ([]Output, error) {
	if redactor == nil {
		return nil, errors.New("devices: outputs are not read without a redactor")
	}
	for _, c := range cmds {
		if c.IsZero() {
			return nil, errors.New("devices: an empty command")
		}
		if e := c.Effect(); e != command.Reads && e != command.Probes {
			return nil, fmt.Errorf("devices: %q %v: it cannot be run this way", c.Line(), e)
		}
	}
	if len(cmds) == 0 {
		return nil, nil
	}
	d, err := f.device(name)
	if err != nil {
		return nil, err
	}
	var out []Output
	err = f.with(ctx, d, func(s *session.Session) error {
		out = out[:0] // a second try after a stale session starts anew
		var err error
		out, err = f.read(ctx, d, s, redactor, cmds)
		return err
	})
	return out, err
}

// read runs commands in a session. An output that ended at a line which looked exactly
// like the prompt is completed when the next echo, or the final fence, shows it.
func (f *Fleet) read(ctx context.Context, d *device, s *session.Session, redactor func(string) string, cmds []command.Command) ([]Output, error) {
	var out []Output
	var last session.Answer
	for i, c := range cmds {
		a, late, err := s.Exec(ctx, c)
		if len(late) > 0 && i > 0 {
			s.Late(&last, late)
			out[i-1] = output(d, cmds[i-1], last, redactor)
		}
		if err != nil {
			if a.Text != "" { // what came before it broke
				out = append(out, output(d, c, a, redactor))
			}
			return out, err
		}
		if a.Refused { // perhaps another image by now: it is read again at the next use
			d.mu.Lock()
			d.version = command.Version{}
			d.mu.Unlock()
		}
		last = a
		out = append(out, output(d, c, a, redactor))
	}
	if n := len(cmds); n > 0 && holdsForeignText(cmds[n-1]) {
		late, err := s.Fence(ctx)
		if err != nil {
			return out, err
		}
		if len(late) > 0 {
			s.Late(&last, late)
			out[n-1] = output(d, cmds[n-1], last, redactor)
		}
	}
	return out, nil
}

// holdsForeignText tells whether strangers may have written lines of an output (names,
// log lines, banners), so that a line may look exactly like the prompt. Others are
// complete at the first prompt, and cost one exchange.
func holdsForeignText(c command.Command) bool {
	switch c.Evidence() {
	case "clock", "version", "ike-sa", "ipsec-sa", "asp-drop", "memory", "cpu", "failover", "ssh-sessions", "routes", "nat", "pools", "captures", "shun", "ping", "packet-tracer", "license":
		return false
	}
	return true
}

func output(d *device, c command.Command, a session.Answer, redactor func(string) string) Output {
	return Output{Device: d.conf.Name, Command: c.Line(), Evidence: c.Evidence(), Effect: c.Effect(), Text: redactor(a.Text),
		SHA256: a.SHA256, At: a.At, Took: a.Took, Refused: a.Refused}
}

// Version of a device's software, read once and remembered. When it cannot be read or
// understood it is the zero Version, with the error.
func (f *Fleet) Version(ctx context.Context, name string) (command.Version, error) {
	d, err := f.device(name)
	if err != nil {
		return command.Version{}, err
	}
	d.mu.Lock()
	v := d.version
	d.mu.Unlock()
	if v.Known() {
		return v, nil
	}
	err = f.with(ctx, d, func(s *session.Session) error {
		v, err = f.versionIn(ctx, d, s)
		return err
	})
	return v, err
}

func (f *Fleet) versionIn(ctx context.Context, d *device, s *session.Session) (command.Version, error) {
	d.mu.Lock()
	v := d.version
	d.mu.Unlock()
	if v.Known() {
		return v, nil
	}
	cmds, err := command.Evidence(command.TargetOf(d.conf, v), "version", command.Query{})
	if err != nil {
		return v, err
	}
	a, _, err := s.Exec(ctx, cmds[0])
	if err != nil {
		return v, err
	}
	v = command.ParseVersion(d.conf.Platform, a.Text)
	d.mu.Lock()
	d.version = v
	d.mu.Unlock()
	return v, nil
}

// Target is what commands for the device are made for: platform, version, VRF.
func (f *Fleet) Target(ctx context.Context, name string) (command.Target, error) {
	d, err := f.device(name)
	if err != nil {
		return command.Target{}, err
	}
	v, err := f.Version(ctx, name)
	return command.TargetOf(d.conf, v), err
}

// with runs fn in a session of the device: an idle one when there is one, else a new one.
// A session that was idle may have died meanwhile; then fn is tried once more in a new
// one, so fn must begin by reading. Errors become *Error.
func (f *Fleet) with(ctx context.Context, d *device, fn func(*session.Session) error) error {
	leave, err := f.enter(ctx, d)
	if err != nil {
		return err
	}
	defer leave()
	for {
		s, reused, err := f.session(ctx, d)
		if err != nil {
			return f.explain(d, err)
		}
		err = fn(s)
		if s.Err() == nil {
			f.giveBack(d, s)
			return f.explain(d, err)
		}
		_ = s.Close()
		var fail *session.Failure
		if reused && ctx.Err() == nil && errors.As(err, &fail) && fail.Reason == session.Closed && s.Silent() {
			continue
		}
		return f.explain(d, err)
	}
}

// enter waits for the device's turn.
func (f *Fleet) enter(ctx context.Context, d *device) (leave func(), err error) {
	select {
	case d.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, f.queueError(d, ctx)
	case <-f.ctx.Done():
		return nil, &Error{Device: d.conf.Name, Reason: Closed, Tried: "log in", Hint: "vpnbot is stopping"}
	}
	select {
	case f.atOnce <- struct{}{}:
	case <-ctx.Done():
		<-d.slots
		return nil, f.queueError(d, ctx)
	}
	return func() { <-f.atOnce; <-d.slots }, nil
}

func (f *Fleet) queueError(d *device, ctx context.Context) error {
	return &Error{Device: d.conf.Name, Reason: Timeout, Tried: "wait for a free session", Hint: "other runs use this device, or too many devices are in use at once", Err: context.Cause(ctx)}
}

// session gives an idle session or logs in.
func (f *Fleet) session(ctx context.Context, d *device) (s *session.Session, reused bool, err error) {
	d.mu.Lock()
	if n := len(d.idle); n > 0 {
		i := d.idle[n-1]
		d.idle = d.idle[:n-1]
		if i.timer.Stop() {
			f.wg.Done()
		}
		d.mu.Unlock()
		i.s.Resume()
		return i.s, true, nil
	}
	d.mu.Unlock()
	places := []at{{address: d.conf.Address}}
	if d.conf.Standby != "" {
		places = append(places, at{address: d.conf.Standby, standby: true})
	}
	s, err = f.login(ctx, d, places...)
	return s, false, err
}

// giveBack keeps a sound session until keep_alive. Whoever takes it off the list of idle
// ones, under the device's lock, has it alone: to use it, or to close it once.
func (f *Fleet) giveBack(d *device, s *session.Session) {
	d.mu.Lock()
	if d.ssh.KeepAlive <= 0 || f.ctx.Err() != nil { // Close cancels before it looks through the lists
		d.mu.Unlock()
		_ = s.Close()
		return
	}
	defer d.mu.Unlock()
	i := &idleSession{s: s}
	f.wg.Add(1)
	i.timer = time.AfterFunc(d.ssh.KeepAlive, func() {
		defer f.wg.Done()
		d.mu.Lock()
		k := slices.Index(d.idle, i)
		if k >= 0 {
			d.idle = slices.Delete(d.idle, k, k+1)
		}
		d.mu.Unlock()
		if k >= 0 {
			_ = s.Close()
		}
	})
	d.idle = append(d.idle, i)
}

// at is an address of a device.
type at struct {
	address string
	standby bool // the standby unit's
}

// login opens a session at the first of the places that answers: paced over the fleet,
// never with a password that was refused.
func (f *Fleet) login(ctx context.Context, d *device, places ...at) (*session.Session, error) {
	cred := f.inv.Credential(d.conf)
	conf, err := f.sessionConfig(d, cred)
	if err != nil {
		return nil, err
	}
	turn, err := f.takeTurns(d, cred, &conf)
	if err != nil {
		return nil, err
	}
	defer turn.end()
	if err := f.pace.wait(ctx); err != nil {
		return nil, &session.Failure{Reason: session.Timeout, Tried: "log in", Hint: "many logins wait: ssh.logins_per_second bounds them", Err: context.Cause(ctx)}
	}
	var first error
	for i, p := range places {
		conf.Address, conf.Standby = p.address, p.standby
		s, err := session.Open(ctx, conf)
		if err == nil {
			turn.accepted()
			if i > 0 {
				f.log.Warn("the device does not answer, its standby address does", "device", d.conf.Name, "standby", p.address)
			}
			return s, nil
		}
		if first == nil {
			first = err
		}
		var fail *session.Failure
		if !errors.As(err, &fail) {
			break
		}
		if fail.Rejected {
			turn.rejected(fail)
			break
		}
		if fail.Reason != session.Unreachable {
			break
		}
	}
	return nil, first
}

// turns is one login's dealings with the lockout: for the device, and for its jump host.
type turns struct {
	f         *Fleet
	own, jump account
	secrets   map[account]string
	releases  []func()
}

// takeTurns looks whether the login is allowed at all, before anything is sent, and makes
// conf ask again right before each secret is shown.
func (f *Fleet) takeTurns(d *device, cred inventory.Credential, conf *session.Config) (*turns, error) {
	t := &turns{f: f, own: account{d.conf.Name, d.conf.Credentials, cred.Username}}
	t.secrets = map[account]string{t.own: strings.Join([]string{cred.Username, cred.Password, cred.Enable, cred.PrivateKey}, "\x00")}
	t.recall(t.own)
	present := func(a account) func(context.Context) error {
		return func(ctx context.Context) error {
			release, err := f.lockout.enter(ctx, a)
			if err == nil {
				t.releases = append(t.releases, release)
			}
			return err
		}
	}
	if err := f.lockout.check(t.own); err != nil {
		return nil, err
	}
	conf.Present = present(t.own)
	if conf.Jump != nil {
		t.jump = account{"jump host " + conf.Jump.Address, "jump", conf.Jump.User}
		if err := f.lockout.check(t.jump); err != nil {
			return nil, err
		}
		conf.Jump.Present = present(t.jump)
	}
	return t, nil
}

// recall takes up what was refused before a restart with the same secret.
func (t *turns) recall(a account) {
	for _, what := range []string{a.place, everywhere(a)} {
		stands, err := t.f.refused.stands(what, t.secrets[a])
		if err != nil {
			t.f.log.Warn("whether a password was refused before cannot be read", "error", err)
			return
		}
		if stands {
			t.f.lockout.restore(a, what == everywhere(a))
		}
	}
}

// everywhere names a credential whose refusals stopped all logins.
func everywhere(a account) string { return "all logins: " + a.credential }

func (t *turns) end() {
	for _, r := range t.releases {
		r()
	}
}

func (t *turns) accepted() {
	t.f.lockout.accepted(t.own)
	if t.jump != (account{}) {
		t.f.lockout.accepted(t.jump)
	}
}

// rejected notes whose password it was that was refused.
func (t *turns) rejected(fail *session.Failure) {
	who := t.own
	if fail.Jump {
		who = t.jump
	}
	stopped := t.f.lockout.rejected(who)
	if secret, ok := t.secrets[who]; ok {
		err := t.f.refused.note(who.place, secret)
		if stopped && err == nil {
			err = t.f.refused.note(everywhere(who), secret)
		}
		if err != nil {
			t.f.log.Error("a refused password cannot be written down: a restart would try it again", "error", err)
		}
	}
	if stopped {
		t.f.log.Error("a password was refused several times in a row: all logins are stopped so that no account is locked; correct the configuration and restart, or when the device was wrong run vpnbot check --connect", "credential", who.credential)
	}
}

func (f *Fleet) sessionConfig(d *device, cred inventory.Credential) (session.Config, error) {
	c := session.Config{
		Platform: d.conf.Platform, Address: d.conf.Address, User: cred.Username, Password: cred.Password, Enable: cred.Enable,
		AgentSocket: f.opt.AgentSocket, Context: d.conf.Context, KnownHosts: f.hosts[f.path(d.ssh.KnownHosts)], Legacy: d.ssh.LegacyAlgorithms,
		ConnectTimeout: d.ssh.ConnectTimeout, CommandTimeout: d.ssh.CommandTimeout, MaxOutput: f.opt.MaxOutput, Now: f.now,
	}
	if err := f.key(&c, cred); err != nil {
		return c, err
	}
	if d.conf.Jump != "" {
		user, addr, _ := strings.Cut(d.conf.Jump, "@")
		j := session.Config{Address: addr, User: user, AgentSocket: c.AgentSocket, KnownHosts: c.KnownHosts, ConnectTimeout: c.ConnectTimeout, CommandTimeout: c.CommandTimeout}
		// A credential named "jump" is for jump hosts; the device's own password is never
		// shown to one.
		if jc, ok := f.inv.CredentialNamed("jump"); ok {
			j.Password = jc.Password
			if err := f.key(&j, jc); err != nil {
				return c, err
			}
		} else if c.Signer != nil {
			j.Signer = c.Signer
		}
		c.Jump = &j
	}
	return c, nil
}

func (f *Fleet) key(c *session.Config, cred inventory.Credential) error {
	if cred.PrivateKey == "" {
		return nil
	}
	path := f.path(cred.PrivateKey)
	failed := func(err error, hint string) error {
		return &session.Failure{Reason: session.Auth, Tried: "read the private key " + path, Hint: hint, Err: err}
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return failed(err, "check private_key under credentials")
	}
	signer, err := ssh.ParsePrivateKey(pem)
	var protected *ssh.PassphraseMissingError
	if errors.As(err, &protected) {
		if cred.Password == "" {
			return failed(errors.New("it has a passphrase"), "write the passphrase as password of this credential, or add the key to ssh-agent and leave private_key out")
		}
		signer, err = ssh.ParsePrivateKeyWithPassphrase(pem, []byte(cred.Password))
	}
	if err != nil {
		return failed(errors.New("it cannot be read as an SSH key"), "OpenSSH and PEM formats are read")
	}
	c.Signer, c.Password = signer, ""
	return nil
}

// explain makes an *Error of a session's failure.
func (f *Fleet) explain(d *device, err error) error {
	if err == nil {
		return nil
	}
	var done *Error
	if errors.As(err, &done) {
		return err
	}
	var fail *session.Failure
	if errors.As(err, &fail) {
		return &Error{Device: d.conf.Name, Reason: Reason(fail.Reason), Tried: fail.Tried, Hint: fail.Hint, Err: fail.Err}
	}
	return fmt.Errorf("%s: %w", d.conf.Name, err)
}
