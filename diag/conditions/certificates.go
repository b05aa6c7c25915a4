package conditions

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// certificateWords are texts of a certificate that was looked at and refused.
var certificateWords = []string{"certificate validation failed", "certificate chain failed validation", "certificate authentication failed", "cert validation failed",
	"certificate is expired", "certificate has expired", "expired certificate", "certificate expired", "validity period", "cert is not yet valid", "not yet valid", "invalid_cert_authority",
	"invalid certificate authority", "invalid_certificate", "certificate is bad", "failed to validate", "peer certificate", "certificate has been revoked", "certificate revoked",
	"crl fetch", "crl has expired", "unable to get crl", "failed to retrieve crl", "no suitable trustpoint", "no trust-point", "no trustpoint", "invalid signature", "certificate verification failed"}

var certificateRejected = Condition{
	ID:        "certificate-rejected",
	Cause:     "one end does not accept the other's certificate",
	Shows:     "717009, 717027, 751006, 713082, IKMP_INVAL_CERT, PKI-3; validity dates against the device's clock; captures: notify after the certificate",
	Severity:  report.Critical,
	Reference: "%ASA-3-717009, %ASA-3-717027, %ASA-4-751006, %CRYPTO-5-IKMP_INVAL_CERT, %PKI-3-CERTIFICATE_INVALID_EXPIRED; RFC 4945",
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		who, why := "", ""
		for _, e := range t.Ends {
			evs := e.Events()
			refused := withID(evs, "717009", "717027", "751006")
			for _, ev := range evs {
				if strings.HasPrefix(ev.ID, "PKI-") && hasAny(ev.ID, "certificate_invalid", "certificate_revoked", "cert_expired", "crl_") || strings.HasSuffix(ev.ID, "IKMP_INVAL_CERT") || strings.HasSuffix(ev.ID, "IKMP_NO_ID_CERT_FQDN_MATCH") {
					refused = append(refused, ev)
				}
			}
			if len(refused) > 0 {
				clues = append(clues, For(4.4, e.Label()+" refuses a certificate", at(refused...)...))
				who, why = e.Label(), refused[0].Text
			}
			if x := saying(evs, certificateWords...); len(x) > 0 {
				w := 3.4
				if len(refused) > 0 {
					w = 0.8
				}
				clues = append(clues, For(w, e.Label()+" cannot accept a certificate", at(x...)...))
				if why == "" {
					who, why = e.Label(), x[0].Text
				}
			} else if x := saying(withID(evs, "713902", "713903", "713905"), "certificate"); len(x) > 0 {
				clues = append(clues, For(3, "", at(x...)...))
				who, why = e.Label(), x[0].Text
			}
			if x := withID(evs, "713082", "713098", "713226"); len(x) > 0 {
				clues = append(clues, For(3.8, e.Label()+" has no certificate to send, or no trust-point for it", at(x...)...))
				who, why = e.Label(), x[0].Text
			}
			if len(clues) > 0 {
				if x := withID(evs, "717022", "717028"); len(x) > 0 && len(refused) == 0 {
					clues = append(clues, Against(3.5, "the certificate is accepted", at(x...)...))
				}
				if x := saying(evs, "certificate chain was successfully validated"); len(x) > 0 && len(refused) > 0 && x[len(x)-1].Place.Line > refused[len(refused)-1].Place.Line {
					clues = append(clues, Against(1, "another certificate is accepted"))
				}
			}
		}
		in := t.invalid(len(clues) > 0)
		if len(clues)+len(in) == 0 {
			return nil
		}
		for i := range in {
			clues = append(clues, in[i].clues...)
		}
		if up := t.phase1Up(); len(up) > 0 {
			clues = append(clues, Against(4, "phase 1 is up", up...))
		}
		m := Match{Clues: clues,
			Title: fmt.Sprintf("%s does not accept the certificate of its peer (%s)", who, t.between()),
			Explanation: "The messages with the certificates arrive and one end refuses what it gets: expired or not yet valid (clock), signed by a CA it does not trust, revoked, or a CRL it cannot fetch. " +
				"Keys and policies are not the point. The device says: " + why}
		if len(in) > 0 {
			in[0].tell(t, &m)
			if why != "" {
				m.Explanation += " The log says: " + why
			}
			return []Match{m}
		}
		if e, x := t.unset(nil); e != nil && hasAny(why, "not yet valid", "not_yet_valid", "validity period", "validity") {
			m.Clues = append(m.Clues, For(0.6, x.why, x.place))
			m.Title = fmt.Sprintf("The clock of %s is wrong, so it takes its peer's certificate for not yet valid (%s)", e.Label(), t.between())
			m.Explanation = fmt.Sprintf("%s compares a certificate's dates with its clock, and %s. The certificate itself need not be at fault. The device says: %s", e.Label(), x.why, why)
			m.Actions = append(m.Actions, setClock(e))
		}
		for _, e := range t.Ends {
			cmds := []string{"show crypto ca certificates", "show clock"}
			if e.isIOS() {
				cmds = []string{"show crypto pki certificates", "show clock"}
			}
			m.Actions = append(m.Actions, advise(e, cmds, "trustpoint and its CA certificate, validity dates, CRL reachability, the device's clock (NTP)"))
		}
		return []Match{m}
	},
}

