// Package pki makes facts of the certificates that a device lists: show crypto ca
// certificates of an ASA and show crypto pki certificates of IOS, which print them alike.
//
// In comes one output, out go the device's certificates with their validity and the lines
// that say so. Certificates that came with the image (the trust pool) are left out: no VPN
// rests on them. Nothing fails as a whole; what is not understood is passed over.
package pki

import (
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/parse/syslog"
	"vpnbot/diag/redact"
)

// max bounds the certificates of one device.
const max = 2000

// Parse adds the certificates of an output to the device.
func Parse(dev *facts.Device, out facts.Output) {
	var c *facts.Certificate
	subject := false // the lines that follow name the subject
	for _, l := range out.Text {
		t := strings.TrimSpace(l.Text)
		place := facts.Place{Source: out.Place.Source, Line: l.N, Text: redact.Strip(t)}
		if ca, ok := head(t); ok {
			if len(dev.Certificates) >= max {
				break
			}
			dev.Certificates = append(dev.Certificates, facts.Certificate{CA: ca, Self: strings.Contains(t, "Self-Signed"), Place: place})
			c, subject = &dev.Certificates[len(dev.Certificates)-1], false
			continue
		}
		if c == nil || t == "" {
			continue
		}
		key, value, ok := strings.Cut(t, ":")
		if !ok {
			if name, v, eq := strings.Cut(t, "="); eq && subject && c.Subject == "" && strings.EqualFold(strings.TrimSpace(name), "cn") {
				c.Subject = redact.Strip(strings.TrimSpace(v))
			}
			continue
		}
		key, value = strings.ToLower(strings.Join(strings.Fields(key), " ")), strings.TrimSpace(value)
		switch key {
		case "status":
			c.Status = value
		case "certificate serial number", "certificate serial number (hex)":
			c.Serial = redact.Strip(value)
		case "subject", "subject name":
			subject = true
		case "name": // of the subject, as IOS prints a router's
			if subject && c.Subject == "" {
				c.Subject = redact.Strip(value)
			}
		case "start date", "not before", "notbefore":
			if at, ok := syslog.Time(value); ok && at.Year() > 0 {
				c.NotBefore, c.From = at, place
			}
		case "end date", "not after", "notafter":
			if at, ok := syslog.Time(value); ok && at.Year() > 0 {
				c.NotAfter, c.Until = at, place
			}
		case "associated trustpoints", "associated trustpoint":
			c.Trustpoints = strings.Fields(strings.ReplaceAll(redact.Strip(value), ",", " "))
		}
		if strings.HasPrefix(key, "issuer") || strings.HasPrefix(key, "validity") || strings.HasPrefix(key, "crl") {
			subject = false
		}
	}
	dev.Certificates = slices.DeleteFunc(dev.Certificates, func(c facts.Certificate) bool {
		return len(c.Trustpoints) == 1 && strings.EqualFold(c.Trustpoints[0], "trustpool")
	})
}

// head tells whether a line begins a certificate, and whether it is one of a CA: "Certificate",
// "CA Certificate", "Router Self-Signed Certificate", "RA Signature Certificate".
func head(t string) (ca, ok bool) {
	if !strings.HasSuffix(t, "Certificate") || strings.ContainsAny(t, ":=.") || len(t) > 60 {
		return false, false
	}
	return strings.HasPrefix(t, "CA "), true
}
