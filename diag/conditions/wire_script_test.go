package conditions_test

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"vpnbot/diag"
	"vpnbot/diag/facts"
)

// A scripted case says packet by packet what happened, in one line each, and which
// findings may stand first with both captures and with each end's alone. It is put
// together as the decoder would have given it, so that faults nobody captured for us are
// judged too. Format, one file per family in testdata/wire/*.txtar, one section per case:
//
//	both: ID ID ...    hq: ...    spoke: ...     which ids may stand first; "healthy" for the healthy ones, - to skip
//	opt nat main|aggressive|ikev2 cert ...
//	SECONDS > STEP BYTES [lost] [4500] [df] [frag=1480+236] [first] [rest] [from=ADDR] [id=N] [att=N] [n=TYPE]
//
// > is from the spoke (initiator) to hq, < the other way. first and rest: only that part
// of the fragments arrived. from= is the address seen at the receiver. ESP, KA and ICMP are steps too.
type script struct {
	name   string
	accept map[string][]string
	opts   map[string]bool
	caps   map[string]*facts.Capture
}

const (
	spokeReal = "203.0.113.10"
	spokePriv = "10.20.0.10"
	spokeNAT  = "203.0.113.65"
	hqAddr    = "198.51.100.1"
)

func stepExchange(step, mode string) uint8 {
	switch {
	case strings.HasPrefix(step, "MM"):
		return 2
	case strings.HasPrefix(step, "AM"):
		return 4
	case strings.HasPrefix(step, "QM"):
		return 32
	case strings.HasPrefix(step, "X"), strings.HasPrefix(step, "CFG"):
		return 6
	case step == "SA_INIT", step == "SA_INITr":
		return 34
	case step == "AUTH", step == "AUTHr":
		return 35
	case step == "CHILD", step == "CHILDr":
		return 36
	}
	if mode == "ikev2" {
		return 37
	}
	return 5
}

