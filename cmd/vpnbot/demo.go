package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vpnbot/bot/workspace"
	"vpnbot/devices/emulator"
)

type demoCmd struct {
	Listen string        `default:"127.0.0.1:8484" help:"Address of the page."`
	Dir    string        `type:"path" help:"Folder for the store, captures and keys; default a temporary one."`
	For    time.Duration `help:"Stop after this time; default: until stopped."`
}

// Run starts emulated devices and an emulated Slack workspace, and the unmodified bot
// between them. The first line of standard output is the page's address.
func (c demoCmd) Run(ctx context.Context, std streams) (err error) {
	dir := c.Dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "vpnbot-demo-"); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		defer os.RemoveAll(dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	log := logger(std.err, "warn", "text")
	lab, err := emulator.Start(ctx, emulator.Options{Dir: filepath.Join(dir, "lab"), Logger: log, Now: time.Now})
	if err != nil {
		return fmt.Errorf("demo: emulated devices: %w", err)
	}
	defer lab.Close()
	ws, err := workspace.Start(ctx, workspace.Options{Listen: c.Listen, Hints: hints(), Logger: log})
	if err != nil {
		return fmt.Errorf("demo: emulated workspace: %w (is another demo running? --listen 127.0.0.1:0 takes a free port)", err)
	}
	defer ws.Close()

	path := filepath.Join(dir, "config.yaml")
	if err := writeDemoConfig(path, lab, ws); err != nil {
		return err
	}
	conf, err := loadConfig(path, true)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- serve(ctx, conf, std) }()
	if err := ws.Wait(ctx, func() bool { return ws.Connections() > 0 }); err != nil {
		cancel()
		return errors.Join(fmt.Errorf("demo: the bot did not connect: %w", err), <-served)
	}
	if _, err := fmt.Fprintln(std.out, ws.PageURL()); err != nil {
		return err
	}
	fmt.Fprintf(std.err, "Open the address above. Type /vpn diagnose london-pap, then /vpn diagnose london-lima. Ctrl-C stops.\n")
	if err := <-served; err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// writeDemoConfig joins the lab's configuration with a Slack part for the workspace.
// Tokens stand in files of their own, as in a real set-up.
func writeDemoConfig(path string, lab *emulator.Lab, ws *workspace.Workspace) error {
	dir := filepath.Dir(path)
	for name, secret := range map[string]string{"app-token": ws.AppToken(), "bot-token": ws.BotToken()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(secret), 0o600); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	var users []string
	for _, u := range workspace.DefaultUsers() {
		if !u.Guest {
			users = append(users, u.ID)
		}
	}
	port, err := freePort()
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	text := lab.ConfigYAML() + fmt.Sprintf(`
slack:
  mode: socket
  app_token: ${file:%s}
  bot_token: ${file:%s}
  api_url: %s
  channel: %s
access:
  diagnose: [everyone]
  operate: [%s]
  approve: [%s]
  admin: [%s]
  four_eyes: true
store: sqlite:%s
http: {listen: %s}
log: {level: warn, format: text}
schedules:
  - {name: tunnels, cron: "@every 3m", playbook: sweep}
captures: {dir: %s, duration: 20s}
`, filepath.Join(dir, "app-token"), filepath.Join(dir, "bot-token"), ws.APIURL(), ws.ChannelID(),
		strings.Join(users, ", "), strings.Join(users, ", "), users[len(users)-1],
		filepath.Join(dir, "vpnbot.db"), port, filepath.Join(dir, "captures"))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// freePort finds a loopback address for health checks that nothing else listens on.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func hints() []workspace.Hint {
	return []workspace.Hint{
		{Usage: "diagnose london-pap", Text: "an Easy VPN tunnel that is stuck"},
		{Usage: "diagnose london-lima", Text: "a stale SA, with a repair to approve"},
		{Usage: "diagnose london-quito", Text: "two keys that differ"},
		{Usage: "diagnose london-oslo", Text: "a healthy tunnel"},
		{Usage: "status", Text: "all tunnels"},
		{Usage: "help", Text: "all commands"},
	}
}
