package socketstore

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// maxTurn is how long a request keeps the turn. If it takes longer, the next one goes too.
const maxTurn = 100 * time.Millisecond

var (
	// errAlone: the server takes no batch. It has changed nothing.
	errAlone = errors.New("the server did not take a batch")
	// errGivenUp: the client broke off a batch, because the context of a caller ended.
	errGivenUp = errors.New("sent together with the change of a caller who did not wait for the answer")
)

// batcher sends the changes that callers make at the same time. While a request is under
// way, further changes wait for the turn, and then go together in the next one. So a
// client makes many changes by few requests, as a store makes them by few commits.
type batcher struct {
	pool           *pool
	timeout, grace time.Duration
	turn           chan struct{} // full while a request has the turn
	waiting        chan *member  // unbuffered: who has the turn takes from it
	off            atomic.Bool   // the server takes no batches
}

// member is a change that may go together with others.
type member struct {
	id      string
	body    []byte                  // its own: the caller may leave before it is sent
	changes int                     // their number
	leave   chan context.CancelFunc // has what breaks off the batch, once there is one
	done    chan outcome            // buffered: the caller may have left
}

// outcome is what [pool.exchange] returns.
type outcome struct {
	answer *answer
	sent   bool
	err    error
}

// exchange is like [pool.exchange]. If it returns errAlone or errGivenUp, the change should
// be sent alone.
func (b *batcher) exchange(ctx context.Context, r *request) (*answer, bool, error) {
	if b.off.Load() {
		return b.pool.exchange(ctx, r, b.timeout, b.grace)
	}
	m := member{r.id, bytes.Clone(r.body), r.changes, make(chan context.CancelFunc, 1), make(chan outcome, 1)}
	select {
	case b.turn <- struct{}{}:
		pass := sync.OnceFunc(func() { <-b.turn })
		limit := time.AfterFunc(maxTurn, pass)
		members := b.gather(&m)
		if len(members) == 1 {
			defer pass()
			defer limit.Stop()
			return b.pool.exchange(ctx, r, b.timeout, b.grace)
		}
		if len(members) == maxBatch {
			pass() // more may wait than fit in one batch
		}
		go func() {
			defer pass()
			defer limit.Stop()
			b.send(members)
		}()
	case b.waiting <- &m:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	o := b.wait(ctx, &m)
	return o.answer, o.sent, o.err
}

// wait waits for the outcome of a member. If its context ends, and the grace too, it breaks
// off the batch: nothing must be made when the caller has gone. The others send their
// changes again.
func (b *batcher) wait(ctx context.Context, m *member) outcome {
	select {
	case o := <-m.done:
		return o
	case <-ctx.Done():
	}
	select {
	case o := <-m.done:
		return o
	case <-time.After(b.grace):
	}
	breakOff := <-m.leave
	breakOff()
	return <-m.done
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

// send sends a batch and gives each member its part of the answer.
func (b *batcher) send(members []*member) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	body := borrow()
	defer body.release()
	target := changesPath
	for i, m := range members {
		m.leave <- cancel
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
	a, sent, err := b.pool.exchange(ctx, r, b.timeout, 0)
	switch {
	case ctx.Err() != nil && err != nil:
		err = errGivenUp
	case err == nil && a.status != http.StatusOK:
		// One of the changes alone may be welcome.
		b.off.Store(a.status != http.StatusServiceUnavailable)
		sent, err = false, errAlone
	}
	var rest []byte
	if a != nil {
		rest = bytes.Clone(a.body)
		a.release()
	}
	for _, m := range members {
		o := outcome{sent: sent, err: err}
		if err == nil {
			if o.answer, rest = cutAnswer(rest, m.changes); o.answer == nil {
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
