package bot

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"

	"vpnbot/bot/approval"
	"vpnbot/bot/schedule"
)

// Config is the people's part of the configuration file (contracts/config.yaml).
type Config struct {
	Slack     Slack      `yaml:"slack"`
	Access    Access     `yaml:"access"`
	Approval  Approval   `yaml:"approval"`
	Store     string     `yaml:"store"`
	HTTP      HTTP       `yaml:"http"`
	Schedules []Schedule `yaml:"schedules"`
	BaseURL   string     `yaml:"base_url"`
	TimeZone  string     `yaml:"time_zone"`
}

// Slack is the connection. Tokens and the signing secret are never logged.
type Slack struct {
	Mode          string `yaml:"mode"` // socket, http
	AppToken      string `yaml:"app_token"`
	BotToken      string `yaml:"bot_token"`
	SigningSecret string `yaml:"signing_secret"`
	APIURL        string `yaml:"api_url"`
	Channel       string `yaml:"channel"`
	Command       string `yaml:"command"`
}

// String hides the secrets.
func (s Slack) String() string { return "slack " + s.Mode + " " + s.Channel }

// GoString hides the secrets.
func (s Slack) GoString() string { return s.String() }

// Access lists who may what: user ids, user-group ids, or everyone.
type Access struct {
	Diagnose []string `yaml:"diagnose"`
	Operate  []string `yaml:"operate"` // default: as approve
	Approve  []string `yaml:"approve"`
	Admin    []string `yaml:"admin"`
	FourEyes *bool    `yaml:"four_eyes"` // default true
}

// Approval is the policy of repairs.
type Approval struct {
	Enabled             *bool         `yaml:"enabled"` // default true
	TTL                 time.Duration `yaml:"ttl"`
	MaxPerTunnelPerHour int           `yaml:"max_per_tunnel_per_hour"`
	MaxPerDevicePerHour int           `yaml:"max_per_device_per_hour"`
	MaxRunning          int           `yaml:"max_running"`
	Freeze              []Freeze      `yaml:"freeze"`
}

// Freeze is a window without repairs.
type Freeze struct {
	Cron   string        `yaml:"cron"`
	For    time.Duration `yaml:"for"`
	Reason string        `yaml:"reason"`
}

// HTTP is the listener for health, metrics, and Slack's requests in http mode.
type HTTP struct {
	Listen string `yaml:"listen"`
}

// Schedule runs a playbook by the clock.
type Schedule struct {
	Name     string   `yaml:"name"`
	Cron     string   `yaml:"cron"`
	Playbook string   `yaml:"playbook"`
	Tags     []string `yaml:"tags"` // only tunnels with an end at a device with one of them
}

// Defaults is the configuration before the file is read.
func Defaults() Config {
	yes := true
	return Config{
		Slack:    Slack{Mode: "socket", APIURL: "https://slack.com/api/", Command: "/vpn"},
		Access:   Access{Diagnose: []string{"everyone"}, FourEyes: &yes},
		Approval: Approval{Enabled: &yes, TTL: 15 * time.Minute, MaxPerTunnelPerHour: 2, MaxPerDevicePerHour: 5, MaxRunning: 1},
		Store:    "sqlite:./vpnbot.db",
		HTTP:     HTTP{Listen: "127.0.0.1:8480"},
		TimeZone: "UTC",
	}
}

var (
	idPattern      = regexp.MustCompile(`^[UWS][A-Z0-9]{2,20}$`)
	channelPattern = regexp.MustCompile(`^[CG][A-Z0-9]{2,20}$`)
	commandPattern = regexp.MustCompile(`^/[a-z0-9_-]{1,31}$`)
)