// parseScript makes the two captures.
func parseScript(t *testing.T, name, text string) *script {
	t.Helper()
	s := &script{name: name, accept: map[string][]string{}, opts: map[string]bool{}, caps: map[string]*facts.Capture{}}
	t0 := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	mode := "main"
	for _, end := range []string{"hq", "spoke"} {
		s.caps[end] = &facts.Capture{Name: end, Device: end, Source: end + "/outside.pcap"}
	}
	s.caps["hq"].Own = []netip.Addr{netip.MustParseAddr(hqAddr)}
	type negKey struct {
		end string
		att int
	}
	negs := map[negKey]*facts.Negotiation{}
	flows := map[string]*facts.ESPFlow{}
	firstOf := map[string]int{}
	seqs := map[string]uint32{}
	ipid := uint16(100)
	addr := func(a string, port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr(a), uint16(port))
	}
	packetIn := func(end string, at time.Time) int {
		c := s.caps[end]
		c.Packets++
		if c.First.IsZero() {
			c.First = at
		}
		c.Last = at
		return c.Packets
	}
	for ln, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if k, ok := strings.CutSuffix(f[0], ":"); ok {
			s.accept[k] = f[1:]
			continue
		}
		if f[0] == "opt" {
			for _, o := range f[1:] {
				s.opts[o] = true
				if o == "aggressive" || o == "ikev2" {
					mode = o
				}
			}
			continue
		}
		sec, err := strconv.ParseFloat(f[0], 64)
		if err != nil || len(f) < 3 {
			t.Fatalf("%s line %d: %q", name, ln+1, line)
		}
		at := t0.Add(time.Duration(sec * float64(time.Second)))
		out := f[1] == ">"
		step := f[2]
		size, port, id, att, notify := 200, 500, "", 1, 0
		lost, df, first, rest, dup := false, false, false, false, false
		from := ""
		var frags []int
		args := f[3:]
		if len(args) > 0 {
			if n, err := strconv.Atoi(args[0]); err == nil {
				size, args = n, args[1:]
			}
		}
		for _, a := range args {
			k, v, _ := strings.Cut(a, "=")
			n, _ := strconv.Atoi(v)
			switch k {
			case "lost":
				lost = true
			case "4500":
				port = 4500
			case "df":
				df = true
			case "first":
				first = true
			case "rest":
				rest = true
			case "dup":
				dup = true
			case "from":
				from = v
			case "id":
				id = v
			case "att":
				att = n
			case "n":
				notify = n
			case "frag":
				for _, x := range strings.Split(v, "+") {
					m, _ := strconv.Atoi(x)
					frags = append(frags, m)
				}
			default:
				t.Fatalf("%s line %d: what is %q", name, ln+1, a)
			}
		}
		ipid++
		spokeHere, spokeThere := spokeReal, spokeReal
		if s.opts["nat"] {
			spokeHere, spokeThere = spokePriv, spokeNAT
		}
		if from != "" && out {
			spokeThere = from
		}
		hqThere := hqAddr
		if from != "" && !out {
			hqThere = from
		}
		sender, receiver := "spoke", "hq"
		if !out {
			sender, receiver = receiver, sender
		}
		for _, end := range []string{sender, receiver} {
			got := end == receiver
			if got && lost {
				continue
			}
			when := at
			if got {
				when = at.Add(15 * time.Millisecond)
			}
			var src, dst netip.AddrPort
			sp := spokeHere
			if end == "hq" {
				sp = spokeThere
			}
			if out {
				src, dst = addr(sp, port), addr(hqAddr, port)
			} else {
				src, dst = addr(hqThere, port), addr(sp, port)
			}
			c := s.caps[end]
			ttl := uint8(64)
			if got {
				ttl = 63
			}
			switch step {
			case "KA":
				n := packetIn(end, when)
				c.Keepalives = append(c.Keepalives, facts.Keepalive{Src: src, Dst: dst, Count: 1, First: when, Last: when, FirstPacket: n, LastPacket: n})
				continue
			case "ICMP": // size is type*100+code; about the other end's last message
				n := packetIn(end, when)
				q := facts.Quoted{Src: dst, Dst: src, Proto: 17, IKE: true, InitSPI: 0xc00c1e + uint64(att)}
				from := src.Addr()
				if s.opts["router"] {
					from = netip.MustParseAddr("192.0.2.1")
				}
				c.ICMP = append(c.ICMP, facts.ICMPError{Packet: n, Time: when, From: from, To: dst.Addr(), Type: uint8(size / 100), Code: uint8(size % 100), MTU: 1400, Quoted: q})
				continue
			case "PING": // other traffic
				n := packetIn(end, when)
				c.Hosts = append(c.Hosts, facts.HostTraffic{Src: src.Addr(), Dst: dst.Addr(), Count: 1, First: when, Last: when, FirstPacket: n, LastPacket: n, Protocols: []string{"icmp"}})
				continue
			case "ESP":
				udp := s.opts["udp"]
				if !udp {
					src, dst = netip.AddrPortFrom(src.Addr(), 0), netip.AddrPortFrom(dst.Addr(), 0)
				}
				sk := fmt.Sprintf("%v%d%s", out, att, id)
				if !got {
					seqs[sk]++
				}
				k := end + sk + src.String() + dst.String()
				fl := flows[k]
				n := packetIn(end, when)
				if fl == nil {
					spi := uint32(0x1000 + att*16)
					if out {
						spi++
					}
					v, _ := strconv.Atoi(id)
					fl = &facts.ESPFlow{SPI: spi + uint32(v)*256, Src: src, Dst: dst, UDP: udp, Trusted: true, First: when, FirstPacket: n, FirstSeq: seqs[sk]}
					flows[k] = fl
					c.ESP = append(c.ESP, fl)
				}
				q := seqs[sk]
				if r := len(fl.Ranges); r > 0 && fl.Ranges[r-1].To+1 == q {
					fl.Ranges[r-1].To = q
				} else {
					if r > 0 {
						fl.Missing += int(q - fl.Ranges[r-1].To - 1)
					}
					fl.Ranges = append(fl.Ranges, facts.SeqRange{From: q, To: q})
				}
				fl.Count++
				fl.Last, fl.LastPacket, fl.LastSeq = when, n, q
				fl.Sample = append(fl.Sample, facts.ESPPacket{Packet: n, Time: when, Seq: q, Length: size, IPID: ipid, DF: df, Complete: true})
				i := slices.IndexFunc(fl.Sizes, func(z facts.SizeCount) bool { return z.Length == size })
				if i < 0 {
					i = len(fl.Sizes)
					fl.Sizes = append(fl.Sizes, facts.SizeCount{Length: size, First: n})
				}
				fl.Sizes[i].Count++
				fl.Sizes[i].Last = n
				if df {
					fl.Sizes[i].DF++
				}
				continue
			}
			nk := negKey{end, att}
			g := negs[nk]
			if g == nil {
				g = &facts.Negotiation{InitSPI: 0xc00c1e + uint64(att), Version: 1, Exchange: mode, RoleKnown: true, Transport: "udp", NATDetected: s.opts["nat"] && !s.opts["nonatd"]}
				if s.opts["nat"] && !s.opts["nonatd"] {
					g.NATSide = "initiator"
				}
				if mode == "ikev2" {
					g.Version = 2
				}
				auth := "PSK"
				if s.opts["cert"] {
					auth = "RSA-SIG"
				}
				g.Offered = []facts.Proposal{{Protocol: "IKE", Transforms: []facts.Transform{{Encryption: "AES-CBC-256", Hash: "SHA1", Group: "MODP-2048", Auth: auth}}}}
				if s.opts["v2first"] { // the attempt's version by its number
					g.Version = 1 + att%2
				}
				negs[nk] = g
				c.Negotiations = append(c.Negotiations, g)
				g.Initiator, g.Responder = src, dst
				if !out {
					g.Initiator, g.Responder = dst, src
				}
			}
			h := fnv.New64a()
			fmt.Fprintf(h, "%s %v %s %d %d %v", step, out, id, att, size, frags)
			m := facts.Message{Time: when, Src: src, Dst: dst, IPLength: size, IPID: ipid, DF: df, TTL: ttl, InitSPI: g.InitSPI, Exchange: stepExchange(step, mode),
				Length: size - 28, Captured: size - 28, FromInitiator: out, CopyOf: -1, DuplicateOf: -1, Complete: true, Hash: h.Sum64(), Head: h.Sum64() ^ 1}
			if !(step == "MM1" || step == "AM1" || step == "SA_INIT") {
				m.RespSPI = 77
			}
			m.Step, m.Label = step, step
			m.Encrypted = !(m.Exchange == 2 && step < "MM5" || m.Exchange == 4 || m.Exchange == 34)
			fmt.Sscanf(id, "%d", &m.MessageID)
			m.MessageID = m.MessageID*1000 + uint32(m.Exchange)*10
			switch step {
			case "MM2", "MM4", "MM6", "AM2", "QM2":
				m.Response = true
			case "SA_INIT", "SA_INITr":
				m.Step, m.Label, m.Response = "IKE_SA_INIT", "IKE_SA_INIT", step == "SA_INITr"
			case "AUTH", "AUTHr":
				m.Step, m.Label, m.Response = "IKE_AUTH", "IKE_AUTH", step == "AUTHr"
			case "CHILD", "CHILDr":
				m.Step, m.Label, m.Response = "CREATE_CHILD_SA", "CREATE_CHILD_SA", step == "CHILDr"
			case "XREQ", "XREP", "XSET", "XACK":
				m.Step, m.Label, m.Response = "XAUTH", map[string]string{"XREQ": "XAUTH request", "XREP": "XAUTH reply", "XSET": "XAUTH status", "XACK": "XAUTH ack"}[step], step == "XREP" || step == "XACK"
				if step == "XSET" || step == "XACK" {
					m.MessageID++
				}
			case "CFGREQ", "CFGREP":
				m.Step, m.Label, m.Response = "MODECFG", map[string]string{"CFGREQ": "MODECFG request", "CFGREP": "MODECFG reply"}[step], step == "CFGREP"
				m.MessageID += 5
			case "INFO", "INFOr", "DPD", "DPDr", "DEL":
				m.Step, m.Label, m.Response = facts.StepInfo, step, step == "INFOr" || step == "DPDr"
				switch step {
				case "DPD":
					m.Label = "DPD R-U-THERE?"
				case "DPDr":
					m.Label = "DPD R-U-THERE-ACK?"
				case "DEL":
					m.Label = "INFO delete?"
				}
				if mode != "ikev2" { // a new message id each time
					m.MessageID = uint32(ipid)
					m.Hash = uint64(ipid) * 7919
					m.Head = m.Hash ^ 1
				}
			}
			if notify != 0 {
				m.Notifies = []facts.Notify{{Type: uint16(notify), Name: fmt.Sprintf("NOTIFY-%d", notify), Error: notify < 16384}}
				m.Encrypted = false
			}
			if s.opts["cert"] && mode == "ikev2" && step == "SA_INITr" {
				m.Payloads = []facts.Payload{{Type: 38, Name: "CERTREQ"}}
			}
			switch {
			case len(frags) > 0:
				off := 0
				for i, l := range frags {
					keep := !got || !first && !rest || first && i == 0 || rest && i > 0
					if keep {
						n := packetIn(end, when)
						if m.Packet == 0 {
							m.Packet = n
						}
						m.Packets = append(m.Packets, n)
						m.Fragments = append(m.Fragments, facts.Fragment{Packet: n, Time: when, Offset: off, Length: l, Last: i == len(frags)-1})
					}
					off += l
				}
				m.IPLength, m.Length, m.Captured = off+20, off-8, off-8
				if got && rest {
					c.Orphans = append(c.Orphans, facts.FragmentGroup{Src: src.Addr(), Dst: dst.Addr(), Proto: 17, IPID: ipid, Fragments: m.Fragments})
					continue
				}
				if got && first {
					m.Complete, m.Hash, m.Captured = false, 0, frags[0]-8
				}
			default:
				m.Packet = packetIn(end, when)
				m.Packets = []int{m.Packet}
			}
			// Copies.
			ck := fmt.Sprintf("%s %d %d", end, att, m.Head)
			if i, ok := firstOf[ck]; ok {
				m.CopyOf = i
				m.Copy = 1
				for k := range g.Messages {
					if g.Messages[k].CopyOf == i {
						m.Copy++
					}
				}
			} else {
				firstOf[ck] = len(g.Messages)
			}
			g.Messages = append(g.Messages, m)
			if got && dup {
				d := m
				d.DuplicateOf, d.CopyOf = len(g.Messages)-1, -1
				d.Packet = packetIn(end, when)
				g.Messages = append(g.Messages, d)
			}
			g.Floated = g.Floated || port == 4500
			p := facts.PathUse{Initiator: src, Responder: dst, First: when, Last: when}
			if !out {
				p.Initiator, p.Responder = dst, src
			}
			if !slices.ContainsFunc(g.Paths, func(x facts.PathUse) bool { return x.Initiator == p.Initiator && x.Responder == p.Responder }) {
				g.Paths = append(g.Paths, p)
			}
		}
	}
	return s
}

