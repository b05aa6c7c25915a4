package explain

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// maxNear is the number of suggestions.
const maxNear = 3

type candidate struct {
	name  string
	score int // lower is nearer
}

func best(cs []candidate) []string {
	slices.SortFunc(cs, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.score, b.score), cmp.Compare(a.name, b.name)) })
	var out []string
	for _, c := range cs {
		if !slices.Contains(out, c.name) {
			out = append(out, c.name)
		}
		if len(out) == maxNear {
			break
		}
	}
	return out
}

// near returns the known names that resemble a name, nearest first.
func (c *catalogue) near(name string) []string {
	k := fold(name)
	var cs []candidate
	if len(k) == 6 && digits(k) {
		n, _ := strconv.Atoi(k)
		for s, d := range c.display {
			if len(s) != 6 || !digits(s) || s[:2] != k[:2] {
				continue
			}
			m, _ := strconv.Atoi(s)
			dist := distance(k, s, 3)
			if s[:3] != k[:3] && dist > 1 {
				continue
			}
			gap := n - m
			if gap < 0 {
				gap = -gap
			}
			cs = append(cs, candidate{d, dist*2000 + min(gap, 1999)})
		}
		return best(cs)
	}
	limit := max(2, len(k)/3)
	for s, d := range c.display {
		if digits(s) {
			continue
		}
		if dist := distance(k, s, limit); dist <= limit {
			cs = append(cs, candidate{d, dist})
		}
	}
	return best(cs)
}

// nearWords returns the known sentences and names that resemble a text.
func (c *catalogue) nearWords(text string) []string {
	if len(text) > 400 {
		text = text[:400]
	}
	words := strings.Fields(foldWords(text))
	if len(words) == 1 {
		if n := c.near(words[0]); len(n) > 0 {
			return n
		}
	}
	var cs []candidate
	for _, e := range c.entries {
		for i, w := range e.words {
			if s := alike(words, strings.Fields(w)); s >= 50 {
				cs = append(cs, candidate{quoted(e, i), 100 - s})
			}
		}
	}
	if len(words) <= 4 {
		k := fold(strings.Join(words, ""))
		for s, d := range c.display {
			if !digits(s) {
				if limit := max(2, len(k)/4); distance(k, s, limit) <= limit {
					cs = append(cs, candidate{d, 10 * distance(k, s, limit)})
				}
			}
		}
	}
	return best(cs)
}

// quoted is the i-th name of several words of an entry, as written.
func quoted(e *entry, i int) string {
	for _, n := range e.names {
		if foldWords(n) == e.words[i] {
			return n
		}
	}
	return e.names[0]
}

// alike gives the share of known words, in percent, that stand in the text, small typing
// errors allowed.
func alike(text, known []string) int {
	if len(known) < 2 {
		return 0
	}
	n := 0
	for _, k := range known {
		for _, w := range text {
			w = strings.Trim(w, ".,:;!?()\"'")
			if limit := 1 + len(k)/8; w == k || len(k) > 4 && distance(w, k, limit) <= limit {
				n++
				break
			}
		}
	}
	return 100 * n / len(known)
}

// distance is the number of letters to insert, take away, exchange or swap between a and
// b; more than limit counts as limit+1.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d > limit || -d > limit {
		return limit + 1
	}
	if len(a) > 64 || len(b) > 64 {
		return limit + 1
	}
	var rows [3][65]int
	for j := range len(b) + 1 {
		rows[0][j] = j
	}
	prev2, prev, cur := &rows[2], &rows[0], &rows[1]
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		low := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			v := min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				v = min(v, prev2[j-2]+1)
			}
			cur[j] = v
			low = min(low, v)
		}
		if low > limit {
			return limit + 1
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return min(prev[len(b)], limit+1)
}
