package main

import (
	"fmt"
	"io"
	"strings"

	"vpnbot/diag/explain"
	"vpnbot/diag/report"
)

type explainCmd struct {
	Text []string `arg:"" help:"The message, state or Reason to explain; - reads standard input."`
}

// maxPaste bounds what explain reads from standard input.
const maxPaste = 1 << 20

// Run explains a pasted text.
func (c explainCmd) Run(std streams) error {
	text := strings.Join(c.Text, " ")
	if text == "-" {
		data, err := io.ReadAll(io.LimitReader(std.in, maxPaste))
		if err != nil {
			return fmt.Errorf("reading standard input: %w", err)
		}
		text = string(data)
	}
	if strings.TrimSpace(text) == "" {
		return usageError{fmt.Errorf("explain: nothing to explain; paste a message, a state such as MM_WAIT_MSG2, or a Reason number")}
	}
	_, err := io.WriteString(std.out, report.Plain(explain.Format(explain.Text(text))))
	return err
}
