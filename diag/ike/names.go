package ike

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Exchange types (RFC 2408 3.1, RFC 2409, draft-beaulieu-ike-xauth, RFC 7296 3.1, RFC 9242).
const (
	exBase        = 1
	exMain        = 2
	exAuthOnly    = 3
	exAggressive  = 4
	exInfo        = 5
	exTransaction = 6
	exQuick       = 32
	exNewGroup    = 33
	exSAInit      = 34
	exAuth        = 35
	exChild       = 36
	exInfo2       = 37
	exResume      = 38 // RFC 5723
	exIntermed    = 43 // RFC 9242
	exFollowupKE  = 44 // RFC 9370
)

func exchangeKnown(version, ex uint8) bool {
	if version == 1 {
		return ex >= exBase && ex <= exTransaction || ex == exQuick || ex == exNewGroup
	}
	return ex >= exSAInit && ex <= exFollowupKE
}

// IKEv1 payload types (RFC 2408 3.1, RFC 3947, drafts, RFC 3547 left out).
const (
	p1SA        = 1
	p1KE        = 4
	p1ID        = 5
	p1Cert      = 6
	p1CertReq   = 7
	p1Hash      = 8
	p1Sig       = 9
	p1Nonce     = 10
	p1Notify    = 11
	p1Delete    = 12
	p1Vendor    = 13
	p1Attr      = 14
	p1NATDOld   = 15 // draft-ietf-ipsec-nat-t-ike-04 to -08
	p1NATOAOld  = 16
	p1NATD      = 20
	p1NATOA     = 21
	p1NATDDraft = 130
	p1NATOADr   = 131
	p1Fragment  = 132
)

func payloadName1(t uint8) string {
	switch t {
	case p1SA:
		return "SA"
	case p1KE:
		return "KE"
	case p1ID:
		return "ID"
	case p1Cert:
		return "CERT"
	case p1CertReq:
		return "CERTREQ"
	case p1Hash:
		return "HASH"
	case p1Sig:
		return "SIG"
	case p1Nonce:
		return "Nonce"
	case p1Notify:
		return "N"
	case p1Delete:
		return "D"
	case p1Vendor:
		return "VID"
	case p1Attr:
		return "ATTR"
	case p1NATD, p1NATDDraft, p1NATDOld:
		return "NAT-D"
	case p1NATOA, p1NATOADr, p1NATOAOld:
		return "NAT-OA"
	case p1Fragment:
		return "FRAG"
	}
	return "payload " + strconv.Itoa(int(t))
}

// IKEv2 payload types (RFC 7296 3.2, RFC 7383).
const (
	p2SA      = 33
	p2KE      = 34
	p2IDi     = 35
	p2IDr     = 36
	p2Cert    = 37
	p2CertReq = 38
	p2Auth    = 39
	p2Nonce   = 40
	p2Notify  = 41
	p2Delete  = 42
	p2Vendor  = 43
	p2TSi     = 44
	p2TSr     = 45
	p2SK      = 46
	p2CP      = 47
	p2EAP     = 48
	p2SKF     = 53
)

func payloadName2(t uint8) string {
	switch t {
	case p2SA:
		return "SA"
	case p2KE:
		return "KE"
	case p2IDi:
		return "IDi"
	case p2IDr:
		return "IDr"
	case p2Cert:
		return "CERT"
	case p2CertReq:
		return "CERTREQ"
	case p2Auth:
		return "AUTH"
	case p2Nonce:
		return "Nonce"
	case p2Notify:
		return "N"
	case p2Delete:
		return "D"
	case p2Vendor:
		return "VID"
	case p2TSi:
		return "TSi"
	case p2TSr:
		return "TSr"
	case p2SK:
		return "SK"
	case p2CP:
		return "CP"
	case p2EAP:
		return "EAP"
	case p2SKF:
		return "SKF"
	}
	return "payload " + strconv.Itoa(int(t))
}

