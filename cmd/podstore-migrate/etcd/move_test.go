package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/jsonexport"
	"podstore/store/podjson"
)

var revisions = regexp.MustCompile(`"revision":"[^"]*",`)

// migrate runs the command and returns what it wrote.
func migrate(t *testing.T, wantExit int, args ...string) (stdout, stderr string) {
	t.Helper()
	return migrateWith(t, nil, wantExit, args...)
}

func migrateWith(t *testing.T, env []string, wantExit int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	if code := cmd.ProcessState.ExitCode(); code != wantExit {
		t.Fatalf("%q: exit code %d, want %d\n%s%s", args, code, wantExit, &out, &errs)
	}
	return out.String(), errs.String()
}

// contains fails the test unless text has each of the parts.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in\n%s", part, text)
		}
	}
}

// strange are names that are not for the faint-hearted.
var strange = []string{"-dash", "--", "日本語", "line\nbreak", "two words", `say "hi"`}

// writeTree writes n Pods with manifests of about 4 KB, and those with strange
// names.
func writeTree(t *testing.T, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	names := strange
	for i := range n - len(strange) {
		names = append(names, fmt.Sprintf("pod-%05d", i))
	}
	for i, name := range names {
		m := &store.Metadata{PodName: name}
		m.Manifest = fmt.Appendf(nil, `{"ratio":1.0,"large":18446744073709551615,"n":%d,"text":%q}`, i, strings.Repeat("a manifest of some size. ", 160))
		if i > 0 {
			m.Peers = []store.Peer{{PodName: names[i-1]}}
			m.Children = []store.SpawnedChild{{PodName: names[(i+1)%len(names)], SocketPath: "/run/x", CallbackAddress: "unix:/run/y"}}
		}
		content, err := podjson.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "metadata.json"), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// files is every file below a directory, by its path.
func files(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, root)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestMoveAround moves Pods from a directory to etcd, to a file, and to a directory
// again: every byte is the same. The commands that read show in etcd what they show
// in the file.
func TestMoveAround(t *testing.T) {
	n := 1000
	if os.Getenv("PODSTORE_LONG") != "" {
		n = 10_000
	}
	tree, dir := writeTree(t, n), t.TempDir()
	etcd := "etcd://" + startServer(t, "", "", "") + "/podstore/production"
	db, out := filepath.Join(dir, "pods.db"), filepath.Join(dir, "out")

	stdout, stderr := migrate(t, 0, "copy", "--dry-run", "dir:"+tree, etcd)
	contains(t, stdout, "-dash\tcopied\n", "\"line\\nbreak\"\tcopied\n")
	contains(t, stderr, fmt.Sprintf("copy: %d copied, 0 unchanged, 0 conflict, 0 refused (dry run, nothing was changed)", n))
	migrate(t, 10, "list", etcd) // still nothing

	step := func(want, src, dst string) {
		t.Helper()
		started := time.Now()
		_, stderr := migrate(t, 0, "copy", src, dst)
		t.Logf("%s to %s: %v", src, dst, time.Since(started).Round(time.Millisecond))
		contains(t, stderr, fmt.Sprintf("copy: "+want+", 0 conflict, 0 refused; %[1]d verified\n", n))
	}
	step("%d copied, 0 unchanged", "dir:"+tree, etcd)
	step("%d copied, 0 unchanged", etcd, db)
	step("%d copied, 0 unchanged", db, "dir:"+out)
	before := files(t, tree)
	if after := files(t, out); len(before) != n || !reflect.DeepEqual(before, after) {
		t.Errorf("%d files became %d, or some differ", len(before), len(after))
	}
	step("0 copied, %d unchanged", db, etcd+"/")

	for _, args := range [][]string{
		{"list", "DB"}, {"list", "--json", "--sort", "-manifest", "DB"}, {"tree", "DB"}, {"tree", "--format", "dot", "DB"}, {"tree", "DB", "--", "-dash"},
		{"show", "DB", "--", "-dash"}, {"show", "DB", "日本語"}, {"show", "DB", "line\nbreak"}, {"show", "--field", "peers", "DB", "pod-00000"},
	} {
		at := func(db string) (stdout string) {
			filled := append([]string{}, args...)
			for i := range filled {
				if filled[i] == "DB" {
					filled[i] = db
				}
			}
			stdout, _ = migrate(t, 0, filled...)
			return revisions.ReplaceAllString(stdout, "") // each store has its own
		}
		if inEtcd, inFile := at(etcd), at(db); inEtcd != inFile || inFile == "" {
			t.Errorf("%q shows\n%.300s\nand in the file\n%.300s", args, inEtcd, inFile)
		}
	}
	// Check and stats say of etcd what they say of the file, but for its pages.
	for _, place := range []string{etcd, db, "dir:" + out} {
		_, stderr = migrate(t, 0, "check", place)
		contains(t, stderr, fmt.Sprintf("check: %d Pods, no damage, %d one-sided\n", n, n-1))
		stdout, _ = migrate(t, 0, "stats", place)
		contains(t, stdout, fmt.Sprintf("pods\t%d\n", n), fmt.Sprintf("peers\t%d\n", n-1), "damaged_pods\t0\n")
	}
	_, stderr = migrate(t, 0, "verify", etcd, tree)
	contains(t, stderr, fmt.Sprintf("verify: %d same, 0 differs", n))
	exported := filepath.Join(dir, "exported")
	_, stderr = migrate(t, 0, "export", etcd, exported)
	contains(t, stderr, fmt.Sprintf("export: %d exported", n))
	if !reflect.DeepEqual(before, files(t, exported)) {
		t.Error("the export differs")
	}
}

// TestOutcomes has what can go wrong with single Pods, addresses and servers.
func TestOutcomes(t *testing.T) {
	dir := t.TempDir()
	host := startServer(t, "", "", "")
	etcd := "etcd://" + host + "/pods"
	tree, err := jsonexport.OpenDir(filepath.Join(dir, "tree"), nil)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, manifest string) {
		t.Helper()
		if err := store.Write(t.Context(), tree, &store.Metadata{PodName: name, Manifest: []byte(manifest)}); err != nil {
			t.Fatal(err)
		}
	}
	src := "dir:" + tree.RootDir()
	write("small", "1")
	write("large", `"`+strings.Repeat("x", 2<<20)+`"`)
	_, stderr := migrate(t, 3, "copy", src, etcd)
	contains(t, stderr, "refused "+tree.RootDir()+"/large/metadata.json: ", "copy: 1 copied, 0 unchanged, 0 conflict, 1 refused; 1 verified")
	_, stderr = migrate(t, 3, "copy", "--strict", src, "etcd://"+host+"/strict")
	contains(t, stderr, "refused ", "copy: 0 copied, ")
	migrate(t, 10, "list", "etcd://"+host+"/strict")

	if err := store.Do(t.Context(), tree, "large", store.Delete{}); err != nil {
		t.Fatal(err)
	}
	write("small", "2")
	_, stderr = migrate(t, 3, "copy", src, etcd)
	contains(t, stderr, "conflict "+tree.RootDir()+"/small/metadata.json: "+etcd+" has other content, first in resolved_manifest_snapshot; it was kept, --overwrite replaces it\n")
	stdout, _ := migrate(t, 4, "verify", etcd, tree.RootDir())
	contains(t, stdout, "differs small: ", "has other content than "+etcd+", first in resolved_manifest_snapshot; copy --overwrite takes the file's")
	migrate(t, 0, "copy", "--overwrite", src, etcd)
	stdout, _ = migrate(t, 0, "show", etcd, "small")
	contains(t, stdout, `"resolved_manifest_snapshot": 2`)
	_, stderr = migrate(t, 1, "copy", "--strict", "dir:"+writeTree(t, 100), "etcd://"+host+"/many")
	contains(t, stderr, "too large", "hint: copy without --strict")
	// From etcd to etcd.
	migrate(t, 0, "copy", "--strict", etcd, "etcd://"+host+"/second")
	migrate(t, 0, "verify", "etcd://"+host+"/second", tree.RootDir())

	for _, test := range []struct {
		exit int
		text string
		args []string
	}{
		{2, etcd + " and " + etcd + "/ are the same", []string{"copy", etcd, etcd + "/"}},
		{0, "check: 1 Pod, no damage\n", []string{"check", etcd}},
		{0, "pods\t1\n", []string{"stats", etcd}},
		{2, "snapshot works on", []string{"snapshot", etcd, "new.db"}},
		{2, "compact works on", []string{"compact", etcd, "new.db"}},
		{2, "salvage works on", []string{"salvage", etcd, "new.db"}},
		{2, "import writes a database file, and " + etcd + " is kept by servers; see also copy", []string{"import", etcd, tree.RootDir()}},
		{2, "the address lacks a prefix", []string{"list", "etcd://" + host}},
		{2, "the address lacks a prefix", []string{"list", "etcd://" + host + "//"}},
		{2, `"localhost" is not HOST:PORT`, []string{"list", "etcd://localhost/pods"}},
		{2, "set ETCDCTL_USER and ETCDCTL_PASSWORD", []string{"list", "etcd://me:secret@" + host + "/pods"}},
		{10, "no store has been written below /nothing/ there", []string{"list", "etcd://" + host + "/nothing"}},
		{10, "hint: podstore-migrate-etcd list " + etcd + " shows the Pods that are there", []string{"show", etcd, "nobody"}},
		{1, "the store's servers are not available: dial tcp 127.0.0.1:1: connect: connection refused\nhint: see that it runs and can be reached", []string{"list", "etcd://127.0.0.1:1/pods"}},
		{0, "ETCDCTL_CACERT", []string{"help"}},
		{0, "podstore-migrate-etcd ", []string{"version"}},
	} {
		stdout, stderr := migrate(t, test.exit, test.args...)
		contains(t, stdout+stderr, test.text)
		if strings.Contains(stdout+stderr, `{"level"`) {
			t.Errorf("%q: the client's log is in\n%s%s", test.args, stdout, stderr)
		}
	}
	// The first server of a list is gone.
	migrate(t, 0, "list", "etcd://127.0.0.1:1,"+host+"/pods")
}

// TestKilled kills a copy halfway, more than once, and lets another one end it.
func TestKilled(t *testing.T) {
	tree := writeTree(t, 3000)
	etcd := "etcd://" + startServer(t, "", "", "") + "/pods"
	there := func() int {
		cmd := exec.Command(program, "list", etcd)
		out, err := cmd.Output()
		if err != nil && cmd.ProcessState.ExitCode() != 10 {
			t.Fatal(err)
		}
		return bytes.Count(out, []byte("\n"))
	}
	for before := -1; before < 2000; {
		cmd := exec.Command(program, "copy", "dir:"+tree, etcd)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		before = max(0, before)
		for end := time.Now().Add(time.Minute); there() < min(before+700, 2000) && time.Now().Before(end); {
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		now := there()
		t.Logf("killed with %d Pods there", now)
		if now <= before {
			t.Fatalf("%d Pods became %d", before, now)
		}
		before = now
	}
	_, stderr := migrate(t, 0, "copy", "dir:"+tree, etcd)
	contains(t, stderr, " unchanged, 0 conflict, 0 refused; 3000 verified\n")
	_, stderr = migrate(t, 0, "verify", etcd, tree)
	contains(t, stderr, "verify: 3000 same, 0 differs")
}
