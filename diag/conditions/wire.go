package conditions

// Wire returns the conditions that packet captures show, with one end and with both.
func Wire() []Condition {
	var out []Condition
	out = append(out, wirePathConditions()...)
	out = append(out, wireIKEConditions()...)
	out = append(out, wireESPConditions()...)
	return append(out, wireHealth()...)
}
