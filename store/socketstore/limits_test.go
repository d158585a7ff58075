package socketstore

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"podstore/store"
	"podstore/store/memstore"
)

// A request may have as many changes as the limit says. With one more, none is made.
func TestMostChanges(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		pods := memstore.New()
		n.serve(pods, &ServerOptions{MaxChanges: 3})
		c := n.client(nil)
		var changes []store.Change
		for i := range 3 {
			changes = append(changes, store.Change{Pod: fmt.Sprint(i), Op: store.AddPeer{PodName: "x"}})
		}
		if _, err := c.Apply(t.Context(), changes, nil); err != nil {
			t.Error(err)
		}
		changes = append(changes, store.Change{Pod: "4", Op: store.AddPeer{PodName: "x"}})
		if _, err := c.Apply(t.Context(), changes, nil); err == nil || !strings.Contains(err.Error(), "too large") || pods.Number() != 1 {
			t.Errorf("%v, number %d", err, pods.Number())
		}
	})
}

// The limits hold for answers with many Pods and for snapshots. A further one waits for
// its turn. A slow client gives up its turn after half a second. No request waits
// longer than Wait.
func TestPlacesAreBounded(t *testing.T) {
	for path, what := range map[string]string{"/v2/pods": "answers with many Pods", "/v2/snapshot": "snapshots"} {
		t.Run(what, func(t *testing.T) {
			fake(t, func(t *testing.T, n *fakeNet) {
				pods := memstore.New()
				for i := range 40 {
					mustWrite(t, pods, pod(fmt.Sprint("pod", i), 30<<10))
				}
				server := n.serve(spooled{pods, 1 << 20}, &ServerOptions{MaxStreams: 2, MaxSnapshots: 2, Wait: 300 * time.Millisecond})
				ask := func() net.Conn { return n.say("GET " + path + " HTTP/1.1\nHost: p\n\n") }
				slow := []net.Conn{ask(), ask()}
				synctest.Wait()
				start := time.Now()
				conn := ask()
				if status, body, _ := hear(t, conn); status != 503 || !strings.Contains(body, "others hold all places for "+what) {
					t.Errorf("a third: %d %.200s", status, body)
				}
				within(t, start, 300*time.Millisecond, 300*time.Millisecond)
				conn.Close()
				for i := range 2 { // each cuts off the slowest, if it is late enough
					time.Sleep(time.Second)
					conn := ask()
					if status, _, _ := hear(t, conn); status != 200 {
						t.Errorf("client %d that came later: %d", i, status)
					}
					conn.Close()
				}
				if cut := server.Stats().CutOff; cut == 0 || cut > 2 {
					t.Errorf("%d were cut off", cut)
				}
				for _, c := range slow {
					c.Close()
				}
				conn = ask()
				if status, _, _ := hear(t, conn); status != 200 {
					t.Errorf("when all have gone: %d", status)
				}
			})
		})
	}
}

// A client may take as long for 256 KiB as Stall says, and no longer.
func TestStall(t *testing.T) {
	fake(t, func(t *testing.T, n *fakeNet) {
		pods := memstore.New()
		mustWrite(t, pods, pod("large", 1<<20))
		n.serve(pods, &ServerOptions{Stall: 3 * time.Second})
		for pause, whole := range map[time.Duration]bool{2 * time.Second: true, 4 * time.Second: false} {
			conn := n.say("GET /v2/pods/large HTTP/1.1\nHost: p\n\n")
			got, buf := 0, make([]byte, chunkBytes)
			for {
				time.Sleep(pause * fakeBuffer / chunkBytes)
				k, err := conn.Read(buf[:fakeBuffer])
				if got += k; err != nil || got > 1<<20 {
					break
				}
			}
			if (got > 1<<20) != whole {
				t.Errorf("256 KiB in %v: %d bytes came", pause, got)
			}
			conn.Close()
		}
	})
}
