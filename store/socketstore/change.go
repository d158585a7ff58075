package socketstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"podstore/store"
	"podstore/store/jsonexport"
)

// request is what becomes of some Pods, together or not at all.
type request struct {
	items []item
	pods  []*store.Metadata // in place of each item that is put
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
	answer, _, err := h.apply(r.Context(), req)
	if err != nil {
		return err
	}
	h.send(w, http.StatusOK, linesType, answer)
	return nil
}

// parse reads the items of a request and their documents.
func (h *handler) parse(body []byte) (*request, error) {
	req := &request{}
	n, wanted := 0, false
	for line := range lines(body) {
		n++
		if wanted {
			it := &req.items[len(req.items)-1]
			m, err := decodeAs(it.name, line)
			if err != nil {
				return nil, badDocument(n, err)
			}
			req.pods[len(req.pods)-1] = m
			wanted = false
			continue
		}
		it, err := parseItem(line)
		if err != nil {
			return nil, badLine(n, err)
		}
		if len(req.items) == h.opts.MaxPods {
			return nil, fmt.Errorf("%w: more than %d Pods", ErrTooLarge, h.opts.MaxPods)
		}
		req.items = append(req.items, it)
		req.pods = append(req.pods, nil)
		wanted = it.then == thenPut
	}
	if wanted {
		return nil, badLine(n+1, fmt.Errorf("the document of %.300q is missing", req.items[len(req.items)-1].name))
	}
	return req, nil
}

// decodeAs reads the document of a Pod.
func decodeAs(name string, document []byte) (*store.Metadata, error) {
	if err := store.ValidateName(name); err != nil {
		return nil, err
	}
	m, err := jsonexport.Decode(document)
	if err == nil && m.PodName != name {
		err = &store.Error{Op: "request", Pod: name, Kind: store.ErrInvalid, Err: fmt.Errorf("the document's pod_name is %.300q", m.PodName)}
	}
	return m, err
}

// badDocument gives the error for a document its place in the request.
func badDocument(line int, err error) error {
	if e, ok := errors.AsType[*store.Error](err); ok {
		e.Line = line
	}
	return err
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
	m, err := decodeAs(it.name, body)
	if err != nil {
		return err
	}
	it.then = thenPut
	return h.change(w, r, &request{[]item{it}, []*store.Metadata{m}})
}

// DELETE /v1/pods/{name}
func (h *handler) delete(w http.ResponseWriter, r *http.Request) error {
	it, err := itemOf(r)
	if err != nil {
		return err
	}
	it.then = thenDelete
	return h.change(w, r, &request{[]item{it}, make([]*store.Metadata, 1)})
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
		return it, fmt.Errorf(`%w condition: expected If-Match with one ETag of a GET, or "If-None-Match: *"`, store.ErrInvalid)
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
	var conflict error
	var answer []byte
	var err error
	switch known {
	case made:
	case unheard:
		answer, conflict, err = h.apply(ctx, req)
		isMade = err == nil && conflict == nil
	case refused:
		conflict = fmt.Errorf("%w: this request was refused before; send it with another id", ErrConflict)
	case unknown:
		conflict = fmt.Errorf("%w: this server was started after it was sent first, or has forgotten", ErrUnknown)
	}
	switch {
	case err != nil:
		return err
	case conflict == nil:
		_ = http.NewResponseController(w).SetWriteDeadline(h.deadline(0))
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	d, status := documentOf(conflict)
	h.send(w, status, linesType, append(appendJSON(nil, errorLine{d}), answer...))
	return nil
}

// apply makes a change in one edit of the store. Where the Pods are not what they
// must be, or nothing is changed, it returns them as they are, at one moment.
func (h *handler) apply(ctx context.Context, req *request) (answer []byte, conflict, err error) {
	if len(req.items) == 1 && !req.items[0].compared {
		// These need not read, and so heal what is damaged.
		switch req.items[0].then {
		case thenPut:
			return nil, nil, h.s.Write(ctx, req.pods[0])
		case thenDelete:
			return nil, nil, h.s.Delete(ctx, req.items[0].name)
		}
	}
	names := make([]string, len(req.items))
	asked := true
	for i, it := range req.items {
		names[i] = it.name
		asked = asked && !it.compared && it.then == thenStay
	}
	_, err = h.s.UpdatePods(ctx, names, func(pods []*store.Metadata) (err error) {
		answer, conflict = nil, nil
		for i, it := range req.items {
			if it.compared && versionOf(pods[i]) != it.version {
				conflict = &store.Error{Op: "update", Pod: it.name, Kind: ErrConflict}
				break
			}
		}
		// A conflict is no error of the edit: what is there must be durable before
		// the client is told of it.
		if conflict != nil || asked {
			answer, err = h.contents(names, pods)
			return err
		}
		for i, it := range req.items {
			switch it.then {
			case thenPut:
				pods[i] = req.pods[i]
			case thenDelete:
				pods[i] = nil
			}
		}
		return nil
	})
	return answer, conflict, err
}

// contents are items and documents of Pods.
func (h *handler) contents(names []string, pods []*store.Metadata) (answer []byte, err error) {
	var canonical []byte
	for i, m := range pods {
		it := item{name: names[i], compared: true}
		if m != nil {
			canonical = jsonexport.Append(canonical[:0], m)
			it.version = versionOfDocument(canonical)
		}
		answer = it.append(answer)
		if m != nil {
			answer = appendDocument(answer, canonical)
		}
		if int64(len(answer)) > h.opts.MaxBody {
			return nil, &store.Error{Op: "read", Pod: names[i], Kind: ErrTooLarge, Err: fmt.Errorf("up to this Pod there are %d bytes, the limit is %d; name fewer Pods", len(answer), h.opts.MaxBody)}
		}
	}
	return answer, nil
}
