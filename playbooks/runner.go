package playbooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"vpnbot/devices"
	"vpnbot/devices/command"
	"vpnbot/devices/inventory"
	"vpnbot/diag"
	"vpnbot/diag/engine"
	"vpnbot/diag/facts"
	"vpnbot/diag/redact"
	"vpnbot/diag/report"
)

// Options of a Runner.
type Options struct {
	Inventory *inventory.Inventory
	Fleet     *devices.Fleet
	Books     map[string]Book
	Config    Config
	Journal   Journal   // nil: runs are not resumable (command line)
	Approvals Approvals // nil: nothing is proposed (command line, read-only install)
	TTL       time.Duration
	Logger    *slog.Logger
	Now       func() time.Time
	Random    func([]byte) // crypto/rand.Read that cannot fail
}

// Runner runs playbooks, one run per tunnel at a time.
type Runner struct {
	opt  Options
	mu   sync.Mutex
	busy map[string]string // tunnel → run
	ring map[string]*ring  // tunnel → capture that waits for a fault
}

// New makes a Runner.
func New(opt Options) *Runner {
	return &Runner{opt: opt, busy: map[string]string{}, ring: map[string]*ring{}}
}

// Errors of a run that never began.
var (
	ErrBusy    = errors.New("another run works on this tunnel")
	ErrUnknown = errors.New("unknown")
)

// Books returns the loaded playbooks, sorted by name.
func (r *Runner) Books() []Book {
	var out []Book
	for _, b := range r.opt.Books {
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b Book) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// run is the state of one run.
type run struct {
	*Runner
	req     Request
	book    Book
	tunnel  inventory.Tunnel
	red     *redact.Redactor
	key     []byte
	update  func(Update)
	steps   []Update
	outputs []devices.Output
	errs    []facts.Error
	caps    []capture
	changed bool // evidence since the last analyze
	judged  bool
	diag    diag.Result
	result  *Result

	repaired string    // of a repair: the finding it was for
	since    time.Time // log lines from before it are left out: a repair has changed what they speak of
}

// capture is what one end's capture brought home.
type capture struct {
	device string
	name   string // file in the bundle
	data   []byte // pcap, or the text of a dump
	dump   bool
}

// Run runs one playbook for one tunnel. Steps that fail are recorded and the run goes on;
// an error means that the run could not begin or was cancelled.
func (r *Runner) Run(ctx context.Context, req Request, update func(Update)) (*Result, error) {
	book, ok := r.opt.Books[req.Playbook]
	if !ok {
		return nil, fmt.Errorf("playbook %q: %w; there are %s", req.Playbook, ErrUnknown, strings.Join(r.names(), ", "))
	}
	tunnel, err := r.opt.Inventory.Tunnel(req.Tunnel)
	if err != nil {
		return nil, err
	}
	if err := r.take(tunnel.Name, req.Run); err != nil {
		return nil, err
	}
	defer r.release(tunnel.Name)
	x := r.start(req, book, tunnel, update)
	var done map[string][]byte
	if r.opt.Journal != nil {
		if done, err = r.opt.Journal.StepsDone(ctx, req.Run); err != nil {
			return nil, fmt.Errorf("run %s: the store does not answer: %w", req.Run, err)
		}
	}
	for i, s := range book.Steps {
		if s.Kind == "propose" && i+1 < len(book.Steps) {
			// What stands after a proposal belongs to the approved run.
			x.step(ctx, i, s, done)
			break
		}
		x.step(ctx, i, s, done)
		if err := ctx.Err(); err != nil {
			x.finish()
			return x.result, fmt.Errorf("run %s: cancelled: %w", req.Run, err)
		}
	}
	if !x.judged || x.changed {
		x.analyze()
	}
	x.finish()
	return x.result, nil
}

func (r *Runner) names() []string {
	var out []string
	for _, b := range r.Books() {
		out = append(out, b.Name)
	}
	return out
}

func (r *Runner) take(tunnel, run string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if other, ok := r.busy[tunnel]; ok {
		return fmt.Errorf("%s: %w (run %s)", tunnel, ErrBusy, other)
	}
	r.busy[tunnel] = run
	return nil
}

func (r *Runner) release(tunnel string) {
	r.mu.Lock()
	delete(r.busy, tunnel)
	r.mu.Unlock()
}

func (r *Runner) start(req Request, book Book, t inventory.Tunnel, update func(Update)) *run {
	key := make([]byte, 32)
	r.opt.Random(key)
	if update == nil {
		update = func(Update) {}
	}
	x := &run{Runner: r, req: req, book: book, tunnel: t, key: key, red: redact.New(key), update: update, result: &Result{}}
	for _, s := range book.Steps {
		x.steps = append(x.steps, Update{Run: req.Run, Step: s.ID, About: about(s), State: Waiting})
		if s.Kind == "propose" {
			break
		}
	}
	return x
}

// about says what a step does, for people.
func about(s Step) string {
	switch s.Kind {
	case "collect":
		return "read " + on(s.On)
	case "probe":
		return "send test packets"
	case "capture":
		return "capture at " + on(s.On)
	case "analyze":
		return "find the cause"
	case "propose":
		return "look for a repair"
	case "wait":
		return "wait " + s.With.For
	case "verify":
		return "verify"
	}
	return s.Kind
}

func on(s string) string {
	switch s {
	case "each-end", "both":
		return "both ends"
	case "initiator", "responder":
		return "the " + s
	}
	return s
}

func (x *run) say(i int, state StepState, note string) {
	u := &x.steps[i]
	u.State, u.At = state, x.opt.Now()
	if note != "" {
		u.Note = note
	}
	x.update(*u)
}

// step runs one step unless its condition does not hold or it was done before a restart.
func (x *run) step(ctx context.Context, i int, s Step, done map[string][]byte) {
	if data, ok := done[s.ID]; ok && s.Kind == "collect" && x.restore(data) {
		x.say(i, Done, "read before the restart")
		return
	}
	if why := x.skip(s); why != "" {
		x.say(i, Skipped, why)
		return
	}
	x.say(i, Running, "")
	if s.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.timeout)
		defer cancel()
	}
	before := len(x.outputs)
	note, err := x.do(ctx, s)
	state := Done
	if err != nil {
		state, note = Failed, err.Error()
	}
	if x.opt.Journal != nil {
		// Recorded even when the run was cancelled: the next start must not do it again.
		if jerr := x.opt.Journal.StepDone(context.WithoutCancel(ctx), x.req.Run, s.ID, state, x.record(s, x.outputs[before:])); jerr != nil {
			x.opt.Logger.Error("a finished step could not be recorded", "run", x.req.Run, "step", s.ID, "error", jerr)
		}
	}
	x.say(i, state, note)
}

