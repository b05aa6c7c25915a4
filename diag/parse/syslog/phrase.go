package syslog

import "strings"

// fixed is a piece of Cisco's own wording that no other text has, with the id of the
// one message that it belongs to, "" when several have it.
type fixed struct{ words, kind, id string }

// fixedWords are looked for in lines that have neither id nor prefix: pasted mail,
// translated pages that left the quoted messages alone, debug output without header.
// They are found by their first word.
var fixedWords = index([]fixed{
	{"Removing peer from peer table failed", "debug", ""},
	{"Removing peer from correlator table failed", "debug", ""},
	{"Unable to remove PeerTblEntry", "debug", ""},
	{"Stale PeerTblEntry found", "debug", ""},
	{"Found an old PeerTblEntry", "debug", ""},
	{"Information Exchange processing failed", "debug", ""},
	{"Error processing payload: Payload ID", "debug", "713048"},
	{"Received an un-encrypted", "debug", "713904"},
	{"Received non-routine Notify message", "debug", "713068"},
	{"Received Invalid SPI notify", "debug", "713117"},
	{"had problems decrypting packet", "debug", ""},
	{"ERROR, had problems decrypting packet", "debug", ""},
	{"All SA proposals found unacceptable", "debug", ""},
	{"All IPSec SA proposals found unacceptable", "debug", ""},
	{"Can't find a valid tunnel group", "debug", ""},
	{"Unable to find a valid tunnel group", "debug", ""},
	{"no group found matching the peer", "debug", "713022"},
	{"QM FSM error", "debug", ""},
	{"IKE lost contact with remote peer", "debug", "713123"},
	{"IKE Initiator unable to find policy", "debug", "713042"},
	{"IKE Peer address not configured for destination", "debug", "713063"},
	{"Queuing KEY-ACQUIRE messages", "debug", "713219"},
	{"Queueing KEY-ACQUIRE messages", "debug", "713219"},
	{"Tunnel Rejected: Conflicting protocols specified", "debug", "713206"},
	{"Tunnel rejected: Crypto Map Policy not found", "debug", "713061"},
	{"rejecting IPSec tunnel: no matching crypto map entry", "debug", "713061"},
	{"Tunnel Manager failed to dispatch a KEY_ACQUIRE", "debug", "752006"},
	{"Attempted to assign network or broadcast IP address", "debug", "713189"},
	{"received encrypted packet with no matching SA", "debug", ""},
	{"Received encrypted packet with no matching SA", "debug", ""},
	{"Duplicate Phase 1 packet detected", "debug", "713201"},
	{"unsupported Transaction Mode v2 version", "debug", "713904"},
	{"No translation group found for", "debug", "305005"},
	{"regular translation creation failed for", "debug", "305006"},
	{"Asymmetric NAT rules matched for forward and reverse flows", "debug", "305013"},
	{"Transmitting large packet", "debug", "722036"},
	{"Failed to update IPsec failover runtime data", "debug", "720012"},
	{"system is running low on memory", "console", ""},
	{"IkeReceiverInit, unable to bind to port", "console", ""},
	{"crypto map entry incomplete", "console", ""},
	{"crypto map entry is incomplete", "console", ""},
	{"crypto map is in an incomplete state", "console", ""},
	{"crypto map will remain disabled", "console", ""},
	{"Command rejected: delete crypto connection between", "console", ""},
	{"IDS:2151", "debug", "400024"},
	{"IDS:2150", "debug", "400023"},
	{"Maximum Tx Bandwidth limit of", "debug", "CERM-4-TX_BW_LIMIT"},
	{"Maximum Rx Bandwidth limit of", "debug", "CERM-4-RX_BW_LIMIT"},
	{"has no SA and is not an initialization offer", "debug", "CRYPTO-4-IKMP_NO_SA"},
	{"failed its sanity check or is malformed", "debug", "CRYPTO-4-IKMP_BAD_MESSAGE"},
	{"has invalid spi for destaddr", "debug", "CRYPTO-4-RECVD_PKT_INV_SPI"},
	{"Invalid Window Scale option", "debug", "FW-3-RESPONDER_WND_SCALE_INI_NO_SCALE"},
	{"Session is being torn down. Reason:", "debug", "713259"},
	{"Connection terminated for peer", "debug", "713050"},
	{"Simultaneous logins exceeded for user", "debug", "113013"},
	{"tunnel rejected; the maximum tunnel count has been reached", "debug", "713239"},
	{"phase 1 SA policy not acceptable", "debug", ""},
	{"phase 2 SA policy not acceptable", "debug", ""},
	{"proxy identities not supported", "debug", ""},
	{"IPSec policy invalidated proposal", "debug", ""},
	{"transform proposal not supported for identity", "debug", ""},
	{"PHASE 1 COMPLETED", "debug", "713119"},
	{"PHASE 2 COMPLETED", "debug", "713120"},
	{"Cannot obtain an IP address for remote peer", "debug", "713132"},
	{"Address assignment failed", "debug", "737012"},
	{"Local pool request failed", "debug", "737007"},
	{"No address available for SVC connection", "debug", "722020"},
	{"AAA authentication server not accessible", "debug", "113014"},
	{"AAA Marking ", "debug", "113022"},
	{"AAA user authentication Rejected", "debug", ""},
	{"Remote peer has failed user authentication", "debug", "713167"},
	{"Deny traffic for local-host", "debug", "407001"},
	{"Deny inbound icmp src ", "debug", "106014"},
	{"Threat-detection adds host", "debug", "733102"},
	{"Shunned packet: ", "debug", "401004"},
	{"Split Tunneling Policy requires network list", "debug", "713140"},
	{"Session could not be established: session limit", "debug", "113029"},
	{"memory resources are critical", "debug", "713176"},
	{"Group = ", "debug", ""},
})

