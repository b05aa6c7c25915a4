// Package swan reads logs of the open IKE daemons, strongSwan's charon and libreswan's pluto,
// as far as they say how a negotiation or a tunnel ended: a peer of a Cisco device is often
// one of them.
//
// In come numbered lines, out go events of kind "swan" whose ID is the outcome (the constants
// below, "" for what is none) and the lines that are none of its own. It never fails.
package swan

import (
	"net/netip"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/parse/syslog"
)

// Outcomes that a line tells.
const (
	Initiating  = "initiating"   // a negotiation begins here
	Received    = "received"     // a packet of the peer
	Up          = "up"           // phase 1, or the IKE SA, is established
	ChildUp     = "child-up"     // an IPsec SA is there
	Probe       = "probe"        // dead-peer detection asks
	Repeat      = "repeat"       // a message is sent again
	GaveUp      = "gave-up"      // nothing answered the repetitions
	Dead        = "dead"         // dead-peer detection says so itself
	NoProposal  = "no-proposal"  // phase 1, or not said which
	NoProposal2 = "no-proposal2" // phase 2
	NoConfig    = "no-config"    // nothing is configured for this peer
	KeyDiffers  = "key-differs"  // the proof of the key is wrong, or what the key encrypts is garbage
	AuthFailed  = "auth-failed"  // the peer refuses this end's proof
	Selectors   = "selectors"    // networks are not agreed
	Certificate = "certificate"  // the peer's certificate is not taken
	Deleted     = "deleted"      // the peer ended the IKE SA
)

// outcomes are told by these words, the first that fits; lower case.
var outcomes = []struct{ words, id string }{
	{"giving up after", GaveUp},
	{"peer not responding", GaveUp},
	{"max number of retransmissions", GaveUp},
	{"no response (or no acceptable response)", GaveUp},
	{"seconds for response to our", GaveUp}, // "60 second timeout exceeded after 7 retransmits. No response ..."
	{"declaring peer dead", Dead},
	{"no response from peer", Dead},
	{"liveness check - peer", Dead},
	{"dpd check timed out", Dead},
	{"sending dpd request", Probe},
	{"dpd: could not find newest phase 1", ""},
	{"retransmit", Repeat},
	{"no_proposal_chosen notify, no child_sa", NoProposal2},
	{"no matching proposal found, sending no_proposal_chosen", NoProposal},
	{"no ike config found", NoConfig},
	{"no matching peer config found", NoConfig},
	{"no connection has been authorized", NoConfig},
	{"no suitable connection", NoConfig},
	{"no acceptable proposal", NoProposal},
	{"proposals unacceptable", NoProposal},
	{"proposals inacceptable", NoProposal},
	{"no acceptable oakley transform", NoProposal},
	{"no_proposal_chosen", NoProposal},
	{"ts_unacceptable", Selectors},
	{"traffic selectors unacceptable", Selectors},
	{"traffic selectors inacceptable", Selectors},
	{"no matching child_sa config found", Selectors},
	{"no connection is known for", Selectors},
	{"invalid_id_information", Selectors},
	{"mac mismatched", KeyDiffers},
	{"mismatch of preshared secrets", KeyDiffers},
	{"invalid hash_v1 payload length, decryption failed", KeyDiffers},
	{"invalid id_v1 payload length, decryption failed", KeyDiffers},
	{"could not decrypt payloads", KeyDiffers},
	{"calculated hash does not match", KeyDiffers},
	{"authentication_failed", AuthFailed},
	{"authentication failed", AuthFailed},
	{"no trusted", Certificate},
	{"constraint check failed", Certificate},
	{"certificate status is not available", Certificate},
	{"certificate was revoked", Certificate},
	{"subject certificate invalid", Certificate},
	{"no issuer certificate found", Certificate},
	{"received delete for ike_sa", Deleted},
	{"received delete sa payload: deleting isakmp", Deleted},
	{"received delete request for ike sa", Deleted},
	{"initiating ", Initiating},
	{"establishing child_sa", ""},
	{"child_sa", ChildUp}, // with "established"
	{"ipsec sa established", ChildUp},
	{"ike_sa", Up}, // with "established"
	{"isakmp sa established", Up},
	{"ike sa established", Up},
	{"established ike sa", Up},
	{"received packet: from", Received},
}

// maxName bounds a connection's name.
const maxName = 64

// worker is one of charon's threads: it says several things about one peer in a row, and names
// it in the line about the packet only.
type worker struct {
	line    int // of its last words
	peer    netip.Addr
	waiting []int // events that have no peer yet
}

// near is how many lines apart the words of a worker belong together.
const near = 8

// Log is what a text holds of the daemons.
type Log struct {
	Events []facts.Event
	Rest   []facts.Line // lines of others
	Own    []netip.Addr // addresses that the daemon sent from
}