// skip says why a step is not run, "" when it is.
func (x *run) skip(s Step) string {
	if s.Kind == "capture" {
		switch x.req.Capture {
		case CaptureForce:
			return ""
		case CaptureNever:
			return "captures were not wanted"
		}
		if s.When == "undecided" && !x.opt.Config.Captures.Auto {
			return "captures.auto is off"
		}
	}
	switch s.When {
	case "undecided":
		if f, ok := x.top(); ok && f.Confidence >= decided {
			return "already decided: " + f.ID
		}
	case "changed":
		if !x.changed {
			return "nothing new"
		}
	case "failed":
		if f, ok := x.top(); !ok || f.Severity == report.Info {
			return "nothing failed"
		}
	case "healthy":
		if f, ok := x.top(); ok && f.Severity != report.Info {
			return "not healthy"
		}
	}
	return ""
}

// decided is the confidence from which no capture is needed (contracts/playbook.md).
const decided = 0.8

func (x *run) top() (report.Finding, bool) {
	if !x.judged || len(x.diag.Report.Findings) == 0 {
		return report.Finding{}, false
	}
	return x.diag.Report.Findings[0], true
}

func (x *run) do(ctx context.Context, s Step) (note string, err error) {
	switch s.Kind {
	case "collect":
		return x.collect(ctx, s)
	case "probe":
		return x.probe(ctx, s)
	case "capture":
		return x.capture(ctx, s)
	case "analyze":
		x.analyze()
		if f, ok := x.top(); ok {
			return f.Title, nil
		}
		return "nothing found", nil
	case "propose":
		return x.propose(ctx, s)
	case "wait":
		return "", wait(ctx, s.With.For)
	}
	return "", fmt.Errorf("step %s: a %s step belongs after an approved proposal", s.ID, s.Kind)
}