// notifyName1 names IKEv1 notify types (RFC 2408 3.14.1, RFC 2407 4.6.3, RFC 3706, Cisco).
func notifyName1(t uint16) string {
	switch t {
	case 1:
		return "INVALID_PAYLOAD_TYPE"
	case 2:
		return "DOI_NOT_SUPPORTED"
	case 3:
		return "SITUATION_NOT_SUPPORTED"
	case 4:
		return "INVALID_COOKIE"
	case 5:
		return "INVALID_MAJOR_VERSION"
	case 6:
		return "INVALID_MINOR_VERSION"
	case 7:
		return "INVALID_EXCHANGE_TYPE"
	case 8:
		return "INVALID_FLAGS"
	case 9:
		return "INVALID_MESSAGE_ID"
	case 10:
		return "INVALID_PROTOCOL_ID"
	case 11:
		return "INVALID_SPI"
	case 12:
		return "INVALID_TRANSFORM_ID"
	case 13:
		return "ATTRIBUTES_NOT_SUPPORTED"
	case 14:
		return "NO_PROPOSAL_CHOSEN"
	case 15:
		return "BAD_PROPOSAL_SYNTAX"
	case 16:
		return "PAYLOAD_MALFORMED"
	case 17:
		return "INVALID_KEY_INFORMATION"
	case 18:
		return "INVALID_ID_INFORMATION"
	case 19:
		return "INVALID_CERT_ENCODING"
	case 20:
		return "INVALID_CERTIFICATE"
	case 21:
		return "CERT_TYPE_UNSUPPORTED"
	case 22:
		return "INVALID_CERT_AUTHORITY"
	case 23:
		return "INVALID_HASH_INFORMATION"
	case 24:
		return "AUTHENTICATION_FAILED"
	case 25:
		return "INVALID_SIGNATURE"
	case 26:
		return "ADDRESS_NOTIFICATION"
	case 27:
		return "NOTIFY_SA_LIFETIME"
	case 28:
		return "CERTIFICATE_UNAVAILABLE"
	case 29:
		return "UNSUPPORTED_EXCHANGE_TYPE"
	case 30:
		return "UNEQUAL_PAYLOAD_LENGTHS"
	case 16384:
		return "CONNECTED"
	case 24576:
		return "RESPONDER_LIFETIME"
	case 24577:
		return "REPLAY_STATUS"
	case 24578:
		return "INITIAL_CONTACT"
	case 36136:
		return "R_U_THERE"
	case 36137:
		return "R_U_THERE_ACK"
	case 40501:
		return "UNITY_LOAD_BALANCE"
	case 40503:
		return "UNITY_GROUP_HASH"
	}
	return "notify " + strconv.Itoa(int(t))
}

// notifyName2 names IKEv2 notify types (IANA registry "IKEv2 Notify Message Types").
func notifyName2(t uint16) string {
	if t >= 16384 && int(t-16384) < len(status2) {
		return status2[t-16384]
	}
	switch t {
	case 1:
		return "UNSUPPORTED_CRITICAL_PAYLOAD"
	case 4:
		return "INVALID_IKE_SPI"
	case 5:
		return "INVALID_MAJOR_VERSION"
	case 7:
		return "INVALID_SYNTAX"
	case 9:
		return "INVALID_MESSAGE_ID"
	case 11:
		return "INVALID_SPI"
	case 14:
		return "NO_PROPOSAL_CHOSEN"
	case 17:
		return "INVALID_KE_PAYLOAD"
	case 24:
		return "AUTHENTICATION_FAILED"
	case 34:
		return "SINGLE_PAIR_REQUIRED"
	case 35:
		return "NO_ADDITIONAL_SAS"
	case 36:
		return "INTERNAL_ADDRESS_FAILURE"
	case 37:
		return "FAILED_CP_REQUIRED"
	case 38:
		return "TS_UNACCEPTABLE"
	case 39:
		return "INVALID_SELECTORS"
	case 40:
		return "UNACCEPTABLE_ADDRESSES"
	case 41:
		return "UNEXPECTED_NAT_DETECTED"
	case 42:
		return "USE_ASSIGNED_HoA"
	case 43:
		return "TEMPORARY_FAILURE"
	case 44:
		return "CHILD_SA_NOT_FOUND"
	case 45:
		return "INVALID_GROUP_ID"
	case 46:
		return "AUTHORIZATION_FAILED"
	case 47:
		return "STATE_NOT_FOUND"
	case 48:
		return "TS_MAX_QUEUE"
	}
	return "notify " + strconv.Itoa(int(t))
}

