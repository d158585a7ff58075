package boltstore

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"podstore/store"
)

// A client that takes one byte a second keeps nobody waiting, and is cut off in
// the end: its copy of the file does not stay for ever.
func TestSlowClientIsCutOff(t *testing.T) {
	if os.Getenv("PODSTORE_LONG") == "" {
		t.Skip("it takes 30 seconds; PODSTORE_LONG=1 runs it")
	}
	ctx := context.Background()
	s := openNew(t)
	big := &store.Metadata{PodName: "big", Manifest: []byte(`"` + strings.Repeat("x", 4<<20) + `"`)}
	if err := store.Write(ctx, s, big); err != nil {
		t.Fatal(err)
	}
	socket := serve(t, s)
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", SnapshotPath)
	spooled := func() int {
		files, _ := filepath.Glob(filepath.Join(filepath.Dir(s.path), ".*snapshot*"))
		return len(files)
	}
	one := make([]byte, 1)
	for seconds := 0; ; seconds++ {
		if _, err := conn.Read(one); err != nil {
			t.Fatal(err) // what is in the socket's buffer still arrives
		}
		if err := store.Do(ctx, s, "a", store.AddPeer{PodName: fmt.Sprint("b", seconds)}); err != nil {
			t.Error(err)
		}
		_, c, err := OpenLive(ctx, socket, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if spooled() == 0 {
			if seconds < 20 {
				t.Errorf("cut off after %d seconds", seconds)
			}
			return
		}
		time.Sleep(time.Second)
	}
}
