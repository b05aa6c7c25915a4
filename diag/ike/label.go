package ike

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"vpnbot/diag/facts"
)

// opened is a negotiation while its messages are put in order.
type opened struct {
	*negotiation
	facts.Negotiation
}

// fact puts the messages of a negotiation in order of time, finds out who is who, what is
// a copy of what, and what each message is called. room is reused from one negotiation to
// the next; of is how many there are. It may be asked again and gives the same.
func (n *negotiation) fact(room *[]message, of int) *facts.Negotiation {
	g := &opened{negotiation: n}
	all := n.head
	if r := n.ring; r != nil {
		all = slices.Concat(n.head, r.tail[r.at:], r.tail[:r.at])
		g.Omitted = r.left
	}
	byTime := func(a, b sighting) int { return cmp.Compare(a.ts, b.ts) }
	if !slices.IsSortedFunc(all, byTime) {
		all = slices.Clone(all)
		slices.SortStableFunc(all, byTime)
	}
	if cap(*room) < len(all) {
		*room = make([]message, len(all))
	}
	ms := make([]*message, len(all))
	for i := range all {
		ms[i] = &(*room)[:len(all)][i]
		all[i].expand(n, ms[i])
	}
	g.InitSPI, g.Version, g.Transport = n.initSPI, int(n.version), "udp"
	if n.ctcp {
		g.Transport = "ctcp"
	}
	for _, c := range n.cookies {
		if c != 0 && len(g.RespSPIs) < 16 {
			g.RespSPIs = append(g.RespSPIs, c)
		}
	}
	g.Identity, g.FragIKE, g.Floated = n.identity, n.fragIKE, n.floated

	g.sides(ms)
	g.paths(ms)
	copies(ms)
	g.steps(ms)
	g.natSides(ms)
	g.Offered, g.Chosen = n.offered, n.chosen

	keep := chosen(ms, messageLimit(ms, of))
	g.Omitted += len(ms) - len(keep)
	g.Messages = make([]facts.Message, len(keep))
	for i, k := range keep {
		g.Messages[i] = ms[k].Message
	}
	if len(keep) < len(ms) {
		moved(g.Messages, keep)
	}
	out := g.Negotiation
	return &out
}

// first is the time of its first message.
func (n *negotiation) first() int64 {
	t := int64(math.MaxInt64)
	for i := range n.head {
		t = min(t, n.head[i].ts)
	}
	if n.ring != nil {
		for i := range n.ring.tail {
			t = min(t, n.ring.tail[i].ts)
		}
	}
	return t
}

// Bounds of what is handed over, for captures of many negotiations: a message takes 350
// bytes as a fact.
const (
	totalMessages = 40000
	leastMessages = 12
	maxVendorIDs  = 48   // of a negotiation
	plainMessages = 5    // of one that went as it should,
	manyPlain     = 1500 // where there are more than these
)

// messageLimit is how many messages of a negotiation are handed over.
func messageLimit(ms []*message, of int) int {
	if of > manyPlain && uneventful(ms) {
		return plainMessages
	}
	return max(totalMessages/max(of, 1), leastMessages)
}

// uneventful tells whether a negotiation came to its IPsec SA with nothing repeated or refused,
// and ended there: nobody will look at its messages one by one.
func uneventful(ms []*message) bool {
	up := false
	for _, m := range ms {
		if m.CopyOf >= 0 || m.DuplicateOf >= 0 || !m.Complete || m.Malformed != "" {
			return false
		}
		for _, n := range m.Notifies {
			if n.Error {
				return false
			}
		}
		switch {
		case m.Step == "QM3", m.Step == "IKE_AUTH" && m.Response:
			up = true
		case m.Step == facts.StepInfo && !strings.HasPrefix(m.Label, "DPD R-U-THERE") || m.Step == facts.StepUnknown:
			return false
		}
	}
	last := ms[len(ms)-1]
	return up && last.Label != "DPD R-U-THERE?"
}