// status2 are the status types from 16384 on.
var status2 = [...]string{
	"INITIAL_CONTACT", "SET_WINDOW_SIZE", "ADDITIONAL_TS_POSSIBLE", "IPCOMP_SUPPORTED",
	"NAT_DETECTION_SOURCE_IP", "NAT_DETECTION_DESTINATION_IP", "COOKIE", "USE_TRANSPORT_MODE",
	"HTTP_CERT_LOOKUP_SUPPORTED", "REKEY_SA", "ESP_TFC_PADDING_NOT_SUPPORTED", "NON_FIRST_FRAGMENTS_ALSO",
	"MOBIKE_SUPPORTED", "ADDITIONAL_IP4_ADDRESS", "ADDITIONAL_IP6_ADDRESS", "NO_ADDITIONAL_ADDRESSES",
	"UPDATE_SA_ADDRESSES", "COOKIE2", "NO_NATS_ALLOWED", "AUTH_LIFETIME",
	"MULTIPLE_AUTH_SUPPORTED", "ANOTHER_AUTH_FOLLOWS", "REDIRECT_SUPPORTED", "REDIRECT",
	"REDIRECTED_FROM", "TICKET_LT_OPAQUE", "TICKET_REQUEST", "TICKET_ACK",
	"TICKET_NACK", "TICKET_OPAQUE", "LINK_ID", "USE_WESP_MODE",
	"ROHC_SUPPORTED", "EAP_ONLY_AUTHENTICATION", "CHILDLESS_IKEV2_SUPPORTED", "QUICK_CRASH_DETECTION",
	"IKEV2_MESSAGE_ID_SYNC_SUPPORTED", "IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED", "IKEV2_MESSAGE_ID_SYNC", "IPSEC_REPLAY_COUNTER_SYNC",
	"SECURE_PASSWORD_METHODS", "PSK_PERSIST", "PSK_CONFIRM", "ERX_SUPPORTED",
	"IFOM_CAPABILITY", "SENDER_REQUEST_ID", "IKEV2_FRAGMENTATION_SUPPORTED", "SIGNATURE_HASH_ALGORITHMS",
	"CLONE_IKE_SA_SUPPORTED", "CLONE_IKE_SA", "PUZZLE", "USE_PPK",
	"PPK_IDENTITY", "NO_PPK_AUTH", "INTERMEDIATE_EXCHANGE_SUPPORTED", "IP4_ALLOWED",
	"IP6_ALLOWED", "ADDITIONAL_KEY_EXCHANGE", "USE_AGGFRAG",
}

// notifyError tells error types from status types by their number.
func notifyError(version uint8, t uint16) bool {
	return t >= 1 && t < 16384 && !(version == 1 && (t == 26 || t == 27))
}

func group(n int) string {
	switch n {
	case 1:
		return "MODP-768 (1)"
	case 2:
		return "MODP-1024 (2)"
	case 5:
		return "MODP-1536 (5)"
	case 14:
		return "MODP-2048 (14)"
	case 15:
		return "MODP-3072 (15)"
	case 16:
		return "MODP-4096 (16)"
	case 17:
		return "MODP-6144 (17)"
	case 18:
		return "MODP-8192 (18)"
	case 19:
		return "ECP-256 (19)"
	case 20:
		return "ECP-384 (20)"
	case 21:
		return "ECP-521 (21)"
	case 22:
		return "MODP-1024-160 (22)"
	case 23:
		return "MODP-2048-224 (23)"
	case 24:
		return "MODP-2048-256 (24)"
	case 25:
		return "ECP-192 (25)"
	case 26:
		return "ECP-224 (26)"
	case 31:
		return "CURVE-25519 (31)"
	case 32:
		return "CURVE-448 (32)"
	case 35:
		return "ML-KEM-512 (35)"
	case 36:
		return "ML-KEM-768 (36)"
	case 37:
		return "ML-KEM-1024 (37)"
	}
	return "group " + strconv.Itoa(n)
}

