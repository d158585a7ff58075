package socketstore

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"podstore/store"
)

// ServerOptions say who may do what, and limit what clients can make the server hold.
// Zero fields, and a nil pointer, mean the defaults.
type ServerOptions struct {
	// The server calls Authorize before it makes the changes of one Apply, with all of
	// them together. An error refuses them: the client's error matches
	// store.ErrForbidden and has its text. Nil permits everything. What a client's edit
	// changed arrives as operations too. The server calls Authorize for several requests
	// at the same time, also for those of one client. It may use the store, and must
	// neither change nor keep the changes. It should not take long, because the caller
	// waits. If there is a hook, changes of several callers do not go in one request.
	// [store.Remove] names one Pod, but also changes every Pod that refers to it.
	//
	// Before that, the server refuses everybody who runs neither as its own user nor as
	// root. With a hook it also checks that the process that connected still runs. If it
	// has ended, the server refuses the request, because another process may have its
	// PID by now.
	Authorize func(ctx context.Context, who Caller, changes []store.Change) error
	// The server calls AuthorizeRead before each read, and for a watch once, when it
	// begins: if you withdraw the right later, the watch goes on. pods are the names
	// asked for. An empty list asks for everything, snapshots included: a hook that loops
	// over pods must refuse that itself. If a request's changes are conditions alone, the
	// server calls only AuthorizeRead. If a request has operations and asks for metadata,
	// it calls both hooks.
	AuthorizeRead func(ctx context.Context, who Caller, pods []string) error
	// Handlers answer requests for further paths, such as "/debug/vars", and see none
	// that begins with /v1/ or /v2/. They see only callers that the server trusts. It
	// asks neither hook about them.
	Handlers map[string]http.Handler
	// Logger receives the server's messages. Nil means slog.Default.
	Logger *slog.Logger
	// TempDir holds snapshots until they are sent. Empty means the directory of the
	// store's file, or the system's directory for temporary files.
	TempDir string

	// MaxConns limits the open connections (default 512). When one more arrives, the
	// server looks for the process with the most connections, and closes the one of these
	// that has been idle longest. If none of them is idle, the server answers that
	// process's new connections with status 503, and accepts those of other processes up
	// to twice MaxConns.
	MaxConns int
	// MaxWatches limits the watches under way (default 256). The server answers a
	// further one with status 503. A watch takes a connection for as long as it lasts,
	// so this should be less than MaxConns.
	MaxWatches int
	// MaxStreams limits the answers with many Pods that are under way (default 64), and
	// MaxSnapshots the snapshots (default 4). Further requests wait for their turn.
	MaxStreams, MaxSnapshots int
	// MaxBody limits the body of one request in bytes (default 96 MiB, enough for a Pod
	// with the largest manifest). A Pod that is larger as a whole can be read through the
	// socket, but not put.
	MaxBody int64
	// MaxHeld limits the bytes held for all clients together, counting requests and
	// answers of more than 64 KiB (default 192 MiB). Further ones wait for their turn.
	// A request that needs more than the whole limit is served alone.
	MaxHeld int64
	// MaxChanges limits the changes of one Apply (default 4096). Beyond it, the error
	// matches store.ErrTooLarge.
	MaxChanges int
	// Stall is the time a client may take to send or receive 256 KiB (default 10 s).
	// The server cuts off a client that takes longer. If others wait for the memory or
	// the place that it holds, it has only half a second.
	Stall time.Duration
	// Wait is how long a request waits for its turn (default 30 s). After that the
	// server answers 503.
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