// certificates returns where an end shows that it authenticates with certificates.
func (t *Tunnel) certificates() []facts.Place {
	var out []facts.Place
	for _, e := range t.Ends {
		for _, sa := range e.IKE() {
			if hasAny(sa.Auth, "rsa", "cert", "ecdsa") {
				out = append(out, sa.Place)
			}
		}
		_, named := e.trustpoints()
		out = append(out, named...)
		for _, o := range e.Device.Outputs {
			if !strings.Contains(o.Command, "isakmp policy") && !strings.Contains(o.Command, "ikev1 policy") {
				continue
			}
			for _, l := range o.Text {
				if hasAny(l.Text, "rivest-shamir", "rsa signature") {
					out = append(out, facts.Place{Source: o.Place.Source, Line: l.N, Text: l.Text})
					break
				}
			}
		}
		if c := e.Config(); c != nil && len(c.IKEPolicies) > 0 {
			rsa := true
			for _, p := range c.IKEPolicies {
				rsa = rsa && p.Version == 1 && strings.HasPrefix(p.Auth, "rsa")
			}
			if rsa {
				out = append(out, c.IKEPolicies[0].Place)
			}
		}
		if x := saying(e.Events(), "constructing cert payload", "processing cert payload", "processing cert_req", "type cert"); len(x) > 0 {
			out = append(out, x[0].Place)
		}
	}
	return out
}

// trustpointKeys are the lines of a tunnel-group or a profile that name a trustpoint.
var trustpointKeys = []string{"trust-point", "ikev1 trust-point", "ikev2 local-authentication certificate", "ca trust-point", "pki trustpoint"}

// trustpoints are those that the configuration names for this tunnel: in its tunnel-group and
// its crypto map entries; where no tunnel-group has the peer's name, in any group or profile.
func (e *End) trustpoints() (names []string, places []facts.Place) {
	c := e.Config()
	if c == nil {
		return nil, nil
	}
	take := func(attrs []facts.Attr) {
		for _, k := range trustpointKeys {
			if a, ok := facts.Get(attrs, k); ok && !a.No && a.Value != "" {
				name, _, _ := strings.Cut(a.Value, " ")
				names, places = append(names, name), append(places, a.Place)
			}
		}
	}
	for _, m := range e.Entries() {
		if m.Trustpoint != "" {
			names, places = append(names, m.Trustpoint), append(places, place2(m, "trustpoint"))
		}
	}
	if tg := e.TunnelGroup(); tg != nil {
		take(tg.Attrs)
		return names, places
	}
	if len(names) > 0 || len(e.keysFor()) > 0 {
		return names, places
	}
	for _, tg := range c.TunnelGroups {
		take(tg.Attrs)
	}
	for _, p := range c.Profiles {
		take(p.Attrs)
	}
	return names, places
}

// byKey tells whether this end authenticates its peer by a pre-shared key.
func (e *End) byKey() bool {
	if slices.ContainsFunc(e.IKE(), func(sa facts.IKESA) bool { return hasAny(sa.Auth, "psk", "pre") }) {
		return true
	}
	names, _ := e.trustpoints()
	return len(names) == 0 && len(e.keysFor()) > 0
}