// chosen returns the indexes of at most limit messages, ascending: the first and the last,
// then the first of each kind, the later steps before the earlier, then what follows the
// start.
func chosen(ms []*message, limit int) []int {
	keep := make([]int, 0, min(len(ms), limit))
	if len(ms) <= limit {
		for i := range ms {
			keep = append(keep, i)
		}
		return keep
	}
	type kind struct {
		label string
		part  int
	}
	taken := make([]bool, len(ms))
	seen := map[kind]bool{}
	take := func(i int) {
		if !taken[i] && len(keep) < limit {
			taken[i] = true
			seen[kind{ms[i].Label, int(ms[i].Part)}] = true
			keep = append(keep, i)
		}
	}
	take(0)
	take(len(ms) - 1)
	for weight := range 3 {
		for i, m := range ms {
			if stepWeight(m.Step) == weight && !seen[kind{m.Label, int(m.Part)}] {
				take(i)
			}
		}
	}
	for back := 1; back <= limit/3 && len(keep) < limit; back++ {
		take(len(ms) - 1 - back)
	}
	for i := range ms {
		take(i)
	}
	slices.Sort(keep)
	return keep
}

func stepWeight(step string) int {
	switch step {
	case "QM1", "QM2", "QM3", "IKE_AUTH", "CREATE_CHILD_SA":
		return 0
	case "MM2", "MM5", "MM6", "AM2", "AM3", "IKE_SA_INIT":
		return 1
	}
	return 2
}

// moved corrects the indexes within messages after some were left out.
func moved(ms []facts.Message, keep []int) {
	to := func(old int) int {
		if i, ok := slices.BinarySearch(keep, old); ok {
			return i
		}
		return -1
	}
	for i := range ms {
		if ms[i].CopyOf >= 0 {
			ms[i].CopyOf = to(ms[i].CopyOf)
		}
		if ms[i].DuplicateOf >= 0 {
			ms[i].DuplicateOf = to(ms[i].DuplicateOf)
		}
	}
}

// sides decides who began and marks each message with its direction.
func (g *opened) sides(ms []*message) {
	if g.Version == 2 {
		for i := range ms {
			ms[i].FromInitiator = ms[i].Flags&flagInitiator != 0
		}
		m := ms[0]
		g.Initiator, g.Responder = m.Src, m.Dst
		if !m.FromInitiator {
			g.Initiator, g.Responder = m.Dst, m.Src
		}
		g.RoleKnown = true // every message carries the flag
		return
	}
	g.Initiator, g.Responder, g.RoleKnown = firstSides(ms)
	init := []netip.Addr{g.Initiator.Addr()}
	resp := []netip.Addr{g.Responder.Addr()}
	for i := range ms {
		m := ms[i]
		s, d := m.Src.Addr(), m.Dst.Addr()
		sI, sR := slices.Contains(init, s), slices.Contains(resp, s)
		dI, dR := slices.Contains(init, d), slices.Contains(resp, d)
		switch {
		case sI && sR: // both ends at one address: the ports tell
			m.FromInitiator = m.Src == g.Initiator && m.Src != g.Responder || m.Src != g.Responder && m.Dst == g.Responder || m.RespSPI == 0
		case sR:
			if !dI && !dR && len(init) < maxPaths {
				init = append(init, d)
			}
		case dR:
			m.FromInitiator = true
			if !sI && len(init) < maxPaths {
				init = append(init, s)
			}
		case sI: // to an end not seen before
			m.FromInitiator = true
			if len(resp) < maxPaths {
				resp = append(resp, d)
			}
		case dI:
			if len(resp) < maxPaths {
				resp = append(resp, s)
			}
		default:
			m.FromInitiator = m.RespSPI == 0
		}
	}
}

// firstSides guesses the roles of an IKEv1 negotiation, and says whether it is no guess.
func firstSides(ms []*message) (initiator, responder netip.AddrPort, known bool) {
	phase1 := func(m *message) bool {
		return m.next != p1Fragment && (m.Exchange == exMain || m.Exchange == exAggressive || m.Exchange == exBase)
	}
	for i := range ms {
		if m := ms[i]; phase1(m) && m.RespSPI == 0 {
			return m.Src, m.Dst, true
		}
	}
	for i := range ms {
		if m := ms[i]; phase1(m) && m.hasSA && !m.Encrypted { // MM2 or AM2
			return m.Dst, m.Src, true
		}
	}
	m := ms[0]
	for i := range ms {
		if x := ms[i]; x.Exchange == exTransaction { // who asks first for XAUTH is the headend
			return x.Dst, x.Src, false
		}
	}
	if fixed := func(p uint16) bool { return p == 500 || p == 4500 }; fixed(m.Src.Port()) && !fixed(m.Dst.Port()) {
		return m.Dst, m.Src, false // who is behind a port translation began
	}
	return m.Src, m.Dst, false
}

