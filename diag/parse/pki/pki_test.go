package pki_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"vpnbot/diag/facts"
	"vpnbot/diag/parse/pki"
	"vpnbot/diag/transcript"
)

const asa = `Certificate
  Status: Available
  Certificate Serial Number: 4a2b
  Certificate Usage: General Purpose
  Public Key Type: RSA (2048 bits)
  Signature Algorithm: SHA1 with RSA Encryption
  Issuer Name:
    cn=Branch CA
    o=Example
  Subject Name:
    hostname=fw.example.net
    cn=fw.example.net
  CRL Distribution Points:
    [1]  http://pki.example.net/ca.crl
  Validity Date:
    start date: 10:20:30 CET Mar 4 2012
    end   date: 10:20:30 CET Mar 4 2014
  Associated Trustpoints: VPN-TP

CA Certificate
  Status: Available
  Certificate Serial Number: 01
  Subject Name:
    cn=Branch CA
  Validity Date:
    start date: 00:00:00 UTC Jan 1 2010
    end   date: 00:00:00 UTC Jan 1 2030
  Associated Trustpoints: VPN-TP OTHER
`

const ios = `Router Self-Signed Certificate
  Status: Available
  Certificate Serial Number (hex): 01
  Certificate Usage: General Purpose
  Issuer:
    cn=IOS-Self-Signed-Certificate-1
  Subject:
    Name: IOS-Self-Signed-Certificate-1
    cn=IOS-Self-Signed-Certificate-1
  Validity Date:
    start date: 00:00:42 UTC Mar 1 1993
    end   date: 00:00:00 UTC Jan 1 2020
  Associated Trustpoints: TP-self-signed-1

CA Certificate
  Status: Available
  Validity Date:
    start date: 13:50:58 UTC Nov 12 2012
    end   date: 13:00:17 UTC Nov 12 2037
  Associated Trustpoints: Trustpool

Certificate
  Status: Pending
  Subject:
    Name: r1.example.net
  Associated Trustpoints: BRANCH
`

func read(text string) []facts.Certificate {
	dev := &facts.Device{}
	pki.Parse(dev, facts.Output{Place: facts.Place{Source: "hq/x.txt", Line: 1}, Text: transcript.Lines(text)})
	return dev.Certificates
}

func utc(y int, m time.Month, d, h, mi, s int) time.Time {
	return time.Date(y, m, d, h, mi, s, 0, time.UTC)
}

func TestParse(t *testing.T) {
	places := cmpopts.IgnoreFields(facts.Certificate{}, "Place", "From", "Until")
	for name, x := range map[string]struct {
		text string
		want []facts.Certificate
	}{
		"asa": {asa, []facts.Certificate{
			{Serial: "4a2b", Subject: "fw.example.net", Status: "Available", NotBefore: utc(2012, 3, 4, 9, 20, 30), NotAfter: utc(2014, 3, 4, 9, 20, 30), Trustpoints: []string{"VPN-TP"}},
			{CA: true, Serial: "01", Subject: "Branch CA", Status: "Available", NotBefore: utc(2010, 1, 1, 0, 0, 0), NotAfter: utc(2030, 1, 1, 0, 0, 0), Trustpoints: []string{"VPN-TP", "OTHER"}}}},
		"ios": {ios, []facts.Certificate{
			{Self: true, Serial: "01", Subject: "IOS-Self-Signed-Certificate-1", Status: "Available", NotBefore: utc(1993, 3, 1, 0, 0, 42), NotAfter: utc(2020, 1, 1, 0, 0, 0), Trustpoints: []string{"TP-self-signed-1"}},
			{Subject: "r1.example.net", Status: "Pending", Trustpoints: []string{"BRANCH"}}}},
		"cut off":        {"Certificate\n  Status: Available\n  Validity Date:\n    end   da", []facts.Certificate{{Status: "Available"}}},
		"no certificate": {"% No certificates\n  Status: Available\n", nil},
	} {
		if d := cmp.Diff(x.want, read(x.text), places, cmpopts.EquateEmpty(), cmp.Comparer(time.Time.Equal)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	c := read(asa)[0]
	if c.Place.Line != 1 || c.From.Line != 16 || c.Until.Line != 17 || c.Until.Text != "end   date: 10:20:30 CET Mar 4 2014" {
		t.Errorf("places %+v %+v %+v", c.Place, c.From, c.Until)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(asa)
	f.Add(ios)
	f.Add("Certificate\n end date: 99:99:99 UTC Feb 31 99999\nAssociated Trustpoints:,,,\n")
	f.Fuzz(func(t *testing.T, text string) { read(text) })
}
