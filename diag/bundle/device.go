package bundle

import (
	"cmp"
	"io"
	"net/netip"
	"path"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"vpnbot/diag/facts"
	"vpnbot/diag/parse/asa"
	"vpnbot/diag/parse/client"
	"vpnbot/diag/parse/ios"
	"vpnbot/diag/parse/swan"
	"vpnbot/diag/parse/syslog"
	"vpnbot/diag/redact"
	"vpnbot/diag/transcript"
)

// device parses the texts of one device.
func (r *reading) device(g *group) *facts.Device {
	dev := &facts.Device{Name: g.name}
	if g.meta != nil {
		dev.Platform, dev.Role = g.meta.platform, g.meta.role
		dev.Addresses = slices.Clone(g.meta.addresses)
	}
	if dev.Role == "" && strings.EqualFold(g.name, "client") {
		dev.Role = facts.Client
	}
	for i := range g.texts {
		g.texts[i].body = r.red.Sweep(g.texts[i].body)
	}
	if dev.Platform == facts.UnknownPlatform {
		a, s := 0, 0
		for i := range g.texts {
			ta, ts := platformOf(g.texts[i].body)
			a, s = a+ta, s+ts
		}
		switch {
		case a > s:
			dev.Platform = facts.ASA
		case s > a:
			dev.Platform = facts.IOS
		}
	}
	secret := false
	for i := range g.texts {
		t := &g.texts[i]
		secret = secret || strings.Contains(t.body, redact.Mask+"[")
		before := used(dev) + len(r.set.Captures)
		r.parse(dev, t)
		if used(dev)+len(r.set.Captures) == before && strings.TrimSpace(t.body) != "" {
			r.fail(t.source, 0, "not-understood", facts.NothingKnown)
		}
		t.body = ""
	}
	if secret {
		for i := range dev.Outputs {
			for j := range dev.Outputs[i].Text {
				l := &dev.Outputs[i].Text[j]
				l.Text = redact.Strip(l.Text)
			}
		}
		strip(reflect.ValueOf(dev))
	}
	if dev.Role == "" && dev.Platform == facts.UnknownPlatform && len(dev.Outputs) == 0 && slices.ContainsFunc(dev.Events, func(e facts.Event) bool { return e.Kind == "client" }) {
		dev.Role = facts.Client
	}
	slices.SortStableFunc(dev.Notes, func(a, b facts.Note) int {
		return cmp.Or(strings.Compare(a.Place.Source, b.Place.Source), a.Place.Line-b.Place.Line)
	})
	ownAddresses(dev)
	return dev
}

// Bounds: answers of one device, and lines of an unknown command's answer that are looked at.
const (
	maxOutputs = 5000
	maxLooked  = 100000
)

// used counts what a text has added to the device.
func used(dev *facts.Device) int {
	n := len(dev.Outputs) + len(dev.Events) + len(dev.Pings)
	if dev.Clock != nil {
		n++
	}
	return n
}

// parse reads one text into the device.
func (r *reading) parse(dev *facts.Device, t *text) {
	outputs, host := transcript.CutLines(margin(spaced(unquoted(transcript.Lines(t.body)))), t.source)
	if host != "" && dev.Hostname == "" {
		dev.Hostname = host
	}
	named := fileCommand(path.Base(t.name))
	for i, o := range outputs {
		if len(dev.Outputs) >= maxOutputs {
			r.fail(t.source, o.Place.Line, "truncated", "more than %d answers of one device; the rest is not read", maxOutputs)
			break
		}
		if o.Command == "" {
			def := ""
			if i == 0 && host == "" {
				def = named
			}
			r.free(dev, o, def)
			continue
		}
		r.output(dev, o)
	}
	if len(outputs) == 0 && named != "" { // zero bytes: the device had nothing to say
		dev.Outputs = append(dev.Outputs, facts.Output{Command: named, Empty: true, Complete: true, Place: facts.Place{Source: t.source, Line: 1}})
	}
}

