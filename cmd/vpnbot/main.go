// Command vpnbot diagnoses IPsec VPNs on Cisco ASA and IOS from Slack, by schedule and
// from the command line (contracts: one file per command here). This file parses flags
// and turns errors into exit statuses; nothing else.
//
// Rules of the command line: data goes to standard output, logs and progress to standard
// error; no secret is ever an argument; the exit status says what happened (see status).
// The command line never runs a disruptive command.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit statuses (contract).
const (
	statusDone    = 0
	statusFailed  = 1
	statusUsage   = 2
	statusPartial = 3
)

// usageError is a wrong command line or configuration: exit status 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// partial is a result of which a part could not be read: exit status 3. The report says which.
type partial struct{ n int }

func (e partial) Error() string {
	return fmt.Sprintf("partly done: %d could not be read; the report says which", e.n)
}

type commands struct {
	Demo     demoCmd     `cmd:"" help:"The whole product on emulated devices and an emulated Slack workspace, in a browser."`
	Serve    serveCmd    `cmd:"" help:"The bot."`
	Check    checkCmd    `cmd:"" help:"Validate the configuration and the playbooks; with --connect log in everywhere."`
	Diagnose diagnoseCmd `cmd:"" help:"One diagnosis without Slack."`
	Show     showCmd     `cmd:"" help:"Both ends' SAs and counters as they are now."`
	Sweep    sweepCmd    `cmd:"" help:"One health sweep of all tunnels without Slack."`
	Analyze  analyzeCmd  `cmd:"" help:"Diagnose evidence already collected: files or bundle folders. No network."`
	Explain  explainCmd  `cmd:"" help:"What a pasted message, state or 'Reason NNN' means."`
	Lab      labCmd      `cmd:"" help:"Only the emulated devices, with a ready configuration for them."`
	Audit    auditCmd    `cmd:"" help:"Print the audit trail, or verify it."`
	Version  versionCmd  `cmd:"" help:"Version and build facts."`
}

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

const about = `vpnbot finds out why an IPsec tunnel between Cisco ASA and IOS devices is down, on which side,
and what mends it.

Exit status: 0 done (also when findings exist), 1 failed, 2 wrong usage or configuration,
3 partly done: some device or file could not be read.`

// run is main without the process: arguments in, exit status out.
func run(ctx context.Context, args []string, std streams) int {
	var c commands
	exited, code := false, 0
	k, err := kong.New(&c, kong.Name("vpnbot"), kong.Description(about), kong.UsageOnError(),
		kong.Writers(std.out, std.err), kong.Exit(func(n int) { exited, code = true, n }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(std))
	if err != nil {
		fmt.Fprintln(std.err, "vpnbot:", err)
		return statusFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := k.Parse(args)
	if exited { // --help
		return code
	}
	if err != nil {
		fmt.Fprintf(std.err, "vpnbot: %v\n", err)
		fmt.Fprintln(std.err, "vpnbot --help lists the commands; vpnbot COMMAND --help their flags")
		return statusUsage
	}
	err = kctx.Run()
	var usage usageError
	var part partial
	switch {
	case err == nil:
		return statusDone
	case errors.As(err, &usage):
		fmt.Fprintf(std.err, "vpnbot: %v\n", err)
		return statusUsage
	case errors.As(err, &part):
		fmt.Fprintf(std.err, "vpnbot: %v\n", err)
		return statusPartial
	}
	fmt.Fprintf(std.err, "vpnbot: %v\n", err)
	return statusFailed
}

// logger writes to standard error in the configured form.
func logger(w io.Writer, level, format string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(strings.ToUpper(level))); err != nil {
		l = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: l}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
