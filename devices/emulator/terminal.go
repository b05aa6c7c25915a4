package emulator

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// session is one terminal on a device: line editing, echo, pager and prompts. Commands
// themselves are in the command tables (asa.go, ios.go).
type session struct {
	dev   *Device
	id    int
	user  string
	ch    ssh.Channel
	in    *bufio.Reader
	out   bytes.Buffer
	conn  *conn
	idle  *time.Timer
	began time.Time

	privileged bool
	config     string // "" or the configuration prompt's word: config, config-if ...
	pager      int    // lines; 0: off
	width      int    // columns; 0: unlimited
	quit       bool

	pause  time.Duration     // the present command takes that long
	asking func(answer byte) // the present command waits for one key ([confirm])
	dialog func(s *session)  // the present command talks on its own (enable)
}

var errGone = errors.New("connection closed")

// maxLine is the longest line that the devices take.
const maxLine = 510

func newSession(d *Device, id int, user string, ch ssh.Channel, c *conn) *session {
	s := &session{dev: d, id: id, user: user, ch: ch, in: bufio.NewReaderSize(ch, 4096), conn: c, began: d.lab.now(), pager: 24, width: 80}
	if !d.asa {
		s.privileged = d.spec.Privilege >= 15
	}
	return s
}

func (s *session) run() {
	wait := s.dev.broken().idle
	if wait <= 0 {
		wait = idleDefault
	}
	s.idle = time.AfterFunc(wait, s.conn.close)
	defer s.idle.Stop()
	s.banner()
	for !s.quit {
		line, err := s.readLine(s.prompt(), true)
		if err != nil {
			return
		}
		if err := s.exec(line); err != nil {
			return
		}
	}
	s.flush()
}

func (s *session) banner() {
	f := s.dev.broken()
	b := s.dev.spec.Banner
	if f.banner != nil {
		b = *f.banner
	}
	if b != "" {
		s.print(strings.TrimSuffix(b, "\n") + "\n")
	}
	if s.dev.asa {
		now := s.dev.lab.now().In(s.dev.zone)
		if s.dev.atLeast(9, 1) {
			s.print(fmt.Sprintf("User %s logged in to %s\nLogins over the last 1 days: %d.  Last login: %s from 10.1.0.77\nFailed logins since the last login: 0.  \n",
				s.user, s.dev.hostname(), s.id, now.Add(-time.Hour).Format("15:04:05 MST Jan 2 2006")))
		}
		s.print("Type help or '?' for a list of available commands.\n")
		return
	}
	s.print("\n")
}

func (d *Device) hostname() string { return d.spec.Name }

func (s *session) prompt() string {
	p := s.dev.hostname()
	mark := ">"
	if s.privileged {
		mark = "#"
	}
	if s.config != "" {
		mark = "(" + s.config + ")#"
	}
	if s.dev.asa {
		return p + s.suffix() + mark + " "
	}
	return p + mark
}

// print queues text for the terminal; line ends become CR LF.
func (s *session) print(text string) {
	s.out.WriteString(strings.ReplaceAll(text, "\n", "\r\n"))
	if s.out.Len() > 64<<10 {
		s.flush()
	}
}

func (s *session) flush() {
	if s.out.Len() == 0 {
		return
	}
	if f := s.dev.broken(); f.chunk > 0 {
		slow(s.ch, s.out.Bytes(), f.chunk, f.chunkDelay, s.conn.done)
	} else {
		s.ch.Write(s.out.Bytes())
	}
	s.out.Reset()
}

func (s *session) readByte() (byte, error) {
	if s.in.Buffered() == 0 {
		s.flush()
	}
	b, err := s.in.ReadByte()
	if err != nil {
		return 0, errGone
	}
	if s.idle != nil {
		wait := s.dev.broken().idle
		if wait <= 0 {
			wait = idleDefault
		}
		s.idle.Reset(wait)
	}
	return b, nil
}

// editor draws a line that may be longer than the terminal: then it scrolls, marked by $.
type editor struct {
	s       *session
	room    int    // columns for the line
	buf     []byte // what the device keeps
	shown   []byte // what it shows of it
	visible int    // columns in use
	scroll  bool
	echo    bool
}

const scrollStep = 10

func (e *editor) add(stored, echoed []byte) {
	e.buf = append(e.buf, stored...)
	if !e.echo {
		return
	}
	for _, c := range echoed {
		e.shown = append(e.shown, c)
		if e.room > 0 && e.visible+1 > e.room {
			e.redraw()
			continue
		}
		e.visible++
		e.s.out.WriteByte(c)
	}
}

// redraw scrolls: back to the prompt, a $, the line's tail, and blanks over the rest.
func (e *editor) redraw() {
	e.scroll = true
	e.back(e.visible)
	tail := e.shown[len(e.shown)-(e.room-scrollStep-1):]
	e.s.out.WriteByte('$')
	e.s.out.Write(tail)
	now := len(tail) + 1
	if now < e.visible {
		e.s.out.WriteString(strings.Repeat(" ", e.visible-now))
		e.back(e.visible - now)
	}
	e.visible = now
}

