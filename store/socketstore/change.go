package socketstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"podstore/store"
	"podstore/store/podjson"
)

// request is what becomes of some Pods, together or not at all.
type request struct {
	edit      string // whose it is, of the requests of one edit
	items     []item
	documents [][]byte // of each item that is put
	lines     []int    // where they stand, 1-based; 0 for a body that is a document
}

func (req *request) names() []string {
	names := make([]string, len(req.items))
	for i, it := range req.items {
		names[i] = it.name
	}
	return names
}

// POST /v1/pods
func (h *handler) several(w http.ResponseWriter, r *http.Request) error {
	body, free, err := h.body(w, r)
	if err != nil {
		return err
	}
	defer free()
	req, err := h.parse(body)
	if err != nil {
		return err
	}
	asked := 0
	for _, it := range req.items {
		if !it.compared && it.then == thenStay {
			asked++
		}
	}
	switch {
	case asked == 0:
		return h.change(w, r, req)
	case asked < len(req.items):
		return fmt.Errorf("%w: some items have neither version nor then; ask for Pods in a request of its own", store.ErrInvalid)
	}
	found, err := h.ask(r, req.names())
	if err != nil {
		return err
	}
	return h.sendPods(w, nil, req.items, found)
}

// ask gives what some Pods are. An edit that asks has the turns with them then.
func (h *handler) ask(r *http.Request, names []string) (found []*pod, err error) {
	edit := r.Header.Get(editHeader)
	if edit == "" {
		return h.moment(r.Context(), names)
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.opts.Timeout)
	defer cancel()
	if err := h.turns.take(ctx, names, edit); err != nil {
		return nil, err
	}
	defer func() {
		if err == nil {
			h.turns.keep(names, edit)
		} else {
			h.turns.pass(names, edit)
		}
	}()
	return h.moment(ctx, names)
}

// parse reads the items of a request, and splits their documents off.
func (h *handler) parse(body []byte) (*request, error) {
	req := &request{}
	n, wanted := 0, false
	for line := range lines(body) {
		n++
		if last := len(req.items) - 1; wanted {
			req.documents[last], req.lines[last] = line, n
			wanted = false
			continue
		}
		it, err := parseItem(line)
		if err == nil {
			err = store.ValidateName(it.name)
		}
		if err == nil && it.then == thenPut && it.manifest != absent && it.version == absent {
			err = errors.New("a document without its manifest needs the version of the Pod that has it")
		}
		if err != nil {
			return nil, badLine(n, err)
		}
		if len(req.items) == h.opts.MaxPods {
			return nil, fmt.Errorf("%w: more than %d Pods", store.ErrTooLarge, h.opts.MaxPods)
		}
		req.items = append(req.items, it)
		req.documents = append(req.documents, nil)
		req.lines = append(req.lines, 0)
		wanted = it.then == thenPut
	}
	switch {
	case wanted:
		return nil, badLine(n+1, fmt.Errorf("the document of %.300q is missing", req.items[len(req.items)-1].name))
	case n == 0:
		return nil, badLine(1, errors.New("no Pod is named"))
	}
	return req, nil
}

// decode reads the documents of a request. Manifests that they lack are those of
// what the Pods are required to be.
func (req *request) decode(required []*pod) ([]*store.Metadata, error) {
	pods := make([]*store.Metadata, len(req.items))
	for i, it := range req.items {
		if it.then != thenPut {
			continue
		}
		m, err := podjson.Decode(req.documents[i])
		if err == nil && m.PodName != it.name {
			err = &store.Error{Op: "request", Kind: store.ErrInvalid, Line: 1, Err: fmt.Errorf("the document's pod_name is %.300q", m.PodName)}
		}
		if err == nil && it.manifest != absent {
			if m.Manifest != nil || required[i].manifest != it.manifest {
				err = &store.Error{Op: "request", Kind: store.ErrInvalid, Line: 1, Err: errors.New("its item gives the hash of a manifest that it has, or that the Pod has not")}
			} else {
				m.Manifest = required[i].m.Manifest
			}
		}
		if err != nil {
			if e, ok := errors.AsType[*store.Error](err); ok {
				e.Pod = it.name
				if req.lines[i] > 0 {
					e.Line = req.lines[i]
				}
			}
			return nil, err
		}
		pods[i] = m
	}
	return pods, nil
}

// PUT /v1/pods/{name}
func (h *handler) put(w http.ResponseWriter, r *http.Request) error {
	it, err := itemOf(r)
	if err != nil {
		return err
	}
	body, free, err := h.body(w, r)
	if err != nil {
		return err
	}
	defer free()
	it.then = thenPut
	return h.change(w, r, &request{items: []item{it}, documents: [][]byte{body}, lines: []int{0}})
}

// DELETE /v1/pods/{name}
func (h *handler) delete(w http.ResponseWriter, r *http.Request) error {
	it, err := itemOf(r)
	if err != nil {
		return err
	}
	it.then = thenDelete
	return h.change(w, r, &request{items: []item{it}})
}