// unquoted takes the marks off a text that a mail program quoted: most of its lines begin
// with ">", or with "|" and are no rows of a table.
func unquoted(lines []facts.Line) []facts.Line {
	mark := ">"
	marked, filled, bars := 0, 0, 0
	for i := range lines {
		t := lines[i].Text
		if strings.HasPrefix(t, ">") {
			marked++
		}
		if strings.HasPrefix(t, "|") && !strings.HasSuffix(t[1:], "|") {
			bars++
		}
	}
	if bars > marked {
		mark, marked = "|", bars
	}
	if marked < 3 {
		return lines
	}
	for i := range lines {
		if strings.TrimSpace(lines[i].Text) != "" {
			filled++
		}
	}
	if 10*marked < 6*filled {
		return lines
	}
	out := make([]facts.Line, len(lines))
	for i, l := range lines {
		for strings.HasPrefix(l.Text, mark) {
			l.Text = strings.TrimPrefix(l.Text[1:], " ")
		}
		out[i] = l
	}
	return out
}

// spaced takes out the blank lines that word processors put between any two.
func spaced(lines []facts.Line) []facts.Line {
	blank := func(i int) bool { return strings.TrimSpace(lines[i].Text) == "" }
	wide, next := 0, 0
	for i := 0; i+1 < len(lines); i++ {
		if blank(i) {
			continue
		}
		if next++; blank(i + 1) {
			wide++
		} else if 20*(next-wide) > len(lines) {
			return lines // too many already, whatever follows
		}
	}
	if next < 6 || 20*wide < 19*next {
		return lines
	}
	var out []facts.Line
	for i := 0; i < len(lines); i++ {
		if !blank(i) || i > 0 && blank(i-1) {
			out = append(out, lines[i])
		}
	}
	return out
}

// margin takes off the margin of a text that was pasted as a block: blanks before every line, or
// before every line that is not a sentence around it.
func margin(lines []facts.Line) []facts.Line {
	least := 2 // one blank is the indentation of a configuration's block
	if !slices.ContainsFunc(lines, func(l facts.Line) bool { return l.Text != "" && l.Text[0] != '\t' }) {
		least = 1 // one tab is none
	}
	whole, block := -1, -1
	for _, l := range lines {
		t := strings.TrimLeft(l.Text, " \t")
		if t == "" {
			continue
		}
		in := len(l.Text) - len(t)
		if whole < 0 || in < whole {
			whole = in
		}
		if whole < least && block < 0 && whole >= 0 && in >= 4 {
			block = in
		}
		if in >= 4 && in < block {
			block = in
		}
	}
	cut := whole
	if whole < least {
		if block < 0 || !prose(lines, block) {
			return lines
		}
		cut = block
	}
	out := slices.Clone(lines)
	for i := range out {
		if t := out[i].Text; len(t) >= cut && strings.Trim(t[:cut], " \t") == "" {
			out[i].Text = t[cut:]
		}
	}
	return out
}

// prose tells whether what stands left of a margin is words around a pasted block: no answer of
// a device begins there, and one begins in the block.
func prose(lines []facts.Line, margin int) bool {
	found := false
	for _, l := range lines {
		t := strings.TrimLeft(l.Text, " \t")
		if t == "" {
			continue
		}
		if len(l.Text)-len(t) >= margin {
			found = found || len(l.Text)-len(t) == margin && (starts(t, "") != "" || prompted(t))
			continue
		}
		if starts(l.Text, "") != "" || prompted(l.Text) || strings.IndexByte(l.Text, '%') >= 0 || strings.HasPrefix(t, "[") {
			return false
		}
	}
	return found
}

// prompted tells whether a line begins like a device's prompt with a command.
func prompted(t string) bool {
	i := strings.IndexAny(t, "#>")
	return i > 0 && i < 64 && strings.IndexByte(t[:i], ' ') < 0 && len(t) > i+1
}

// output hands one answer to the parsers: log lines first, the rest to the platform's.
func (r *reading) output(dev *facts.Device, o facts.Output) {
	if r.dumped(dev, &o) {
		dev.Outputs = append(dev.Outputs, o)
		return
	}
	rest := o
	if mayLog(&o) {
		o.Text = daemons(dev, o.Text, o.Place.Source)
		var events []facts.Event
		events, rest.Text = syslog.Parse(o.Text, o.Place.Source)
		dev.Events = append(dev.Events, events...)
	}
	understood := parse(dev, rest)
	if !understood && len(rest.Text) < maxLooked {
		// A command nobody knows may still have an answer that is known by its looks.
		for _, s := range segments(rest.Text, "") {
			if s.command == "" {
				continue
			}
			part := rest
			part.Command, part.Text = s.command, s.lines
			parse(dev, part)
		}
	}
	sentences(dev, rest)
	dev.Outputs = append(dev.Outputs, rest)
}