// paths lists the pairs of ends.
func (g *opened) paths(ms []*message) {
	for i := range ms {
		m := ms[i]
		a, b := m.Src, m.Dst
		if !m.FromInitiator {
			a, b = b, a
		}
		j := slices.IndexFunc(g.Paths, func(p facts.PathUse) bool { return p.Initiator == a && p.Responder == b })
		if j < 0 {
			if len(g.Paths) >= maxPaths {
				continue
			}
			j = len(g.Paths)
			g.Paths = append(g.Paths, facts.PathUse{Initiator: a, Responder: b, First: m.Time, Packet: m.Packet})
		}
		p := &g.Paths[j]
		p.Last = m.Time
		if m.FromInitiator {
			p.FromInitiator++
		} else {
			p.FromResponder++
		}
	}
	g.Paths = slices.Clip(g.Paths)
	if len(g.Paths) > 0 {
		g.Initiator, g.Responder = g.Paths[0].Initiator, g.Paths[0].Responder
	}
}

// duplicateWithin is how soon after a packet its double made by the network arrives.
// Without an identification (IPv6, or a sender that leaves it zero) it must follow at once.
const (
	duplicateWithin = time.Second
	duplicateNoID   = 50 * time.Millisecond
)

// copies finds messages that were sent again (new IP id, same bytes) and packets that the
// network doubled (same IP id).
func copies(ms []*message) {
	type ofFirst struct{ first, count int }
	seen := make(map[[2]uint64][]ofFirst, len(ms)) // candidates by direction, exchange, id and length
	for i := range ms {
		m := ms[i]
		k := [2]uint64{uint64(m.MessageID)<<32 | uint64(m.Exchange)<<24 | uint64(m.Part)<<8, uint64(m.Length) << 1}
		if m.FromInitiator {
			k[1]++
		}
		cands := seen[k]
		found := -1
		for c := range cands {
			if sameBytes(ms[cands[c].first], m) {
				found = c
				break
			}
		}
		if found < 0 {
			seen[k] = append(cands, ofFirst{first: i})
			continue
		}
		c := &cands[found]
		if j := doubled(ms, i, c.first); j >= 0 {
			m.DuplicateOf = j
			m.Copy = ms[j].Copy
			continue
		}
		c.count++
		m.CopyOf, m.Copy = c.first, c.count
	}
}

func sameBytes(a, b *message) bool {
	switch {
	case a.Hash != 0 && b.Hash != 0:
		return a.Hash == b.Hash
	case a.Head != 0 && b.Head != 0:
		return a.Head == b.Head
	}
	return a.next == b.next && a.RespSPI == b.RespSPI && a.Flags == b.Flags
}

// doubled returns the message of which the one at i is the network's double, -1 when it
// was sent anew.
func doubled(ms []*message, i, first int) int {
	m := ms[i]
	for j := i - 1; j >= first; j-- {
		o := ms[j]
		gap := m.Time.Sub(o.Time)
		if gap > duplicateWithin {
			return -1
		}
		if o.DuplicateOf >= 0 || o.FromInitiator != m.FromInitiator || !(j == first || o.CopyOf == first) {
			continue
		}
		if o.IPID == m.IPID && (m.IPID != 0 || gap <= duplicateNoID && j == i-1) {
			return j
		}
	}
	return -1
}

