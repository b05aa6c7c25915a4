// Package dump reads the hex dumps that devices print of their own captures: ASA
// "show capture NAME dump", IOS "show monitor capture buffer NAME dump" and IOS XE
// "show monitor capture NAME buffer dump". Text in, packets out; it knows nothing of
// what is inside the packets but where an IP header begins.
package dump

import "time"

// Dump is what one output holds.
type Dump struct {
	Packets []Packet
	Skipped int // lines within the dump that could not be read
}

// Packet is one packet of a dump.
type Packet struct {
	Number int       // as printed, counted from 1 when the device counts from 0 or not at all
	Time   time.Time // UTC; zero when the device printed none
	Data   []byte
	IP     bool // Data begins with an IP header; else with Ethernet
	Line   int  // of its header, the first line is 1
}
