package asa

import (
	"net/netip"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/redact"
)

// ping reads the transcript of one or more pings.
func (p *reader) ping() {
	var cur *facts.Ping
	typed := strings.Fields(strings.ToLower(p.out.Typed))
	iface, marks := "", 0
	var def facts.Ping // what the command says: people leave the line "Sending ..." out
	if len(typed) >= 3 && typed[0] == "ping" {
		if _, err := netip.ParseAddr(typed[1]); err != nil && typed[1] != "tcp" && typed[1] != "ip" {
			if _, err := netip.ParseAddr(typed[2]); err == nil {
				iface = strings.Fields(p.out.Typed)[1]
			}
		}
		for i, w := range typed {
			if w == "source" && i+1 < len(typed) {
				iface = strings.Fields(p.out.Typed)[i+1]
			}
			if w == "size" && i+1 < len(typed) {
				def.Size = min(atoi(typed[i+1]), 1<<16)
			}
			if a, _ := address(w); a.IsValid() && !def.Target.IsValid() {
				def.Target = a
			}
		}
	}
	flush := func() {
		if cur != nil && (cur.Sent > 0 || cur.Received > 0) {
			p.dev.Pings = append(p.dev.Pings, *cur)
		}
		cur, marks = nil, 0
	}
	for _, l := range p.out.Text {
		t := strings.TrimSpace(l.Text)
		if cur == nil && def.Target.IsValid() && t != "" && (strings.HasPrefix(t, "Success rate is") || strings.Trim(t, "!.?UMCQ&N") == "") {
			cur = &facts.Ping{Target: def.Target, Size: def.Size, Source: iface, MillisRT: -1, Place: p.out.Place}
		}
		switch {
		case t == "" || strings.HasPrefix(t, "Type escape"):
		case cur == nil && strings.HasPrefix(t, "Interface:"): // the dialogue of a bare ping
			iface = strings.TrimSpace(t[len("Interface:"):])
		case strings.HasPrefix(t, "Sending "):
			flush()
			cur = &facts.Ping{Source: iface, MillisRT: -1, Place: p.place(l)}
			f := strings.Fields(t)
			for i, w := range f {
				if w == "to" && i+1 < len(f) {
					cur.Target, _ = address(f[i+1])
				}
				if n, ok := strings.CutSuffix(w, "-byte"); ok {
					if cur.Size = atoi(n); cur.Size == 100 && !strings.Contains(p.out.Command, "size") {
						cur.Size = 0
					}
				}
			}
		case cur == nil:
		case strings.HasPrefix(t, "Packet sent with a source address of"):
			cur.Source = strings.TrimSpace(t[len("Packet sent with a source address of"):])
		case strings.HasPrefix(t, "Packet sent with the DF bit"):
			cur.DF = true
		case strings.HasPrefix(t, "Success rate is"):
			if _, r, ok := strings.Cut(t, "("); ok {
				got, sent, _ := strings.Cut(r, "/")
				cur.Received, cur.Sent = atoi(got), atoi(sent)
			}
			if _, r, ok := strings.Cut(t, "min/avg/max = "); ok {
				if parts := strings.Split(r, "/"); len(parts) > 1 {
					cur.MillisRT = atoi(parts[1])
				}
			}
			sent := cur.Place.Text
			cur.Place = p.place(l) // the outcome; what was sent stands in its text
			if sent != "" {
				cur.Place.Text = strings.TrimSpace(sent) + " … " + strings.TrimSpace(cur.Place.Text)
			}
			if cur.Received == 0 && marks > 0 {
				cur.Place.Line = marks // the dots
			}
			flush()
		case strings.Trim(t, "!.?UMCQ&N") == "":
			if marks == 0 {
				marks = l.N
			}
			if strings.Contains(t, "M") {
				cur.TooBig = true
			}
			cur.Sent += len(t)
			cur.Received += strings.Count(t, "!")
		default:
			p.skip(l)
		}
	}
	flush()
}

