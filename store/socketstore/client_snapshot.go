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
// Errors: store.ErrNotFound if nothing listens there, errors.ErrUnsupported if what
// answers does not serve snapshots of a file.
func FetchSnapshot(ctx context.Context, socketPath string, w io.Writer) error {
	r := &request{op: "open", method: http.MethodGet, target: snapshotPath}
	c := newClient(socketPath, &Options{Patience: snapshotPatience}, func(ctx context.Context) (net.Conn, error) {
		nc, err := dialServer(ctx, socketPath)
		if noListener(err) {
			err = &store.Error{Kind: store.ErrNotFound, Err: errors.New("no supervisor serves a store there; start it, or name the database file itself")}
		}
		return nc, err
	})
	err := checkSocketPath(socketPath)
	for p := c.pauses(); err == nil; {
		if err = c.fetch(ctx, r, w); err == nil {
			return nil
		}
		if !errors.Is(err, errBusy) || !p.wait(ctx) {
			break
		}
		err = nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return c.named(r, err)
}

const snapshotPatience = 40 * time.Second

func (c *Client) fetch(ctx context.Context, r *request, w io.Writer) error {
	answer, err := c.pool.open(ctx, r, c.opts.AnswerTimeout)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.Header.Get("Content-Type") != fileType {
		return fmt.Errorf("%w: the store that is served there is not kept in a file", errors.ErrUnsupported)
	}
	_, err = io.Copy(w, answer.Body)
	return err
}