// wait pauses for a duration written in a playbook, at most until the context ends.
func wait(ctx context.Context, d string) error {
	v, err := time.ParseDuration(d)
	if err != nil {
		v = 5 * time.Second
	}
	t := time.NewTimer(v)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ends are the managed ends a step works on.
func (x *run) ends(where string) []int {
	var out []int
	for i, e := range x.tunnel.Ends {
		if e.Device == "" {
			continue
		}
		switch where {
		case "", "each-end", "both":
			out = append(out, i)
		case "initiator", "responder":
			if x.plays(e, where) {
				out = append(out, i)
			}
		case e.Device:
			out = append(out, i)
		}
	}
	return out
}

// plays tells whether an end has the role: as its SA says, else a spoke initiates.
func (x *run) plays(e inventory.End, role string) bool {
	set := x.facts()
	for _, d := range set.Devices {
		if d.Name != e.Device {
			continue
		}
		for _, sa := range d.IKE {
			if sa.Role != "" {
				return sa.Role == role
			}
		}
	}
	first := len(x.tunnel.Ends) > 0 && x.tunnel.Ends[0].Device == e.Device
	return first == (role == "responder")
}

// collect reads evidence at the ends, at the same time; an end that fails is recorded.
func (x *run) collect(ctx context.Context, s Step) (string, error) {
	type answer struct {
		outs []devices.Output
		err  error
	}
	ends := x.ends(s.On)
	if len(ends) == 0 {
		return "", fmt.Errorf("no end of %s is managed: there is no device to read", x.tunnel.Name)
	}
	answers := make([]answer, len(ends))
	var wg sync.WaitGroup
	for n, i := range ends {
		wg.Go(func() {
			outs, err := x.read(ctx, i, s.With.Evidence)
			answers[n] = answer{outs, err}
		})
	}
	wg.Wait()
	var notes []string
	var failed error
	for n, i := range ends {
		a, name := answers[n], x.tunnel.Ends[i].Device
		x.outputs = append(x.outputs, a.outs...)
		if len(a.outs) > 0 {
			x.changed = true
		}
		if a.err != nil {
			x.fail(name, a.err)
			notes = append(notes, reason(name, a.err))
			failed = errors.Join(failed, a.err)
			continue
		}
		notes = append(notes, fmt.Sprintf("%s: %d outputs", name, len(a.outs)))
	}
	if failed != nil && len(x.outputs) == 0 {
		return "", errors.New(strings.Join(notes, "; "))
	}
	return strings.Join(notes, "; "), nil
}

// read runs the evidence commands on one end. Every run begins with show clock.
func (x *run) read(ctx context.Context, end int, names []string) ([]devices.Output, error) {
	e := x.tunnel.Ends[end]
	dev, err := x.opt.Inventory.Device(e.Device)
	if err != nil {
		return nil, err
	}
	// Every run begins with show clock, so that logs and captures can be compared.
	target, err := x.opt.Fleet.Target(ctx, dev.Name)
	if err != nil {
		return nil, err
	}
	pools := slices.Contains(names, "pools")
	names = append([]string{"clock"}, slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == "clock" })...)
	var cmds []command.Command
	for _, n := range names {
		cs, err := command.Evidence(target, n, x.query(end))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Device, err)
		}
		cmds = append(cmds, cs...)
	}
	outs, err := x.opt.Fleet.Run(ctx, e.Device, x.red.Text, cmds...)
	if err != nil || !pools || dev.Platform != inventory.CiscoASA {
		return outs, err
	}
	// An ASA shows the use of a pool by its name, which its configuration has just told.
	d := find(x.factsOf(outs), e.Device)
	if d == nil || d.Config == nil {
		return outs, nil
	}
	q := x.query(end)
	for _, p := range d.Config.Pools {
		if !slices.Contains(q.Pools, p.Name) && len(q.Pools) < maxPools {
			if _, err := command.Evidence(target, "pools", command.Query{Pools: []string{p.Name}}); err != nil {
				continue // a name that is no plain word
			}
			q.Pools = append(q.Pools, p.Name)
		}
	}
	if len(q.Pools) == 0 {
		return outs, nil
	}
	more, err := command.Evidence(target, "pools", q)
	if err != nil {
		return outs, err
	}
	more = slices.DeleteFunc(more, func(c command.Command) bool {
		return slices.ContainsFunc(cmds, func(o command.Command) bool { return o.Line() == c.Line() })
	})
	use, err := x.opt.Fleet.Run(ctx, e.Device, x.red.Text, more...)
	return append(outs, use...), err
}

