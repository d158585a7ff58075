package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"podstore/store"
)

// codeOf returns the gRPC code of an error of the client.
func codeOf(err error) codes.Code {
	if e, ok := errors.AsType[rpctypes.EtcdError](err); ok {
		return e.Code()
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	}
	return status.Code(err)
}

// isRefusal reports whether a server, or the client before it sent anything, refused a
// request. Then nothing was changed. All other errors leave the outcome open.
func isRefusal(err error) bool {
	switch codeOf(err) {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.OutOfRange, codes.NotFound, codes.AlreadyExists,
		codes.PermissionDenied, codes.Unauthenticated, codes.ResourceExhausted, codes.Unimplemented, codes.DataLoss:
		return true
	}
	return false
}

// isBusy reports whether a server refused a request for the moment.
func isBusy(err error) bool {
	return errors.Is(err, rpctypes.ErrTooManyRequests) || errors.Is(err, rpctypes.ErrAuthOldRevision)
}

// failure is the error for a refused request.
func (s *Store) failure(op string, err error) *store.Error {
	e := &store.Error{Op: op, Err: fmt.Errorf("etcd refused it: %w", err)}
	switch {
	case errors.Is(err, rpctypes.ErrNoSpace):
		e.Kind = store.ErrNoSpace
		e.Err = fmt.Errorf("%w; compact and defragment etcd or raise its quota, then disarm the alarm", err)
	case errors.Is(err, rpctypes.ErrRequestTooLarge), errors.Is(err, rpctypes.ErrTooManyOps):
		e.Kind = store.ErrTooLarge
		e.Err = fmt.Errorf("%w; the servers' limits are lower than those in Options", err)
	case codeOf(err) == codes.ResourceExhausted && strings.Contains(err.Error(), "larger than max"):
		e.Kind = store.ErrTooLarge
		e.Err = fmt.Errorf("%w; raise the client's MaxCallSendMsgSize and MaxCallRecvMsgSize", err)
	case errors.Is(err, rpctypes.ErrCompacted):
		e.Kind = store.ErrUnusable
		e.Err = fmt.Errorf("%w; take a new snapshot", err)
	case errors.Is(err, rpctypes.ErrCorrupt):
		e.Kind = store.ErrCorrupt
	}
	return e
}

// plain is an error with the same text that matches nothing: the timeout of one request
// must not look like the end of the caller's context.
func plain(err error) error {
	if codeOf(err) == codes.DeadlineExceeded {
		return errors.New("no answer in time")
	}
	return errors.New(err.Error())
}

// withOp adds the operation to an error that names none.
func withOp(op string, err error) error {
	if e, ok := errors.AsType[*store.Error](err); ok && e.Op == "" {
		e.Op = op
	}
	return err
}
