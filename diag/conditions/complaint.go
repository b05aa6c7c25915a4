package conditions

import (
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/parse/syslog"
)

// complaint is what users of a VPN say is wrong, in the words of a mail or a ticket or by a
// test that failed. A complaint proves nothing alone; it gives weight to an optional line
// that is absent on many healthy devices too.
type complaint int

const (
	noInternet    complaint = iota // the Internet is gone while connected
	namesFail                      // names do not resolve
	addressesWork                  // ... and by address it works
	localLAN                       // own printer, own network
	onlyLocal                      // nothing inside answers, the connection itself is up
	unreached                      // one network or host is not reached
	slowness                       // slow, not dead
	hanging                        // transfers stall
	oneSite                        // fails from some places only
	overTCP                        // IPsec over TCP is in use, or helps
	dataCard                       // 3G, UMTS, LTE sticks
	windows7                       //
	fewUsers                       // the first ones connect, the next do not
	sameLAN                        // the user's own network has the range of the office
	breaksOff                      // it connects and is lost later
	dupAcks                        // a capture described: duplicate ACKs, nothing sent again
)

// complaints are what a bundle's notes say, read once.
type complaints struct {
	places map[complaint][]facts.Place
	clause []clause
}

// clause is a part of a sentence with its line.
type clause struct {
	text  string // lower case, blank at both ends
	place facts.Place
	ends  bool // a sentence ends behind it
}

// sentences puts clauses together where nothing in them is said to be in order: "they need
// their printer, at present it is unreachable".
func sentences(cs []clause) []clause {
	var out []clause
	for i := 0; i < len(cs); {
		j := i
		for j < len(cs)-1 && !cs[j].ends {
			j++
		}
		text := ""
		for _, c := range cs[i : j+1] {
			text += c.text
		}
		if j > i && len(text) < 400 && !slices.ContainsFunc(works, func(s string) bool { return strings.Contains(text, s) }) {
			out = append(out, clause{text: text, place: cs[i].place})
		}
		i = j + 1
	}
	return out
}

// want is a complaint's wording: every group must have one of its words in one clause.
// Words are lower case; a blank in them is a word's edge.
type want struct {
	what   complaint
	groups [][]string
	unless []string
}

// fails are the ways to say that something does not work.
var fails = []string{
	" no ", " not ", " nobody ", " no one ", " none ", "n't ", " cannot ", " cant ", " dont ", " doesnt ", " unable ", " never ", " nothing ", " lose", " lost ", " losing ", " gone ", " dead ", " fail", " stop", " broken ", " without ", " down ", " blocked ", " unreachable ", " impossible ", " neither ", " nor ", " dies ", " drops ", " times out ", " time out ", " timed out ", " timeout",
	" kein", " niemand", " nicht ", " nichts ", " nimmer ", " weg ", " tot ", " ohne ", " verlier", " verlor", " weder ", " unmöglich", " gesperrt ", " fehlgeschlagen", " fällt aus", " streikt",
	" pas ", " plus ", " personne ", " aucun", " rien ", " sans ", " perd", " injoignable", " coupé", " échou", " ni ", " ne ", " impossible", " inaccessible", " hs ",
	" ikke ", " inte ", " ingen ", " inget ", " niet ", " geen ", " non ", " nessun", " niente ", " impossibile ", " não ", " nao ", " nenhum", " sem ", " nie ", " nefunguje ", " nem ",
	" sin ", " nada ", " nadie ", " ningun", " ningún", " pierd", " perdemos ", " imposible", " fall", " tampoco ", " cae ", " caído", " deja de ",
}