// daemons takes the lines of charon and pluto out of a text.
func daemons(dev *facts.Device, lines []facts.Line, source string) []facts.Line {
	log := swan.Parse(lines, source)
	dev.Events = append(dev.Events, log.Events...)
	if len(log.Events) > 0 && dev.Platform == facts.UnknownPlatform {
		dev.Platform = facts.Other
	}
	for _, a := range log.Own {
		if !slices.Contains(dev.Addresses, a) && dev.Platform == facts.Other {
			dev.Addresses = append(dev.Addresses, a)
		}
	}
	return log.Rest
}

// mayLog tells whether log lines may stand in an answer. The two longest answers are looked
// through before: hardly ever does the console write into them.
func mayLog(o *facts.Output) bool {
	if !strings.HasPrefix(o.Command, "show crypto ipsec sa") && !strings.HasPrefix(o.Command, "show running-config") {
		return true
	}
	for i := range o.Text {
		t := o.Text[i].Text
		if strings.IndexByte(t, '%') >= 0 || strings.IndexByte(t, '=') >= 0 && strings.Contains(t, "Group = ") || strings.IndexByte(t, '[') >= 0 && strings.Contains(t, "[IKE") || strings.HasPrefix(t, "WARNING") || strings.HasPrefix(t, "ERROR") || strings.HasPrefix(t, "ISAKMP") {
			return true
		}
	}
	return false
}

// parse hands an output to the platform's parser, and to the other one when the first does not know it.
func parse(dev *facts.Device, o facts.Output) bool {
	if dev.Platform == facts.IOS {
		return ios.Parse(dev, o) || asa.Parse(dev, o)
	}
	return asa.Parse(dev, o) || dev.Platform != facts.ASA && ios.Parse(dev, o)
}

// free reads lines that stand behind no prompt.
func (r *reading) free(dev *facts.Device, o facts.Output, def string) {
	r.dumped(dev, &o) // and what else stands in the text
	source := o.Place.Source
	o.Text = daemons(dev, o.Text, source)
	var events []facts.Event
	var lines []facts.Line
	// What begins an answer is no continuation of a wrapped log line before it.
	for from, i := 0, 1; i <= len(o.Text); i++ {
		if i == len(o.Text) || starts(o.Text[i].Text, "") != "" {
			e, rest := syslog.Parse(o.Text[from:i], source)
			events, lines = append(events, e...), append(lines, rest...)
			from = i
		}
	}
	if !strings.HasPrefix(def, "show running-config") {
		var more []facts.Event
		var pings []facts.Ping
		more, pings, lines = client.Parse(lines, source)
		quoted(dev, more)
		events = append(events, more...)
		dev.Pings = append(dev.Pings, pings...)
	}
	slices.SortStableFunc(events, func(a, b facts.Event) int { return a.Place.Line - b.Place.Line })
	dev.Events = append(dev.Events, events...)
	// Packets that a device or Wireshark decoded read like words and are nobody's complaint.
	dissected := slices.ContainsFunc(o.Text, func(l facts.Line) bool { return strings.HasPrefix(strings.TrimSpace(l.Text), "Ethernet II, Src:") })
	for _, s := range segments(lines, def) {
		if len(dev.Outputs) >= maxOutputs {
			r.fail(source, s.lines[0].N, "truncated", "more than %d answers of one device; the rest is not read", maxOutputs)
			break
		}
		if s.command == "" {
			for _, l := range s.lines {
				if strings.TrimSpace(l.Text) != "" {
					dev.Skipped++
				}
				if !dissected {
					note(dev, l, source, 3)
				}
			}
			continue
		}
		out := facts.Output{Command: s.command, Text: s.lines, Complete: true,
			Place: facts.Place{Source: source, Line: s.lines[0].N, Text: redact.Strip(strings.TrimSpace(s.lines[0].Text))}}
		if s.command == "show route" && dev.Platform == facts.IOS {
			out.Command = "show ip route"
		}
		out.Empty = emptyAnswer(s.lines)
		sentences(dev, out)
		parse(dev, out)
		dev.Outputs = append(dev.Outputs, out)
	}
	if strings.HasPrefix(def, "show logging") && !slices.ContainsFunc(dev.Outputs, func(o facts.Output) bool { return o.Place.Source == source }) {
		dev.Outputs = append(dev.Outputs, facts.Output{Command: def, Complete: true, Place: o.Place})
	}
}