func (e *editor) back(n int) { e.s.out.WriteString(strings.Repeat("\b", n)) }

func (e *editor) rub() {
	if len(e.buf) == 0 {
		return
	}
	e.buf = e.buf[:len(e.buf)-1]
	if !e.echo || len(e.shown) == 0 {
		return
	}
	e.shown = e.shown[:len(e.shown)-1]
	if e.visible > 0 {
		e.visible--
		e.s.out.WriteString("\b \b")
	}
}

// enter draws a scrolled line again from its beginning, cut off.
func (e *editor) enter() {
	if !e.echo || !e.scroll {
		return
	}
	e.back(e.visible)
	head := e.shown[:min(len(e.shown), e.room-1)]
	e.s.out.Write(head)
	e.s.out.WriteByte('$')
}

// readLine prints the prompt and reads one line with editing; echo false is a password.
func (s *session) readLine(prompt string, echo bool) (string, error) {
	s.out.WriteString(prompt)
	e := &editor{s: s, echo: echo}
	if s.width > 0 {
		e.room = max(s.width-len(prompt)-1, 2*scrollStep+2)
	}
	for {
		c, err := s.readByte()
		if err != nil {
			return "", err
		}
		alter := s.dev.broken().echo
		switch {
		case c == '\r' || c == '\n':
			// CR, LF and CR LF all end one line
			if c == '\r' && s.in.Buffered() > 0 {
				if next, err := s.in.Peek(1); err == nil && (next[0] == '\n' || next[0] == 0) {
					s.in.Discard(1)
				}
			}
			e.enter()
			s.out.WriteString("\r\n")
			return string(e.buf), nil
		case c == 0x7f || c == 0x08:
			e.rub()
		case c == 0x15: // ^U
			for len(e.buf) > 0 {
				e.rub()
			}
		case c == 0x03: // ^C
			s.out.WriteString("^C\r\n")
			return "", nil
		case c == 0x04 && len(e.buf) == 0: // ^D
			return "", errGone
		case c == '?' && echo:
			s.help(string(e.buf))
			s.out.WriteString("\r\n" + prompt)
			s.out.Write(e.buf)
		case c < 0x20:
		case len(e.buf) >= maxLine:
			s.out.WriteByte(0x07)
		default:
			stored, echoed := []byte{c}, []byte{c}
			if alter != nil && echo {
				stored, echoed = alter(string(e.buf), c)
			}
			e.add(stored, echoed)
		}
	}
}

// help lists what may come next.
func (s *session) help(line string) {
	s.print("\n")
	for _, w := range s.dev.grammar(s).next(line) {
		s.print("  " + w + "\n")
	}
}

const (
	moreASA = "<--- More --->"
	moreIOS = " --More-- "
)