// TestScripted judges the scripted cases.
func TestScripted(t *testing.T) {
	files, err := filepath.Glob("testdata/wire/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripted cases: %v", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, sec := range txtar.Parse(b).Files {
			name := strings.TrimSuffix(filepath.Base(file), ".txtar") + "/" + sec.Name
			s := parseScript(t, name, string(sec.Data))
			for _, who := range []string{"both", "hq", "spoke"} {
				want := s.accept[who]
				if len(want) == 0 || want[0] == "-" {
					continue
				}
				t.Run(name+"/"+who, func(t *testing.T) {
					s := parseScript(t, name, string(sec.Data)) // the engine may keep what it is given
					set := &facts.Set{}
					for _, end := range []string{"hq", "spoke"} {
						if who == "both" || who == end {
							set.Captures = append(set.Captures, s.caps[end])
						}
					}
					r := diag.Analyze(set, diag.Options{Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}).Report
					var got []string
					for _, f := range r.Findings {
						got = append(got, fmt.Sprintf("%s %.2f", f.ID, f.Confidence))
					}
					accept := want
					if want[0] == "healthy" {
						accept = healthyIDs
					}
					ids, ok := judgeCapture(r.Findings, accept, "")
					if !ok {
						t.Errorf("want %v first, got %v", want, got)
					}
					_ = ids
					checkEvidence(t, name, r)
				})
			}
		}
	}
}
