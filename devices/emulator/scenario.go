package emulator

import (
	"bufio"
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

//go:embed scenarios
var scenarioFiles embed.FS

// scenario is a network as data: scenarios/NAME/scenario.yaml and the files it names.
type scenario struct {
	Recordings  map[string]recordingSpec  `yaml:"recordings"`
	Credentials map[string]credentialSpec `yaml:"credentials"`
	Devices     []deviceSpec              `yaml:"devices"`
	Tunnels     []tunnelSpec              `yaml:"tunnels"`
}

type recordingSpec struct {
	HQ    string `yaml:"hq"`
	Spoke string `yaml:"spoke"`
}

type credentialSpec struct {
	Username string `yaml:"username"`
	Enable   bool   `yaml:"enable"`
}

type zoneSpec struct {
	Name   string        `yaml:"name"`
	Offset time.Duration `yaml:"offset"`
}

type ifaceSpec struct {
	Name     string       `yaml:"name"`
	Hardware string       `yaml:"hardware"`
	Address  netip.Prefix `yaml:"address"`
	Gateway  netip.Addr   `yaml:"gateway"`
	Outside  bool         `yaml:"outside"`
}

type deviceSpec struct {
	Name        string        `yaml:"name"`
	Platform    string        `yaml:"platform"` // asa | ios
	XE          bool          `yaml:"xe"`
	Version     string        `yaml:"version"`
	Model       string        `yaml:"model"`
	Suffix      string        `yaml:"suffix"` // ASA prompt: "/pri/act"
	Credentials string        `yaml:"credentials"`
	Privilege   int           `yaml:"privilege"` // IOS: level after login
	HTTPS       bool          `yaml:"https"`
	HostKeys    []string      `yaml:"host_keys"`
	KnownKeys   []string      `yaml:"known_keys"`
	Zone        zoneSpec      `yaml:"zone"`
	LogStyle    string        `yaml:"log_style"` // IOS: "zone" prints the time zone
	Uptime      time.Duration `yaml:"uptime"`
	Tags        []string      `yaml:"tags"`
	Banner      string        `yaml:"banner"`
	Config      string        `yaml:"config"`
	Log         string        `yaml:"log"`
	CaptureACL  string        `yaml:"capture_acl"`
	Interfaces  []ifaceSpec   `yaml:"interfaces"`
}

type endSpec struct {
	Device    string         `yaml:"device"`
	Address   netip.Addr     `yaml:"address"`
	Interface string         `yaml:"interface"`
	Networks  []netip.Prefix `yaml:"networks"`
	Map       string         `yaml:"map"`
	Sequence  int            `yaml:"sequence"`
	ACL       string         `yaml:"acl"`
}

type probeSpec struct {
	From   string     `yaml:"from"`
	Source string     `yaml:"source"`
	To     netip.Addr `yaml:"to"`
}

type ispSpec struct {
	Name    string `yaml:"name"`
	Contact string `yaml:"contact"`
}

type stuckSpec struct {
	State string `yaml:"state"`
}

type playSpec struct {
	Recording string        `yaml:"recording"`
	Spoke     string        `yaml:"spoke"` // the device that plays the lab's spoke
	From      time.Duration `yaml:"from"`
	To        time.Duration `yaml:"to"`
}

type tunnelSpec struct {
	Name       string                `yaml:"name"`
	Kind       string                `yaml:"kind"` // l2l | ezvpn
	IKE        int                   `yaml:"ike"`  // 1 (default) or 2
	Group      string                `yaml:"group"`
	User       string                `yaml:"user"`
	Encryption string                `yaml:"encryption"`
	Ends       []endSpec             `yaml:"ends"`
	Probe      probeSpec             `yaml:"probe"`
	ISP        ispSpec               `yaml:"isp"`
	Initiator  string                `yaml:"initiator"`
	Start      State                 `yaml:"start"`
	LeadsTo    State                 `yaml:"leads_to"`
	Holder     string                `yaml:"holder"`
	WakesAfter time.Duration         `yaml:"wakes_after"`
	UpFor      time.Duration         `yaml:"up_for"`
	StaleFor   time.Duration         `yaml:"stale_for"`
	Rate       [2]float64            `yaml:"rate"` // packets per second sent by each end
	DropsFrags string                `yaml:"drops_fragments_to"`
	Stuck      map[string]stuckSpec  `yaml:"stuck"`
	Attempt    map[string]any        `yaml:"attempt"` // every: duration; device: ["offset text"]
	Playback   map[State][]playSpec  `yaml:"playback"`
	attempts   map[string][]logEvent // parsed Attempt
	attemptGap time.Duration
}

// logEvent is a line that a device logs at an offset from some moment.
type logEvent struct {
	at   time.Duration
	text string
}

// loadScenario reads scenarios/NAME and checks that its parts fit together.
func loadScenario(name string) (*scenario, fs.FS, error) {
	dir := path.Join("scenarios", name)
	data, err := scenarioFiles.ReadFile(path.Join(dir, "scenario.yaml"))
	if err != nil {
		return nil, nil, fmt.Errorf("read scenario %q: %w", name, err)
	}
	sub, err := fs.Sub(scenarioFiles, dir)
	if err != nil {
		return nil, nil, err
	}
	var sc scenario
	if err := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict()).Decode(&sc); err != nil {
		return nil, nil, fmt.Errorf("read scenario %q: %w", name, err)
	}
	for i := range sc.Tunnels {
		if err := sc.Tunnels[i].check(&sc); err != nil {
			return nil, nil, fmt.Errorf("scenario %q: tunnel %s: %w", name, sc.Tunnels[i].Name, err)
		}
	}
	return &sc, sub, nil
}