// steps names the messages.
func (g *opened) steps(ms []*message) {
	if g.Version == 2 {
		g.Exchange = "ikev2"
		for i := range ms {
			step2(ms[i])
		}
		return
	}
	for i := range ms {
		m := ms[i]
		ex, enc, resp, hasSA := m.Exchange, m.Encrypted, m.RespSPI, m.hasSA
		if m.next == p1Fragment {
			if m.inner == nil {
				m.Step, m.Label = facts.StepUnknown, "fragment"
				continue
			}
			ex, enc, resp = m.inner.exchange, m.inner.flags&flagEncrypted != 0, m.inner.resp
			hasSA = m.inner.next == p1SA
		}
		switch ex {
		case exMain:
			g.Exchange = "main"
			switch {
			case hasSA && !enc:
				name(m, "MM1", "MM2")
			case !enc:
				name(m, "MM3", "MM4")
			default:
				name(m, "MM5", "MM6")
			}
			m.Response = !m.FromInitiator
		case exAggressive:
			if g.Exchange == "" {
				g.Exchange = "aggressive"
			}
			switch {
			case !m.FromInitiator:
				m.Step = "AM2"
				m.Response = true
			case resp == 0 || hasSA && !enc:
				m.Step = "AM1"
			default:
				m.Step = "AM3"
			}
			m.Label = m.Step
		case exBase, exAuthOnly:
			g.Exchange = "base"
			m.Step, m.Label = facts.StepUnknown, "base exchange"
			m.Response = !m.FromInitiator
		case exTransaction, exQuick, exInfo:
			// by message id, below
		case exNewGroup:
			m.Step, m.Label = facts.StepNewGrp, "new group"
		default:
			m.Step, m.Label = facts.StepUnknown, fmt.Sprintf("exchange %d", ex)
		}
	}
	g.quick(ms)
	g.transactions(ms)
	g.informational(ms)
	for i := range ms {
		if m := ms[i]; m.Part > 0 {
			if m.Parts > 0 {
				m.Label += fmt.Sprintf(" part %d/%d", m.Part, m.Parts)
			} else {
				m.Label += fmt.Sprintf(" part %d", m.Part)
			}
		}
	}
}

func name(m *message, fromInitiator, fromResponder string) {
	m.Step = fromResponder
	if m.FromInitiator {
		m.Step = fromInitiator
	}
	m.Label = m.Step
}

// dialogue is the messages of one IKEv1 message id.
type dialogue struct {
	id      uint32
	starter bool  // began by the initiator of the negotiation
	mine    []int // indexes of distinct messages of who began it
	theirs  []int // of the other
	all     []int
}

// dialogues groups the messages of one exchange type by message id, in order. Copies
// belong to the group, but count once.
func dialogues(ms []*message, exchange uint8) []dialogue {
	var out []dialogue
	at := map[uint32]int{}
	for i := range ms {
		m := ms[i]
		ex, id := m.Exchange, m.MessageID
		if m.next == p1Fragment {
			if m.inner == nil {
				continue
			}
			ex, id = m.inner.exchange, m.inner.msgID
		}
		if ex != exchange {
			continue
		}
		j, ok := at[id]
		if !ok {
			j = len(out)
			at[id] = j
			out = append(out, dialogue{id: id, starter: m.FromInitiator})
		}
		d := &out[j]
		d.all = append(d.all, i)
		if m.CopyOf >= 0 || m.DuplicateOf >= 0 || m.Part > 1 {
			continue
		}
		if m.FromInitiator == d.starter {
			d.mine = append(d.mine, i)
		} else {
			d.theirs = append(d.theirs, i)
		}
	}
	return out
}

// original is the index of the message that i repeats.
func original(ms []*message, i int) int {
	if ms[i].DuplicateOf >= 0 {
		i = ms[i].DuplicateOf
	}
	if ms[i].CopyOf >= 0 {
		i = ms[i].CopyOf
	}
	return i
}

// inherit gives copies, and later pieces of a cut message, the name of the first.
func inherit(ms []*message, d *dialogue) {
	for _, i := range d.all {
		o := original(ms, i)
		if ms[o].Part > 1 {
			for _, j := range d.all {
				if ms[j].Part == 1 && ms[j].FromInitiator == ms[o].FromInitiator && ms[j].set == ms[o].set {
					o = original(ms, j)
					break
				}
			}
		}
		if o != i {
			ms[i].Step, ms[i].Label, ms[i].Response = ms[o].Step, ms[o].Label, ms[o].Response
		}
	}
}

func (g *opened) quick(ms []*message) {
	for _, d := range dialogues(ms, exQuick) {
		for k, i := range d.mine {
			m := ms[i]
			m.Step = "QM1"
			if k > 0 {
				m.Step = "QM3"
			}
			m.Label = m.Step
		}
		for k, i := range d.theirs {
			m := ms[i]
			m.Step, m.Label, m.Response = "QM2", "QM2", true
			if k > 0 { // commit bit: CONNECTED (RFC 2408 3.1)
				m.Step, m.Label = facts.StepUnknown, "QM4"
			}
		}
		inherit(ms, &d)
	}
}

