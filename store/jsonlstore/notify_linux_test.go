package jsonlstore

import (
	"encoding/binary"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// woken waits for a wake-up; more is false where there will be none any more.
func woken(t *testing.T, wake <-chan struct{}) (more bool) {
	t.Helper()
	select {
	case _, more = <-wake:
		return more
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came for 30 s")
		return false
	}
}

// Who watches is woken for his file alone, for everything when the system has lost
// events, and told when the system tells no more.
func TestNotifier(t *testing.T) {
	var n notifier
	dir, other := t.TempDir(), t.TempDir()
	a, stopA := n.watch(dir, "a")
	b, stopB := n.watch(dir, "b")
	elsewhere, stopElsewhere := n.watch(other, "a")
	silent := func(wakes ...<-chan struct{}) {
		t.Helper()
		for i, wake := range wakes {
			select {
			case <-wake:
				t.Fatalf("watcher %d was woken", i)
			default:
			}
		}
	}
	if err := os.WriteFile(dir+"/a", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	woken(t, a)
	silent(b, elsewhere)

	lost := make([]byte, unix.SizeofInotifyEvent)
	binary.NativeEndian.PutUint32(lost, ^uint32(0))
	binary.NativeEndian.PutUint32(lost[4:], unix.IN_Q_OVERFLOW)
	n.mu.Lock()
	n.at.deliver(lost)
	n.mu.Unlock()
	for _, wake := range []<-chan struct{}{a, b, elsewhere} {
		woken(t, wake)
	}

	// Where the system cannot watch, there is nothing to wait for, and nothing ends
	// the others.
	nothing, stopNothing := n.watch(dir+"/none", "a")
	if nothing != nil {
		t.Error("a directory that is not there can be watched")
	}
	stopNothing()
	if err := os.Rename(other, dir+"/moved"); err != nil {
		t.Fatal(err)
	}
	woken(t, elsewhere)

	stopElsewhere()
	at := n.at
	if err := at.file.SetReadDeadline(time.Unix(1, 0)); err != nil { // so that reading fails
		t.Fatal(err)
	}
	for woken(t, a) {
	}
	for woken(t, b) {
	}
	<-at.ended
	stopA()
	stopB()
	// The next one begins anew, and the last one leaves nothing.
	again, stop := n.watch(dir, "b")
	if err := os.WriteFile(dir+"/b", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	woken(t, again)
	stop()
	if n.at != nil {
		t.Error("the instance is still there")
	}
	_, stop = n.watch(dir+"/none", "a")
	if stop(); n.at != nil {
		t.Error("an instance for nothing is still there")
	}
}
