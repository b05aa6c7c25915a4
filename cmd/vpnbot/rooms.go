package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"vpnbot/bot/store"
	"vpnbot/devices"
	"vpnbot/devices/inventory"
	"vpnbot/playbooks"
)

// rooms are the wired rooms of one command.
type rooms struct {
	config    *config
	inventory *inventory.Inventory
	fleet     *devices.Fleet
	runner    *playbooks.Runner
	store     *store.Store
	log       *slog.Logger
}

func (rt *rooms) now() time.Time { return time.Now() }

// wire builds the rooms from a configuration. st is nil for commands without a store:
// they propose nothing, and nothing disruptive can pass the gate.
func wire(c *config, st *store.Store, log *slog.Logger) (*rooms, error) {
	inv, err := inventory.New(c.Network)
	if err != nil {
		return nil, usageError{err}
	}
	opt := devices.Options{Logger: log, Now: time.Now}
	ropt := playbooks.Options{Inventory: inv, Books: c.books, Config: c.Playbooks, TTL: c.Bot.Approval.TTL, Logger: log, Now: time.Now,
		Random: func(b []byte) { _, _ = rand.Read(b) }} // crypto/rand.Read never fails
	if st != nil {
		opt.Gate, opt.Journal, opt.Memory = st, st, st
		ropt.Journal = st
		if c.Bot.Approval.Enabled == nil || *c.Bot.Approval.Enabled {
			ropt.Approvals = st
		}
	}
	fleet, err := devices.New(inv, opt)
	if err != nil {
		return nil, err
	}
	ropt.Fleet = fleet
	return &rooms{config: c, inventory: inv, fleet: fleet, runner: playbooks.New(ropt), store: st, log: log}, nil
}

// openStore opens the configured store with the policy of approvals.
func openStore(ctx context.Context, c *config) (*store.Store, error) {
	return store.Open(ctx, store.Options{DSN: c.Bot.Store, Dir: c.dir, Policy: c.Bot.Policy(), Now: time.Now})
}

// withRunner loads the configuration, wires the rooms with the store that remembers lent
// captures, runs f and closes everything.
func withRunner(ctx context.Context, path string, std streams, f func(*rooms) error) error {
	c, err := loadConfig(path, false)
	if err != nil {
		return err
	}
	log := logger(std.err, "warn", c.Log.Format)
	st, err := openStore(ctx, c)
	if err != nil {
		return err
	}
	defer st.Close()
	rt, err := wire(c, st, log)
	if err != nil {
		return err
	}
	defer rt.fleet.Close()
	return f(rt)
}

// tunnel finds a tunnel by name, peer address or device.
func (rt *rooms) tunnel(word string) (string, error) {
	t, err := rt.inventory.Tunnel(word)
	return t.Name, err
}

// newID makes an id for a run.
func newID() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// progress draws one line per step, on a terminal only.
func progress(w io.Writer) func(playbooks.Update) {
	f, ok := w.(*os.File)
	if !ok {
		return nil
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	return func(u playbooks.Update) {
		if u.State == playbooks.Waiting {
			return
		}
		fmt.Fprintf(w, "%-8s %s  %s\n", u.State, u.About, u.Note)
	}
}
