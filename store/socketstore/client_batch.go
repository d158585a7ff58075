package socketstore

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"runtime"
	"time"
)

// maxTurn is how long a change waits for one that is under way. Then it goes alone: the
// other may have to wait for something of its own, such as a hook of the server.
const maxTurn = 100 * time.Millisecond

// batcher sends the changes that callers make at the same time. While a request is under
// way, further changes wait, and then go together in the next one. So a client makes many
// changes by few requests, as a store makes them by few commits.
type batcher struct {
	pool           *pool
	timeout, grace time.Duration
	turn           chan struct{} // full while a request is under way
	waiting        chan *member  // unbuffered: who has the turn takes from it
}

// member is a change that may go together with others.
type member struct {
	id      string
	body    []byte       // its own: the caller may leave before it is sent
	changes int          // their number
	done    chan outcome // buffered: the caller may have left
}

// outcome is what [pool.exchange] returns.
type outcome struct {
	answer *answer
	sent   bool
	err    error
}

// exchange is like [pool.exchange], but cannot withdraw a change that is under way
// together with others.
func (b *batcher) exchange(ctx context.Context, r *request) (*answer, bool, error) {
	m := member{r.id, bytes.Clone(r.body), r.changes, make(chan outcome, 1)}
	select {
	case b.turn <- struct{}{}:
		members := b.gather(&m)
		if len(members) == 1 {
			defer func() { <-b.turn }()
			return b.pool.exchange(ctx, r, b.timeout, b.grace)
		}
		go b.send(members)
	case b.waiting <- &m:
	case <-time.After(maxTurn):
		return b.pool.exchange(ctx, r, b.timeout, b.grace)
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	var late <-chan time.Time
	for {
		select {
		case o := <-m.done:
			return o.answer, o.sent, o.err
		case <-ctx.Done():
			ctx, late = context.WithoutCancel(ctx), time.After(b.grace)
		case <-late:
			return nil, true, context.DeadlineExceeded
		}
	}
}

// gather takes what waits. Callers who have just had their answers may wait again in a
// moment.
func (b *batcher) gather(first *member) []*member {
	members := []*member{first}
	for range 2 {
		runtime.Gosched()
		for len(members) < maxBatch {
			select {
			case m := <-b.waiting:
				members = append(members, m)
				continue
			default:
			}
			break
		}
	}
	return members
}

// send sends a batch and gives each member its part of the answer. It has the turn, and
// passes it on before if the batch is full: more may wait than fit in one.
func (b *batcher) send(members []*member) {
	if len(members) == maxBatch {
		<-b.turn
	} else {
		defer func() { <-b.turn }()
	}
	body := borrow()
	defer body.release()
	target := changesPath
	for i, m := range members {
		sep := "&"
		if i == 0 {
			sep = "?"
		} else {
			body.bytes = append(body.bytes, '\n')
		}
		target += sep + "id=" + m.id
		body.bytes = append(body.bytes, m.body...)
	}
	r := &request{method: http.MethodPost, target: target, body: body.bytes}
	a, sent, err := b.pool.exchange(context.Background(), r, b.timeout, b.grace)
	var rest []byte
	if err == nil {
		rest = bytes.Clone(a.body)
		a.release()
	}
	for _, m := range members {
		o := outcome{sent: sent, err: err}
		switch {
		case err != nil:
		case a.status != http.StatusOK:
			o.answer = &answer{status: a.status, body: rest}
		default:
			o.answer, rest = cutAnswer(rest, m.changes)
			if o.answer == nil {
				o.err = errors.New("the answer ends too early")
			}
		}
		m.done <- o
	}
}

// cutAnswer cuts the answer to n changes off the answer to a batch. It returns nil if
// that is not whole.
func cutAnswer(body []byte, n int) (a *answer, rest []byte) {
	a = &answer{status: http.StatusOK}
	if errorIn(body[:1+bytes.IndexByte(body, '\n')]) != nil {
		a.status, n = 0, 1
	}
	end := 0
	for ; n > 0; n-- {
		i := bytes.IndexByte(body[end:], '\n')
		if i < 0 {
			return nil, nil
		}
		end += i + 1
	}
	a.body = body[:end]
	return a, body[end:]
}
