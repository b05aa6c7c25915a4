package conditions

// remote conditions are being written.
func remoteConditions() []Condition { return nil }