// itemOf reads the name and the condition of a request for one Pod.
func itemOf(r *http.Request) (item, error) {
	it := item{name: r.PathValue("name")}
	match, none := r.Header.Values("If-Match"), r.Header.Values("If-None-Match")
	switch {
	case len(match) == 0 && len(none) == 0:
	case len(match) == 0 && len(none) == 1 && none[0] == "*":
		it.compared = true
	case len(match) == 1 && len(none) == 0:
		v, ok := strings.CutPrefix(match[0], `"`)
		v, ok2 := strings.CutSuffix(v, `"`)
		it.compared, it.version = true, version(v)
		if ok && ok2 && it.version.valid() {
			break
		}
		fallthrough
	default:
		return item{}, fmt.Errorf(`%w condition: expected If-Match with one ETag of a GET, or "If-None-Match: *"`, store.ErrInvalid)
	}
	return it, nil
}

// change makes a change once, however often it is sent, and answers.
func (h *handler) change(w http.ResponseWriter, r *http.Request, req *request) error {
	ctx, cancel := context.WithTimeout(r.Context(), h.opts.Timeout)
	defer cancel()
	id, retry := r.Header.Get(idHeader), r.Header.Get(retryHeader)
	if err := checkID(id); err != nil {
		return fmt.Errorf("%w %w", store.ErrInvalid, err)
	}
	if req.edit = r.Header.Get(editHeader); req.edit == "" {
		req.edit = rand.Text()
	}
	known, isMade := unheard, false
	if id != "" {
		var err error
		if known, err = h.results.begin(ctx, id, retry); err != nil {
			return err
		}
		if known == unheard {
			defer func() { h.results.finish(id, retry, isMade) }()
		}
	}
	var err error
	var found []*pod
	switch known {
	case made:
	case unheard:
		found, err = h.apply(ctx, req)
		isMade = err == nil
	case refused:
		err = fmt.Errorf("%w: this request was refused before; send it with another id", store.ErrConflict)
	case unknown:
		err = fmt.Errorf("%w: this server was started after it was sent first, or has forgotten", store.ErrUnknown)
	}
	switch {
	case err == nil:
		_ = http.NewResponseController(w).SetWriteDeadline(h.deadline(0))
		w.WriteHeader(http.StatusNoContent)
		return nil
	case found == nil:
		return err
	}
	return h.sendPods(w, err, req.items, found)
}

// apply makes a change in one edit of the store. Where the Pods are not what they
// must be, the error matches store.ErrConflict, and the Pods are given as they are, or
// are about to be.
func (h *handler) apply(ctx context.Context, req *request) (found []*pod, err error) {
	names := req.names()
	if err := h.turns.take(ctx, names, req.edit); err != nil {
		return nil, err
	}
	defer func() {
		if found != nil {
			h.turns.keep(names, req.edit)
		} else {
			h.turns.pass(names, req.edit)
		}
	}()
	known := h.drafts.last(names)
	if req.suspect(known) {
		if known, err = h.moment(ctx, names); err != nil {
			return nil, err
		}
		if err := compare(req.items, known); err != nil {
			return known, err
		}
		h.drafts.settle(names, known) // what was settled is no longer so
	}
	pods, err := req.decode(known)
	if err != nil {
		return nil, err
	}
	made := make([]*pod, len(names))
	for i, it := range req.items {
		if it.then != thenStay {
			draft := *podOf(pods[i], known[i])
			made[i] = &draft
		}
	}
	h.drafts.enter(names, made)
	defer func() { h.drafts.leave(names, made, err == nil) }()
	h.turns.pass(names, req.edit)
	return h.store(ctx, req, names, known, pods)
}

// suspect reports whether a request requires something else than is known, or what
// it requires must be known.
func (req *request) suspect(known []*pod) bool {
	for i, it := range req.items {
		if p := known[i]; it.compared && p != nil && p.version != it.version || p == nil && it.then == thenPut && it.manifest != absent {
			return true
		}
	}
	return false
}

// compare fails with store.ErrConflict where a Pod is not what it must be.
func compare(items []item, found []*pod) error {
	for i, it := range items {
		if it.compared && it.version != found[i].version {
			return conflictOn(it.name)
		}
	}
	return nil
}

func conflictOn(pod string) error {
	return &store.Error{Op: "update", Pod: pod, Kind: store.ErrConflict}
}

// store has the store make a change. What is known of the Pods only saves work.
func (h *handler) store(ctx context.Context, req *request, names []string, known []*pod, made []*store.Metadata) (found []*pod, err error) {
	if len(names) == 1 && !req.items[0].compared {
		// These need not read, and so heal what is damaged.
		if req.items[0].then == thenDelete {
			return nil, store.Do(ctx, h.s, names[0], store.Delete{})
		}
		return nil, store.Write(ctx, h.s, made[0])
	}
	var conflict error
	_, err = h.s.UpdatePods(ctx, names, func(pods []*store.Metadata) error {
		found, conflict = nil, nil
		for i, it := range req.items {
			if it.compared && podOf(pods[i], known[i]).version != it.version {
				// This is no error of the edit: what is there must be durable before
				// the client is told of it.
				found, conflict = podsOf(pods, known), conflictOn(it.name)
				return nil
			}
		}
		for i, it := range req.items {
			if it.then != thenStay {
				pods[i] = made[i]
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, conflict
}