// trace reads packet-tracer.
func (p *reader) trace() {
	tr := facts.PacketTrace{Place: p.out.Place}
	f := strings.Fields(p.out.Typed)
	var addrs []netip.Addr
	for i, w := range f {
		switch {
		case strings.EqualFold(w, "input") && i+1 < len(f):
			tr.Input = f[i+1]
			if i+2 < len(f) {
				tr.Proto = strings.ToLower(f[i+2])
			}
		case i > 2:
			if a, err := netip.ParseAddr(w); err == nil {
				addrs = append(addrs, a)
			}
		}
	}
	if len(addrs) > 0 {
		tr.Src, tr.Dst = addrs[0], addrs[len(addrs)-1]
	}
	var ph *facts.TracePhase
	end := false
	seen := false
	for _, l := range p.out.Text {
		t := strings.TrimSpace(l.Text)
		k, v, _ := strings.Cut(t, ":")
		v = strings.TrimSpace(v)
		switch {
		case t == "":
		case k == "Phase":
			tr.Phases = append(tr.Phases, facts.TracePhase{Place: p.place(l)})
			ph = &tr.Phases[len(tr.Phases)-1]
			end, seen = false, true
			if len(tr.Phases) > 200 {
				return
			}
		case k == "Type" && ph != nil && !end:
			ph.Type = v
		case k == "Subtype" && ph != nil && !end:
			ph.Subtype = v
		case k == "Result" && v != "" && ph != nil && !end:
			ph.Result = v
			if v == "DROP" {
				ph.Place = p.place(l)
			}
		case k == "Result" && v == "":
			end, seen = true, true
		case k == "input-interface" && tr.Input == "":
			tr.Input = v
		case k == "Action":
			tr.Result = strings.ToLower(v)
			tr.Place = p.place(l)
			seen = true
		case k == "Drop-reason":
			tr.DropReason = v
		case k == "Config", k == "Additional Information", k == "ID", k == "Elapsed time", k == "Time Taken", end:
		case ph != nil:
			ph.Text = append(ph.Text, redact.Strip(t))
		}
	}
	if seen {
		p.dev.Traces = append(p.dev.Traces, tr)
	}
}

// routes reads show route.
func (p *reader) routes() {
	var kind string
	var prefix netip.Prefix
	known := false
	for _, l := range p.out.Text {
		t := strings.TrimSpace(l.Text)
		if t == "" || strings.HasPrefix(t, "Codes:") || strings.HasPrefix(t, "Gateway of last resort") || strings.Contains(t, " - ") && !strings.Contains(t, " via ") || strings.HasPrefix(t, "Routing Table") || strings.Contains(t, "is subnetted") || strings.Contains(t, "variably subnetted") {
			continue
		}
		f := strings.Fields(t)
		// kind words, then network and mask
		start := 0
		for start < len(f) && start < 3 && isKind(f[start]) {
			start++
		}
		if start > 0 && start+1 < len(f) {
			known = false
			n, m := f[start], f[start+1]
			if p.dev.Config != nil {
				if a, ok := p.dev.Config.Names[n]; ok {
					n = a.String()
				}
			}
			if px := masked(n, m); px.IsValid() {
				prefix, kind, known = px, strings.TrimSuffix(strings.Join(f[:start], " "), "*"), true
				f = f[start+2:]
			} else if px, err := netip.ParsePrefix(n); err == nil {
				prefix, kind, known = px.Masked(), strings.TrimSuffix(strings.Join(f[:start], " "), "*"), true
				f = f[start+1:]
			}
		}
		if !known {
			if start > 0 || !strings.Contains(t, "via") {
				p.skip(l)
			}
			continue
		}
		r := facts.RouteEntry{Prefix: prefix, Kind: kind, Place: p.place(l)}
		hit := false
		for i, w := range f {
			switch w {
			case "via":
				if i+1 < len(f) {
					r.Via, _ = address(f[i+1])
					hit = true
				}
			case "connected,", "(advertised),", "advertised,", "summary,", "VPN":
				hit = true
			}
		}
		if hit && len(p.dev.Routes) < 200000 {
			if last := f[len(f)-1]; !strings.Contains(last, ":") && !strings.HasSuffix(last, ",") && last != r.Via.String() && !strings.HasSuffix(last, "d") || strings.Contains(t, "connected") {
				r.Interface = f[len(f)-1]
			}
			p.dev.Routes = append(p.dev.Routes, r)
		}
	}
}

// isKind tells route codes from networks: S, S*, C, O IA, O*E2, D EX, B, V, L, SI, R, i L1.
func isKind(s string) bool {
	if s == "" || len(s) > 4 {
		return false
	}
	if c := s[0]; !(c >= 'A' && c <= 'Z' || c == 'i') {
		return false
	}
	for i := 1; i < len(s); i++ {
		if c := s[i]; !(c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '*' || c == '%' || c == '+' || c == 'a' || c == 'u') {
			return false
		}
	}
	return true
}
