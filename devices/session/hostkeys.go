package session

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
)

// KnownHosts is one known_hosts file, read again when it changed. Hashed names,
// several keys of a host and @cert-authority lines are understood. Unknown and changed
// keys are refused.
type KnownHosts struct {
	path string

	mu   sync.Mutex
	db   *knownhosts.HostKeyDB
	time time.Time
	size int64
}

// NewKnownHosts names the file; it is read at the first use.
func NewKnownHosts(path string) *KnownHosts { return &KnownHosts{path: path} }

// HostKeyError is a host key that is not the known one.
type HostKeyError struct {
	Address     string
	Type        string // ssh-ed25519
	Fingerprint string // SHA256:…
	Changed     bool   // another key is known for this address
	Revoked     bool
	File        string
}

func (e *HostKeyError) Error() string {
	switch {
	case e.Revoked:
		return fmt.Sprintf("key %s %s of %s is marked as revoked in %s", e.Type, e.Fingerprint, e.Address, e.File)
	case e.Changed:
		return fmt.Sprintf("the key of %s changed: it now shows %s %s", e.Address, e.Type, e.Fingerprint)
	}
	return fmt.Sprintf("the key of %s is not known: it shows %s %s", e.Address, e.Type, e.Fingerprint)
}

// Hint says what a person can do.
func (e *HostKeyError) Hint() string {
	if e.Changed || e.Revoked {
		return "if the device was replaced or its keys were made anew, compare \"show crypto key mypubkey rsa\" on its console, remove the old line from " + e.File + " and run vpnbot check --connect --learn-host-keys; else somebody stands between"
	}
	return "run vpnbot check --connect --learn-host-keys, and compare the fingerprint on the device's console before you say yes"
}

func (k *KnownHosts) load() (*knownhosts.HostKeyDB, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	st, err := os.Stat(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // every host is unknown
	}
	if err != nil {
		return nil, fmt.Errorf("known_hosts: %w", err)
	}
	if k.db != nil && st.ModTime().Equal(k.time) && st.Size() == k.size {
		return k.db, nil
	}
	db, err := knownhosts.NewDB(k.path)
	if err != nil {
		return nil, fmt.Errorf("known_hosts %s: %w", k.path, err)
	}
	k.db, k.time, k.size = db, st.ModTime(), st.Size()
	return db, nil
}

// Append writes a key for the address (host:port) after a person has compared it.
func (k *KnownHosts) Append(address string, key ssh.PublicKey) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	f, err := os.OpenFile(k.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("known_hosts: %w", err)
	}
	line := knownhosts.Line([]string{address}, key) + "\n"
	if st, err := f.Stat(); err == nil && st.Size() > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, st.Size()-1); err == nil && last[0] != '\n' {
			line = "\n" + line
		}
	}
	_, err = f.WriteString(line)
	if e := f.Close(); err == nil {
		err = e
	}
	k.db = nil
	if err != nil {
		return fmt.Errorf("known_hosts: %w", err)
	}
	return nil
}

// check gives the callback and the host key algorithms to ask for: those of the known
// keys, so that a device with several keys shows one that is known.
func (k *KnownHosts) check(address string, legacy bool) (ssh.HostKeyCallback, []string, error) {
	db, err := k.load()
	if err != nil {
		return nil, nil, err
	}
	admitted := hostKeyAlgorithms(legacy)
	algos := admitted
	if db != nil {
		if known := db.HostKeyAlgorithms(address); len(known) > 0 {
			algos = nil
			for _, a := range known {
				for _, b := range admitted {
					if a == b {
						algos = append(algos, a)
					}
				}
			}
			if len(algos) == 0 {
				return nil, nil, fmt.Errorf("the known key of %s is of a type (%s) that needs legacy_algorithms: true", address, strings.Join(known, ", "))
			}
		}
	}
	callback := func(hostname string, remote net.Addr, key ssh.PublicKey) error {
		e := &HostKeyError{Address: address, Type: key.Type(), Fingerprint: ssh.FingerprintSHA256(key), File: k.path}
		if db == nil {
			return e
		}
		err := db.HostKeyCallback()(hostname, remote, key)
		switch {
		case err == nil:
			return nil
		case knownhosts.IsHostKeyChanged(err):
			e.Changed = true
			return e
		case knownhosts.IsHostUnknown(err):
			return e
		case strings.Contains(err.Error(), "revoked"):
			e.Revoked = true
			return e
		}
		return fmt.Errorf("%w (%w)", e, err)
	}
	return callback, algos, nil
}

func hostKeyAlgorithms(legacy bool) []string {
	a := ssh.SupportedAlgorithms().HostKeys
	if legacy {
		a = append(a, ssh.InsecureAlgorithms().HostKeys...)
	}
	return a
}

var errSeen = errors.New("the key was seen")

// HostKeyOf asks the device for its host key and sends no credential. Over a jump host
// the login there is real.
func HostKeyOf(ctx context.Context, c Config) (ssh.PublicKey, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.ConnectTimeout, fmt.Errorf("no answer within %v", c.ConnectTimeout))
	defer cancel()
	t := &sshTransport{cfg: c, ctx: ctx}
	stop := context.AfterFunc(ctx, t.abort)
	defer stop()
	defer func() { _ = t.Close() }()
	raw, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = raw.Close() }()
	var key ssh.PublicKey
	conn := &countingConn{Conn: raw}
	_, _, _, err = ssh.NewClientConn(conn, c.Address, &ssh.ClientConfig{
		Config: algorithms(c.Legacy), User: c.User, HostKeyAlgorithms: hostKeyAlgorithms(c.Legacy), ClientVersion: "SSH-2.0-vpnbot",
		HostKeyCallback: func(_ string, _ net.Addr, k ssh.PublicKey) error { key = k; return errSeen },
	})
	if key != nil {
		return key, nil
	}
	return nil, t.handshakeFailure(ctx, c.Address, conn, &authState{}, err)
}

// Known tells whether the file holds this key for the address.
// It is nil, or a *HostKeyError.
func (k *KnownHosts) Known(address string, key ssh.PublicKey) error {
	callback, _, err := k.check(address, true)
	if err != nil {
		return err
	}
	return callback(address, &net.TCPAddr{IP: net.IPv4zero}, key)
}