// reading is what a device, or its log, says the time is.
type reading struct {
	at    time.Time
	place facts.Place
	log   bool // the newest dated line of its log: the clock may be later
}

// clock reads the device's time: show clock, else the newest line of a log that names the year.
func (e *End) clock() (reading, bool) {
	if c := e.Device.Clock; c != nil {
		return reading{at: c.Device, place: c.Place}, true
	}
	return ofBox(e, "clock", func() (r reading) {
		for i := range e.Device.Events {
			if ev := &e.Device.Events[i]; ev.HasTime && ev.Time.Year() > 1980 && ev.Kind != "client" && ev.Time.After(r.at) {
				r = reading{at: ev.Time, place: ev.Place, log: true}
			}
		}
		return r
	}), true
}

// astray is a clock that cannot be right, and why.
type astray struct {
	why   string
	place facts.Place
}

// off tells whether the device's clock is wrong: it stands where it starts without power, the
// bot or the other end read another day, or nothing ever set it.
func (t *Tunnel) off(e *End) (astray, bool) {
	r, _ := e.clock()
	c := e.Device.Clock
	switch {
	case !r.at.IsZero() && r.at.Year() < 2003:
		return astray{fmt.Sprintf("its clock says %s, the date a device starts with that has lost its time", day(r.at)), r.place}, true
	case c != nil && !c.Read.IsZero() && apart(c.Device, c.Read):
		return astray{fmt.Sprintf("its clock says %s, and it was read on %s", day(c.Device), day(c.Read)), c.Place}, true
	}
	if c != nil {
		if o := t.Other(e); o != nil && o.Device.Clock != nil && apart(c.Device, o.Device.Clock.Device) {
			if !c.Unsure && o.Device.Clock.Unsure {
				return astray{}, false // the other one's is wrong
			}
			return astray{fmt.Sprintf("its clock says %s, that of %s says %s", day(c.Device), o.Label(), day(o.Device.Clock.Device)), c.Place}, true
		}
		if c.Unsure {
			return astray{fmt.Sprintf("its clock says %s and was never set since the start (the asterisk)", day(c.Device)), c.Place}, true
		}
	}
	for _, o := range e.Device.Outputs {
		if !strings.HasPrefix(o.Command, "show ntp status") {
			continue
		}
		for _, l := range o.Text {
			if hasAny(l.Text, "clock is unsynchronized") {
				return astray{"no time server sets its clock", facts.Place{Source: o.Place.Source, Line: l.N, Text: strings.TrimSpace(l.Text)}}, true
			}
		}
	}
	// A log without the year: IOS starts on 1 March.
	for _, ev := range e.Events() {
		if t := strings.Join(strings.Fields(ev.Place.Text), " "); strings.HasPrefix(t, "*Mar 1 0") || strings.Contains(t, ": *Mar 1 0") {
			return astray{"its log is dated 1 March with an asterisk, the date IOS starts with that has lost its time", ev.Place}, true
		}
	}
	return astray{}, false
}

// unset is the first end, of those given or of all, whose clock cannot be right.
func (t *Tunnel) unset(only *End) (*End, astray) {
	for _, e := range t.Ends {
		if only != nil && e != only {
			continue
		}
		if x, ok := t.off(e); ok {
			return e, x
		}
	}
	return nil, astray{}
}

// apart: two clocks that differ by more than zones explain.
func apart(a, b time.Time) bool { return a.Sub(b).Abs() > 26*time.Hour }

func day(t time.Time) string { return t.Format("2 Jan 2006") }

// invalid is a certificate whose dates do not hold the device's clock.
type invalid struct {
	end     *End
	cert    facts.Certificate
	expired bool // else not yet valid
	now     reading
	clock   *astray // the clock is to blame
	clues   []Clue
}

