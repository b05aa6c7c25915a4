package bot

import (
	"context"

	"vpnbot/playbooks"
)

func file(name, text string) playbooks.File {
	return playbooks.File{Name: name, Data: []byte(text)}
}

func (b *Bot) sweep(a *ask) {
	a.say("Sweeping is not available yet.")
}

func (b *Bot) scheduled(ctx context.Context, s Schedule) {}

func (b *Bot) home(a *ask)      {}
func (b *Bot) shared(a *ask)    {}
func (b *Bot) overheard(a *ask) {}
