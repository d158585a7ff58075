package socketstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"podstore/store"
)

// FetchSnapshot writes to w the database file that the server at a Unix socket has
// open, as it is at one moment. It does not wait for a server that is not there. While
// the server sends snapshots to others, it waits up to 40 seconds for its turn. The
// file is complete only if the error is nil.
//
// Errors: [store.ErrNotFound] if nothing listens there, [store.ErrForbidden] if one side
// does not trust the other or the server does not permit it, [errors.ErrUnsupported] if
// what answers does not serve a store that is kept in a file.
func FetchSnapshot(ctx context.Context, socketPath string, w io.Writer) error {
	r := &request{op: "open", method: http.MethodGet, target: snapshotPath}
	c := newClient(socketPath, &Options{Patience: 40 * time.Second}, func(ctx context.Context) (net.Conn, error) {
		nc, err := dialServer(ctx, socketPath)
		if noListener(err) {
			err = &store.Error{Kind: store.ErrNotFound, Err: errors.New("no supervisor serves a store there; start it, or name the database file itself")}
		}
		return nc, err
	})
	if err := checkSocketPath(socketPath); err != nil {
		return c.named(r, err)
	}
	return c.retry(ctx, r, func() (bool, error) { return false, c.fetch(ctx, r, w) })
}

func (c *Client) fetch(ctx context.Context, r *request, w io.Writer) error {
	answer, err := c.pool.open(ctx, r, c.opts.AnswerTimeout)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.Header.Get("Content-Type") != fileType {
		return fmt.Errorf("%w: what answers there sends no file", errors.ErrUnsupported)
	}
	if _, err = io.Copy(w, answer.Body); err != nil {
		return &store.Error{Err: err} // another attempt would write to w behind this one
	}
	return nil
}
