package main

import (
	"context"
	"crypto/rand"
	"time"

	"vpnbot/bot"
	"vpnbot/diag/explain"
)

type serveCmd struct {
	Config string `required:"" type:"path" help:"Configuration file."`
}

// Run is the bot: it first returns what an earlier process left on devices, then serves
// until it is stopped.
func (c serveCmd) Run(ctx context.Context, std streams) error {
	conf, err := loadConfig(c.Config, true)
	if err != nil {
		return err
	}
	return serve(ctx, conf, std)
}

func serve(ctx context.Context, conf *config, std streams) error {
	log := logger(std.err, conf.Log.Level, conf.Log.Format)
	st, err := openStore(ctx, conf)
	if err != nil {
		return err
	}
	defer st.Close()
	rt, err := wire(conf, st, log)
	if err != nil {
		return err
	}
	defer rt.fleet.Close()
	if err := rt.fleet.CleanUp(ctx); err != nil {
		// The device may be away; the journal keeps the capture and the fleet tries again.
		log.Warn("captures of an earlier run could not all be removed", "error", err)
	}
	if n, err := rt.runner.Expire(conf.Playbooks.Captures.Keep); err != nil {
		log.Warn("old captures could not be deleted", "error", err)
	} else if n > 0 {
		log.Info("old captures deleted", "files", n)
	}
	var books []bot.Playbook
	for _, b := range rt.runner.Books() {
		books = append(books, bot.Playbook{Name: b.Name, About: b.About})
	}
	b, err := bot.New(bot.Options{Config: conf.Bot, Runner: rt.runner, Inventory: rt.inventory, Store: st, Books: books,
		Logger: log, Now: time.Now, Rand: rand.Reader, Explain: func(s string) string { return explain.Format(explain.Text(s)) }, Analyze: rt.runner.Analyze})
	if err != nil {
		return err
	}
	return b.Run(ctx)
}
