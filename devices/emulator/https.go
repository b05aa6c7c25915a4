package emulator

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// httpsServer is the ASA's capture download.
type httpsServer struct {
	srv         *http.Server
	ln          net.Listener
	addr        string
	fingerprint string
}

func (d *Device) serveHTTPS(host string) (*httpsServer, error) {
	cert, err := d.certificate()
	if err != nil {
		return nil, fmt.Errorf("HTTPS certificate: %w", err)
	}
	ln, err := d.lab.listenTCP(net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, fmt.Errorf("listen for HTTPS: %w", err)
	}
	sum := sha256.Sum256(cert.Certificate[0])
	h := &httpsServer{ln: ln, addr: ln.Addr().String(), fingerprint: hex.EncodeToString(sum[:])}
	mux := http.NewServeMux()
	for _, prefix := range []string{"/capture/", "/admin/capture/"} {
		mux.HandleFunc("GET "+prefix, func(w http.ResponseWriter, r *http.Request) {
			d.download(w, r, strings.TrimPrefix(r.URL.Path, prefix))
		})
	}
	h.srv = &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 30 * time.Second,
		TLSConfig:   &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS10},
		ErrorLog:    log.New(io.Discard, "", 0),
		BaseContext: func(net.Listener) context.Context { return d.lab.ctx },
	}
	var outer net.Listener = ln
	if d.lab.opts.Latency > 0 {
		outer = slowListener{ln, d.lab.opts.Latency}
	}
	d.lab.wg.Add(1)
	go func() {
		defer d.lab.wg.Done()
		if err := h.srv.ServeTLS(outer, "", ""); err != nil && !errors.Is(err, http.ErrServerClosed) {
			d.lab.log.Error("https server", "device", d.spec.Name, "err", err)
		}
	}()
	return h, nil
}

type slowListener struct {
	net.Listener
	rtt time.Duration
}

func (l slowListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return delay(c, l.rtt), nil
}

func (h *httpsServer) close() { h.srv.Close() }

// certificate reads the self-signed certificate from Dir/keys, or makes it.
func (d *Device) certificate() (*tls.Certificate, error) {
	file := filepath.Join(d.lab.opts.Dir, "keys", d.spec.Name+"-https")
	if der, err := os.ReadFile(file + ".crt"); err == nil {
		kb, err := os.ReadFile(file + ".key")
		if err != nil {
			return nil, err
		}
		key, err := x509.ParseECPrivateKey(kb)
		if err != nil {
			return nil, err
		}
		return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), d.lab.opts.Random)
	if err != nil {
		return nil, err
	}
	serial, err := d.lab.secrets.draw("0123456789", 12)
	if err != nil {
		return nil, err
	}
	n, _ := new(big.Int).SetString("1"+serial, 10)
	now := time.Now()
	tmpl := &x509.Certificate{
		SerialNumber: n, Subject: pkix.Name{CommonName: d.spec.Name},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{d.spec.Name}, IPAddresses: []net.IP{net.ParseIP(d.lab.opts.Listen)},
	}
	der, err := x509.CreateCertificate(d.lab.opts.Random, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	kb, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file+".key", kb, 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(file+".crt", der, 0o600); err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// download answers [CONTEXT/]NAME/pcap and NAME (text).
func (d *Device) download(w http.ResponseWriter, r *http.Request, path string) {
	user, password, ok := r.BasicAuth()
	same := subtle.ConstantTimeCompare([]byte(user), []byte(d.user)) & subtle.ConstantTimeCompare([]byte(password), []byte(d.password))
	if !ok || same != 1 {
		w.Header().Set("WWW-Authenticate", `Basic realm="Authentication"`)
		http.Error(w, "401 Unauthorized", http.StatusUnauthorized)
		return
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	pcap := parts[len(parts)-1] == "pcap"
	if pcap {
		parts = parts[:len(parts)-1]
	}
	if len(parts) == 2 && parts[0] == "admin" {
		parts = parts[1:]
	}
	var body []byte
	d.lab.mu.Lock()
	var c *capture
	if len(parts) == 1 {
		c = d.capture(parts[0])
	}
	switch {
	case c == nil:
	case pcap:
		body = writePcap(c.packets(d.lab.now()), c.snaplen)
	default:
		body = []byte(d.asaCapture(c.name, false, false))
	}
	d.lab.mu.Unlock()
	if c == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}
