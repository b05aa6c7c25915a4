package devices

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"vpnbot/devices/command"
	"vpnbot/devices/inventory"
)

// canHTTPS tells whether captures of this device may come by HTTPS at all.
func (c *Capture) canHTTPS() bool {
	h := c.d.conf.HTTPS
	c.d.mu.Lock()
	refused := c.d.httpsRefused
	c.d.mu.Unlock()
	return c.d.conf.Platform == inventory.CiscoASA && (h.CA != "" || h.Fingerprint != "") && c.d.conf.Jump == "" &&
		c.f.inv.Credential(c.d.conf).Password != "" && !refused
}

// download fetches one capture from an ASA. The credentials are sent only after the
// certificate matched the configured CA or fingerprint.
func (f *Fleet) download(ctx context.Context, d *device, name string, maxBytes int64) ([]byte, error) {
	if !command.IsOurs(name) {
		return nil, fmt.Errorf("capture %q is not one of ours", name)
	}
	fail := func(r Reason, hint string, err error) error {
		return &Error{Device: d.conf.Name, Reason: r, Tried: "download capture " + name, Hint: hint, Err: err}
	}
	host, _, err := net.SplitHostPort(d.conf.Address)
	if err != nil {
		return nil, fail(NotUnderstood, "", err)
	}
	port := d.conf.HTTPS.Port
	if port == 0 {
		port = 443
	}
	conf, err := f.tlsConfig(d, host)
	if err != nil {
		return nil, fail(HostKey, "check https.ca and https.fingerprint", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	client := &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig: conf, DisableKeepAlives: true, DisableCompression: true, TLSHandshakeTimeout: d.ssh.ConnectTimeout,
			ResponseHeaderTimeout: d.ssh.CommandTimeout, MaxResponseHeaderBytes: 64 << 10,
			DialContext: (&net.Dialer{Timeout: d.ssh.ConnectTimeout}).DialContext,
		},
	}
	defer client.CloseIdleConnections()
	inContext := ""
	if d.conf.Context != "" {
		inContext = d.conf.Context + "/"
	}
	// Where WebVPN listens on the same port the path begins with /admin.
	for _, path := range []string{"/capture/" + inContext + name + "/pcap", "/admin/capture/" + inContext + name + "/pcap"} {
		data, status, err := f.get(ctx, client, d, "https://"+net.JoinHostPort(host, strconv.Itoa(port))+path, maxBytes)
		var cert *certificateError
		switch {
		case errors.As(err, &cert):
			return nil, fail(HostKey, "compare the certificate's SHA-256 on the device and correct https.fingerprint or https.ca; nothing was sent", cert)
		case errors.Is(err, errTooLarge):
			return nil, fail(NotUnderstood, "raise captures.max_bytes or capture for a shorter time", err)
		case err != nil:
			return nil, fail(Unreachable, "check \"http server enable\" and an \"http\" permit for this host on the device", err)
		case status == http.StatusUnauthorized || status == http.StatusForbidden:
			d.mu.Lock()
			d.httpsRefused = true // a refusal counts at the AAA server: not again
			d.mu.Unlock()
			return nil, fail(Auth, "\"aaa authentication http console\" must name the same users as SSH; HTTPS is not tried again until the restart", fmt.Errorf("HTTP status %d", status))
		case status == http.StatusOK && isPcap(data):
			return data, nil
		case status == http.StatusOK:
			err = errors.New("what came is no capture file")
		default:
			err = fmt.Errorf("HTTP status %d", status)
		}
		if path[1] == 'a' {
			return nil, fail(NotUnderstood, "", err)
		}
	}
	panic("unreachable")
}

var errTooLarge = errors.New("the capture is larger than the limit")

func (f *Fleet) get(ctx context.Context, client *http.Client, d *device, url string, maxBytes int64) (data []byte, status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	cred := f.inv.Credential(d.conf)
	req.SetBasicAuth(cred.Username, cred.Password)
	req.Header.Set("User-Agent", "vpnbot")
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, resp.StatusCode, nil
	}
	if resp.ContentLength > maxBytes {
		return nil, 0, errTooLarge
	}
	data, err = io.ReadAll(io.LimitReader(resp.Body, maxBytes+1))
	if err == nil && int64(len(data)) > maxBytes {
		err = errTooLarge
	}
	return data, resp.StatusCode, err
}

// certificateError: the device's certificate is not the configured one.
type certificateError struct{ err error }

func (e *certificateError) Error() string {
	return "the certificate is not the configured one: " + e.err.Error()
}

func (e *certificateError) Unwrap() error { return e.err }

// tlsConfig trusts the configured fingerprint, or the configured CA, and nothing else.
// The check is ours, in the handshake, because an ASA's self-signed certificate often
// has no name that a browser would accept; it runs before any byte of the request.
func (f *Fleet) tlsConfig(d *device, host string) (*tls.Config, error) {
	h := d.conf.HTTPS
	want, err := hex.DecodeString(inventory.Fingerprint(h.Fingerprint))
	if err != nil {
		return nil, errors.New("https.fingerprint is not hexadecimal")
	}
	var pool *x509.CertPool
	if h.CA != "" {
		pem, err := os.ReadFile(f.path(h.CA))
		if err != nil {
			return nil, err
		}
		pool = x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", h.CA)
		}
	}
	if len(want) == 0 && pool == nil {
		return nil, errors.New("neither a CA nor a fingerprint is configured")
	}
	c := &tls.Config{
		ServerName: host, InsecureSkipVerify: true, // VerifyConnection does it
		VerifyConnection: func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) == 0 {
				return &certificateError{errors.New("none was shown")}
			}
			leaf := cs.PeerCertificates[0]
			if len(want) > 0 {
				got := sha256.Sum256(leaf.Raw)
				if subtle.ConstantTimeCompare(got[:], want) != 1 {
					return &certificateError{fmt.Errorf("its SHA-256 is %x", got)}
				}
				return nil
			}
			opts := x509.VerifyOptions{Roots: pool, DNSName: host, Intermediates: x509.NewCertPool(), CurrentTime: f.now()}
			for _, i := range cs.PeerCertificates[1:] {
				opts.Intermediates.AddCert(i)
			}
			if _, err := leaf.Verify(opts); err != nil {
				return &certificateError{err}
			}
			return nil
		},
	}
	if d.ssh.LegacyAlgorithms {
		c.MinVersion = tls.VersionTLS10
		for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
			c.CipherSuites = append(c.CipherSuites, s.ID)
		}
	}
	return c, nil
}

// isPcap knows the magic numbers of pcap and pcapng files.
func isPcap(b []byte) bool {
	for _, magic := range []string{"\xa1\xb2\xc3\xd4", "\xd4\xc3\xb2\xa1", "\xa1\xb2\x3c\x4d", "\x4d\x3c\xb2\xa1", "\x0a\x0d\x0d\x0a"} {
		if bytes.HasPrefix(b, []byte(magic)) {
			return true
		}
	}
	return false
}
