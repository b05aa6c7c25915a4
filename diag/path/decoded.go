package path

import (
	"fmt"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// maxShownPayloads bounds what is shown of one message.
const maxShownPayloads = 40

// decoded is a message opened: header, clear payloads, and of what is encrypted at least
// what by its place stands in it. What the receiver's capture says differently (NAT
// detection compares addresses, and NAT changes them) stands beside it; rcvd may be nil.
func decoded(m, rcvd *facts.Message) []report.LadderPayload {
	head := report.LadderPayload{Name: "header", Text: fmt.Sprintf("%s, %d bytes, message id %08x", exchangeName(m.Exchange), m.Length, m.MessageID)}
	if m.InitSPI != 0 {
		head.Rows = append(head.Rows, "initiator "+facts.SPIHex(m.InitSPI))
	}
	if m.RespSPI != 0 {
		head.Rows = append(head.Rows, "responder "+facts.SPIHex(m.RespSPI))
	} else {
		head.Rows = append(head.Rows, "responder not known yet")
	}
	if f := flags(m); f != "" {
		head.Rows = append(head.Rows, "flags "+f)
	}
	if m.Captured < m.Length {
		head.Rows = append(head.Rows, fmt.Sprintf("only %d of its %d bytes are at hand", m.Captured, m.Length))
	}
	out := []report.LadderPayload{head}
	for i, p := range m.Payloads {
		if i >= maxShownPayloads {
			out = append(out, report.LadderPayload{Name: "…", Text: fmt.Sprintf("and %d payloads more", len(m.Payloads)-i)})
			break
		}
		first, rest, more := strings.Cut(p.Text, "\n")
		lp := report.LadderPayload{Name: p.Name, Text: first}
		if first == "" {
			lp.Text = fmt.Sprintf("%d bytes", p.Length)
		}
		if more {
			lp.Rows = strings.Split(rest, "\n")
		}
		if rcvd != nil && i < len(rcvd.Payloads) {
			if q := rcvd.Payloads[i]; q.Type == p.Type && q.Text != p.Text && q.Text != "" {
				there, _, _ := strings.Cut(q.Text, "\n")
				lp.Rows = append(lp.Rows, "where it arrives: "+there)
			}
		}
		out = append(out, lp)
	}
	if m.Encrypted {
		out = append(out, report.LadderPayload{Name: "encrypted", Text: inside(m)})
	}
	if m.Malformed != "" {
		out = append(out, report.LadderPayload{Name: "malformed", Text: m.Malformed})
	}
	return out
}

// exchangeName names an exchange type (RFC 2408 3.1, RFC 2409, RFC 7296 3.1).
func exchangeName(x uint8) string {
	switch x {
	case 1:
		return "base exchange (1)"
	case 2:
		return "main mode (2)"
	case 4:
		return "aggressive mode (4)"
	case 5:
		return "informational (5)"
	case 6:
		return "transaction (6)"
	case 32:
		return "quick mode (32)"
	case 33:
		return "new group (33)"
	case 34:
		return "IKE_SA_INIT (34)"
	case 35:
		return "IKE_AUTH (35)"
	case 36:
		return "CREATE_CHILD_SA (36)"
	case 37:
		return "INFORMATIONAL (37)"
	}
	return fmt.Sprintf("exchange %d", x)
}

// flags of the header in words.
func flags(m *facts.Message) string {
	var s []string
	if m.Exchange >= 34 {
		if m.Flags&0x08 != 0 {
			s = append(s, "initiator")
		}
		if m.Flags&0x20 != 0 {
			s = append(s, "response")
		}
	} else {
		if m.Flags&1 != 0 {
			s = append(s, "encryption")
		}
		if m.Flags&2 != 0 {
			s = append(s, "commit")
		}
	}
	return strings.Join(s, ", ")
}

// inside says what an encrypted message carries by the standard; it cannot be read.
func inside(m *facts.Message) string {
	s := ""
	switch m.Step {
	case "MM5", "MM6":
		s = "identity and its proof: a hash made with the key, or certificate and signature"
	case "AM3":
		s = "a hash or signature that proves the identity"
	case "QM1":
		s = "hash, IPsec proposals, nonce, with PFS a key exchange, and the two networks"
	case "QM2":
		s = "hash, the chosen IPsec proposal, nonce, with PFS a key exchange, and the two networks"
	case "QM3":
		s = "a hash"
	case facts.StepXAUTH:
		s = "user name and password, or what is asked of them"
	case facts.StepMODECFG:
		s = "addresses, networks and settings of the client, or what is asked of them"
	case "IKE_AUTH":
		s = "identity, its proof, proposal and traffic selectors of the first child SA, or a notify"
	case "CREATE_CHILD_SA":
		s = "proposal, nonce, key exchange and traffic selectors of a new SA, or a notify"
	case facts.StepInfo:
		s = "a notify, a delete or a probe of the peer"
	default:
		return "its content cannot be read"
	}
	return "not readable here; by the standard: " + s
}