// invalid compares the dates of the certificates that the tunnel rests on with the clock of the
// device that holds them; refused says that a log already shows a refusal.
func (t *Tunnel) invalid(refused bool) []invalid {
	var out []invalid
	for _, e := range t.Ends {
		if len(e.Device.Certificates) == 0 {
			continue
		}
		now, _ := e.clock()
		if now.at.IsZero() || e.byKey() && !refused {
			continue
		}
		names, _ := e.trustpoints()
		for _, c := range e.Device.Certificates {
			if !forVPN(c, names) || c.Status != "" && !strings.EqualFold(c.Status, "available") {
				continue
			}
			x := invalid{end: e, cert: c, now: now}
			var line facts.Place
			switch {
			case !c.NotAfter.IsZero() && now.at.After(c.NotAfter):
				x.expired, line = true, c.Until
			case !c.NotBefore.IsZero() && now.at.Before(c.NotBefore) && !now.log:
				line = c.From
			default:
				continue
			}
			if a, ok := t.off(e); ok && (!x.expired || apart(now.at, c.NotAfter) && t.Other(e) != nil) {
				x.clock = &a
			}
			note := fmt.Sprintf("%s ended before the clock of %s", certLabel(c), e.Label())
			if !x.expired {
				note = fmt.Sprintf("%s begins after the clock of %s", certLabel(c), e.Label())
			}
			x.clues = append(x.clues, For(2.2, note, line, now.place, c.Place))
			if x.clock != nil {
				x.clues = append(x.clues, For(0.6, x.clock.why, x.clock.place))
			}
			out = append(out, x)
		}
	}
	if len(out) == 0 {
		return nil
	}
	// The device's own certificate before that of the CA: it is renewed first.
	slices.SortStableFunc(out, func(a, b invalid) int {
		switch {
		case a.cert.CA == b.cert.CA:
			return 0
		case a.cert.CA:
			return 1
		}
		return -1
	})
	for i := 1; i < len(out); i++ { // one is enough; the others are quoted
		for j := range out[i].clues {
			out[i].clues[j].Weight = 0.3
		}
	}
	x := &out[0]
	_, used := x.end.trustpoints()
	if used = append(used, t.certificates()...); len(used) > 0 {
		x.clues = append(x.clues, For(1, "certificates authenticate this tunnel", used[0]))
	}
	if w := x.end.inState("MM_WAIT_MSG", "MM_KEY_EXCH", "MM_SA_SETUP", "MM_NO_STATE", "AM_WAIT", "AM_INIT", "AG_INIT", "IN-NEG", "DOWN", "DELETED", "INIT", "WAIT"); len(w) > 0 {
		x.clues = append(x.clues, For(1.4, "and phase 1 does not complete", placesOf(w)...))
	} else if f := saying(x.end.Events(), "auth exchange failed", "authentication_failed", "authentication failed", "phase 1 failure", "removing peer from peer table failed", "mode_failure"); len(f) > 0 {
		x.clues = append(x.clues, For(1.2, "and the authentication fails", at(f...)...))
	} else if s := t.said("certificate", "zertifikat", "certificat", "certificado", "expired", "abgelaufen"); len(s) > 0 {
		x.clues = append(x.clues, For(0.6, "", s...))
	}
	return out
}

// forVPN tells whether a tunnel may rest on a certificate: it belongs to a trustpoint that the
// configuration names for it, or, where it names none, to none of the image's or of the web server's.
func forVPN(c facts.Certificate, names []string) bool {
	if len(names) > 0 {
		return slices.ContainsFunc(c.Trustpoints, func(tp string) bool {
			return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, tp) })
		})
	}
	if c.Self {
		return false
	}
	for _, tp := range c.Trustpoints {
		if !hasAny(tp, "self-signed", "sudi", "sla-trust", "trustpool", "asdm", "smartcallhome", "licensing", "https", "cisco_", "dnac", "sdn-") {
			return true
		}
	}
	return len(c.Trustpoints) == 0
}

// certLabel names a certificate.
func certLabel(c facts.Certificate) string {
	s := "the certificate"
	if c.CA {
		s = "the CA certificate"
	}
	if len(c.Trustpoints) > 0 {
		return s + " of trustpoint " + c.Trustpoints[0]
	}
	if c.Subject != "" {
		return s + " " + c.Subject
	}
	return s
}

