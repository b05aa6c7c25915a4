package session

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"vpnbot/devices/command"
	"vpnbot/devices/inventory"
)

// lineEditor is a device's line editor at a terminal of some width: what it shows while
// the characters of stored arrive one by one. A line that does not fit is scrolled.
type lineEditor struct {
	prompt string
	width  int
	step   int  // columns that a scroll makes free
	cr     bool // goes back with a return and draws the prompt again, rather than with backspaces
}

func (e lineEditor) show(stored string) string { text, _ := e.draw(stored); return text }

// draw gives what is shown, and how many columns behind the prompt are in use at its end.
func (e lineEditor) draw(stored string) (string, int) {
	var out strings.Builder
	room := e.width - len(e.prompt) - 1
	visible := ""
	for i := range len(stored) {
		if len(visible)+1 <= room {
			visible += stored[i : i+1]
			out.WriteString(stored[i : i+1])
			continue
		}
		tail := "$" + stored[i+1-(room-e.step-1):i+1]
		if e.cr {
			out.WriteString("\r" + e.prompt)
		} else {
			out.WriteString(strings.Repeat("\b", len(visible)))
		}
		out.WriteString(tail)
		if n := len(visible) - len(tail); n > 0 {
			out.WriteString(strings.Repeat(" ", n) + strings.Repeat("\b", n))
		}
		visible = tail
	}
	return out.String(), len(visible)
}

func echoLines(t testing.TB) []string {
	t.Helper()
	var lines []string
	add := func(cmds []command.Command, err error) {
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cmds {
			lines = append(lines, c.Line())
		}
	}
	for _, a := range []string{"203.0.113.10", "111.111.111.111", "1.1.1.1", "2001:db8::1111:1111:1111"} {
		p := netip.MustParseAddr(a)
		for _, tg := range []command.Target{{Platform: inventory.CiscoASA}, {Platform: inventory.CiscoIOS, VRF: "INTERNET"}} {
			for _, kind := range []string{"clear-ike-sa", "clear-ipsec-sa", "clear-session"} {
				c, err := command.Clear(tg, kind, command.ClearParams{Peer: p, ConnID: 11111})
				add([]command.Command{c}, err)
			}
		}
	}
	own, peer := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("203.0.113.10")
	add(command.CaptureStart(command.Target{Platform: inventory.CiscoASA}, command.CaptureOptions{Name: "VB-ab12o", Interface: "outside", Own: own, Peer: peer, Bytes: 4 << 20, Ring: true}))
	add(command.CaptureStart(command.Target{Platform: inventory.CiscoASA}, command.CaptureOptions{Name: "VB-ab12c", Interface: "outside", Own: own, Filter: command.ClientIKE, Bytes: 4 << 20}))
	return lines
}

// A line that the device did not keep exactly never counts as echoed whole, however its
// editor draws it; the line itself always does, and not before its last character.
func TestEchoOfAlteredLines(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, prompt := range []string{"a#", "hq-asa# ", "a-rather-long-name-of-a-firewall/cust-a/act/pri# "} {
		for _, e := range []lineEditor{{prompt, 80, 10, false}, {prompt, 80, 10, true}, {prompt, 80, 20, false}, {prompt, 511, 10, false}} {
			for _, line := range echoLines(t) {
				where := fmt.Sprintf("%q, width %d, step %d, cr %v", line, e.width, e.step, e.cr)
				whole, columns := e.draw(line)
				head := line[:min(len(line), e.width-len(prompt)-2)]
				entered := whole + strings.Repeat("\b", columns) + head + "$\r"
				if compareEcho([]byte(prompt), line, []byte(whole)) != echoWhole || len(head) < len(line) && compareEcho([]byte(prompt), line, []byte(entered)) != echoWhole {
					t.Fatalf("%s: its own echo %q is not recognised", where, whole)
				}
				live := newEcho(prompt, line)
				for i, c := range []byte(whole) {
					if live.state() == echoWrong || live.state() == echoWhole && strings.Trim(whole[i:], "\b") != "" {
						t.Fatalf("%s: state %d after %q", where, live.state(), whole[:i])
					}
					live.feed([]byte{c})
				}
				if live.state() != echoWhole {
					t.Fatalf("%s: state %d at its end", where, live.state())
				}
				live.feed([]byte("\b \b"))
				if live.state() == echoWhole {
					t.Fatalf("%s: still whole after a character was taken away", where)
				}
				for i := range len(line) {
					altered := map[string]string{
						"lost":    line[:i] + line[i+1:],
						"doubled": line[:i] + line[i:i+1] + line[i:],
						"changed": line[:i] + string("0123456789abcdef:. "[random.IntN(19)]) + line[i+1:],
						"pair":    line[:i] + line[min(i+2, len(line)):],
					}
					if i > 0 {
						altered["swapped"] = line[:i-1] + line[i:i+1] + line[i-1:i] + line[i+1:]
					}
					for how, stored := range altered {
						if stored == line {
							continue
						}
						// Judged as it is judged live, byte by byte; a line with its last
						// character doubled is whole for a moment.
						live := newEcho(prompt, line)
						for k, c := range []byte(e.show(stored)) {
							live.feed([]byte{c})
							if live.state() == echoWhole && !strings.HasPrefix(stored, line) {
								t.Fatalf("%s: %s at %d counts as whole after %d bytes of %q", where, how, i, k, stored)
							}
						}
						if live.state() == echoWhole {
							t.Fatalf("%s: %s at %d counts as whole at its end: %q", where, how, i, stored)
						}
					}
				}
			}
		}
	}
}

func FuzzEcho(f *testing.F) {
	f.Add("hq# ", "clear crypto isakmp sa 203.0.113.10", "clear crypto isakmp sa 203.0.113.10")
	f.Add("hq# ", "show clock", "\b\b\b$ow clock")
	f.Fuzz(func(t *testing.T, prompt, line, got string) {
		if compareEcho([]byte(prompt), line, []byte(got)) == echoWhole && line != "" {
			// All the line's characters must have come, in whatever pieces.
			for _, c := range []byte(line) {
				if c != ' ' && c != '$' && strings.IndexByte(got, c) < 0 {
					t.Fatalf("%q counts as %q", got, line)
				}
			}
		}
	})
}
