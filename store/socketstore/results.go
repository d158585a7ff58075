package socketstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// maxResults is how many finished changes a server remembers: at 10,000 a second,
// those of the last one and a half seconds.
const maxResults = 16 << 10

// results remembers by their ids the changes that were made last, so that one
// that is sent again is not made again.
//
// They are numbered in the order in which they are remembered, and an answer
// tells how many there are. A client that repeats a change says which number it
// was told before it sent it first. So the server knows whether it could have
// made the change and forgotten it.
type results struct {
	server string // tells this server from one that is started later

	mu       sync.Mutex
	byID     map[string]*result
	order    []string // a ring of the last ids remembered
	recorded uint64   // how many were remembered, ever
}

type result struct {
	done chan struct{} // closed when it is known
	made bool
}

func newResults() *results {
	return &results{server: rand.Text(), byID: map[string]*result{}, order: make([]string, maxResults)}
}

// mark is where the memory stands, for serverHeader.
func (rs *results) mark() string {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.server + "/" + strconv.FormatUint(rs.recorded, 10)
}

// outcome is what is known of a change that is about to be made.
type outcome int

const (
	unheard outcome = iota // make it, then call finish
	made                   // it was made
	refused                // it was refused before, for good
	unknown                // it may or may not have been made
)

// begin looks a change up. retry is a mark that its client was given before it
// sent the change first, or "" where it is sent the first time. A change that is
// being made is waited for.
func (rs *results) begin(ctx context.Context, id, retry string) (outcome, error) {
	for {
		rs.mu.Lock()
		r := rs.byID[id]
		if r == nil {
			defer rs.mu.Unlock()
			r = &result{done: make(chan struct{})}
			rs.byID[id] = r
			if retry == "" || rs.remembersSince(retry) {
				return unheard, nil
			}
			rs.record(id, r)
			return unknown, nil
		}
		rs.mu.Unlock()
		select {
		case <-r.done:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		rs.mu.Lock()
		current := rs.byID[id]
		rs.mu.Unlock()
		switch {
		case r.made:
			return made, nil
		case current == r:
			return refused, nil
		}
	}
}

// finish says what became of a change for which begin gave unheard. One that was
// refused can be sent again, as though it never had been; but a repeated one is
// refused for good, since the first may be still on its way.
func (rs *results) finish(id, retry string, wasMade bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.byID[id]
	r.made = wasMade
	if wasMade || retry != "" {
		rs.record(id, r)
		return
	}
	delete(rs.byID, id)
	close(r.done)
}

// record remembers a result in place of the oldest one.
func (rs *results) record(id string, r *result) {
	slot := &rs.order[rs.recorded%maxResults]
	if *slot != "" {
		delete(rs.byID, *slot)
	}
	*slot = id
	rs.recorded++
	close(r.done)
}

// remembersSince reports whether nothing that was remembered after mark has been
// forgotten.
func (rs *results) remembersSince(mark string) bool {
	server, number, _ := strings.Cut(mark, "/")
	n, err := strconv.ParseUint(number, 10, 64)
	return err == nil && server == rs.server && rs.recorded <= n+maxResults
}

// checkID fails for an id that is not 1 to maxIDLen visible ASCII characters.
func checkID(id string) error {
	if len(id) > maxIDLen || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("%s: expected up to %d visible ASCII characters", idHeader, maxIDLen)
	}
	return nil
}