// maxPools bounds how many pools of one device are asked for.
const maxPools = 16

// query narrows evidence to the tunnel.
func (x *run) query(end int) command.Query {
	q := command.Query{Peer: x.peer(end), Kind: x.tunnel.Kind}
	for i, e := range x.tunnel.Ends {
		if i != end {
			q.Networks = append(q.Networks, e.Networks...)
		}
	}
	return q
}

// fail records a device that could not be read, with its typed reason.
func (x *run) fail(device string, err error) {
	e := facts.Error{Source: device, Message: err.Error()}
	var de *devices.Error
	if errors.As(err, &de) {
		e.Kind = string(de.Reason)
	}
	x.errs = append(x.errs, e)
}

func reason(device string, err error) string {
	var de *devices.Error
	if errors.As(err, &de) {
		s := device + ": " + string(de.Reason) + " while trying to " + de.Tried
		if de.Hint != "" {
			s += "; " + de.Hint
		}
		return s
	}
	return device + ": " + err.Error()
}

// named are the configured tunnels as the engine wants them.
func (r *Runner) named() []engine.Named {
	var out []engine.Named
	for _, t := range r.opt.Inventory.Tunnels() {
		n := engine.Named{Name: t.Name}
		for _, e := range t.Ends {
			if e.Address.IsValid() {
				n.Addrs = append(n.Addrs, e.Address)
			}
			if a := r.opt.Inventory.PeerAddress(e); a.IsValid() && a != e.Address {
				n.Addrs = append(n.Addrs, a)
			}
			n.Devices = append(n.Devices, e.Device)
		}
		out = append(out, n)
	}
	return out
}

// analyze diagnoses everything the run has gathered so far.
func (x *run) analyze() {
	files, set := x.gather()
	x.diag = diag.Analyze(set, diag.Options{Tunnels: x.named(), Only: x.tunnel.Name, Now: x.opt.Now().UTC()})
	x.judged, x.changed = true, false
	x.result.Report = x.diag.Report
	x.result.Ladders = x.diag.Ladders
	x.result.Files = files
}

// finish makes the files that go with the report.
func (x *run) finish() {
	x.result.Steps = x.steps
	if !x.judged {
		return
	}
	question := report.InQuestion(x.diag.Report, x.diag.Ladders)
	isp := report.ISPFacts{Name: x.tunnel.ISP.Name, Contact: x.tunnel.ISP.Contact}
	for _, f := range x.result.Files {
		if ext := path.Ext(f.Name); ext != ".pcap" && ext != ".pcapng" {
			continue
		}
		var keep func(int) bool // without a case for the ISP everything that was captured
		if len(question) > 0 {
			keep = question[f.Name].Has
		}
		data, written, err := reduce(f, keep)
		if err != nil {
			x.opt.Logger.Warn("a capture could not be reduced and is kept on this host only", "run", x.req.Run, "capture", f.Name, "error", err)
			continue
		}
		if written == 0 {
			continue
		}
		name := report.FileName(f.Name)
		x.result.Reduced = append(x.result.Reduced, File{Name: name, Data: data})
		isp.Files = append(isp.Files, report.ISPFile{Name: name, Source: f.Name, Packets: question[f.Name]})
	}
	x.result.Pictures = pictures(x.diag.Ladders)
	page, err := report.ISP(x.diag.Report, x.diag.Ladders, isp)
	if err != nil {
		x.opt.Logger.Error("no evidence report", "run", x.req.Run, "error", err)
		return
	}
	x.result.ISP = []File{{Name: x.tunnel.Name + "-isp-report.html", Data: page}}
}