func encryption1(n, keyLen int) string {
	name := ""
	switch n {
	case 1:
		name = "DES"
	case 2:
		name = "IDEA"
	case 3:
		name = "BLOWFISH"
	case 4:
		name = "RC5"
	case 5:
		name = "3DES"
	case 6:
		name = "CAST"
	case 7:
		name = "AES-CBC"
	case 8:
		name = "CAMELLIA"
	default:
		name = "cipher " + strconv.Itoa(n)
	}
	if keyLen > 0 {
		name += "-" + strconv.Itoa(keyLen)
	}
	return name
}

func hash1(n int) string {
	switch n {
	case 1:
		return "MD5"
	case 2:
		return "SHA1"
	case 3:
		return "TIGER"
	case 4:
		return "SHA2-256"
	case 5:
		return "SHA2-384"
	case 6:
		return "SHA2-512"
	}
	return "hash " + strconv.Itoa(n)
}

func auth1(n int) string {
	switch n {
	case 1:
		return "PSK"
	case 2:
		return "DSS-SIG"
	case 3:
		return "RSA-SIG"
	case 4, 5:
		return "RSA-ENC"
	case 9, 10, 11:
		return "ECDSA-SIG"
	case 64221, 64222:
		return "HYBRID-RSA"
	case 65001, 65002:
		return "XAUTH-PSK"
	case 65003, 65004:
		return "XAUTH-DSS"
	case 65005, 65006:
		return "XAUTH-RSA"
	}
	return "auth " + strconv.Itoa(n)
}

func encryption2(n, keyLen int) string {
	name := ""
	switch n {
	case 2:
		name = "DES"
	case 3:
		name = "3DES"
	case 7:
		name = "BLOWFISH"
	case 11:
		name = "NULL"
	case 12:
		name = "AES-CBC"
	case 13:
		name = "AES-CTR"
	case 14:
		name = "AES-CCM-8"
	case 15:
		name = "AES-CCM-12"
	case 16:
		name = "AES-CCM-16"
	case 18:
		name = "AES-GCM-8"
	case 19:
		name = "AES-GCM-12"
	case 20:
		name = "AES-GCM-16"
	case 21:
		name = "AES-GMAC"
	case 23:
		name = "CAMELLIA-CBC"
	case 28:
		name = "CHACHA20-POLY1305"
	default:
		name = "cipher " + strconv.Itoa(n)
	}
	if keyLen > 0 {
		name += "-" + strconv.Itoa(keyLen)
	}
	return name
}

func prf2(n int) string {
	switch n {
	case 1:
		return "MD5"
	case 2:
		return "SHA1"
	case 4:
		return "AES-XCBC"
	case 5:
		return "SHA2-256"
	case 6:
		return "SHA2-384"
	case 7:
		return "SHA2-512"
	case 8:
		return "AES-CMAC"
	}
	return "prf " + strconv.Itoa(n)
}

func integrity2(n int) string {
	switch n {
	case 0:
		return "none"
	case 1:
		return "MD5-96"
	case 2:
		return "SHA1-96"
	case 5:
		return "AES-XCBC-96"
	case 7:
		return "SHA1-160"
	case 8:
		return "AES-CMAC-96"
	case 12:
		return "SHA2-256-128"
	case 13:
		return "SHA2-384-192"
	case 14:
		return "SHA2-512-256"
	}
	return "integrity " + strconv.Itoa(n)
}