var wants = []want{
	{noInternet, [][]string{{"internet", " google", " website", " web site", " web page", " webpage", " the web ", "8.8.8.8", "1.1.1.1", " webseite", " surf", " browse ", " browsing ", " browser", " sites web ", " navegar ", " naviguer ", " páginas ", " public sites ", " youtube ", " web browsing ", " outside world ", " world wide web ", " external sites ", " news site"}, fails},
		[]string{" over the internet ", " internet explorer ", " from the internet ", " from internet ", " über das internet ", " aus dem internet ", " through the internet ", " via internet", " desde internet", " depuis internet",
			" neither vpn nor ", " neither internet nor vpn", " weder vpn noch ", " ni vpn ni ", " no network at all"}},
	{namesFail, [][]string{{" by name", " names ", " name resolution ", " dns ", " hostname", " host name", " resolve", " resolving ", " name of ", " by their name", " server name", " with the name ",
		" namensauflösung ", " auflös", " aufgelöst", " namen ", " per name", " über namen", " servernamen ", " hostnamen ", " noms ", " par nom ", " par son nom", " résol", " résou", " nom d", " leur nom ", " nombres ", " por nombre ", " resuelv", " resolver ", " resolución ", " nombre de"}, fails},
		[]string{" user name", " username", " benutzername", " group name", " nom d'utilisateur", " nombre de usuario", " dns server is set ", " nombre de grupo"}},
	{namesFail, [][]string{{" names ", " hostname", " host name", " server name", " namen ", " hostnamen ", " servernamen ", " noms ", " nombres "}, {" unknown ", " unbekannt ", " inconnus ", " desconocidos "}},
		[]string{" user name", " username", " benutzername", " group name", " nom d'utilisateur", " nombres de usuario", " noms d'utilisateur"}},
	{namesFail, [][]string{{" could not find host ", " konnte host ", " non-existent domain", " nxdomain ", " can't find ", " dns request timed out", " server can't find ", " name or service not known", " failure in name resolution", " unknown host ", " cannot resolve ", " trouver l'hôte", " encontrar el host", " servfail", " err_name_not_resolved", " dns_probe", " server not found"}}, nil},
	{addressesWork, [][]string{{" ip address", " by ip", " with ip", " by address", " addresses ", " adressen ", " adresses ", " direcciones ", " ip works ", " per ip", " mit der ip", " über die ip", " über ip", " ip-adresse", " ip adresse", " par ip", " adresse ip ", " por ip", " con la ip", " dirección ip", " par adresse", " por dirección", " by number", " 10.", " 192.168.", " 172."}, {" works", " work ", " fine ", " ok ", " okay ", " geht ", " gehen ", " funktionier", " klappt ", " answers ", " antwort", " fonctionn", " marche", " répond", " funciona", " va bien", " responde", " responden", " erreichbar ", " reachable ", " replies "}}, nil},
	{localLAN, [][]string{{" printer", " drucker", "imprimante", " impresora", " local lan", " local network", " lokale netz", " lokales netz", " lokalen netz", " lokale lan", " heimnetz", " home network", " home lan", " home server", " réseau local", " red local", " lan local", " nas ", " own lan ", " own network", " fritz", " scanner", " eigene netz", " eigenes netz", " eigenen netz", " my lan ", " local devices", " at home", " zu hause", " maison ", " domicile ", " casa ", " smart tv", " print", " drucken", " imprimer", " imprimir"}, fails},
		[]string{" only ", " nur ", " seulement ", " uniquement ", " solo ", " sólo ", " office printer", " works at home", " works from home", " von zu hause", " from home", " in the office", " im büro", " au bureau", " company network", " internet", " depuis la maison", " desde casa"}},
	{onlyLocal, [][]string{{" inside ", " internal ", " intern", " corporate ", " company network", " office network", " firmennetz", " server", " anything", " any host", " any network", " everything ", " nothing ", " nichts ", " rien ", " nada ", " interne", " interno", " réseau d'entreprise", " red corporativa", " lan behind", " netz dahinter"}, {" reach", " erreich", " ping", " answer", " antwort", " respond", " répond", " joindre", " accéder", " alcanz", " acced", " access", " respons", " zugreif", " zugriff"}, fails},
		nil},
	{slowness, [][]string{{" slow", " sluggish ", " latency ", " langsam", " träge", " lent ", " lente ", " lents ", " lentes ", " lenteur", " lento", " lenta", " treg", " sakte", " långsam", " traag", " trage ", " devagar ", " wolno ", " pomal", " lentitud", " takes ages ", " crawl", " lag", " latenz", " zäh", " high ping", " minutes to open ", " seconds to open ", " schnecken", " latencia", " latence", " delay", " tarda"}}, []string{" not slow ", " nicht langsam ", " slowly dies "}},
	{hanging, [][]string{{" hang", " stall", " freez", " hängt ", " hängen ", " bleibt stehen ", " bloqu", " cuelga", " big file", " large file", " große datei", " grosse datei", " gros fichier", " archivos grandes", " archivo grande", " file transfers ", " abgebrochen"}}, nil},
	{oneSite, [][]string{{" hotel", " at the customer", " at a customer", " customer's ", " beim kunden", " im kundennetz", " en el cliente", " guest network", " guest wi", " guest wlan", " guest net", " gast-wlan", " gäste", " wi-fi of ", " wifi of ", " client site", " chez le client", " hôtel", " airport", " flughafen", " aéroport", " aeropuerto", " café", " cafe ", " train", " trade fair", " messe", " campus", " university", " hospital", " one site", " this site", " one location", " one place", " this place", " there only", " nur von ", " only from ", " from one ", " uniquement depuis", " seulement depuis", " sólo desde", " solo desde", " branch only", " partner's network", " partner network", " other places", " elsewhere", " anderswo", " woanders", " überall sonst", " ailleurs ", " otro sitio", " otros sitios", " from everywhere else", " everywhere else ", " other network", " anderen netz", " autre réseau", " otra red", " mobile hotspot", " phone hotspot", " handy-hotspot", " from home", " at home", " von zu hause", " zu hause", " depuis la maison", " chez moi", " desde casa", " en casa", " conference"}}, nil},
	{overTCP, [][]string{{" tcp 10000", " tcp port 10000", " tcp/10000", " ipsec over tcp", " ipsec/tcp", " ipsec über tcp", " ipsec-over-tcp", " ipsec sur tcp", " ipsec sobre tcp", " over tcp ", " über tcp ", " sur tcp ", " sobre tcp ", " ctcp ", " 10000/tcp", " tcp tunnel"}}, nil},
	{dataCard, [][]string{{" umts", " 3g ", " 3g-", " 3g.", " data card", " datacard", " datenkarte", " surfstick", " surf stick", " wwan", " mobile broadband", " clé 3g", " clef 3g", " módem usb", " modem usb", " usb modem", " usb stick", " usb-stick", " hsdpa", " hspa", " lte-stick", " lte stick", " lte card", " mobilfunk", " tarjeta de datos", " carte de données", " modem 3g", " módem 3g", " usb-modem", " dongle", " sim card", " air card", " aircard"}}, nil},
	{windows7, [][]string{{" windows 7", " win7", " win 7", " windows7", " 6.1.7600", " 6.1.7601"}}, nil},
	{fewUsers, [][]string{{" first three ", " three users", " three people", " three colleagues", " three connections", " only three ", " fourth ", " more than three ", " drei benutzer", " ersten drei ", " nur drei ", " vierte", " mehr als drei ", " trois premiers", " trois utilisateurs", " quatrième", " plus de trois ", " tres usuarios", " tres primeros", " cuarto ", " más de tres ", " 3 users", " 3 people ", " first 3 ", " 4th ", " first two ", " second device", " same account", " same user", " simultane", " gleichzeitig", " simultané", " at the same time", " en même temps", " al mismo tiempo", " concurrent"}}, nil},
	{sameLAN, [][]string{{" same range", " same network", " same subnet", " same address range", " also uses ", " also has ", " gleiche netz", " gleichen netz", " selbe netz", " selben netz", " selben adress", " gleiche adress", " gleichen adress", " même réseau", " même plage", " même adress", " misma red", " mismo rango", " misma subred", " überschneid", " überlapp", " overlap", " chevauch", " solap"}}, nil},
	{breaksOff, [][]string{{" minuten ", " minutes ", " minutos ", " stunden ", " hours "}, {" nach ", " after ", " au bout ", " après ", " tras ", " después ", " later"}}, []string{" every ", " alle "}},
	{dupAcks, [][]string{{" duplicate ack", " dup ack", " dupack", " doppelte ack", " acks duplic", " ack duplic", " acks dupliqu", " ack dupliqu", " never retransmitted", " not retransmitted", " nie wiederholt", " never resent", " no retransmission", " jamais retransmis", " nunca se retransmite", " nunca retransmit"}}, nil},
	{breaksOff, [][]string{{" after a while", " after some time", " after some minutes", " after a few minutes", " after about ", " minutes later", " nach einigen minuten", " nach ein paar minuten", " nach einer weile", " nach kurzer zeit", " nach etwa ", " nach ca", " au bout de ", " après quelques ", " al cabo de ", " a los pocos ", " después de unos ", " then drops", " drops after", " disconnects", " bricht ab", " reißt ab", " abbruch", " verbindungsabbr", " coupure", " se corta", " falls over", " kicked out", " connection is lost ", " connection lost ", " is lost ", " getting lost"}}, nil},
}

