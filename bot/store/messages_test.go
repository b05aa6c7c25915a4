package store

import (
	"fmt"
	"testing"
	"time"

	"vpnbot/bot/approval"
)

// What waits in one channel keeps no other waiting, and a reply waits with its post.
func TestUnsent(t *testing.T) {
	both(t, func(t *testing.T, again func(approval.Policy, *clock) *Store) {
		ctx := t.Context()
		s := again(policy(), newClock())
		put := func(m Message) {
			t.Helper()
			m.Kind, m.Body = "post", []byte(`{"text":"x"}`)
			if err := s.Put(ctx, m); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 30 {
			put(Message{Key: fmt.Sprint("held", i), Channel: "C1"})
		}
		put(Message{Key: "other", Channel: "C2"})
		put(Message{Key: "urgent", Channel: "C1", Urgent: true})
		put(Message{Key: "elsewhere", Channel: "C3"})
		put(Message{Key: "reply", Channel: "C4", Parent: "elsewhere"})
		put(Message{Key: "late", Channel: "C5"})
		put(Message{Key: "reply to late", Channel: "C5", Parent: "late"})
		put(Message{Key: "reply to nothing", Channel: "C6", Parent: "nothing"})
		late, err := s.Message(ctx, "late")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Later(ctx, late, time.Minute, true); err != nil {
			t.Fatal(err)
		}
		ms, err := s.Unsent(ctx, 3)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range ms {
			got = append(got, m.Key)
		}
		want := []string{"urgent", "held0", "held1", "other", "elsewhere", "reply to nothing"}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		// A post that moves takes its replies along.
		elsewhere, err := s.Message(ctx, "elsewhere")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Move(ctx, elsewhere, "C9"); err != nil {
			t.Fatal(err)
		}
		if m, err := s.Message(ctx, "reply"); err != nil || m.Channel != "C9" {
			t.Errorf("the reply is in %s, %v", m.Channel, err)
		}
	})
}

// A process that others take for dead sends nothing more, and what it had begun is left
// alone until Slack must have answered it.
func TestTwoSenders(t *testing.T) {
	both(t, func(t *testing.T, again func(approval.Policy, *clock) *Store) {
		ctx := t.Context()
		c := newClock()
		a, b := again(policy(), c), again(policy(), c)
		lead := func(s *Store, want bool) {
			t.Helper()
			if got, err := s.LeadSending(ctx); err != nil || got != want {
				t.Fatalf("leads: %v, %v; want %v", got, err, want)
			}
		}
		trying := func(s *Store, m *Message, want bool) {
			t.Helper()
			if got, err := s.Trying(ctx, m, 15*time.Second); err != nil || got != want {
				t.Fatalf("sends %s: %v, %v; want %v", m.Key, got, err, want)
			}
		}
		lead(a, true)
		lead(b, false)
		var ms []Message
		for _, key := range []string{"one", "two", "file"} {
			if err := a.Put(ctx, Message{Key: key, Kind: "post", Channel: "C1", Body: []byte(`{}`)}); err != nil {
				t.Fatal(err)
			}
			m, err := a.Message(ctx, key)
			if err != nil {
				t.Fatal(err)
			}
			ms = append(ms, m)
		}
		trying(a, &ms[0], true)
		a.alive.close() // the server cuts it off
		lead(b, true)
		lead(a, false)
		trying(a, &ms[1], false)
		if ok, err := a.Uploaded(ctx, &ms[2], "F1"); err != nil || ok {
			t.Errorf("it still uploads: %v, %v", ok, err)
		}
		due := func() (keys []string) {
			t.Helper()
			got, err := b.Unsent(ctx, 10)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range got {
				keys = append(keys, m.Key)
			}
			return keys
		}
		if got := due(); fmt.Sprint(got) != "[two file]" {
			t.Errorf("due at the other process: %q", got)
		}
		wait := EditPause // with a file its process is certainly gone
		if b.pg {
			wait = 15 * time.Second
		}
		c.advance(wait - time.Millisecond)
		if got := due(); len(got) != 2 {
			t.Errorf("due before the answer must have come: %q", got)
		}
		c.advance(2 * time.Millisecond)
		if got := due(); len(got) != 3 {
			t.Errorf("due after it: %q", got)
		}
		// Two looks at the same message send it once.
		one, err := b.Message(ctx, "two")
		if err != nil {
			t.Fatal(err)
		}
		two := one
		trying(b, &one, true)
		trying(b, &two, false)
	})
}
