package socketstore

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/memstore"
)

// Through the client: sendings 1 and 2 stand in connections that were given up. Sending 3
// finds no Pod and skips it, and its caller has success. Another caller creates the Pod.
// Then the server comes to 1 and 2.
func TestLateSkipMissing(t *testing.T) { late(t, nil) }

// The same where sending 3 finds the disk full, and then somebody makes room. ErrNoSpace
// says that nothing was changed.
func TestLateNoSpace(t *testing.T) {
	late(t, &store.Error{Op: "commit", Kind: store.ErrNoSpace})
}

// fullOnce fails once.
type fullOnce struct {
	store.MetadataStore
	err error
}

func (f *fullOnce) Apply(ctx context.Context, c []store.Change, o *store.ApplyOptions) ([]store.Applied, error) {
	if err := f.err; err != nil {
		f.err = nil
		return nil, err
	}
	return f.MetadataStore.Apply(ctx, c, o)
}

func late(t *testing.T, third error) {
	fake(t, func(t *testing.T, n *fakeNet) {
		pods := memstore.New()
		n.serve(&fullOnce{pods, third}, nil)
		release := make(chan struct{})
		var mu sync.Mutex
		conns := 0
		n.between = func(client, server net.Conn) {
			mu.Lock()
			conns++
			late := conns <= 2
			mu.Unlock()
			if late {
				buf := make([]byte, fakeBuffer)
				k, err := client.Read(buf)
				if err != nil {
					return
				}
				client.Close() // the answer is lost
				<-release
				_, _ = server.Write(buf[:k])
				_, _ = server.Read(buf)
				server.Close()
				return
			}
			tamper(client, server, func() fate { return passes })
		}
		c := n.client(nil)
		applied, err := c.Apply(t.Context(), []store.Change{{Pod: "a", Op: store.AddPeer{PodName: "x"}, If: store.SkipMissing}}, nil)
		if err := store.Do(context.Background(), pods, "a", store.SetPeers{}); err != nil {
			t.Fatal(err)
		}
		close(release)
		time.Sleep(time.Second)
		if m, e := pods.Read(t.Context(), "a"); e != nil || m.HasPeer("x") && !errors.Is(err, store.ErrUnknown) {
			t.Errorf("the caller was told %+v, %v; later the change was made: %+v %v", applied, err, m.Peers, e)
		}
	})
}