// Validate returns every error, each with the key it is about. known names the playbooks
// that exist; nil checks none.
func (c Config) Validate(known ...string) []error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	switch c.Slack.Mode {
	case "socket":
		if !strings.HasPrefix(c.Slack.AppToken, "xapp-") {
			bad("slack.app_token", "socket mode needs the app token, which begins with xapp-")
		}
	case "http":
		if c.Slack.SigningSecret == "" {
			bad("slack.signing_secret", "http mode needs it to verify Slack's requests")
		}
	default:
		bad("slack.mode", "%q is unknown; write socket or http", c.Slack.Mode)
	}
	if !strings.HasPrefix(c.Slack.BotToken, "xoxb-") {
		bad("slack.bot_token", "needs the bot token, which begins with xoxb-")
	}
	if u, err := url.Parse(c.Slack.APIURL); err != nil || u.Host == "" || u.User != nil {
		bad("slack.api_url", "needs an address such as https://slack.com/api/")
	} else if !strings.HasSuffix(u.Path, "/") {
		bad("slack.api_url", "must end in /")
	} else if u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
		bad("slack.api_url", "must be https unless it is on this machine: the bot token is sent there")
	}
	if !channelPattern.MatchString(c.Slack.Channel) {
		bad("slack.channel", "%q is not a channel id (C…); copy it from the channel's details, its name does not do", c.Slack.Channel)
	}
	if !commandPattern.MatchString(c.Slack.Command) {
		bad("slack.command", "%q is not a slash command such as /vpn", c.Slack.Command)
	}
	lists := []struct {
		key      string
		ids      []string
		everyone bool
	}{{"access.diagnose", c.Access.Diagnose, true}, {"access.operate", c.Access.Operate, true}, {"access.approve", c.Access.Approve, false}, {"access.admin", c.Access.Admin, false}}
	for _, l := range lists {
		for _, id := range l.ids {
			switch {
			case id == "everyone" && !l.everyone:
				bad(l.key, "everyone is refused here; name people (U…) or user groups (S…)")
			case id != "everyone" && !idPattern.MatchString(id):
				bad(l.key, "%q is not an id (U… a person, S… a user group); names can be taken by others", id)
			}
		}
	}
	if c.enabled() && len(c.Access.Approve) == 0 {
		bad("access.approve", "nobody may approve; name people or groups, or set approval.enabled to false")
	}
	if c.Approval.TTL < 10*time.Second || c.Approval.TTL > 24*time.Hour {
		bad("approval.ttl", "%s is out of range; write 10s to 24h", c.Approval.TTL)
	}
	for key, n := range map[string]int{"approval.max_per_tunnel_per_hour": c.Approval.MaxPerTunnelPerHour, "approval.max_per_device_per_hour": c.Approval.MaxPerDevicePerHour, "approval.max_running": c.Approval.MaxRunning} {
		if n < 1 {
			bad(key, "%d is out of range; write 1 or more (approval.enabled: false stops all repairs)", n)
		}
	}
	loc, err := time.LoadLocation(c.TimeZone)
	if err != nil {
		bad("time_zone", "%q is unknown; write a name such as Europe/Zurich", c.TimeZone)
	}
	for i, f := range c.Approval.Freeze {
		if _, err := schedule.Parse(f.Cron, loc); err != nil {
			bad(fmt.Sprintf("approval.freeze[%d].cron", i), "%v", err)
		}
		if f.For <= 0 || f.For > 90*24*time.Hour {
			bad(fmt.Sprintf("approval.freeze[%d].for", i), "write how long the window stays open, such as 60h")
		}
	}
	names := map[string]bool{}
	for i, s := range c.Schedules {
		at := fmt.Sprintf("schedules[%d]", i)
		if s.Name == "" || names[s.Name] {
			bad(at+".name", "needs a name of its own")
		}
		names[s.Name] = true
		if _, err := schedule.Parse(s.Cron, loc); err != nil {
			bad(at+".cron", "%v", err)
		}
		if s.Playbook == "" || known != nil && !contains(known, s.Playbook) && s.Playbook != "audit-head" {
			bad(at+".playbook", "%q is unknown; known: %s", s.Playbook, strings.Join(known, ", "))
		}
	}
	if c.BaseURL != "" {
		if u, err := url.Parse(c.BaseURL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			bad("base_url", "needs an address such as https://vpnbot.example.net")
		}
	}
	if _, _, err := net.SplitHostPort(c.HTTP.Listen); c.HTTP.Listen != "" && err != nil {
		bad("http.listen", "%q is not host:port", c.HTTP.Listen)
	}
	if !strings.HasPrefix(c.Store, "sqlite:") && !strings.HasPrefix(c.Store, "postgres://") && !strings.HasPrefix(c.Store, "postgresql://") {
		bad("store", "write sqlite:PATH or postgres://user@host/database")
	}
	return errs
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c Config) enabled() bool  { return c.Approval.Enabled == nil || *c.Approval.Enabled }
func (c Config) fourEyes() bool { return c.Access.FourEyes == nil || *c.Access.FourEyes }

// Location is the configured time zone; UTC when it is not valid.
func (c Config) Location() *time.Location {
	if loc, err := time.LoadLocation(c.TimeZone); err == nil {
		return loc
	}
	return time.UTC
}

// StartWithin is how soon after its approval a repair has to begin.
const StartWithin = 2 * time.Minute

// Policy is the approval policy, for the store. Call it on a configuration that validated.
func (c Config) Policy() approval.Policy {
	p := approval.Policy{
		Enabled: c.enabled(), FourEyes: c.fourEyes(), TTL: c.Approval.TTL, StartWithin: StartWithin,
		PerTunnel: c.Approval.MaxPerTunnelPerHour, PerDevice: c.Approval.MaxPerDevicePerHour, MaxRunning: c.Approval.MaxRunning,
	}
	for _, f := range c.Approval.Freeze {
		if s, err := schedule.Parse(f.Cron, c.Location()); err == nil {
			p.Freeze = append(p.Freeze, approval.Window{Schedule: s, For: f.For, Reason: f.Reason})
		}
	}
	return p
}
