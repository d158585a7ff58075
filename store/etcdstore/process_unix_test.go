//go:build unix

package etcdstore_test

import (
	"syscall"
	"testing"
)

// stopProcess freezes a member: its connections stay, and nothing answers.
func stopProcess(t testing.TB, m *member) {
	t.Helper()
	if err := m.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

func continueProcess(t testing.TB, m *member) {
	t.Helper()
	if err := m.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}