func protocolName(version, n uint8) string {
	switch n {
	case 1:
		return "IKE"
	case 2:
		return "AH"
	case 3:
		return "ESP"
	case 4:
		if version == 1 {
			return "IPCOMP"
		}
	}
	return "protocol " + strconv.Itoa(int(n))
}

// natt is what vendor ids that announce NAT traversal begin with.
const natt = "NAT-T "

// knownVendors are vendor ids by their first bytes; most are hashes of a text that the
// standards and vendors publish. What follows the prefix is a version.
var knownVendors = [...]struct{ prefix, name string }{
	{"\x4a\x13\x1c\x81\x07\x03\x58\x45\x5c\x57\x28\xf2\x0e\x95\x45\x2f", natt + "RFC 3947"},
	{"\x44\x85\x15\x2d\x18\xb6\xbb\xcd\x0b\xe8\xa8\x46\x95\x79\xdd\xcc", natt + "draft-00"},
	{"\x16\xf6\xca\x16\xe4\xa4\x06\x6d\x83\x82\x1a\x0f\x0a\xea\xa8\x62", natt + "draft-01"},
	{"\xcd\x60\x46\x43\x35\xdf\x21\xf8\x7c\xfd\xb2\xfc\x68\xb6\xa4\x48", natt + "draft-02"},
	{"\x90\xcb\x80\x91\x3e\xbb\x69\x6e\x08\x63\x81\xb5\xec\x42\x7b\x1f", natt + "draft-02\\n"},
	{"\x7d\x94\x19\xa6\x53\x10\xca\x6f\x2c\x17\x9d\x92\x15\x52\x9d\x56", natt + "draft-03"},
	{"\x99\x09\xb6\x4e\xed\x93\x7c\x65\x73\xde\x52\xac\xe9\x52\xfa\x6b", natt + "draft-04"},
	{"\x80\xd0\xbb\x3d\xef\x54\x56\x5e\xe8\x46\x45\xd4\xc8\x5c\xe3\xee", natt + "draft-05"},
	{"\x4d\x1e\x0e\x13\x6d\xea\xfa\x34\xc4\xf3\xea\x9f\x02\xec\x72\x85", natt + "draft-06"},
	{"\x43\x9b\x59\xf8\xba\x67\x6c\x4c\x77\x37\xae\x22\xea\xb8\xf5\x82", natt + "draft-07"},
	{"\x8f\x8d\x83\x82\x6d\x24\x6b\x6f\xc7\xa8\xa6\xa4\x28\xc1\x1d\xe8", natt + "draft-08"},
	{"\x09\x00\x26\x89\xdf\xd6\xb7\x12", "XAUTH"},
	{"\x12\xf5\xf2\x8c\x45\x71\x68\xa9\x70\x2d\x9f\xe2\x74\xcc", "Cisco Unity"},
	{"\xaf\xca\xd7\x13\x68\xa1\xf1\xc9\x6b\x86\x96\xfc\x77\x57", "DPD"},
	{"\x40\x48\xb7\xd5\x6e\xbc\xe8\x85\x25\xe7\xde\x7f\x00\xd6\xc2\xd3", "IKE fragmentation"},
	{"\x1f\x07\xf7\x0e\xaa\x65\x14\xd3\xb0\xfa\x96\x54\x2a\x50", "Cisco VPN 3000"},
	{"\x88\x2f\xe5\x6d\x6f\xd2\x0d\xbc\x22\x51\x61\x3b\x2e\xbe\x5b\xeb", "strongSwan"},
	{"\x1e\x2b\x51\x69\x05\x99\x1c\x7d\x7c\x96\xfc\xbf\xb5\x87\xe4\x61", "Microsoft Windows"},
	{"\x26\x24\x4d\x38\xed\xdb\x61\xb3\x17\x2a\x36\xe3\xd0\xcf\xb8\x19", "Microsoft Initial-Contact"},
	{"\xfb\x1d\xe3\xcd\xf3\x41\xb7\xea\x16\xb7\xe5\xbe\x08\x55\xf1\x20", "Microsoft Negotiation Discovery"},
	{"\xe3\xa5\x96\x6a\x76\x37\x9f\xe7\x07\x22\x82\x31\xe5\xce\x86\x52", "Microsoft IKE CGA"},
	{"\x62\x1b\x04\xbb\x09\x88\x2a\xc1\xe1\x59\x35\xfe\xfa\x24\xae\xee", "GSSAPI"},
	{"\x70\x03\xcb\xc1\x09\x7d\xbe\x9c\x26\x00\xba\x69\x83\xbc\x8b\x35", "KAME racoon"},
	{"\x82\x99\x03\x17\x57\xa3\x60\x82\xc6\xa6\x21\xde", "Fortinet FortiGate"},
	{"\xf4\xed\x19\xe0\xc1\x14\xeb\x51\x6f\xaa\xac\x0e\xe3\x7d\xaf\x28\x07\xb4\x38\x1f", "Check Point"},
	{"\x40\x4b\xf4\x39\x52\x2c\xa3\xf6", "SonicWall"},
	{"\x5b\x36\x2b\xc8\x20\xf6", "SonicWall"},
	{"\x64\x40\x5f\x46\xf0\x3b\x76\x60\xa2\x3b\xe1\x16\xa1\x97\x50\x58", "NetScreen"},
	{"\x48\x65\x61\x72\x74\x42\x65\x61\x74\x5f\x4e\x6f\x74\x69\x66\x79", "HeartBeat Notify"},
	{"CISCO(COPYRIGHT)", "Cisco copyright"},
}

