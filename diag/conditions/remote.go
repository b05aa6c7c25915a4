package conditions

import "slices"

// remoteConditions are the conditions of remote access: clients, pools, authentication, split
// tunnelling.
func remoteConditions() []Condition {
	return slices.Concat(remotePool(), remoteAuth(), remoteSplit(), remoteClient())
}
