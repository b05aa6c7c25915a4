package conditions

// dataplane conditions are being written.
func dataplaneConditions() []Condition { return nil }