// listen reads the notes of a bundle.
func listen(set *facts.Set) *complaints {
	c := &complaints{places: map[complaint][]facts.Place{}}
	var whole []clause
	for _, d := range set.Devices {
		for _, para := range paragraphs(d.Notes) {
			cs := clauses(para)
			c.clause = append(c.clause, cs...)
			whole = append(whole, sentences(cs)...)
		}
	}
	for _, cl := range append(slices.Clone(c.clause), whole...) {
		for _, w := range wants {
			if w.in(cl.text) && !slices.ContainsFunc(c.places[w.what], func(p facts.Place) bool { return p.Source == cl.place.Source && p.Line == cl.place.Line }) {
				c.places[w.what] = append(c.places[w.what], cl.place)
			}
		}
	}
	return c
}

func (w want) in(text string) bool {
	for _, g := range w.groups {
		if !slices.ContainsFunc(g, func(s string) bool { return strings.Contains(text, s) }) {
			return false
		}
	}
	return !slices.ContainsFunc(w.unless, func(s string) bool { return strings.Contains(text, s) })
}

// of returns where a complaint was made.
func (c *complaints) of(what ...complaint) []facts.Place {
	var out []facts.Place
	for _, w := range what {
		out = append(out, c.places[w]...)
	}
	return out
}

