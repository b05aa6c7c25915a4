package ike

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pl is a payload with its generic header; next is the type of the one after it.
func pl(next byte, body ...byte) []byte {
	n := 4 + len(body)
	return append([]byte{next, 0, byte(n >> 8), byte(n)}, body...)
}

func join(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// tv is an attribute with a value of two bytes.
func tv(typ uint16, v uint16) []byte {
	return []byte{0x80 | byte(typ>>8), byte(typ), byte(v >> 8), byte(v)}
}

// tlv is an attribute with a length.
func tlv(typ uint16, v ...byte) []byte {
	return append([]byte{byte(typ >> 8), byte(typ), byte(len(v) >> 8), byte(len(v))}, v...)
}

// item is a proposal or transform: last or more, length, and the rest.
func item(more byte, body ...byte) []byte {
	n := 4 + len(body)
	return append([]byte{more, 0, byte(n >> 8), byte(n)}, body...)
}

// TestPayloadTexts: what is told of each payload, in short and opened.
func TestPayloadTexts(t *testing.T) {
	phase1 := join([]byte{0, 0, 0, 1, 0, 0, 0, 1}, item(0, join([]byte{1, 1, 0, 2},
		item(3, join([]byte{1, 1, 0, 0}, tv(1, 7), tv(14, 256), tv(2, 2), tv(4, 14), tv(3, 1), tv(11, 1), tlv(12, 0, 1, 0x51, 0x80))...),
		item(0, join([]byte{2, 1, 0, 0}, tv(1, 5), tv(2, 1), tv(4, 2), tv(3, 65001))...))...))
	phase2 := join([]byte{0, 0, 0, 1, 0, 0, 0, 1}, item(0, join([]byte{1, 3, 4, 1, 0xde, 0xad, 0xbe, 0xef},
		item(0, join([]byte{1, 12, 0, 0}, tv(6, 256), tv(5, 2), tv(4, 3), tv(3, 14), tv(1, 1), tv(2, 3600))...))...))
	v2 := item(0, join([]byte{1, 1, 0, 5},
		item(3, join([]byte{1, 0, 0, 20}, tv(14, 256))...), item(3, join([]byte{1, 0, 0, 12}, tv(14, 128))...), item(3, 2, 0, 0, 5), item(3, 3, 0, 0, 12), item(0, 4, 0, 0, 31))...)
	type row = struct{ Name, Text string }
	tests := map[string]struct {
		version, exchange, next byte
		body                    []byte
		want                    []row
	}{
		"phase 1": {1, exMain, p1SA, join(pl(p1Vendor, phase1...), pl(0, []byte("\x12\xf5\xf2\x8c\x45\x71\x68\xa9\x70\x2d\x9f\xe2\x74\xcc\x01\x00")...)), []row{
			{"SA", "IKE, 2 transforms of one proposal\ntransform 1: AES-CBC-256, SHA1, MODP-2048 (14), PSK, lifetime 86400 s\ntransform 2: 3DES, MD5, MODP-1024 (2), XAUTH-PSK"},
			{"VID", "Cisco Unity"}}},
		"key exchange": {1, exMain, p1KE, join(pl(p1Nonce, make([]byte, 256)...), pl(0, make([]byte, 20)...)), []row{
			{"KE", "256 bytes, as of MODP-2048 (14)"}, {"Nonce", "20 bytes"}}},
		"NAT detection": {1, exMain, p1NATD, join(pl(p1NATD, make([]byte, 20)...), pl(0, make([]byte, 20)...)), []row{
			{"NAT-D", "receiver's address, differs from the packet: NAT"}, {"NAT-D", "sender's address, differs from the packet: NAT"}}},
		"notify": {1, exInfo, p1Notify, pl(0, 0, 0, 0, 1, 3, 4, 0, 11, 1, 2, 3, 4), []row{{"N", "INVALID_SPI (11), an error, SPI 0x01020304"}}},
		"delete": {1, exInfo, p1Delete, pl(0, 0, 0, 0, 1, 3, 4, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8), []row{{"D", "ESP, 2 SPIs\nSPI 0x01020304\nSPI 0x05060708"}}},
		"quick mode after decryption": {1, exQuick, p1Hash, join(pl(p1SA, make([]byte, 20)...), pl(p1ID, phase2...), pl(0, 4, 0, 0, 0, 172, 16, 1, 0, 255, 255, 255, 0)), []row{
			{"HASH", "20 bytes"},
			{"SA", "ESP\nproposal 1: ESP, SPI 0xdeadbeef\ntransform 1: AES-CBC-256, HMAC-SHA1, PFS MODP-2048 (14), tunnel in UDP, lifetime 3600 s"},
			{"ID", "network 172.16.1.0/255.255.255.0"}}},
		"XAUTH after decryption": {1, exTransaction, p1Hash, join(pl(p1Attr, make([]byte, 20)...), pl(0, join([]byte{2, 0, 0, 7}, tv(16520, 0), tlv(16521, []byte("alice")...), tlv(16522, []byte("secret")...))...)), []row{
			{"HASH", "20 bytes"}, {"ATTR", "reply, 3 attributes\nXAUTH type\nXAUTH user name\nXAUTH password"}}},
		"XAUTH status": {1, exTransaction, p1Hash, join(pl(p1Attr, make([]byte, 20)...), pl(0, join([]byte{3, 0, 0, 7}, tv(16527, 0))...)), []row{
			{"HASH", "20 bytes"}, {"ATTR", "set, one attribute\nXAUTH status: FAIL"}}},
		"certificate": {1, exMain, p1Cert, pl(0, append([]byte{4}, make([]byte, 900)...)...), []row{{"CERT", "X.509 certificate, signature, 900 bytes"}}},
		"piece":       {1, exMain, p1Fragment, pl(0, 0, 9, 2, 1, 1, 2, 3), []row{{"FRAG", "fragment 2 of message 9, the last"}}},
		"IKE_SA_INIT": {2, exSAInit, p2SA, join(pl(p2KE, v2...), pl(p2Notify, append([]byte{0, 31, 0, 0}, make([]byte, 32)...)...), pl(0, 0, 0, 0, 17, 0, 14)), []row{
			{"SA", "IKE, 5 transforms of one proposal\nproposal 1: IKE; encryption AES-GCM-16-256 or AES-CBC-128; PRF SHA2-256; integrity SHA2-256-128; group CURVE-25519 (31)"},
			{"KE", "CURVE-25519 (31), 32 bytes"}, {"N", "INVALID_KE_PAYLOAD (17), an error: wants MODP-2048 (14)"}}},
		"IKE_AUTH in the clear": {2, exAuth, p2Auth, join(pl(p2TSi, append([]byte{2, 0, 0, 0}, make([]byte, 32)...)...), pl(p2TSr, 1, 0, 0, 0, 7, 0, 0, 16, 0, 0, 255, 255, 10, 0, 0, 0, 10, 0, 0, 255), pl(p2EAP, 2, 0, 0, 0, 7, 17, 0, 16, 0, 80, 0, 80, 10, 1, 0, 0, 10, 1, 0, 255, 7, 0, 0, 16, 0, 0, 255, 255, 10, 2, 0, 0, 10, 2, 0, 255), pl(0, 1, 1, 0, 5, 1)), []row{
			{"AUTH", "pre-shared key, 32 bytes"}, {"TSi", "10.0.0.0 to 10.0.0.255"},
			{"TSr", "2 selectors\n10.1.0.0 to 10.1.0.255, protocol 17, ports 80 to 80\n10.2.0.0 to 10.2.0.255"}, {"EAP", "request, identity"}}},
		"encrypted": {2, exAuth, p2SKF, pl(0, append([]byte{0, 1, 0, 3}, make([]byte, 60)...)...), []row{{"SKF", "fragment 1 of 3, 60 bytes encrypted"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			fl := byte(0)
			if strings.Contains(name, "after decryption") || name == "XAUTH status" {
				fl = flagEncrypted
			}
			b := ikeBytes(tt.version, tt.exchange, fl, tt.next, 5, 0, tt.body)
			h, _ := parseHeader(b)
			var d decoded
			decode(b, &h, ends{}, &d)
			if d.malformed != "" {
				t.Fatal(d.malformed)
			}
			var got []row
			for _, p := range d.payloads {
				got = append(got, row{p.Name, p.Text})
				if strings.Contains(p.Text, "secret") || strings.Contains(p.Text, "alice") {
					t.Error("a password or user name is told")
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