// tell writes title, words and commands for what the dates show.
func (x invalid) tell(t *Tunnel, m *Match) {
	e, what := x.end, certLabel(x.cert)
	peer := e.PeerLabel()
	if o := t.Other(e); o != nil {
		peer = o.Label()
	}
	id := what
	if x.cert.Subject != "" && !strings.Contains(what, x.cert.Subject) {
		id += ", subject " + x.cert.Subject
	}
	if x.cert.Serial != "" {
		id += ", serial number " + x.cert.Serial
	}
	clock := "the clock of " + e.Label() + " says " + day(x.now.at)
	if x.now.log {
		clock = "the newest line of " + e.Label() + "'s log is of " + day(x.now.at)
	}
	word := "ca"
	if e.isIOS() {
		word = "pki"
	}
	check := fmt.Sprintf("show crypto %s certificates", word)
	if x.clock != nil {
		m.Title = fmt.Sprintf("The clock of %s is wrong (%s): to it %s is not valid", e.Label(), day(x.now.at), what)
		m.Explanation = fmt.Sprintf("A device compares a certificate's dates with its own clock. At %s %s, and %s is valid from %s to %s. It can then neither use its own certificate nor accept that of %s; the certificates need no renewal. "+
			"A router without battery or NTP starts in the past after a power loss.", e.Label(), x.clock.why, id, dates(x.cert.NotBefore), dates(x.cert.NotAfter), peer)
		m.Actions = []report.Action{setClock(e)}
		return
	}
	if !x.expired {
		m.Title = fmt.Sprintf("%s on %s is not valid before %s, and its clock says %s", capital(what), e.Label(), day(x.cert.NotBefore), day(x.now.at))
		m.Explanation = fmt.Sprintf("%s begins on %s; %s. Either the clock is behind or the certificate was made by a CA whose clock is ahead; with the true date at hand it is the clock first.", capital(id), dates(x.cert.NotBefore), clock)
		m.Actions = []report.Action{setClock(e), advise(e, []string{check}, "if the clock is right: have the CA issue a certificate that is valid now")}
		return
	}
	enroll, steps := []string{fmt.Sprintf("crypto %s enroll %s", word, name(x.cert))}, []string{"in configuration mode; the CA must grant the request, then " + check + " shows the new dates", "the tunnel comes up with the next traffic; other tunnels of that trustpoint are affected alike"}
	m.Title = fmt.Sprintf("%s on %s expired on %s: %s does not accept it", capital(what), e.Label(), day(x.cert.NotAfter), peer)
	m.Explanation = fmt.Sprintf("%s ended on %s, and %s. The peer gets it in the last messages of phase 1 and refuses it, so the tunnel cannot come up; keys, policies and the path are not the point.", capital(id), dates(x.cert.NotAfter), clock)
	if x.cert.CA {
		m.Title = fmt.Sprintf("%s on %s expired on %s: no certificate that it signed is accepted", capital(what), e.Label(), day(x.cert.NotAfter))
		m.Explanation = fmt.Sprintf("%s ended on %s, and %s. Everything that this CA signed fails with it, the certificate of %s too.", capital(id), dates(x.cert.NotAfter), clock, peer)
		enroll = append([]string{fmt.Sprintf("crypto %s authenticate %s", word, name(x.cert))}, enroll...)
		steps[0] = "in configuration mode, with the CA's new certificate; compare its fingerprint with the CA's administrator. Then a new certificate for this device, and the same at the peer"
	}
	m.Actions = []report.Action{advise(e, enroll, steps...), advise(e, []string{"show clock", check}, "first make sure that the clock is right")}
}

func name(c facts.Certificate) string {
	if len(c.Trustpoints) > 0 {
		return c.Trustpoints[0]
	}
	return "<trustpoint>"
}

func dates(t time.Time) string {
	if t.IsZero() {
		return "a date not shown"
	}
	return t.UTC().Format("2 Jan 2006 15:04 UTC")
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// setClock is the way to set a device's clock, for good by NTP.
func setClock(e *End) report.Action {
	return advise(e, []string{"clock set <hh:mm:ss> <day> <month> <year>", "ntp server <address>", "show clock"},
		"clock set is an exec command, ntp server one of the configuration; the time server must be reached without this tunnel",
		"then the next traffic brings the tunnel up; log lines written before carry the wrong date")
}