// vendorName names a vendor id: by its known bytes, as text when it is text, else as
// hexadecimal digits.
func vendorName(b []byte) string {
	for i := range knownVendors {
		if k := &knownVendors[i]; len(b) >= len(k.prefix) && string(b[:len(k.prefix)]) == k.prefix {
			return k.name
		}
	}
	if len(b) == 12 && b[0] == 'O' && b[1] == 'E' {
		return "Openswan or Libreswan"
	}
	if len(b) == 16 && looksHashed(b) {
		return hex.EncodeToString(b)
	}
	if s := printable(b, 48); s != "" && len(b) >= 4 {
		return s
	}
	return hex.EncodeToString(b[:min(len(b), 24)])
}

func looksHashed(b []byte) bool {
	return bytes.IndexFunc(b, func(r rune) bool { return r < ' ' || r > '~' }) >= 0
}

// printable returns b as text of at most n characters when all of it is plain ASCII, "" else.
func printable(b []byte, n int) string {
	if len(b) == 0 {
		return ""
	}
	for _, c := range b {
		if c < ' ' || c > '~' {
			return ""
		}
	}
	if len(b) > n {
		return string(b[:n]) + "..."
	}
	return string(b)
}

// idText shows an identity: its kind and value, cleaned of what does not print.
func idText(version uint8, kind uint8, v []byte) string {
	switch {
	case kind == 1 && len(v) == 4:
		return "address " + addr4(v).netip().String()
	case kind == 5 && version == 2 && len(v) == 16, kind == 5 && version == 1 && len(v) == 16:
		return "address " + addr16(v).netip().String()
	case kind == 4 && version == 1 && len(v) == 8:
		return "network " + addr4(v).netip().String() + "/" + addr4(v[4:]).netip().String()
	}
	name := ""
	switch kind {
	case 2:
		name = "name"
	case 3:
		name = "user"
	case 9:
		return fmt.Sprintf("certificate name, %d bytes", len(v))
	case 11:
		name = "key id"
	default:
		return fmt.Sprintf("type %d, %d bytes", kind, len(v))
	}
	if s := printable(v, 64); s != "" {
		return name + " " + strings.TrimSpace(s)
	}
	return fmt.Sprintf("%s, %d bytes", name, len(v))
}