// Bounds of what is kept of people's words.
const (
	maxNotes   = 200
	maxNoteLen = 1000
)

// note keeps a line that reads like a sentence: that many words and more.
func note(dev *facts.Device, l facts.Line, source string, least int) {
	if len(dev.Notes) >= maxNotes || len(l.Text) > maxNoteLen {
		return
	}
	words := strings.Fields(redact.Strip(l.Text))
	n := 0
	for _, w := range words {
		if r, _ := utf8.DecodeRuneInString(strings.Trim(w, ".,;:!?()\"'")); unicode.IsLetter(r) {
			n++
		}
	}
	if (n < least || 2*n < len(words)) && !printedIKE(words) && !analysedTCP(words) && !measured(words) {
		return
	}
	text := strings.Join(words, " ")
	dev.Notes = append(dev.Notes, facts.Note{Place: facts.Place{Source: source, Line: l.N, Text: text}, Lower: strings.ToLower(text)})
}

// printedIKE tells whether a line is a packet of IKE or of ESP in UDP as tcpdump prints it,
// which people paste between their words: "10:11:12 192.0.2.1.500 > 198.51.100.9.500: isakmp: ...".
func printedIKE(words []string) bool {
	i := slices.Index(words, ">")
	if i < 1 || i+1 >= len(words) || strings.Count(words[i-1], ".") < 4 {
		return false
	}
	to := strings.TrimSuffix(words[i+1], ":")
	return strings.Count(to, ".") == 4 && (strings.HasSuffix(to, ".500") || strings.HasSuffix(to, ".4500"))
}

// analysedTCP tells whether a line is a TCP packet with a remark of Wireshark's analysis:
// "[TCP Dup ACK 8122#1]", "[TCP Previous segment not captured]", "[TCP Retransmission]".
func analysedTCP(words []string) bool {
	i := slices.Index(words, "[TCP")
	return i >= 0 && i+1 < len(words) && slices.Contains([]string{"Dup", "Previous", "Retransmission]", "Fast", "Spurious", "Out-Of-Order]", "ACKed"}, words[i+1])
}

// measured tells whether a line is an interval of iperf: "[  4]  0.0- 5.0 sec  23.1 MBytes  38.8 Mbits/sec".
func measured(words []string) bool {
	return len(words) >= 6 && slices.Contains(words, "sec") && slices.ContainsFunc(words, func(w string) bool { return strings.HasSuffix(w, "bits/sec") })
}

// sentences keeps what people wrote behind an answer, and comments within it. Devices end
// hardly any line like a sentence; of configurations, which hold banners and descriptions,
// only what stands behind their end counts, and of pasted parts what is no command.
func sentences(dev *facts.Device, o facts.Output) {
	if t := strings.TrimLeft(o.Typed, " !#"); len(t) < len(o.Typed) {
		note(dev, facts.Line{N: o.Place.Line, Text: t}, o.Place.Source, 3)
	}
	config := strings.HasPrefix(o.Command, "show running-config") || strings.HasPrefix(o.Command, "show startup-config")
	part := o.Command == "show running-config section"
	ended := false
	if strings.HasPrefix(o.Command, "show version") || strings.HasPrefix(o.Command, "show monitor capture") {
		return
	}
	for _, l := range o.Text {
		t := l.Text
		for t != "" && (t[len(t)-1] == ' ' || t[len(t)-1] == '\t' || t[len(t)-1] == '\r') {
			t = t[:len(t)-1]
		}
		if t == "" || len(dev.Notes) >= maxNotes {
			continue
		}
		if t[0] == '!' {
			note(dev, facts.Line{N: l.N, Text: strings.TrimLeft(t, "! <-")}, o.Place.Source, 4)
			continue
		}
		if config && (t == "end" || t == ": end") {
			config, ended = false, true
			continue
		}
		if ended {
			note(dev, facts.Line{N: l.N, Text: t}, o.Place.Source, 3)
			continue
		}
		if config && !(part && !strings.Contains(t, "remark ") && !strings.Contains(t, "description ") && !strings.Contains(t, "banner")) {
			continue
		}
		switch t[len(t)-1] {
		case '.', '?', '!':
			note(dev, facts.Line{N: l.N, Text: t}, o.Place.Source, 5)
		default:
			// Packets that somebody pasted behind an answer, as tcpdump prints them.
			if strings.Contains(t, " > ") && strings.Contains(t, " IP ") {
				note(dev, facts.Line{N: l.N, Text: t}, o.Place.Source, 3)
			}
		}
	}
}

