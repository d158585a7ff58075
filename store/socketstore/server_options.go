package socketstore

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"podstore/store"
)

// ServerOptions say who may do what, and bound what clients can make the server hold.
// Zero fields, and a nil pointer, take the defaults.
type ServerOptions struct {
	// Authorize is asked before changes are made, all of one request together. An
	// error refuses them: the client's error matches store.ErrForbidden and has its
	// text. Nil permits everything. It is called at the same time for several
	// requests, and must neither change nor keep the changes.
	//
	// Before it is asked, whoever connects must run as this process's user or as root.
	Authorize func(ctx context.Context, who Caller, changes []store.Change) error
	// AuthorizeRead is the same for reading, and for a watch when it begins: of the Pods that are named, or where none
	// is, of everything, snapshots included. Changes that are conditions alone are
	// reading too.
	AuthorizeRead func(ctx context.Context, who Caller, pods []string) error
	// Handlers answer requests for further paths, such as "/debug/vars", of callers that
	// are let in. They are not asked for paths that begin with /v1/ or /v2/.
	Handlers map[string]http.Handler
	// Logger takes what the server has to say. Nil is slog.Default.
	Logger *slog.Logger
	// TempDir is where snapshots are kept until they are sent. Empty is the directory
	// of the store's file, or the system's.
	TempDir string

	// MaxConns is how many connections may be open (default 512). For a further one
	// the one is closed that has waited longest for a request; where all have one, it
	// is answered 503.
	MaxConns int
	// MaxWatches is how many watches may be under way (default 256). A further one is
	// answered 503. Each takes a connection for as long as it goes on, so it should be
	// less than MaxConns.
	MaxWatches int
	// MaxStreams is how many answers with many Pods may be sent at a time (default 64),
	// and MaxSnapshots how many snapshots (default 4). Others wait for their turn.
	MaxStreams, MaxSnapshots int
	// MaxBody is how many bytes the body of one request may have (default 96 MiB,
	// enough for a Pod with the largest manifest).
	MaxBody int64
	// MaxHeld is how many bytes may be held for clients at a time, requests and
	// answers of more than 64 KiB together (default 192 MiB). Others wait for their
	// turn. One that would need more than all is served alone.
	MaxHeld int64
	// MaxChanges is how many changes one request may have (default 4096).
	MaxChanges int
	// Stall is how long a client may take to send or take 256 KiB (default 10 s). One
	// that takes longer is cut off, and one that takes more than half a second if
	// others wait for what it holds.
	Stall time.Duration
	// Wait is how long a request waits for its turn before it is answered 503 (default
	// 30 s).
	Wait time.Duration
}

func (o *ServerOptions) withDefaults() ServerOptions {
	var d ServerOptions
	if o != nil {
		d = *o
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	set(&d.MaxConns, 512)
	set(&d.MaxWatches, 256)
	set(&d.MaxStreams, 64)
	set(&d.MaxSnapshots, 4)
	set(&d.MaxBody, 96<<20)
	set(&d.MaxHeld, 192<<20)
	set(&d.MaxChanges, 4096)
	set(&d.Stall, 10*time.Second)
	set(&d.Wait, 30*time.Second)
	return d
}
