package transcript

import "strings"

// A word of the command tree: its full spelling and what may follow.
type word struct {
	text string
	next []word
}

func w(text string, next ...word) word { return word{text, next} }

func ws(texts string) []word {
	var out []word
	for t := range strings.FieldsSeq(texts) {
		out = append(out, word{text: t})
	}
	return out
}

// verbs are the commands that a prompt is recognised by. The order decides between
// abbreviations that fit several words: what people mean stands first.
var verbs = func() []word {
	sa := w("sa", ws("detail detailed active count nat peer remote local map identity interface vrf")...)
	ipsecSA := w("sa", ws("detail detailed peer map interface identity entry inactive summary vrf address user username spi stats platform")...)
	crypto := w("crypto",
		w("isakmp", append([]word{sa}, ws("policy key stats ipsec-over-tcp peers profile default diagnose")...)...),
		w("ipsec", append([]word{ipsecSA}, ws("transform-set security-association df-bit fragmentation policy stats profile client default")...)...),
		w("ikev1", append([]word{sa}, ws("policy stats enable am-disable")...)...),
		w("ikev2", append([]word{sa}, ws("policy proposal profile session diagnose stats enable client")...)...),
		w("session", ws("detail brief remote local summary active standby")...),
		w("sockets"), w("accelerator", ws("statistics")...), w("protocol"), w("ca", ws("certificates crls server trustpoints")...), w("pki", w("certificates", ws("verbose")...), w("trustpoints", ws("status")...), w("crls"), w("counters"), w("timers"), w("server"), w("trustpool")), w("key"),
		w("map", ws("interface tag")...), w("dynamic-map"), w("engine", ws("connections accelerator configuration")...), w("eli"), w("debug-condition"), w("gdoi"), w("mib"), w("ssl"))
	run := w("running-config", append([]word{w("all", ws("sysopt crypto group-policy tunnel-group threat-detection logging nat failover")...), w("crypto", ws("map isakmp ikev1 ikev2 ipsec dynamic-map")...)},
		ws("access-list access-group object object-group nat global static route tunnel-group group-policy sysopt interface ip username aaa-server aaa threat-detection same-security-traffic management-access logging name names policy-map ntp webvpn failover dynamic-map http vpn-sessiondb")...)...)
	show := w("show", crypto, run, w("startup-config"),
		w("version"), w("vpn-sessiondb", append([]word{w("detail", ws("l2l remote ra-ikev1-ipsec ra-ikev2-ipsec anyconnect svc full index webvpn")...)},
			ws("summary l2l remote ra-ikev1-ipsec ra-ikev2-ipsec anyconnect svc full webvpn license-summary ratio failover index")...)...),
		w("access-lists"), w("access-list", ws("brief")...), w("access-group"),
		w("asp", w("drop", ws("frame flow")...), w("table", w("vpn-context", ws("detail")...), w("classify", ws("crypto domain interface hits")...), w("routing"))),
		w("logging", ws("asdm buffered history queue message setting")...),
		w("ip", w("route"), w("interface", ws("brief")...), w("local", ws("pool")...), w("nat", w("translations"), w("statistics")), w("access-lists"), w("address"), w("cef"), w("arp"), w("traffic")),
		w("interfaces"), w("interface", ws("ip")...), w("ipv6"), w("isakmp", sa), w("ipsec", ipsecSA),
		w("route", ws("inside outside")...), w("nat", ws("detail translated")...), w("xlate", ws("count detail debug global local interface")...), w("conn", ws("count detail all")...),
		w("local-host", ws("all brief detail connection")...), w("clock", ws("detail")...), w("capture"), w("failover", ws("state history exec interface statistics")...),
		w("threat-detection", w("shun"), w("scanning-threat", ws("attacker target")...), w("statistics"), w("rate"), w("memory")),
		w("shun", ws("statistics")...), w("memory", ws("detail")...), w("cpu"), w("processes", ws("cpu memory")...), w("aaa-server"), w("aaa"), w("debugging"), w("debug"), w("uauth"),
		w("route-map"), w("vpn"), w("object-group"), w("object"), w("monitor", w("capture")), w("platform", w("cerm-information"), w("hardware"), w("software")), w("arp"), w("blocks"), w("traffic"), w("perfmon"), w("resource"), w("mode"), w("context"), w("inventory"),
		w("service-policy"), w("policy-map"), w("tunnel-group"), w("sysopt"), w("names"), w("users"), w("tech-support"), w("call-home"), w("license"), w("dmvpn"), w("fragment"), w("cdp"), w("ntp", ws("status associations")...), w("webvpn"), w("vlan"), w("environment"), w("history"), w("privilege"), w("curpriv"), w("ssh"), w("file"), w("flash"), w("disk0"), w("module"), w("controllers"), w("dialer"), w("pppoe"), w("vpdn"), w("vpnclient", ws("detail")...), w("dhcpd"), w("dhcp"), w("bgp"), w("ospf"), w("eigrp"), w("vrf"), w("kernel"), w("crashinfo"), w("activation-key"), w("firewall"), w("running"))
	clear := w("clear", w("crypto", w("isakmp", ws("sa stats")...), w("ipsec", w("sa", ws("peer counters map")...), w("stats")), w("ikev1", ws("sa stats")...), w("ikev2", ws("sa stats")...), w("sa", ws("peer counters map")...), w("session", ws("remote local")...)),
		w("xlate"), w("asp", ws("drop")...), w("logging", ws("buffer")...), w("capture"), w("counters"), w("local-host"), w("shun"), w("threat-detection"), w("conn"), w("arp"), w("ip"), w("access-list"), w("configure"), w("aaa-server"))
	debug := w("debug", crypto, w("ip"), w("radius"), w("aaa"), w("icmp"), w("all"), w("webvpn"), w("menu"))
	return append([]word{show, w("ping", ws("tcp ip")...), clear, debug, w("undebug", w("all")), w("packet-tracer", ws("input")...), w("capture"),
		w("terminal", ws("length pager monitor width no")...), w("configure", ws("terminal")...), w("enable"), w("exit"), w("end"), w("quit"), w("disable"), w("logout"),
		w("write", ws("memory terminal standby erase")...), w("copy"), w("more"), w("dir"), w("no"), w("crypto", crypto.next...), w("monitor", w("capture")),
		w("test", ws("aaa-server aaa")...), w("traceroute"), w("telnet"), w("ssh"), w("changeto", ws("context system")...), w("vpn-sessiondb", ws("logoff")...), w("reload"), w("session"),
		w("login"), w("who"), w("tunnel-group"), w("group-policy"), w("access-list"), w("access-group"), w("sysopt"), w("isakmp"), w("interface"), w("logging"), w("object"), w("object-group"), w("nat"), w("static"), w("global"), w("route"), w("ip"), w("username"),
		w("threat-detection"), w("management-access"), w("same-security-traffic"), w("failover"), w("help"), w("name"), w("names"), w("delete"), w("shun"), w("set"), w("redundancy"), w("tclsh"), w("u", ws("all")...)},
		w("do"))
}()

