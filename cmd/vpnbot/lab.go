package main

import (
	"context"
	"fmt"
	"time"

	"vpnbot/devices/emulator"
)

type labCmd struct {
	Dir      string        `required:"" type:"path" help:"Folder for keys, certificates and state."`
	Devices  int           `help:"Further generated devices beside the scenario's."`
	Latency  time.Duration `help:"Delay of every answer."`
	Scenario string        `help:"Only this scenario; default all."`
}

// Run serves emulated devices until it is stopped. Standard output has their
// configuration and nothing else.
func (c labCmd) Run(ctx context.Context, std streams) error {
	if c.Devices < 0 || c.Devices > 5000 {
		return usageError{fmt.Errorf("--devices: between 0 and 5000")}
	}
	lab, err := emulator.Start(ctx, emulator.Options{Dir: c.Dir, Devices: c.Devices, Latency: c.Latency, Scenario: c.Scenario, Logger: logger(std.err, "info", "text"), Now: time.Now})
	if err != nil {
		return err
	}
	defer lab.Close()
	if _, err := fmt.Fprint(std.out, lab.ConfigYAML()); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
