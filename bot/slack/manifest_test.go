package slack

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// scopes that the methods need (docs.slack.dev, reference of each method). Every call of
// this package must stand here; "" needs none, or the app token's connections:write.
var scopes = map[string][]string{
	"AuthTestContext":               nil,
	"StartSocketModeContext":        nil,
	"PostMessageContext":            {"chat:write"},
	"UpdateMessageContext":          {"chat:write"},
	"PostEphemeralContext":          {"chat:write"},
	"GetUploadURLExternalContext":   {"files:write"},
	"UploadToURL":                   {"files:write"},
	"CompleteUploadExternalContext": {"files:write"},
	"chat.update":                   {"chat:write"},
	"conversations.history":         {"channels:history", "groups:history"},
	"conversations.replies":         {"channels:history", "groups:history"},
	"conversations.info":            {"channels:read", "groups:read"},
	"files.info":                    {"files:read"},
	"users.info":                    {"users:read"},
	"usergroups.users.list":         {"usergroups:read"},
	"views.open":                    nil,
	"views.publish":                 nil,
}

// scopes that the subscribed events and the slash command need.
var eventScopes = map[string][]string{
	"app_mention": {"app_mentions:read"}, "message.channels": {"channels:history"}, "message.groups": {"groups:history"}, "app_home_opened": nil,
}

func TestManifest(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "slack.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(doc), "```yaml\n")
	text, _, end := strings.Cut(text, "```")
	if !ok || !end {
		t.Fatal("docs/slack.md holds no manifest")
	}
	var m struct {
		OAuth struct {
			Scopes struct {
				Bot []string `yaml:"bot"`
			} `yaml:"scopes"`
		} `yaml:"oauth_config"`
		Settings struct {
			Events struct {
				Bot []string `yaml:"bot_events"`
			} `yaml:"event_subscriptions"`
		} `yaml:"settings"`
	}
	if err := yaml.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	need := map[string]bool{"commands": true}
	calls := regexp.MustCompile(`\.(?:c|files)\.([A-Z]\w+)\(|"(usergroups\.users\.list|(?:chat|conversations|files|usergroups|users|views)\.\w+)"`)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range calls.FindAllStringSubmatch(string(src), -1) {
			name := c[1] + c[2]
			ss, known := scopes[name]
			if !known {
				t.Errorf("%s calls %s: which scopes does it need?", f, name)
			}
			seen++
			for _, s := range ss {
				need[s] = true
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d calls found: the test looks in the wrong place", seen)
	}
	for _, e := range m.Settings.Events.Bot {
		ss, known := eventScopes[e]
		if !known {
			t.Errorf("the manifest subscribes to %s, which nothing handles", e)
		}
		for _, s := range ss {
			need[s] = true
		}
	}
	for e := range eventScopes {
		if !slices.Contains(m.Settings.Events.Bot, e) {
			t.Errorf("the manifest does not subscribe to %s", e)
		}
	}
	for s := range need {
		if Scopes[s] == "" {
			t.Errorf("Check does not ask for the scope %s", s)
		}
		if !slices.Contains(m.OAuth.Scopes.Bot, s) {
			t.Errorf("the manifest lacks the scope %s", s)
		}
	}
	for _, s := range m.OAuth.Scopes.Bot {
		if !need[s] {
			t.Errorf("the manifest asks for the scope %s, which nothing needs", s)
		}
	}
}