func index(all []fixed) map[string][]fixed {
	m := make(map[string][]fixed, len(all))
	for _, f := range all {
		first, _, _ := strings.Cut(f.words, " ")
		m[first] = append(m[first], f)
	}
	return m
}

// nextWord returns where the next word at or behind i begins and ends, both the length of s when
// none is left. A message that a tool printed as a JSON string has \r, \n and \t for its line
// ends: they divide words too.
func nextWord(s string, i int) (from, to int) {
	for i < len(s) && !isLetter(s[i]) {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte("nrt", s[i+1]) >= 0 {
			i++
		}
		i++
	}
	from = min(i, len(s))
	for i = from; i < len(s) && s[i] != ' ' && s[i] != '\t' && s[i] != '\\'; {
		i++
	}
	return from, i
}

// numbered returns the id of the one message that a debug line or a pasted body belongs to by
// its words, "" when it may be of several.
func numbered(s string) string {
	for i := 0; i < len(s) && i < maxJoined; {
		var j int
		if i, j = nextWord(s, i); i == j {
			break
		}
		for _, f := range fixedWords[s[i:j]] {
			if f.id != "" && f.kind == "debug" && strings.HasPrefix(s[i:], f.words) {
				return f.id
			}
		}
		i = j
	}
	return ""
}

// phrase looks for fixed words in a line without header.
func phrase(s string) (shape, bool) {
	if len(s) < 8 || len(s) > maxJoined {
		return shape{}, false
	}
	for i := 0; i < len(s); {
		var j int
		if i, j = nextWord(s, i); i == j {
			break
		}
		for _, f := range fixedWords[s[i:j]] {
			if !strings.HasPrefix(s[i:], f.words) {
				continue
			}
			if f.words == "Group = " && !strings.Contains(s[i:], "IP = ") {
				continue
			}
			body := i
			if i < 60 && f.kind != "console" { // keep what stands before it: addresses, names
				body = 0
				if h := scanHeader(s); h.hasTime {
					body = h.end
				}
			}
			return shape{kind: f.kind, id: f.id, severity: -1, header: s[:body], body: body}, true
		}
		i = j
	}
	return shape{}, false
}
