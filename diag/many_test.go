package diag_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"vpnbot/diag"
	"vpnbot/diag/facts"
	"vpnbot/diag/ike"
)

// TestFoldedDiagnosis: the captures of a headend with very many peers are handed over folded.
// What is found in them is the same as in others.
func TestFoldedDiagnosis(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join("testdata", "wire", "*", "label.json"))
	if err != nil || len(dirs) == 0 {
		t.Fatal("no cases: ", err)
	}
	for _, label := range dirs {
		files, err := filepath.Glob(filepath.Join(filepath.Dir(label), "*.pcap*"))
		if err != nil {
			t.Fatal(err)
		}
		judge := func(fold int) []byte {
			set := &facts.Set{}
			for _, file := range files {
				r, err := os.Open(file)
				if err != nil {
					t.Fatal(err)
				}
				name := strings.TrimSuffix(filepath.Base(file), ".pcap")
				if c, _ := ike.Read(r, name, filepath.Base(file), ike.Options{Fold: fold}); c != nil {
					set.Captures = append(set.Captures, c)
				}
				r.Close()
			}
			b, err := json.MarshalIndent(diag.Analyze(set, diag.Options{Now: now}), "", " ")
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		if open, small := judge(1<<30), judge(1); !bytes.Equal(open, small) {
			t.Errorf("%s: folded it is judged otherwise:\n%s\n%s", filepath.Dir(label), open, small)
		}
	}
}

// manyPeers copies a real capture of one peer for many: each with its own address, cookies and SPIs.
func manyPeers(t *testing.T, peers int) []byte {
	t.Helper()
	one, err := os.ReadFile(filepath.Join("conditions", "testdata", "lab", "01-main-psk-healthy", "hq.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	out := bytes.Clone(one[:24])
	for k := range uint32(peers) {
		at := uint32(k / 100)
		for o := 24; o+16 <= len(one); {
			n := 16 + int(binary.LittleEndian.Uint32(one[o+8:]))
			r := bytes.Clone(one[o : o+n])
			o += n
			binary.LittleEndian.PutUint32(r, binary.LittleEndian.Uint32(r)+at)
			ip := r[16+14:]
			if len(ip) < 28 || ip[0] != 0x45 {
				continue
			}
			for _, a := range [][]byte{ip[12:16], ip[16:20]} {
				if !bytes.Equal(a[:3], []byte{198, 51, 100}) {
					binary.BigEndian.PutUint32(a, 40<<24+k)
				}
			}
			switch ip[9] {
			case 50:
				binary.BigEndian.PutUint32(ip[20:], binary.BigEndian.Uint32(ip[20:])^k<<8)
			case 17:
				for _, cookie := range [][]byte{ip[28:36], ip[36:44]} {
					if v := binary.BigEndian.Uint64(cookie); v != 0 {
						binary.BigEndian.PutUint64(cookie, v^uint64(k)<<16)
					}
				}
			}
			out = append(out, r...)
		}
	}
	return out
}

// TestRoomOfTheDiagnosis: with its report and all, a further peer takes less than 4 KB, at the
// end and while one tunnel after the other is judged.
func TestRoomOfTheDiagnosis(t *testing.T) {
	live := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	room := func(peers int) int64 {
		file := manyPeers(t, peers)
		before := live()
		c, err := ike.Read(bytes.NewReader(file), "hq", "hq.pcap", ike.Options{})
		if err != nil {
			t.Fatal(err)
		}
		set := &facts.Set{Captures: []*facts.Capture{c}}
		r := diag.Analyze(set, diag.Options{Now: now})
		after := live()
		if n := len(r.Report.Tunnels); n != peers {
			t.Fatalf("%d tunnels of %d", n, peers)
		}
		for _, x := range r.Report.Tunnels {
			if x.State != "up" {
				t.Fatalf("%s is %s", x.Name, x.State)
			}
		}
		runtime.KeepAlive(set)
		runtime.KeepAlive(file)
		return after - before
	}
	const few, many = 4200, 6200 // from 4,000 on findings about health are not kept
	if each := (room(many) - room(few)) / (many - few); each > 3<<10 {
		t.Errorf("a further peer takes %d bytes", each)
	} else {
		t.Logf("a further peer takes %d bytes", each)
	}
}
