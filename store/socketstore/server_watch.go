package socketstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"podstore/store"
	"podstore/store/jsonvalue"
	"podstore/store/podjson"
)

// The answer to a watch is lines without an end. A line with a Pod, with the name of
// one that is gone, or with an error in a Pod's place says how that Pod is now.
// "synced" ends a batch, or the list at the beginning. "resync" starts the list again.
// "ended" is the last line.

// watchLine is a line that is neither a Pod nor an error.
type watchLine struct {
	Gone   *string        `json:"gone,omitempty"`
	Synced *uint64        `json:"synced,omitempty"`
	Resync bool           `json:"resync,omitempty"`
	Ended  *errorDocument `json:"ended,omitempty"`
}

const (
	// maxNames limits the names of a watch. The server keeps them as long as the watch
	// lasts and counts nameBytes for each.
	maxNames  = 1024
	nameBytes = 512

	// cacheBytes is how much the server keeps of the lines of changes, for other watches.
	cacheBytes = 1 << 20
)

// GET /v2/watch, or POST with names
//
// While it sends, or waits for room, it takes nothing from the store. So a slow client
// holds up nobody: it misses states that a quick one sees, or lists again.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, c *conn) error {
	opts, err := s.watchOptions(w, r, c)
	if err != nil {
		return err
	}
	if err := s.authorizeRead(r.Context(), c, opts.Pods...); err != nil {
		return err
	}
	place, names := &flow{conn: c}, &flow{conn: c}
	if !s.watches.try(place, 1) {
		return fmt.Errorf("%w: %d watches are under way", errBusy, s.opts.MaxWatches)
	}
	defer s.watches.give(place)
	if n := int64(len(opts.Pods)) * nameBytes; n > smallBytes && !s.memory.try(names, n) {
		return s.memory.short()
	}
	defer s.memory.give(names)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.alive, cancel)()
	_ = c.SetReadDeadline(time.Time{}) // the client sends nothing more
	f := &flow{conn: c}
	defer s.memory.give(f)
	defer s.large.give(f)
	flush := http.NewResponseController(w).Flush
	st := &stream{server: s, flow: f, chunk: func(p []byte) error {
		s.large.give(f)
		if _, err := w.Write(p); err != nil {
			return err
		}
		return flush()
	}}
	t := &watchAnswer{stream: st, opts: opts}
	w.Header().Set("Content-Type", linesType)
	err = t.run(ctx)
	switch {
	case r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // the client has gone
	case s.alive.Err() != nil:
		err = &store.Error{Op: "watch", Kind: store.ErrClosed, Err: errors.New("the server stops")}
	}
	if !t.begun {
		return err
	}
	d, _ := documentOf(err)
	line, _ := json.Marshal(watchLine{Ended: d}) // strings and numbers always encode
	st.add(append(line, '\n'), nil)
	st.flush()
	return nil
}

func (s *Server) watchOptions(w http.ResponseWriter, r *http.Request, c *conn) (opts store.WatchOptions, err error) {
	err = eachParameter(r, func(key, value string) error {
		switch {
		case key == "omit" && value == "manifest":
			opts.OmitManifest = true
		case key == "pod" && r.Method == http.MethodGet:
			opts.Pods = append(opts.Pods, value)
		default:
			return errors.New("expected pod=NAME or omit=manifest")
		}
		return nil
	})
	if err != nil {
		return opts, err
	}
	if r.Method == http.MethodPost {
		if r.ContentLength > smallBytes {
			w.Header().Set("Connection", "close")
			return opts, tooManyNames()
		}
		body, err := s.body(w, r, &flow{conn: c})
		if err != nil {
			return opts, err
		}
		defer body.release()
		opts.Pods = []string{}
		n := 0
		for line := range lines(body.bytes) {
			n++
			sc := jsonvalue.NewScanner(line)
			name := sc.ReadString()
			if err := sc.End(); err != nil {
				return opts, invalid("line %d of the body is not a name as a JSON string: %v", n, err)
			}
			if opts.Pods = append(opts.Pods, name); n > maxNames {
				return opts, tooManyNames()
			}
		}
	}
	if len(opts.Pods) > 0 {
		return opts, store.ValidateNames("watch", opts.Pods)
	}
	return opts, nil
}

func tooManyNames() error {
	return &store.Error{Op: "watch", Kind: store.ErrTooLarge, Err: fmt.Errorf("a watch has at most %d names, of %d bytes together; watch all Pods", maxNames, smallBytes)}
}

