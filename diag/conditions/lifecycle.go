package conditions

// lifecycle conditions are being written.
func lifecycleConditions() []Condition { return nil }
