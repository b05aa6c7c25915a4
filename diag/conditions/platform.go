package conditions

// platform conditions are being written.
func platformConditions() []Condition { return nil }