// short holds abbreviations that devices take and that fit no word by their beginning, or another first.
var short = map[string]string{"sh": "show", "sho": "show", "conf": "configure", "t": "", "wr": "write", "un": "undebug", "u": "undebug", "en": "enable", "ter": "terminal", "term": "terminal", "tracert": "traceroute"}

// Normalise brings a typed command to one form: lower case, abbreviations of known words
// written out, "do" and what stands behind a pipe taken off. The filter keeps what stood
// behind the pipe, its first word written out ("include encaps|decaps").
func Normalise(typed string) (command, filter string) {
	s := strings.TrimSpace(typed)
	if len(s) > 1024 {
		s = s[:1024]
	}
	if i := strings.IndexByte(s, '|'); i >= 0 {
		filter = normaliseFilter(s[i+1:])
		s = s[:i]
	}
	fields := strings.Fields(strings.ToLower(s))
	if len(fields) > 0 && fields[0] == "do" {
		fields = fields[1:]
	}
	if len(fields) == 0 {
		return "", filter
	}
	if fields[0][0] == '$' { // scrolled to the left: the beginning is lost
		return strings.Join(scrolled(fields), " "), filter
	}
	level := verbs
	for i, f := range fields {
		if i == 0 {
			if full, ok := short[f]; ok && full != "" {
				f = full
			}
		}
		n := find(level, f)
		if n == nil {
			break
		}
		fields[i] = n.text
		level = n.next
		if fields[0] == "show" && i == 1 && (n.text == "running" || n.text == "running-config" && f == "running") {
			fields[i] = "running-config"
		}
	}
	return strings.Join(fields, " "), filter
}

// scrolled guesses the lost beginning of "$w crypto isakmp sa": a show of a known word.
func scrolled(fields []string) []string {
	rest := fields[1:]
	if first := strings.TrimPrefix(fields[0], "$"); find(verbs[0].next, first) != nil && len(first) > 3 {
		rest = append([]string{first}, rest...)
	}
	if len(rest) == 0 || find(verbs[0].next, rest[0]) == nil {
		return fields
	}
	out := []string{"show"}
	level := verbs[0].next
	for _, f := range rest {
		if n := find(level, f); n != nil {
			f, level = n.text, n.next
		} else {
			level = nil
		}
		out = append(out, f)
	}
	return out
}

func find(level []word, f string) *word {
	for i := range level {
		if level[i].text == f {
			return &level[i]
		}
	}
	for i := range level {
		if strings.HasPrefix(level[i].text, f) {
			return &level[i]
		}
	}
	return nil
}

func normaliseFilter(s string) string {
	s = strings.TrimSpace(s)
	first, rest, _ := strings.Cut(s, " ")
	l := strings.ToLower(first)
	for _, full := range []string{"include", "exclude", "begin", "section", "grep", "redirect", "append", "count"} {
		if l != "" && strings.HasPrefix(full, l) {
			first = full
			break
		}
	}
	return strings.TrimSpace(first + " " + strings.TrimSpace(rest))
}

// isCommand tells whether a text begins as something that is typed at a prompt.
func isCommand(s string) bool {
	first, rest, _ := strings.Cut(s, " ")
	if i := strings.IndexByte(first, '|'); i > 0 {
		first = first[:i]
	}
	if strings.HasSuffix(first, "?") {
		return true
	}
	f := strings.ToLower(first)
	full := short[f]
	if full == "" {
		n := find(verbs, f)
		if n == nil || len(f) < 2 && n.text != f {
			return false
		}
		full = n.text
	}
	rest = strings.TrimSpace(rest)
	if rest == "" {
		return true
	}
	if full == "show" || full == "debug" {
		second, _, _ := strings.Cut(rest, " ")
		second, _, _ = strings.Cut(strings.ToLower(second), "|")
		return second == "" || strings.HasSuffix(second, "?") || find(verbs[0].next, second) != nil || find(debugWords, second) != nil
	}
	// A sentence of a banner ("enable passwords are ...") ends in a full stop and is long.
	return !(strings.HasSuffix(rest, ".") && strings.Count(rest, " ") > 3)
}

var debugWords = ws("crypto ip radius aaa icmp all webvpn menu ppp dialer condition")
