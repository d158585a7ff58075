// Supervisor is a small program that keeps its Pods in podstore. It restores the Pods
// by name, starts a session, spawns, links and reclaims Pods, and can serve its open
// database:
//
//	supervisor [-export DIR] [-socket PATH [-run PROGRAM]] DB
//
// With -socket it runs until it is interrupted or terminated, and podstore-migrate
// can look inside: podstore-migrate list unix:PATH. With -run each active Pod is a
// process, PROGRAM POD PATH, which may make the changes that rights.go permits through
// the socket. If the supervisor is killed, it continues where it was: every change that
// it printed is on disk.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"expvar"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/jsonexport"
	"podstore/store/jsonlstore"
	"podstore/store/mirror"
	"podstore/store/socketstore"
)

func main() {
	export := flag.String("export", "", "write all Pods as JSON below this `directory`, for debugging")
	sessions := flag.String("sessions", "", "delete old session logs below this `directory`")
	socket := flag.String("socket", "", "serve the database on this `path` until interrupted")
	program := flag.String("run", "", "run this `program` for each active Pod, with the Pod's name and the socket's path")
	flag.Parse()
	if flag.NArg() != 1 || *program != "" && *socket == "" {
		log.Fatal("usage: supervisor [-export DIR] [-sessions DIR] [-socket PATH [-run PROGRAM]] DB")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, flag.Arg(0), *export, *sessions, *socket, *program); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer, db, export, sessions, socket, program string) (err error) {
	pods, err := boltstore.Open(db, &boltstore.Options{Logger: slog.Default()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pods.Close()) }()
	s := &supervisor{pods: pods, out: out, running: running{byPID: map[int]process{}, started: map[string]bool{}}}
	if err := s.restore(ctx); err != nil {
		return err
	}
	if err := s.work(ctx); err != nil {
		return err
	}
	if export != "" {
		report, err := jsonexport.Export(ctx, pods, export, jsonexport.ExportOptions{})
		if err != nil {
			return err
		}
		s.say("exported %d Pods to %s", report.Counts[jsonexport.Exported]+report.Counts[jsonexport.Unchanged], export)
	}
	if sessions != "" {
		logs, err := jsonlstore.Open(sessions, nil)
		if err != nil {
			return err
		}
		if err := errors.Join(s.sweep(ctx, logs, 7*24*time.Hour), logs.Close()); err != nil {
			return err
		}
	}
	if socket != "" {
		return s.serve(ctx, socket, program)
	}
	return nil
}

type supervisor struct {
	pods *boltstore.Store
	tree *mirror.Mirror // of them, while it serves
	out  io.Writer
	running
}

func (s *supervisor) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

// restore restores every Pod that was active, by its name alone: the manifest describes
// the Pod, and the active pointer names its log. A damaged Pod is printed and does not keep
// the others from running.
func (s *supervisor) restore(ctx context.Context) error {
	for m, err := range s.pods.All(ctx, store.ReadOptions{}) {
		switch {
		case errors.Is(err, store.ErrCorrupt):
			s.say("not restored: %v", err)
		case err != nil:
			return err
		case m.Active == nil:
		case m.Active.SegmentID == nil:
			s.say("restored %q in session %v, with a new segment", m.PodName, m.Active.SessionID)
		default:
			s.say("restored %q in session %v at segment %v", m.PodName, m.Active.SessionID, m.Active.SegmentID)
		}
	}
	return nil
}

// work is a short example day: a session, two children, a link and one reclaim.
func (s *supervisor) work(ctx context.Context) error {
	// The session is recorded before its first segment exists, so that a crash in
	// between leaves a pointer and not a lost session.
	session := store.NewSessionID()
	manifest := json.RawMessage(`{"model": "large-2", "tools": ["spawn", "read", "write"]}`)
	if err := store.Do(ctx, s.pods, "coordinator", store.SetActive{Active: store.PendingSegment(session), Manifest: manifest}); err != nil {
		return err
	}
	if err := store.Do(ctx, s.pods, "coordinator", store.SetActive{Active: store.ActiveIn(session, store.NewSegmentID()), Manifest: manifest}); err != nil {
		return err
	}
	s.say("coordinator writes session %v", session)

	for _, child := range []string{"builder", "tester"} {
		if err := s.spawn(ctx, "coordinator", child); err != nil {
			return err
		}
	}
	if err := store.LinkPeers(ctx, s.pods, "builder", "tester"); err != nil {
		return err
	}
	s.say("builder and tester are peers")
	return s.reclaim(ctx, "coordinator", "tester")
}

// spawn records a child and what it may touch on both sides, in one transaction:
// the parent never points at a Pod that is not there.
func (s *supervisor) spawn(ctx context.Context, parent, child string) error {
	spawned := false
	_, err := s.pods.UpdatePods(ctx, []string{parent, child}, func(pods []*store.Metadata) error {
		spawned = false // an edit may have to run again on another backend
		for _, c := range pods[0].Children {
			if c.PodName == child {
				return nil
			}
		}
		spawned = true
		pods[0].Children = append(pods[0].Children, store.SpawnedChild{
			PodName:         child,
			SocketPath:      "/run/pods/" + child + ".sock",
			ScopeDelegated:  []store.ScopeRule{{Target: "/srv/work/" + child, Permission: "write", Recursive: true}},
			CallbackAddress: "/run/pods/" + parent + ".sock",
		})
		if pods[1] == nil {
			pods[1] = new(store.Metadata)
		}
		pods[1].SetActive(store.PendingSegment(store.NewSessionID()), json.RawMessage(`{"model": "small-2", "tools": ["read"]}`))
		return nil
	})
	if err == nil && spawned {
		s.say("%s spawned %s", parent, child)
	}
	return err
}

// reclaim takes back what was delegated to a child.
func (s *supervisor) reclaim(ctx context.Context, parent, child string) error {
	reclaimed := false
	_, err := s.pods.Update(ctx, parent, func(m *store.Metadata) error {
		reclaimed = false
		for _, c := range m.Children {
			if c.PodName == child {
				reclaimed = true
				return m.Reclaim([]store.ReclaimedChild{{PodName: child, ScopeDelegated: c.ScopeDelegated}})
			}
		}
		return nil
	})
	if err == nil && reclaimed {
		s.say("%s reclaimed what it delegated to %s", parent, child)
	}
	return err
}

// serve serves the store until the context ends: others may read it, Pods may change what
// is theirs, and /debug/vars has the figures.
func (s *supervisor) serve(ctx context.Context, socket, program string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var err error
	if s.tree, err = mirror.New(ctx, s.pods, nil); err != nil {
		return err
	}
	defer s.tree.Close()
	l, err := socketstore.Listen(socket)
	if err != nil {
		return err
	}
	vars := map[string]http.Handler{"/debug/vars": expvar.Handler()}
	server := socketstore.NewServer(s.pods, &socketstore.ServerOptions{Authorize: s.authorize, Handlers: vars})
	expvar.Publish("podstore", expvar.Func(func() any { return s.pods.Stats() }))
	expvar.Publish("socket", expvar.Func(func() any { return server.Stats() }))
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	s.say("serving on %s", socket)
	if program != "" {
		s.all.Go(func() { s.runPods(ctx, program, socket) })
	}
	select {
	case <-ctx.Done():
	case err := <-served:
		cancel()
		s.all.Wait()
		return err
	}
	// The Pods end first: they may still change something.
	s.all.Wait()
	err = server.Shutdown(context.WithoutCancel(ctx))
	if served := <-served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	s.say("stopped")
	return err
}
