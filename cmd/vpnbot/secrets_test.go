package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vpnbot/bot/workspace"
	"vpnbot/devices/emulator"
)

// lockedBuffer is a log that goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestSecretsStayInside runs the product on devices that show random secrets, in every
// form known, in every output, and looks for them in everything that leaves it: logs at
// their finest, the store, what Slack was sent, reports, saved evidence, the audit trail,
// and the dump of a process that was killed in the middle of a run. Raw captures are
// secrets themselves (0600, in captures.dir) and are not searched.
func TestSecretsStayInside(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	dir := t.TempDir()
	lab, err := emulator.Start(ctx, emulator.Options{Dir: filepath.Join(dir, "lab")})
	if err != nil {
		t.Fatal(err)
	}
	defer lab.Close()
	if err := lab.SeedSecrets(); err != nil {
		t.Fatal(err)
	}
	ws, err := workspace.Start(ctx, workspace.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	path := filepath.Join(dir, "config.yaml")
	if err := writeDemoConfig(path, lab, ws); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte("level: warn"), []byte("level: debug"))
	text = bytes.ReplaceAll(text, []byte("duration: 20s"), []byte("duration: 2s"))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}

	left := map[string][]byte{} // what left the program, by where it went
	var log lockedBuffer
	conf, err := loadConfig(path, true)
	if err != nil {
		t.Fatal(err)
	}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- serve(serving, conf, streams{in: strings.NewReader(""), out: &log, err: &log}) }()
	if err := ws.Wait(ctx, func() bool { return ws.Connections() > 0 }); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	users := workspace.DefaultUsers()
	say := func(line string, answer ...string) workspace.Message {
		t.Helper()
		if err := ws.Slash(users[0].ID, line); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
		defer cancel()
		m, err := ws.WaitFor(ctx, func(m workspace.Message) bool {
			for _, a := range answer {
				if !strings.Contains(strings.ToLower(m.Content()), strings.ToLower(a)) {
					return false
				}
			}
			return true
		})
		if err != nil {
			t.Fatalf("%s: no answer with %q: %v\n%s", line, answer, err, log.String())
		}
		return m
	}
	say("/vpn diagnose london-pap capture", "london-pap", "fragments")
	say("/vpn diagnose london-quito", "london-quito", "key")
	say("/vpn show london-oslo", "london-oslo")
	say("/vpn sweep", "swe")
	say("/vpn evidence london-pap", "london-pap")
	say("/vpn diagnose london-lima", "clear crypto isakmp sa 203.0.113.26")
	// The run's card names the command too; the proposal's has the button.
	waiting, given := context.WithTimeout(ctx, 90*time.Second)
	defer given()
	card, err := ws.WaitFor(waiting, func(m workspace.Message) bool { _, ok := m.Button("approval.approve"); return ok })
	if err != nil {
		t.Fatalf("no proposal: %v\n%s", err, log.String())
	}
	if err := ws.Click(users[1].ID, card.TS, "approval.approve"); err != nil {
		t.Fatal(err)
	}
	say("/vpn status", "repaired", "verified")
	say("/vpn history london-lima", "london-lima")

	// The command line, with everything it can write.
	for name, args := range map[string][]string{
		"diagnose": {"diagnose", "--config", path, "--no-capture", "--format", "json", "--out", filepath.Join(dir, "out"), "london-quito"},
		"html":     {"diagnose", "--config", path, "--no-capture", "--format", "html", "london-pap"},
		"show":     {"show", "--config", path, "london-lima"},
		"sweep":    {"sweep", "--config", path},
		"check":    {"check", "--config", path, "--connect"},
		"audit":    {"audit", "--config", path},
	} {
		var out, errs bytes.Buffer
		if code := run(ctx, args, streams{in: strings.NewReader(""), out: &out, err: &errs}); code != statusDone && code != statusPartial {
			t.Errorf("%s: status %d: %s", name, code, errs.String())
		}
		left["output of "+name], left["messages of "+name] = out.Bytes(), errs.Bytes()
	}

	// A process killed with all its goroutines shown, in the middle of a run.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	hq := lab.Device("hq-asa")
	before := hq.Count("show running-config")
	child := exec.Command(self)
	child.Args = []string{"vpnbot", "diagnose", "--config", path, "--capture", "30s", "london-pap"}
	child.Env = append(os.Environ(), "GOTRACEBACK=all")
	var dump lockedBuffer
	child.Stdout, child.Stderr = &dump, &dump
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for hq.Count("show running-config") == before && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	_ = child.Process.Signal(syscall.SIGQUIT)
	_ = child.Wait()
	if !strings.Contains(dump.String(), "goroutine ") {
		t.Errorf("the killed process showed no goroutines: %q", dump.String())
	}
	left["dump of a killed process"] = []byte(dump.String())

	stop()
	if err := <-done; err != nil {
		t.Errorf("serve: %v", err)
	}
	left["log"] = []byte(log.String())
	for i, c := range ws.Calls("") {
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		left[fmt.Sprintf("Slack call %d, %s", i, c.Method)] = b
	}
	for _, m := range ws.Messages("") {
		left["Slack message "+m.TS] = []byte(m.Content())
		for _, f := range m.Files {
			left["Slack file "+f.Name+" of "+m.TS] = f.Content
		}
	}
	err = filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, p)
		switch {
		case err != nil:
			return err
		case e.IsDir() && name == "lab": // the devices' own state
			return fs.SkipDir
		case e.IsDir():
			return nil
		case strings.HasPrefix(name, "captures"):
			if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v %v", name, info.Mode(), err)
			}
			return nil
		}
		b, err := os.ReadFile(p)
		left["file "+name] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	secrets := slices.DeleteFunc(lab.Secrets(), func(s string) bool { return len(s) < 8 })
	if len(secrets) < 500 {
		t.Fatalf("only %d secrets were made", len(secrets))
	}
	size := 0
	for where, b := range left {
		size += len(b)
		for _, s := range secrets {
			if i := bytes.Index(b, []byte(s)); i >= 0 {
				t.Errorf("%s: %q in %q", where, s, b[max(0, i-60):min(len(b), i+60)])
			}
		}
	}
	t.Logf("%d secrets looked for in %d places, %d bytes", len(secrets), len(left), size)
	for _, want := range []string{"file vpnbot.db", "file out/bundle/hq-asa/session.txt", "log"} {
		if len(left[want]) == 0 {
			t.Errorf("%s is empty: nothing was looked at", want)
		}
	}
}
