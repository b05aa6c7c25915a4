package command

import (
	"errors"

	"vpnbot/devices/inventory"
)

// Enable asks for the privileged exec mode. The password is not a command; it is typed
// at the device's own question.
func Enable() Command { return Command{line: "enable", effect: Reads} }

// NoPaging turns paging off for this session only.
func NoPaging(p inventory.Platform) Command {
	if p == inventory.CiscoASA {
		return Command{line: "terminal pager 0", effect: Reads}
	}
	return Command{line: "terminal length 0", effect: Reads}
}

// ChangeContext enters a security context of an ASA.
func ChangeContext(t Target, name string) (Command, error) {
	if err := t.check(); err != nil {
		return Command{}, err
	}
	if !t.asa() {
		return Command{}, errors.New("context: only an ASA has contexts")
	}
	if err := checkWord("context", name); err != nil {
		return Command{}, err
	}
	return Command{line: "changeto context " + name, effect: Reads}, nil
}

// Exit logs out.
func Exit() Command { return Command{line: "exit", effect: Reads} }
