package bot

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"vpnbot/bot/message"
	"vpnbot/bot/store"
	"vpnbot/playbooks"
)

// home publishes a person's App Home.
func (b *Bot) home(a *ask) {
	ctx, cancel := context.WithTimeout(a.ctx, 30*time.Second)
	defer cancel()
	if b.may(ctx, a.User, a.Team, mayDiagnose, false) != nil {
		return
	}
	rows, swept, err := b.states(ctx, b.inv.Tunnels())
	if err != nil {
		b.log.Error("App Home cannot be made", "error", err)
		return
	}
	total := len(rows)
	rows = slices.DeleteFunc(rows, func(r message.Row) bool { return r.State == "up" || r.State == "not seen yet" })
	ps, err := b.store.Pending(ctx)
	if err != nil {
		b.log.Error("App Home cannot be made", "error", err)
		return
	}
	var mine []message.PendingRow
	if len(ps) > 0 && b.may(ctx, a.User, a.Team, mayApprove, false) == nil {
		for _, p := range ps {
			if !b.cfg.fourEyes() || !slices.Contains(p.Requesters(), a.User) {
				mine = append(mine, message.PendingRow{Tunnel: p.Tunnel, Title: p.Finding.Title, Requester: p.Requester, Expires: p.ExpiresAt})
			}
		}
	}
	if err := b.api.PublishHome(ctx, a.User, message.Home(rows, total, mine, len(ps), b.cfg.Slack.Channel, swept, b.now(), b.loc)); err != nil && ctx.Err() == nil {
		b.log.Warn("App Home could not be shown", "user", a.User, "error", err)
	}
}

// overheard is a message that does not mention the bot: only a file shared in one of the
// bot's threads, or a direct message, is for it.
func (b *Bot) overheard(a *ask) {
	id := b.identity.Load()
	if id == nil {
		return
	}
	if strings.Contains(a.Text, "<@"+id.UserID) {
		if len(a.Files) > 0 {
			b.shared(a) // the mention itself arrives too, perhaps without the files
		}
		return
	}
	if strings.HasPrefix(a.Channel, "D") && len(a.Files) == 0 {
		b.command(a, unescape(a.Text))
		return
	}
	if len(a.Files) == 0 {
		return
	}
	if !strings.HasPrefix(a.Channel, "D") {
		if a.Thread == "" {
			return
		}
		ours, err := b.store.Posted(a.ctx, a.Channel, a.Thread)
		if err != nil || !ours {
			return
		}
	}
	b.shared(a)
}

// readingMark begins the message that stands while shared files are read.
const readingMark = "⏳ reading"

// shared analyses files that a person shared with the bot; the answer goes to the thread.
func (b *Bot) shared(a *ask) {
	if err := b.may(a.ctx, a.User, a.Team, mayDiagnose, false); err != nil {
		b.refused(a, "analyze", err)
		return
	}
	if b.opt.Analyze == nil {
		a.say("Reading shared files is not available in this installation.")
		return
	}
	thread := a.Thread
	if thread == "" {
		thread = a.TS
	}
	// A mention with files arrives twice, as a mention and as a message: they are read once.
	key := "shared:" + id(a.Channel, a.TS)
	if _, busy := b.reading.LoadOrStore(key, true); busy {
		return
	}
	defer b.reading.Delete(key)
	if m, err := b.store.Message(a.ctx, key); err == nil && !strings.Contains(string(m.Body), readingMark) {
		return
	}
	put := func(k string, m message.Message) {
		b.put(a.ctx, store.Message{Key: k, Kind: "post", Channel: a.Channel, Thread: thread, Body: m.JSON()})
	}
	put(key, message.Notice(fmt.Sprintf(readingMark+" %d shared files", len(a.Files))))
	ctx, cancel := context.WithTimeout(a.ctx, 2*time.Minute)
	defer cancel()
	var files []playbooks.File
	var bad []string
	for _, f := range a.Files {
		data, err := b.api.Fetch(ctx, f)
		if err != nil {
			bad = append(bad, message.Quote(f.Name)+": "+message.Words(err.Error()))
			continue
		}
		files = append(files, playbooks.File{Name: fileName(f.Name), Data: data})
	}
	if len(files) == 0 {
		put(key, message.Notice("❌ "+strings.Join(bad, "\n")))
		return
	}
	res, err := b.analyzeSafely(ctx, files)
	if a.ctx.Err() != nil {
		return
	}
	v := message.Run{ID: key, Playbook: "analyze", Tunnel: "shared files", By: a.User, Started: b.now(), Ended: b.now(), Loc: b.loc}
	if err != nil {
		v.Failed = err.Error()
	} else {
		v.Report = &res.Report
		if len(res.Report.Findings) > 0 {
			v.Tunnel = res.Report.Findings[0].Tunnel
		}
	}
	put(key, message.Verdict(v))
	if res == nil {
		return
	}
	for i, m := range message.Details(v.Tunnel, res.Report) {
		put(fmt.Sprintf("%s:%d", key, i), m)
	}
	n := 0
	for _, p := range res.Pictures {
		if strings.HasSuffix(p.Name, ".png") && n < maxFiles {
			b.upload(a.ctx, a.Channel, thread, "", fmt.Sprintf("%s:file:%d", key, n), upload{p, "Ladder diagram", ladderText(v.Tunnel, p.Name, res)})
			n++
		}
	}
}

func (b *Bot) analyzeSafely(ctx context.Context, files []playbooks.File) (res *playbooks.Result, err error) {
	defer func() {
		if r := recover(); r != nil {
			b.log.Error("reading shared files ended in a panic", "panic", r)
			res, err = nil, fmt.Errorf("vpnbot made a mistake with these files; its log says more")
		}
	}()
	return b.opt.Analyze(ctx, files)
}

func file(name, text string) playbooks.File {
	return playbooks.File{Name: name, Data: []byte(text)}
}