// works are the ways to say that something is in order.
var works = []string{" works", " work ", " working ", " fine", " ok ", " okay ", " reachable ", " answers", " geht ", " gehen ", " funktionier", " klappt", " erreichbar ", " fonctionn", " marche", " répond", " funciona", " va bien", " responde"}

// addresses returns the addresses in clauses that say that something is not reached, also
// where the next clause says so: "we need 192.0.2.7, but do not reach it".
func (c *complaints) addresses() (out []netip.Addr, where []facts.Place) {
	has := func(text string, words []string) bool {
		return slices.ContainsFunc(words, func(s string) bool { return strings.Contains(text, s) })
	}
	for i, cl := range c.clause {
		next := i+1 < len(c.clause) && c.clause[i+1].place.Source == cl.place.Source && c.clause[i+1].place.Line-cl.place.Line < 2 && has(c.clause[i+1].text, fails) && len(syslog.Addrs(c.clause[i+1].text)) == 0
		if !has(cl.text, fails) && (!next || has(cl.text, works)) {
			continue
		}
		for _, a := range syslog.Addrs(cl.text) {
			out, where = append(out, a), append(where, cl.place)
		}
	}
	return out, where
}

// naming returns the places of clauses with one of the words in which something fails.
func (c *complaints) naming(words ...string) []facts.Place {
	var out []facts.Place
	for _, cl := range c.clause {
		if slices.ContainsFunc(words, func(s string) bool { return strings.Contains(cl.text, s) }) && slices.ContainsFunc(fails, func(s string) bool { return strings.Contains(cl.text, s) }) {
			out = append(out, cl.place)
		}
	}
	return out
}

// mentioning returns the places of clauses with one of the words.
func (c *complaints) mentioning(words ...string) []facts.Place {
	var out []facts.Place
	for _, cl := range c.clause {
		if slices.ContainsFunc(words, func(s string) bool { return strings.Contains(cl.text, s) }) {
			out = append(out, cl.place)
		}
	}
	return out
}

// paragraphs joins notes that stand in lines one after the other: mail programs break sentences.
func paragraphs(notes []facts.Note) [][]facts.Note {
	var out [][]facts.Note
	for i, n := range notes {
		if i > 0 && notes[i-1].Place.Source == n.Place.Source && notes[i-1].Place.Line+1 == n.Place.Line {
			out[len(out)-1] = append(out[len(out)-1], n)
			continue
		}
		out = append(out, []facts.Note{n})
	}
	return out
}

// conjunctions divide a sentence where its second half says something else.
var conjunctions = strings.NewReplacer(" but ", "\x00", " aber ", "\x00", " mais ", "\x00", " pero ", "\x00", " while ", "\x00", " whereas ", "\x00", " während ", "\x00", " jedoch ", "\x00", " however ", "\x00", " alors que ", "\x00", " mientras ", "\x00", " sondern ", "\x00",
	", ", "\x00", "; ", "\x00", ". ", ".\x00", "! ", ".\x00", "? ", ".\x00", ": ", "\x00", " - ", "\x00", " – ", "\x00", " — ", "\x00", " (", "\x00", ") ", "\x00")

// quotes are marks that would hide a word's edge, and elisions of French articles do too.
var (
	quotes   = strings.NewReplacer("\"", " ", "„", " ", "“", " ", "”", " ", "«", " ", "»", " ", "’", "'", "‘", " ", "\u00a0", " ")
	elisions = strings.NewReplacer(" l'", " l' ", " d'", " d' ", " n'", " n' ", " qu'", " qu' ", " s'", " s' ", " j'", " j' ", " m'", " m' ")
)

// clauses divides a paragraph; each has the line on which it begins.
func clauses(notes []facts.Note) []clause {
	var b strings.Builder
	var starts []int
	for _, n := range notes {
		starts = append(starts, b.Len())
		b.WriteString(elisions.Replace(quotes.Replace(n.Lower)))
		b.WriteByte(' ')
	}
	text := b.String()
	var out []clause
	at := 0
	for _, part := range strings.Split(conjunctions.Replace(text), "\x00") {
		t := strings.Trim(part, " .,;:!?\"'()*>-")
		if t == "" {
			continue
		}
		if i := strings.Index(text[at:], t); i >= 0 {
			at += i
		}
		line := 0
		for line+1 < len(starts) && starts[line+1] <= at {
			line++
		}
		at += len(t)
		out = append(out, clause{text: " " + t + " ", place: notes[line].Place, ends: strings.HasSuffix(part, ".")})
	}
	return out
}
