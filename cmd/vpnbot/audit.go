package main

import (
	"context"
	"encoding/json"
	"fmt"

	"vpnbot/bot/store"
)

type auditCmd struct {
	Config string `required:"" type:"path" help:"Configuration file."`
	Verify bool   `help:"Check that no record was changed, removed or reordered."`
}

// Run prints the audit trail as JSON lines, or verifies its chain.
func (c auditCmd) Run(ctx context.Context, std streams) error {
	conf, err := loadConfig(c.Config, false)
	if err != nil {
		return err
	}
	st, err := openStore(ctx, conf)
	if err != nil {
		return err
	}
	defer st.Close()
	if c.Verify {
		head, n, err := st.VerifyAudit(ctx)
		if err != nil {
			return fmt.Errorf("audit trail: %w", err)
		}
		_, err = fmt.Fprintf(std.out, "%d records, unbroken; head %s\n", n, head)
		return err
	}
	return st.Audit(ctx, func(r store.Record) error {
		b, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("audit record %d: %w", r.Seq, err)
		}
		_, err = fmt.Fprintf(std.out, "%s\n", b)
		return err
	})
}
