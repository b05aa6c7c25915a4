package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"vpnbot/bot"
	"vpnbot/bot/slack"
	"vpnbot/devices"
	"vpnbot/diag/report"
	"vpnbot/playbooks"
)

type checkCmd struct {
	Config        string `required:"" type:"path" help:"Configuration file."`
	Connect       bool   `help:"Also log in to Slack and to each device, and list captures of ours that were left behind."`
	LearnHostKeys bool   `help:"Show unknown host keys' fingerprints and write them to known_hosts after a yes (with --connect)."`
}

// Run validates the configuration and the playbooks, and with --connect everything that
// they name.
func (c checkCmd) Run(ctx context.Context, std streams) error {
	if c.LearnHostKeys && !c.Connect {
		return usageError{errors.New("--learn-host-keys needs --connect")}
	}
	conf, err := readConfig(c.Config)
	if err != nil {
		return err
	}
	errs, ofBot := conf.validate()
	// Without a Slack part a configuration is good for the command line only.
	cliOnly := conf.Bot.Slack.BotToken == ""
	var missing []error
	for _, err := range ofBot {
		if cliOnly && (strings.HasPrefix(err.Error(), "slack.") || strings.HasPrefix(err.Error(), "access.approve")) {
			missing = append(missing, err)
		} else {
			errs = append(errs, err)
		}
	}
	if err := conf.wrong(errs); err != nil {
		return err
	}
	fmt.Fprintf(std.out, "configuration %s: %d devices, %d tunnels\n", c.Config, len(conf.Network.Devices), len(conf.Network.Tunnels))
	for _, b := range playbooks.New(playbooks.Options{Books: conf.books}).Books() {
		from := b.Source
		if b.BuiltIn {
			from = "built in"
		}
		fmt.Fprintf(std.out, "playbook %s (%s): %s\n", b.Name, from, report.Plain(b.About))
	}
	if cliOnly {
		fmt.Fprintf(std.out, "slack: not usable for serve:\n  %v\n", indent(conf.file.Place(missing)))
	}
	if !c.Connect {
		return nil
	}
	return c.connect(ctx, conf, std, !cliOnly)
}

// connect logs in everywhere and prints one table.
func (c checkCmd) connect(ctx context.Context, conf *config, std streams, withSlack bool) error {
	rt, err := wire(conf, nil, logger(std.err, "error", "text"))
	if err != nil {
		return err
	}
	defer rt.fleet.Close()
	// A person asks: what was refused before is tried once more, and may be by the bot after its restart.
	if st, err := openStore(ctx, conf); err == nil {
		err = devices.ForgetRefusals(ctx, st)
		st.Close()
		if err != nil {
			return fmt.Errorf("refused passwords: %w", err)
		}
	}
	if c.LearnHostKeys {
		ask := bufio.NewReader(std.in)
		if err := rt.fleet.LearnHostKeys(ctx, func(device, fingerprint string) bool {
			fmt.Fprintf(std.err, "%s shows an unknown host key %s\nCompare it with the device's console. Write it to known_hosts? [yes/no] ", device, fingerprint)
			answer, _ := ask.ReadString('\n')
			return strings.TrimSpace(answer) == "yes"
		}); err != nil {
			return fmt.Errorf("host keys: %w", err)
		}
	}
	failed := 0
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WHAT\tSTATE\tDETAIL")
	if withSlack {
		for _, line := range checkSlack(ctx, conf.Bot) {
			if !line.OK {
				failed++
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", line.What, okay(line.OK), report.Plain(line.Detail))
		}
	}
	for _, d := range conf.Network.Devices {
		res, err := rt.fleet.Check(ctx, d.Name)
		if err != nil {
			failed++
			state := "failed"
			var de *devices.Error
			if errors.As(err, &de) {
				state = string(de.Reason)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", d.Name, state, report.Plain(err.Error()))
			continue
		}
		detail := res.Version
		if len(res.Leftovers) > 0 {
			detail += "; captures of ours left behind: " + strings.Join(res.Leftovers, ", ")
		}
		fmt.Fprintf(w, "%s\tok\t%s\n", d.Name, report.Plain(detail))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if failed > 0 {
		return partial{failed}
	}
	return nil
}

// checkSlack asks Slack for what the bot will need.
func checkSlack(ctx context.Context, c bot.Config) []slack.CheckLine {
	api, err := slack.NewAPI(slack.Options{APIURL: c.Slack.APIURL, AppToken: c.Slack.AppToken, BotToken: c.Slack.BotToken})
	if err != nil {
		return []slack.CheckLine{{What: "slack", Detail: err.Error()}}
	}
	k := slack.Checked{Channel: c.Slack.Channel, Socket: c.Slack.Mode != "http"}
	for _, list := range [][]string{c.Access.Diagnose, c.Access.Operate, c.Access.Approve, c.Access.Admin} {
		for _, id := range list {
			switch {
			case strings.HasPrefix(id, "S") && !slices.Contains(k.Groups, id):
				k.Groups = append(k.Groups, id)
			case (strings.HasPrefix(id, "U") || strings.HasPrefix(id, "W")) && !slices.Contains(k.People, id):
				k.People = append(k.People, id)
			}
		}
	}
	return api.Check(ctx, k)
}

func okay(ok bool) string {
	if ok {
		return "ok"
	}
	return "failed"
}