// Parse takes the daemons' lines out of a text.
func Parse(lines []facts.Line, source string) Log {
	first := -1
	for i := range lines {
		if _, _, ok := message(lines[i].Text); ok {
			first = i
			break
		}
	}
	if first < 0 {
		return Log{Rest: lines}
	}
	out := Log{Rest: append([]facts.Line(nil), lines[:first]...)}
	peers := map[string]netip.Addr{} // by connection
	workers := map[string]worker{}
	var only []netip.Addr // all peers
	know := func(conn string, a netip.Addr) {
		if conn != "" && len(peers) < 4096 {
			peers[conn] = a
		}
		if len(only) < 2 && !contains(only, a) {
			only = append(only, a)
		}
	}
	for _, l := range lines[first:] {
		m, thread, ok := message(l.Text)
		if !ok {
			out.Rest = append(out.Rest, l)
			continue
		}
		conn, at, m := connection(m)
		low := syslog.Lower(m)
		ev := facts.Event{Kind: "swan", ID: outcome(low), Severity: -1, Text: m, Addrs: syslog.Addrs(m), Place: facts.Place{Source: source, Line: l.N, Text: strings.TrimSpace(l.Text)}}
		if when, ok := syslog.Time(strings.TrimSpace(l.Text)); ok {
			ev.Time, ev.HasTime, ev.Place.Time = when, true, &when
		}
		switch {
		case strings.HasPrefix(low, "sending packet: from "), strings.HasPrefix(low, "received packet: from "):
			a, b := ends(m)
			if low[0] == 'r' {
				a, b = b, a
			}
			if a.IsValid() && !contains(out.Own, a) && len(out.Own) < 64 {
				out.Own = append(out.Own, a)
			}
			ev.Peer = b
		case ev.ID == Initiating && len(ev.Addrs) > 0:
			ev.Peer = ev.Addrs[len(ev.Addrs)-1]
		case strings.HasPrefix(m, "packet from ") && len(ev.Addrs) > 0:
			ev.Peer = ev.Addrs[0]
		case ev.ID == Up && len(ev.Addrs) > 1: // "IKE_SA asa[4] established between A[A]...B[B]"
			if _, far, ok := strings.Cut(m, "]..."); ok {
				if as := syslog.Addrs(far); len(as) > 0 {
					ev.Peer = as[0]
				}
			}
		case at.IsValid():
			ev.Peer = at
		case len(ev.Addrs) == 1 && !contains(out.Own, ev.Addrs[0]) && (strings.Contains(low, " from ") || strings.Contains(low, " to ")):
			ev.Peer = ev.Addrs[0] // "responding to Main Mode from peer 192.0.2.80:500"
		default:
			ev.Peer = peers[conn]
		}
		w := workers[thread]
		if thread == "" || l.N-w.line > near {
			w = worker{}
		}
		switch {
		case ev.Peer.IsValid():
			know(conn, ev.Peer)
			for _, i := range w.waiting {
				out.Events[i].Peer = ev.Peer
			}
			w.peer, w.waiting = ev.Peer, nil
		case w.peer.IsValid():
			ev.Peer = w.peer
		default:
			w.waiting = append(w.waiting, len(out.Events))
		}
		if w.line = l.N; thread != "" {
			workers[thread] = w
		}
		out.Events = append(out.Events, ev)
	}
	if len(only) == 1 {
		for i := range out.Events {
			if !out.Events[i].Peer.IsValid() {
				out.Events[i].Peer = only[0]
			}
		}
	}
	return out
}

func contains(list []netip.Addr, a netip.Addr) bool {
	for _, b := range list {
		if a == b {
			return true
		}
	}
	return false
}

// outcome finds what a message, in lower case, tells.
func outcome(low string) string {
	for _, o := range outcomes {
		if !strings.Contains(low, o.words) {
			continue
		}
		if (o.words == "child_sa" || o.words == "ike_sa") && !strings.Contains(low, "established") {
			continue
		}
		return o.id
	}
	return ""
}

// message finds the daemon's words in a line: "... charon: 11[IKE] <asa|4> text",
// "... pluto[77]: "asa" #4: text". thread is charon's worker.
func message(s string) (text, thread string, ok bool) {
	for from := 0; ; {
		i := strings.IndexByte(s[from:], '[')
		if i < 0 {
			return "", "", false
		}
		i += from
		from = i + 1
		if i >= 5 && s[i-5:i] == "pluto" {
			if _, rest, ok := strings.Cut(s[i:], "]: "); ok {
				return rest, "", true
			}
			return "", "", false
		}
		if i+5 < len(s) && s[i+4] == ']' && s[i+5] == ' ' && upper(s[i+1:i+4]) && i >= 2 && digit(s[i-1]) && digit(s[i-2]) && (i == 2 || s[i-3] == ' ' || s[i-3] == '\t') {
			return s[i+6:], s[i-2 : i], true
		}
	}
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func upper(s string) bool {
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			return false
		}
	}
	return true
}

// connection takes the connection's name off a message: "<asa|4> ", ""asa" #4: ", ""asa"[2] 192.0.2.1 #4: ".
// at is the peer's address where the name has it.
func connection(m string) (name string, at netip.Addr, rest string) {
	switch {
	case strings.HasPrefix(m, "<"):
		if i := strings.IndexByte(m, '>'); i > 0 && i < maxName {
			name, _, _ = strings.Cut(m[1:i], "|")
			return name, at, strings.TrimPrefix(m[i+1:], " ")
		}
	case strings.HasPrefix(m, "\""):
		i := strings.Index(m, ": ")
		if i < 0 || i > 2*maxName {
			return "", at, m
		}
		head, rest := m[1:i], m[i+2:]
		name, head, _ = strings.Cut(head, "\"")
		if as := syslog.Addrs(head); len(as) > 0 {
			at = as[0]
			name += " " + at.String()
		}
		return name, at, rest
	}
	return "", at, m
}

// ends reads "from A[500] to B[500]".
func ends(m string) (from, to netip.Addr) {
	if as := syslog.Addrs(strings.NewReplacer("[", " ", "]", " ").Replace(m)); len(as) > 1 {
		return as[0], as[1]
	}
	return netip.Addr{}, netip.Addr{}
}