// page prints an output, stopping at every screenful while the pager is on.
func (s *session) page(text string) error {
	if text == "" {
		return nil
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	if s.pager <= 0 {
		s.print(text)
		return nil
	}
	left := s.pager - 1
	for text != "" {
		if left <= 0 {
			k, err := s.more()
			if err != nil {
				return err
			}
			switch k {
			case 'q', 'Q', 0x03:
				return nil
			case '\r', '\n':
				left = 1
			default:
				left = s.pager - 1
			}
		}
		line, rest, _ := strings.Cut(text, "\n")
		s.print(line + "\n")
		text = rest
		left--
	}
	return nil
}

func (s *session) more() (byte, error) {
	mark := moreIOS
	if s.dev.asa {
		mark = moreASA
	}
	s.out.WriteString(mark)
	k, err := s.readByte()
	if err != nil {
		return 0, err
	}
	if s.dev.asa {
		s.out.WriteString("\r" + strings.Repeat(" ", len(mark)) + "\r")
	} else {
		n := len(mark) - 1
		s.out.WriteString(strings.Repeat("\b", n) + strings.Repeat(" ", n-1) + strings.Repeat("\b", n))
	}
	return k, nil
}

// quietWords begin commands that an ASA does not log at the level of its buffer.
var quietWords = []string{"ping", "terminal", "enable", "disable", "exit", "quit", "logout", "help", "more"}

// exec runs one line as typed.
func (s *session) exec(line string) error {
	d := s.dev
	mode := "user"
	switch {
	case s.config != "":
		mode = "config"
	case s.privileged:
		mode = "exec"
	}
	trimmed := strings.TrimSpace(line)
	if trimmed == "" {
		return nil
	}
	command, pipe, piped := strings.Cut(trimmed, " | ")
	if !piped {
		command, pipe, piped = strings.Cut(trimmed, "|")
	}
	g := d.grammar(s)
	m := g.match(command)
	rec := Line{At: d.lab.now(), Text: line, Mode: mode, Session: s.id}
	if m.run != nil {
		rec.Command = strings.Join(m.words, " ")
	}
	d.record(rec)

	f := d.broken()
	typed := strings.Join(strings.Fields(command), " ")
	is := func(prefix string) bool {
		return prefix != "" && (strings.HasPrefix(rec.Command, prefix) || strings.HasPrefix(typed, prefix))
	}
	if is(f.hangAfter) {
		s.flush()
		<-s.conn.done
		return errGone
	}
	for _, p := range f.denied {
		if is(p) {
			return s.denied()
		}
	}
	if f.pagerForced && (is("terminal pager") || is("terminal length")) {
		return s.denied()
	}
	if m.run == nil {
		s.print(d.complain(s, m, line))
		return nil
	}
	var filter func(string) string
	if piped {
		var bad string
		if filter, bad = d.filter(pipe); filter == nil {
			s.print(d.complain(s, matched{failure: badWord, at: strings.Index(line, bad)}, line))
			return nil
		}
	}
	d.mu.Lock()
	text, replaced := d.overrides[rec.Command]
	d.mu.Unlock()
	s.pause, s.asking, s.dialog = 0, nil, nil
	if !replaced {
		d.lab.mu.Lock()
		text = s.onUnit(func() string { return m.run(s, m.args) })
		if d.asa && s.privileged && m.words[0] != "show" && !slices.Contains(quietWords, m.words[0]) {
			d.logLine(d.lab.now(), fmt.Sprintf("%%ASA-5-111008: User '%s' executed the '%s' command.", s.user, rec.Command))
		}
		d.lab.mu.Unlock()
	}
	if s.pause > 0 {
		s.flush()
		select {
		case <-time.After(s.pause):
		case <-s.conn.done:
			return errGone
		}
	}
	if filter != nil {
		text = filter(text)
	}
	if f.added != "" && m.words[0] == "show" {
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		text += f.added
	}
	if is(f.closeMid) {
		s.print(text[:len(text)/2])
		s.flush()
		s.conn.close()
		return errGone
	}
	if err := s.page(text); err != nil {
		return err
	}
	if s.dialog != nil {
		s.dialog(s)
	}
	if s.asking != nil {
		k, err := s.readByte()
		if err != nil {
			return err
		}
		s.out.WriteString("\r\n")
		s.asking(k)
	}
	return nil
}

func (s *session) denied() error {
	if s.dev.asa {
		s.print("Command authorization failed\n")
	} else {
		s.print("Command authorization failed.\n\n")
	}
	return nil
}

// filter makes the output filter of "include TEXT" and the like; nil and the word that
// is wrong when there is none of that name here.
func (d *Device) filter(pipe string) (func(string) string, string) {
	pipe = strings.TrimSpace(pipe)
	word, expr, _ := strings.Cut(pipe, " ")
	expr = strings.TrimSpace(expr)
	kinds := []string{"begin", "exclude", "include"}
	if d.asa {
		kinds = append(kinds, "grep")
	} else {
		kinds = append(kinds, "count", "section")
	}
	kind := ""
	for _, k := range kinds {
		if word != "" && strings.HasPrefix(k, strings.ToLower(word)) {
			kind = k
			break
		}
	}
	if kind == "" || expr == "" {
		return nil, word
	}
	invert := kind == "exclude"
	if kind == "grep" {
		if rest, ok := strings.CutPrefix(expr, "-v "); ok {
			invert, expr = true, rest
		}
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		re = regexp.MustCompile(regexp.QuoteMeta(expr))
	}
	return func(text string) string {
		var b strings.Builder
		begun, depth, n := false, -1, 0
		for _, l := range strings.SplitAfter(text, "\n") {
			bare := strings.TrimRight(l, "\r\n")
			hit := re.MatchString(bare)
			keep := hit != invert
			switch kind {
			case "begin":
				begun = begun || hit
				keep = begun
			case "section":
				indent := len(bare) - len(strings.TrimLeft(bare, " "))
				switch {
				case hit && (depth < 0 || indent <= depth):
					depth = indent
				case depth >= 0 && indent <= depth:
					depth = -1
				}
				keep = depth >= 0
			case "count":
				if keep && bare != "" {
					n++
				}
				keep = false
			}
			if keep && l != "" {
				b.WriteString(l)
			}
		}
		if kind == "count" {
			fmt.Fprintf(&b, "Number of lines which match regexp = %d\n", n)
		}
		return b.String()
	}, ""
}

// enable asks for the enable password as the platform does.
func (s *session) enable() {
	d := s.dev
	tries := 3
	for n := 1; n <= tries; n++ {
		given, err := s.readLine("Password: ", false)
		if err != nil {
			s.quit = true
			return
		}
		if d.enable != "" && given == d.enable {
			s.privileged = true
			return
		}
		if d.asa && n < tries {
			s.print("Invalid password\n")
		}
	}
	if d.asa {
		s.print("Invalid password\nAccess denied.\n")
	} else {
		s.print("% Bad secrets\n\n")
	}
}

// remote is the client's address.
func (s *session) remote() string {
	host, _, err := net.SplitHostPort(s.conn.RemoteAddr().String())
	if err != nil {
		return "127.0.0.1"
	}
	return host
}