// quoted keeps sentences around what a client said: "Reason 412, but only in the hotel."
func quoted(dev *facts.Device, events []facts.Event) {
	for _, ev := range events {
		if strings.HasPrefix(ev.ID, "Reason ") || ev.ID == client.Adapter || ev.ID == client.System {
			note(dev, facts.Line{N: ev.Place.Line, Text: ev.Place.Text}, ev.Place.Source, 4)
		}
	}
}

func emptyAnswer(lines []facts.Line) bool {
	for _, l := range lines {
		t := strings.TrimSpace(l.Text)
		if t != "" && !strings.HasPrefix(t, "There are no") {
			return false
		}
	}
	return true
}

// ownAddresses adds the addresses that SAs name as local, when nothing else is known.
func ownAddresses(dev *facts.Device) {
	if len(dev.Addresses) > 0 {
		return
	}
	add := func(a netip.Addr) {
		if a.IsValid() && !a.IsUnspecified() && !slices.Contains(dev.Addresses, a) && len(dev.Addresses) < 64 {
			dev.Addresses = append(dev.Addresses, a)
		}
	}
	for i := range dev.IPsec {
		add(dev.IPsec[i].Local)
	}
	// An IKEv1 table of IOS or PIX does not say which end is the own one: only what several
	// peers have in common counts.
	peers := map[netip.Addr]int{}
	for i := range dev.IKE {
		if s := &dev.IKE[i]; s.Version == 2 {
			add(s.Local)
		} else if s.Local.IsValid() {
			peers[s.Local]++
		}
	}
	if len(peers) == 1 && len(dev.IKE) > 1 {
		for a := range peers {
			add(a)
		}
	}
}

// strip takes tokens off every text of the facts: none may reach a report.
func strip(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			strip(v.Elem())
		}
	case reflect.Struct:
		t := v.Type()
		if t.PkgPath() == "time" || t.PkgPath() == "net/netip" {
			return
		}
		for i := range v.NumField() {
			if t.Field(i).Name != "Token" {
				strip(v.Field(i))
			}
		}
	case reflect.Slice:
		switch v.Type().Elem().Kind() {
		case reflect.Struct, reflect.String, reflect.Pointer, reflect.Slice:
			for i := range v.Len() {
				strip(v.Index(i))
			}
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			e := v.MapIndex(k)
			switch e.Kind() {
			case reflect.String:
				if s := e.String(); strings.Contains(s, redact.Mask+"[") {
					v.SetMapIndex(k, reflect.ValueOf(redact.Strip(s)))
				}
			case reflect.Struct:
				if p, ok := e.Interface().(facts.Place); ok && strings.Contains(p.Text, redact.Mask+"[") {
					p.Text = redact.Strip(p.Text)
					v.SetMapIndex(k, reflect.ValueOf(p))
				}
			}
		}
	case reflect.String:
		if s := v.String(); v.CanSet() && strings.Contains(s, redact.Mask+"[") {
			v.SetString(redact.Strip(s))
		}
	}
}

// capture reads a packet capture.
func (r *reading) capture(it item, src io.Reader) {
	name := it.device
	if name == "" {
		name = vantage(path.Base(it.name))
	}
	r.group(it.device).files++
	r.wire(name, it.device, it.source, src)
}

// vantage names a loose capture after its file: hq.pcap.gz is hq.
func vantage(base string) string {
	base = strings.TrimSuffix(base, ".gz")
	if ext := path.Ext(base); ext != base {
		base = strings.TrimSuffix(base, ext)
	}
	return base
}
