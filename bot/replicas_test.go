package bot_test

import (
	"database/sql"
	"hash/fnv"
	"testing"
	"time"

	"vpnbot/bot/workspace"
)

// cutOff ends the server's session that says that the bot's first process lives, as when
// the network between them breaks: the process goes on and does not know it.
func (o *office) cutOff() {
	o.t.Helper()
	db, err := sql.Open("pgx", o.dsn)
	if err != nil {
		o.t.Fatal(err)
	}
	defer db.Close()
	h := fnv.New64a()
	h.Write([]byte("vpnbot instance " + o.store.Instance()))
	n := h.Sum64()
	var ended bool
	if err := db.QueryRow(`SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted
		AND classid::bigint = $1 AND objid::bigint = $2`, int64(n>>32), int64(n&0xffffffff)).Scan(&ended); err != nil || !ended {
		o.t.Fatalf("the session was not ended: %v", err)
	}
}

// Two processes, one of which is taken for dead while Slack is slow to take its post: the
// other sends what waits, and nothing twice.
func TestTwoSenders(t *testing.T) {
	o := openOn(t, database(t), workspace.Options{}, nil)
	o.types(amelie, "/vpn show london-oslo") // the first process sends
	o.reads("london-oslo now", "IKE Peer")
	o.replica()
	slow := workspace.Fault{Method: "chat.postMessage", Times: 1, Delay: 6 * time.Second}
	o.ws.Inject(slow)
	for _, n := range tunnelNames {
		o.types(amelie, "/vpn show "+n)
	}
	o.eventually("the first post to be under way", func() bool {
		all, _, err := o.store.Waiting(o.ctx())
		due, err2 := o.store.Unsent(o.ctx(), 10)
		return err == nil && err2 == nil && all == 3 && len(due) == 2
	})
	over := time.Now().Add(slow.Delay + time.Second)
	o.cutOff()
	for _, n := range tunnelNames {
		o.reads(n+" now", "IKE Peer")
	}
	o.until("all four answers", func() bool {
		n := 0
		for _, m := range o.ws.Messages("") {
			if m.Contains("IKE Peer") {
				n++
			}
		}
		return n >= 4
	})
	o.eventually("the slow post to be over", func() bool { return time.Now().After(over) })
	o.noneTwice()
	o.fine()
}