// transactions tells XAUTH from mode configuration: the headend begins XAUTH, the client
// mode configuration. A headend's second dialogue is the status, unless the client's answer
// is longer than the question: then it asked again.
func (g *opened) transactions(ms []*message) {
	n, status := 0, false
	for _, d := range dialogues(ms, exTransaction) {
		var step, first, second string
		switch {
		case d.starter:
			step, first, second = facts.StepMODECFG, "MODECFG request", "MODECFG reply"
		case status:
			step, first, second = facts.StepMODECFG, "MODECFG set", "MODECFG ack"
			if n > 0 && len(d.mine) > 0 && len(d.theirs) > 0 && ms[d.theirs[0]].Length > ms[d.mine[0]].Length {
				step, first, second = facts.StepXAUTH, "XAUTH request", "XAUTH reply" // again, after a rekey
			}
		case n > 0 && !(len(d.mine) > 0 && len(d.theirs) > 0 && ms[d.theirs[0]].Length > ms[d.mine[0]].Length):
			step, first, second = facts.StepXAUTH, "XAUTH status", "XAUTH ack"
			status = true
		default:
			step, first, second = facts.StepXAUTH, "XAUTH request", "XAUTH reply"
		}
		if !d.starter {
			n++
		}
		for _, i := range d.mine {
			ms[i].Step, ms[i].Label = step, first
		}
		for _, i := range d.theirs {
			ms[i].Step, ms[i].Label, ms[i].Response = step, second, true
		}
		inherit(ms, &d)
	}
}

// probeAnswer is how soon an informational message that answers another follows it.
const probeAnswer = 2 * time.Second

// informational names IKEv1 informational messages. Encrypted ones are guessed by pattern:
// pairs of one length, there and back within a round trip, are DPD (RFC 3706).
func (g *opened) informational(ms []*message) {
	var open []int // encrypted, not yet paired
	probe := 0     // length of known DPD messages
	up := false
	for i := range ms {
		m := ms[i]
		if m.Step == "MM6" || m.Step == "AM3" || m.Step == facts.StepXAUTH || strings.HasPrefix(m.Step, "QM") {
			up = true
		}
		ex := m.Exchange
		if m.next == p1Fragment {
			if m.inner == nil {
				continue
			}
			ex = m.inner.exchange
		}
		if ex != exInfo {
			continue
		}
		m.Step, m.Label = facts.StepInfo, "INFO"
		switch {
		case len(m.Notifies) > 0:
			m.Label = "INFO " + m.Notifies[0].Name
			continue
		case m.Deletes > 0:
			m.Label = "INFO delete"
			continue
		case !m.Encrypted:
			continue
		case m.CopyOf >= 0 || m.DuplicateOf >= 0:
			m.Label = ms[original(ms, i)].Label
			continue
		case !up:
			m.Label = "INFO encrypted notify"
			continue
		}
		paired := false
		for k := len(open) - 1; k >= 0 && m.Time.Sub(ms[open[k]].Time) <= probeAnswer; k-- {
			q := ms[open[k]]
			if q.FromInitiator != m.FromInitiator && q.Length == m.Length && afterDelete(ms, open[k]) < 0 {
				q.Label, m.Label, m.Response = "DPD R-U-THERE?", "DPD R-U-THERE-ACK?", true
				probe = m.Length
				open = slices.Delete(open, k, k+1)
				paired = true
				break
			}
		}
		if !paired {
			open = append(open, i)
		}
	}
	// Unanswered probes: as long as answered ones, or several at intervals.
	for _, i := range open {
		m := ms[i]
		if j := afterDelete(ms, i); j >= 0 {
			m.Label, ms[j].Label = "INFO delete?", "INFO delete?"
			continue
		}
		if m.Length == probe {
			m.Label = "DPD R-U-THERE?"
			continue
		}
		for _, j := range open {
			o := ms[j]
			gap := o.Time.Sub(m.Time).Abs()
			if j != i && o.Length == m.Length && o.FromInitiator == m.FromInitiator && gap >= 2*time.Second && gap <= 5*time.Minute {
				m.Label = "DPD R-U-THERE?"
				break
			}
		}
	}
}

