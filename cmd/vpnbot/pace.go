package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Room above the live heap, after which it is collected: the runtime's default, as much again,
// would double what a headend's capture takes; much less than this costs time with small ones.
const (
	paceRoom  = 8 << 20 // bytes, at least
	paceShare = 25      // per cent of the live heap
)

// pace lets the collector run when the heap has grown by paceRoom or paceShare, whichever is
// more. For a process that reads and ends: there is no way back.
func pace() {
	debug.SetGCPercent(100 * paceRoom / (4 << 20)) // the first collection: a live heap of 4 MB is assumed
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	var again func(int)
	again = func(int) {
		metrics.Read(live)
		debug.SetGCPercent(max(paceShare, int(100*paceRoom/(live[0].Value.Uint64()+1<<16))))
		runtime.AddCleanup(new([16]byte), again, 0) // after the next collection
	}
	runtime.AddCleanup(new([16]byte), again, 0)
}