func (t *tunnelSpec) check(sc *scenario) error {
	if t.IKE == 0 {
		t.IKE = 1
	}
	if t.Encryption == "" {
		t.Encryption = "aes"
	}
	if len(t.Ends) != 2 {
		return fmt.Errorf("%d ends, want 2", len(t.Ends))
	}
	for _, e := range t.Ends {
		if e.Device != "" && !slices.ContainsFunc(sc.Devices, func(d deviceSpec) bool { return d.Name == e.Device }) {
			return fmt.Errorf("no device %q", e.Device)
		}
	}
	for _, s := range []State{t.Start, t.LeadsTo} {
		if !slices.Contains([]State{Up, Stuck, Stale, Down}, s) {
			return fmt.Errorf("unknown state %q", s)
		}
	}
	t.attempts = map[string][]logEvent{}
	for k, v := range t.Attempt {
		if k == "every" {
			d, err := time.ParseDuration(fmt.Sprint(v))
			if err != nil || d <= 0 {
				return fmt.Errorf("attempt every %v: not a duration", v)
			}
			t.attemptGap = d
			continue
		}
		lines, ok := v.([]any)
		if !ok {
			return fmt.Errorf("attempt %s: not a list", k)
		}
		for _, l := range lines {
			e, err := parseLogEvent(fmt.Sprint(l))
			if err != nil {
				return err
			}
			t.attempts[k] = append(t.attempts[k], e)
		}
	}
	for state, plays := range t.Playback {
		for _, p := range plays {
			if _, ok := sc.Recordings[p.Recording]; !ok {
				return fmt.Errorf("playback %s: no recording %q", state, p.Recording)
			}
		}
	}
	return nil
}

// parseLogEvent reads "-12.5s TEXT".
func parseLogEvent(s string) (logEvent, error) {
	off, text, ok := strings.Cut(s, " ")
	d, err := time.ParseDuration(off)
	if !ok || err != nil {
		return logEvent{}, fmt.Errorf("log line %q: want an offset and a text", s)
	}
	return logEvent{d, text}, nil
}

func parseLog(data []byte) ([]logEvent, error) {
	var out []logEvent
	sc := bufio.NewScanner(bytes.NewReader(data))
	for sc.Scan() {
		if strings.TrimSpace(sc.Text()) == "" {
			continue
		}
		e, err := parseLogEvent(sc.Text())
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, sc.Err()
}

// only keeps one tunnel and its devices.
func (sc *scenario) only(tunnel string) bool {
	i := slices.IndexFunc(sc.Tunnels, func(t tunnelSpec) bool { return t.Name == tunnel })
	if i < 0 {
		return false
	}
	t := sc.Tunnels[i]
	sc.Tunnels = []tunnelSpec{t}
	sc.Devices = slices.DeleteFunc(sc.Devices, func(d deviceSpec) bool {
		return d.Name != t.Ends[0].Device && d.Name != t.Ends[1].Device
	})
	return true
}

var secretMark = regexp.MustCompile(`<<([a-z0-9]+):([\w-]+)>>`)