// afterDelete returns the shorter informational that the same sender sent right before, -1
// when there is none: the delete of the IPsec SA goes before that of the IKE SA.
func afterDelete(ms []*message, i int) int {
	for j := i - 1; j >= 0 && ms[i].Time.Sub(ms[j].Time) < 200*time.Millisecond; j-- {
		m := ms[j]
		if m.Exchange == exInfo && m.Encrypted && m.FromInitiator == ms[i].FromInitiator && m.Length < ms[i].Length && m.DuplicateOf < 0 {
			return j
		}
	}
	return -1
}

// step2 names an IKEv2 message.
func step2(m *message) {
	m.Response = m.Flags&flagResponse != 0
	switch m.Exchange {
	case exSAInit:
		m.Step = "IKE_SA_INIT"
	case exAuth:
		m.Step = "IKE_AUTH"
	case exChild:
		m.Step = "CREATE_CHILD_SA"
	case exInfo2:
		m.Step = facts.StepInfo
	default:
		m.Step = facts.StepUnknown
	}
	m.Label = exchangeName2(m.Exchange)
	if m.Response {
		m.Label += " response"
	} else {
		m.Label += " request"
	}
	for _, n := range m.Notifies {
		if n.Error || n.Name == "COOKIE" || n.Name == "REDIRECT" {
			m.Label += " " + n.Name
			break
		}
	}
	if m.Part > 0 {
		m.Label += fmt.Sprintf(" part %d/%d", m.Part, m.Parts)
	}
}

func exchangeName2(ex uint8) string {
	switch ex {
	case exSAInit:
		return "IKE_SA_INIT"
	case exAuth:
		return "IKE_AUTH"
	case exChild:
		return "CREATE_CHILD_SA"
	case exInfo2:
		return "INFORMATIONAL"
	case exResume:
		return "IKE_SESSION_RESUME"
	case exIntermed:
		return "IKE_INTERMEDIATE"
	case exFollowupKE:
		return "IKE_FOLLOWUP_KE"
	}
	return fmt.Sprintf("exchange %d", ex)
}

// natSides reads the NAT detection payloads: whose address is not the one in the packet.
func (g *opened) natSides(ms []*message) {
	initiator, responder := false, false
	for i := range ms {
		m := ms[i]
		mark := func(s natState, ofInitiator bool) {
			if s != natChanged {
				return
			}
			if ofInitiator {
				initiator = true
			} else {
				responder = true
			}
		}
		mark(m.natSrc, m.FromInitiator)
		mark(m.natDst, !m.FromInitiator)
	}
	g.NATDetected = initiator || responder
	switch {
	case initiator && responder:
		g.NATSide = "both"
	case initiator:
		g.NATSide = "initiator"
	case responder:
		g.NATSide = "responder"
	}
	if g.odd != nil {
		for _, x := range g.odd.seen {
			g.NATSeen = append(g.NATSeen, facts.NATSeen{FromInitiator: g.byInitiator(ms, x.src), InitSPI: g.InitSPI, RespSPI: x.resp, Sum: x.sum})
		}
	}
	g.NATTOffered = g.nattInit && g.nattResponder
	if len(g.vendors) == 0 {
		return
	}
	g.VendorIDs = make([]facts.VendorID, 0, len(*g.vendors[0].names)*len(g.vendors))
	for i, v := range g.vendors {
		// One sender's are named once, whichever of its messages they came in.
		before := func(name string) bool {
			return slices.ContainsFunc(g.vendors[:i], func(o vendorSeen) bool {
				a, b := g.ways[o.way], g.ways[v.way]
				return a.src == b.src && a.sport == b.sport && slices.Contains(*o.names, name)
			})
		}
		e := g.ways[v.way]
		initiator := g.byInitiator(ms, addrPort(e.src, e.sport))
		for k, name := range *v.names {
			if len(g.VendorIDs) < maxVendorIDs && !slices.Contains((*v.names)[:k], name) && !before(name) {
				g.VendorIDs = append(g.VendorIDs, facts.VendorID{Name: name, FromInitiator: initiator})
			}
		}
	}
}

// byInitiator tells on which side an end stands.
func (g *opened) byInitiator(ms []*message, end netip.AddrPort) bool {
	for i := range ms {
		if ms[i].Src == end {
			return ms[i].FromInitiator
		}
	}
	return end.Addr() == g.Initiator.Addr()
}
