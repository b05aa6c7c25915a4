package emulator

import (
	"crypto/ed25519"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// The switches below make a device misbehave as real ones do. Each takes effect for what
// happens next and may be turned back.

func (d *Device) fault(f func(*faults)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(&d.faults)
}

// broken returns the switches as they are now.
func (d *Device) broken() faults {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.faults
}

// Refuse closes the SSH port, so that connections are refused; false opens it again.
func (d *Device) Refuse(on bool) error {
	d.mu.Lock()
	was := d.faults.refused
	d.faults.refused = on
	ln, addr := d.ln, d.addr
	d.mu.Unlock()
	if was == on {
		return nil
	}
	if on {
		return ln.Close()
	}
	ln, err := d.lab.listenTCP(addr)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.ln = ln
	d.mu.Unlock()
	d.lab.wg.Add(1)
	go d.accept(ln, false)
	return nil
}

// HangOnConnect accepts TCP connections and never sends a banner.
func (d *Device) HangOnConnect(on bool) { d.fault(func(f *faults) { f.hangConnect = on }) }

// HangAfter stops answering once a command that begins with prefix arrived: nothing is
// printed, no further key is read. "" turns it off; hung sessions stay hung until closed.
func (d *Device) HangAfter(prefix string) { d.fault(func(f *faults) { f.hangAfter = prefix }) }

// CloseMidCommand drops the connection in the middle of the output of a command that
// begins with prefix; "" turns it off.
func (d *Device) CloseMidCommand(prefix string) { d.fault(func(f *faults) { f.closeMid = prefix }) }

// AlterEcho changes what typed characters become: f gets the line so far and the next
// character, and returns what the device keeps and what it shows. nil turns it off.
func (d *Device) AlterEcho(f func(sofar string, c byte) (stored, echoed []byte)) {
	d.fault(func(x *faults) { x.echo = f })
}

// LoseInputAfter drops every character typed after the line has become text, as a
// congested device does: the line arrives cut short, and its echo says so.
func (d *Device) LoseInputAfter(text string) {
	d.AlterEcho(func(sofar string, c byte) (stored, echoed []byte) {
		if strings.HasPrefix(sofar, text) {
			return nil, nil
		}
		return []byte{c}, []byte{c}
	})
}

// WrongHostKey presents a new host key, as an impostor or a replaced device would.
func (d *Device) WrongHostKey(on bool) {
	d.fault(func(f *faults) {
		f.wrongKey = nil
		if on {
			_, key, err := ed25519.GenerateKey(nil)
			if err == nil {
				f.wrongKey, _ = ssh.NewSignerFromKey(key)
			}
		}
	})
}

// PagerForced refuses to turn the pager off (command authorisation).
func (d *Device) PagerForced(on bool) { d.fault(func(f *faults) { f.pagerForced = on }) }

// AuthorizationDenied refuses commands that begin with one of the prefixes.
func (d *Device) AuthorizationDenied(prefixes ...string) {
	d.fault(func(f *faults) { f.denied = prefixes })
}

// SetPromptSuffix changes the prompt between two commands, as a failover does
// ("/sec/act"); it holds for open sessions too.
func (d *Device) SetPromptSuffix(s string) { d.fault(func(f *faults) { f.suffix = &s }) }

// SetBanner replaces the text shown after login.
func (d *Device) SetBanner(s string) { d.fault(func(f *faults) { f.banner = &s }) }

// SplitOutput sends outputs in pieces of n bytes with a pause between them.
func (d *Device) SplitOutput(n int, pause time.Duration) {
	d.fault(func(f *faults) { f.chunk, f.chunkDelay = n, pause })
}

// SetIdleTimeout closes sessions without input for that long; 0 is the device's own 5 minutes.
func (d *Device) SetIdleTimeout(v time.Duration) { d.fault(func(f *faults) { f.idle = v }) }

// LegacyAlgorithms offers only what old images have: diffie-hellman-group14-sha1,
// aes128-cbc, hmac-sha1, ssh-rsa.
func (d *Device) LegacyAlgorithms(on bool) { d.fault(func(f *faults) { f.legacy = on }) }

// NoIKEPeer makes an image whose clear crypto isakmp sa takes no peer.
func (d *Device) NoIKEPeer(on bool) { d.fault(func(f *faults) { f.noIKEPeer = on }) }

// RejectLogins refuses every password and key.
func (d *Device) RejectLogins(on bool) { d.fault(func(f *faults) { f.rejectAll = on }) }

// AuthorizeKey accepts a public key beside the password.
func (d *Device) AuthorizeKey(k ssh.PublicKey) {
	d.fault(func(f *faults) { f.authKeys = append(f.authKeys, k) })
}

// SetOutput replaces the output of a command (abbreviations expanded, without pipes) by
// a text; "" gives the device its own output back.
func (d *Device) SetOutput(command, text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if text == "" {
		delete(d.overrides, command)
		return
	}
	d.overrides[command] = text
}

// Log adds a line to the device's log buffer; text begins with the message id.
func (d *Device) Log(text string) {
	d.lab.mu.Lock()
	defer d.lab.mu.Unlock()
	d.logLine(d.lab.now(), text)
}

// CloseSessions drops every open SSH connection.
func (d *Device) CloseSessions() {
	d.mu.Lock()
	conns := make([]*conn, 0, len(d.conns))
	for c := range d.conns {
		conns = append(conns, c)
	}
	d.mu.Unlock()
	for _, c := range conns {
		c.close()
	}
}

// Reboot restarts the device at once: sessions are dropped, SAs, captures and the log are
// gone. Its peers keep what they have.
func (d *Device) Reboot() {
	d.CloseSessions()
	d.lab.mu.Lock()
	defer d.lab.mu.Unlock()
	for _, c := range d.captures {
		c.stop(d.lab.now())
	}
	d.captures, d.log, d.logged = nil, nil, 0
	d.booted = d.lab.now()
	for _, e := range d.ends {
		e.t.reboot(e.i)
	}
	if !d.asa {
		d.logLine(d.lab.now(), "%SYS-5-RESTART: System restarted --")
	}
}

// SetTunnel forces a tunnel's state: Up is "it came up by itself". It reports whether
// there is such a tunnel.
func (l *Lab) SetTunnel(name string, s State) bool {
	return l.withTunnel(name, func(t *tunnel) { t.set(s) })
}

// RestoreSA lets a tunnel come up by itself.
func (l *Lab) RestoreSA(name string) bool { return l.SetTunnel(name, Up) }

// Leads changes what the next negotiation of a tunnel ends in.
func (l *Lab) Leads(name string, s State) bool {
	return l.withTunnel(name, func(t *tunnel) {
		t.settle()
		t.leads = s
	})
}

// TunnelState returns a tunnel's present state, "" when there is no such tunnel.
func (l *Lab) TunnelState(name string) (s State) {
	l.withTunnel(name, func(t *tunnel) {
		t.settle()
		s = t.state
	})
	return s
}

func (l *Lab) withTunnel(name string, f func(*tunnel)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.tunnels {
		if t.spec.Name == name {
			f(t)
			return true
		}
	}
	return false
}

// slow writes b in pieces as SplitOutput asks.
func slow(w interface{ Write([]byte) (int, error) }, b []byte, n int, pause time.Duration, stop <-chan struct{}) error {
	for len(b) > 0 {
		k := min(n, len(b))
		if _, err := w.Write(b[:k]); err != nil {
			return err
		}
		b = b[k:]
		if pause > 0 && len(b) > 0 {
			select {
			case <-time.After(pause):
			case <-stop:
				return net.ErrClosed
			}
		}
	}
	return nil
}