// watchAnswer is the answer to one watch.
type watchAnswer struct {
	*stream
	opts  store.WatchOptions
	begun bool
}

// Before the server reads a list with manifests, it reserves listWeight for a piece of
// it, at most a listShare of all memory: watches hold their names for long, and a list
// must not wait for those.
const (
	listWeight = 16 << 20
	listShare  = 4
)

// run sends the store's batches until the store's watch ends. It reserves memory for a
// large batch before it sends it, and for a list before it reads it: hundreds of watches
// that begin at once would each hold a piece before the server counts any. If there is
// no room, run drops what it has read and lists everything again once there is room, so
// a waiting client holds nothing. It keeps what a list takes until the list ends, so
// that the list does not start again for ever. It reads a list when it has its turn,
// and sends without one.
func (t *watchAnswer) run(ctx context.Context) error {
	s, want := t.server, int64(0)
	if !t.opts.OmitManifest {
		want = min(listWeight, s.memory.total/listShare)
	}
	for {
		if want > 0 {
			if err := s.take(ctx, s.memory, t.flow, want); err != nil {
				return err
			}
			want = 0
		}
		if err := s.take(ctx, s.large, t.flow, 1); err != nil {
			return err
		}
		listing, again := true, t.begun
		for b, err := range store.Watch(ctx, s.store, t.opts) {
			if err != nil {
				return err
			}
			if need := 2 * weightOf(b); need > smallBytes && !s.memory.try(t.flow, need) {
				want = 2 * need
				break
			}
			listing = listing || b.Resync
			t.batch(b, again, listing)
			if again = false; b.Synced {
				listing = false
				s.memory.give(t.flow)
			}
			if listing && !s.large.has(t.flow, 1) {
				if err := s.take(ctx, s.large, t.flow, 1); err != nil {
					return err
				}
			}
		}
		if want == 0 {
			return errors.New("the store's watch ended without an error")
		}
		s.memory.give(t.flow)
		s.large.give(t.flow)
	}
}

func (t *watchAnswer) batch(b store.Batch, again, listing bool) {
	t.begun = true
	if b.Resync || again {
		t.add([]byte("{\"resync\":true}\n"), nil)
	}
	for _, e := range b.Events {
		switch {
		case e.Err != nil:
			d, _ := documentOf(e.Err)
			d.Pod = e.Pod
			t.add(appendError(nil, d), nil)
		case e.Metadata == nil:
			t.add(append(jsonvalue.AppendString([]byte(`{"gone":`), e.Pod), "}\n"...), nil)
		case listing: // other watches hardly list at the same time, so the line is not kept
			t.add(podLine(e.Metadata), nil)
		default:
			t.add(t.server.changeLine(e, t.opts.OmitManifest), nil)
		}
	}
	if b.Synced {
		t.buf = append(strconv.AppendUint(append(t.buf, `{"synced":`...), b.Number, 10), "}\n"...)
	}
	t.flush()
}

func podLine(m *store.Metadata) []byte {
	return append(podjson.AppendPod(nil, store.Applied{Pod: m.PodName, Version: m.Version, Metadata: m}), '\n')
}

// weightOf estimates the memory of a batch in bytes.
func weightOf(b store.Batch) (n int64) {
	rules := func(list []store.ScopeRule) {
		for _, r := range list {
			n += int64(len(r.Target)+len(r.Permission)) + 40
		}
	}
	for _, e := range b.Events {
		n += int64(len(e.Pod)) + 200
		m := e.Metadata
		if m == nil {
			continue
		}
		n += int64(len(m.Manifest))
		for name, value := range m.Extra {
			n += int64(len(name)+len(value)) + 64
		}
		for _, p := range m.Peers {
			n += int64(len(p.PodName)) + 16
		}
		for _, c := range m.Children {
			n += int64(len(c.PodName)+len(c.SocketPath)+len(c.CallbackAddress)) + 72
			rules(c.ScopeDelegated)
		}
	}
	return n
}

type lineKey struct {
	pod      string
	revision store.Revision
	bare     bool
}

// changeLine returns the line of a change, which other watches send too.
func (s *Server) changeLine(e store.Event, bare bool) []byte {
	key := lineKey{e.Pod, e.Metadata.Version.Revision, bare}
	line, ok := s.encoded.get(key)
	if !ok {
		if line = podLine(e.Metadata); len(line) <= smallBytes {
			s.encoded.put(key, line, len(line))
		}
	}
	return line
}
