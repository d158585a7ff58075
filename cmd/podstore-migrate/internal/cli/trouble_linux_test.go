package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
)

// prelude is what the shell scripts of this file begin with.
const prelude = `
pod() { mkdir -p "$1/$2"; printf '{\n  "pod_name": "%s"\n}' "$2" >"$1/$2/metadata.json"; }
nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
`

// importedPods is the database of a sandbox, made once.
var importedPods = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "podstore-test-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var out bytes.Buffer
	db := filepath.Join(dir, "p.db")
	if err := layPods(dir); err != nil {
		return nil, err
	}
	if code := newConsole(&out, &out).execute(context.Background(), []string{"import", db, filepath.Join(dir, "t")}); code != exitDone {
		return nil, fmt.Errorf("import: exit code %d\n%s", code, &out)
	}
	return os.ReadFile(db)
})

// layPods makes the directory t of two Pods.
func layPods(dir string) error {
	for _, name := range []string{"a", "b"} {
		pod := filepath.Join(dir, "t", name)
		if err := os.MkdirAll(pod, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(pod, "metadata.json"), fmt.Appendf(nil, "{\n  \"pod_name\": %q\n}", name), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// sandbox is a directory that every user can reach, with the Pods a and b in t and in
// p.db, and with pm, which is the command. Another user can run it where others is true.
func sandbox(t *testing.T, others bool) string {
	t.Helper()
	pods, err := importedPods()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "podstore-test-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	// testscript tells by its name what the program is to be.
	program := dir + "/bin/podstore-migrate"
	self, err := os.Executable()
	if err == nil {
		err = os.MkdirAll(dir+"/bin", 0o755)
	}
	if err == nil && others {
		var data []byte
		if data, err = os.ReadFile(self); err == nil {
			err = os.WriteFile(program, data, 0o755)
		}
	} else if err == nil {
		err = os.Symlink(self, program)
	}
	if err := errors.Join(err, layPods(dir), os.WriteFile(dir+"/p.db", pods, 0o600), os.Chmod(dir, 0o755), os.WriteFile(dir+"/bin/pm", []byte("#!/bin/sh\nexec "+program+" \"$@\"\n"), 0o755)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// inShell runs a script in a sandbox and returns all that it printed, and its exit code.
func inShell(t *testing.T, dir, script string) (text string, code int) {
	t.Helper()
	cmd := exec.Command("sh", "-c", prelude+script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+dir+"/bin:"+os.Getenv("PATH"), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// few skips all but one of so many cases of a table with -short: each time other ones.
func few(t *testing.T, oneOf int) {
	t.Helper()
	if testing.Short() && rand.IntN(oneOf) > 0 {
		t.Skip("make test SHORT= takes every case")
	}
}

// TestTrouble has the system refuse something to the command. That is exit 1, and the
// message says what is missing; it is never called damage, and nobody is told to remove
// what may be well.
func TestTrouble(t *testing.T) {
	asRoot := []string{"root", "setpriv"}
	for name, test := range map[string]struct {
		needs  []string
		script string
		exit   int
		says   string // a regular expression
	}{
		"import a Pod that may not be read": {asRoot, "chmod 700 t/a; mkdir -m 777 o; nobody pm import o/n.db t", 1, `(?m)^refused t/a: permission denied\nimport: 1 imported, .* 1 refused$`},
		"dry run of that":                   {asRoot, "chmod 700 t/a; nobody pm import --dry-run n.db t", 1, `refused t/a: permission denied`},
		"list a Pod that may not be read":   {asRoot, "chmod 700 t/a; nobody pm list dir:t", 1, `(?s)a\tunreadable.*\nb\t-|unreadable pod a: t/a: permission denied`},
		"tree of that":                      {asRoot, "chmod 700 t/a; nobody pm tree dir:t", 1, `unreadable pod a: t/a: permission denied`},
		"stats of that":                     {asRoot, "chmod 700 t/a; nobody pm stats dir:t", 1, `unreadable_pods\t1`},
		"check of that":                     {asRoot, "chmod 700 t/a; nobody pm check dir:t", 1, `check: 2 Pods, no .* in what could be read, 1 unreadable`},
		"export of that":                    {asRoot, "chmod 700 t/a; mkdir -m 777 o; nobody pm export dir:t o/e", 1, `refused .*: permission denied(.|\n)*export: 1 exported, .* 1 refused, 0`},
		"copy of that":                      {asRoot, "chmod 700 t/a; mkdir -m 777 o; nobody pm copy dir:t o/n.db", 1, `refused t/a: permission denied`},
		"show of that":                      {asRoot, "chmod 700 t/a; nobody pm show dir:t a", 1, `permission denied`},
		"verify a Pod that may not be read": {asRoot, "chmod 700 t/a; chmod 666 p.db; chmod o-w p.db; nobody pm verify p.db t", 1, `unreadable t/a: permission denied; it may be undamaged; run it as a user who may read it`},
		"a file of metadata":                {asRoot, "chmod 600 t/a/metadata.json; nobody pm list dir:t", 1, `unreadable pod a: t/a/metadata.json: permission denied`},
		"a directory of Pods":               {asRoot, "chmod 700 t; nobody pm list dir:t", 1, `^podstore-migrate: open t: permission denied\nhint: run it as a user who has the right`},
		"a database":                        {asRoot, "nobody pm list p.db", 1, `^podstore-migrate: open p.db: permission denied\nhint: run it as a user who has the right`},
		"check a database":                  {asRoot, "nobody pm check p.db", 1, `^podstore-migrate: check p.db: permission denied\n`},
		"a directory for a database":        {asRoot, "chmod 755 .; nobody pm import n.db t", 1, `permission denied`},
		"a directory for a snapshot":        {asRoot, "chmod 644 p.db; nobody pm snapshot p.db n.db", 1, `permission denied`},
		"a directory to export to":          {asRoot, "chmod 644 p.db; mkdir o; nobody pm export p.db o", 1, `permission denied`},
		"a database to edit":                {asRoot, "chmod 644 p.db; nobody pm edit --set x=1 p.db a", 1, `^podstore-migrate: open p.db: permission denied\nhint: run it as a user who has the right`},
		"a database to remove from":         {asRoot, "chmod 644 p.db; nobody pm remove --yes p.db a; e=$?; pm list p.db; exit $e", 1, `permission denied\n(.|\n)*\na\t`},
		"a database to prune":               {asRoot, "chmod 644 p.db; sleep 0.01; nobody pm prune --older-than 1ms --yes p.db; e=$?; pm list p.db; exit $e", 1, `permission denied\n(.|\n)*\na\t`},
		"a place for the text to edit":      {nil, "EDITOR=cat TMPDIR=$PWD/none pm edit p.db a", 1, `which TMPDIR names: .*no such file or directory`},
		"an editor":                         {nil, "EDITOR=no-such-editor TMPDIR=$PWD pm edit p.db a; e=$?; ls -d podstore-edit*; exit $e", 1, `there is no program no-such-editor; set EDITOR to an editor, or use --set or --from\nls: `},
		"a full disk":                       {[]string{"root", "mount"}, "mkdir m; mount -t tmpfs -o size=16k none m || exit 77; pm import m/n.db t; e=$?; ls -A m; umount m; exit $e", 1, `no space left(.|\n)*hint: free some space, then run the same command again\n$`},
		"no inodes":                         {[]string{"root", "mount"}, "mkdir m; mount -t tmpfs -o size=1m,nr_inodes=4 none m || exit 77; touch m/1 m/2 m/3; pm import m/n.db t; e=$?; umount m; exit $e", 1, `no space left(.|\n)*hint: the file system has no inodes left`},
		"no inodes for an export":           {[]string{"root", "mount"}, "mkdir m; mount -t tmpfs -o size=1m,nr_inodes=4 none m || exit 77; pm export p.db m/e; e=$?; umount m; exit $e", 1, `no space left(.|\n)*hint: the file system has no inodes left`},
		"a disk that is not to be written":  {[]string{"root", "mount"}, "mkdir m; mount -t tmpfs -o ro none m || exit 77; pm import m/n.db t; e=$?; umount m; exit $e", 1, `read-only file system\nhint: it is mounted read-only`},
		"memory":                            {nil, "pod t big; truncate -s 500G t/big/metadata.json || exit 77; pm import --max-file-size 1024GiB n.db t", 1, `refused t/big/metadata.json: there is not enough memory for its 536870912000 bytes: about [0-9]+ bytes are free`},
	} {
		t.Run(name, func(t *testing.T) {
			few(t, 6)
			t.Parallel()
			for _, need := range test.needs {
				if need == "root" && os.Geteuid() != 0 {
					t.Skip("needs root")
				}
				if _, err := exec.LookPath(need); need != "root" && err != nil {
					t.Skipf("needs %s", need)
				}
			}
			text, code := inShell(t, sandbox(t, len(test.needs) > 0), test.script)
			if code == 77 {
				t.Skipf("not to be had here: %s", text)
			}
			if code != test.exit || !regexp.MustCompile(test.says).MatchString(text) {
				t.Errorf("exit code %d, want %d and %s\n%s", code, test.exit, test.says, text)
			}
			for _, never := range []string{"damaged pod", "damaged data", "damaged file", "remove it", "goroutine"} {
				if strings.Contains(text, never) {
					t.Errorf("it says %q\n%s", never, text)
				}
			}
		})
	}
}

// TestTooFewDescriptors runs commands with fewer and fewer descriptors. What they say then
// is that these are too few, not that Pods are at fault.
func TestTooFewDescriptors(t *testing.T) {
	for _, command := range []string{
		"list dir:t", "check dir:t", "import n.db t", "import --strict n.db t", "import --dry-run n.db t", "copy dir:t n.db",
		"edit --set x=1 p.db a", "edit --set x=1 dir:t a", "remove p.db a", "prune --older-than 1d p.db", "verify p.db t", "export p.db e", "export dir:t e", "list p.db", "snapshot p.db s.db",
	} {
		t.Run(command, func(t *testing.T) {
			few(t, 8)
			t.Parallel()
			script := "for i in 1 2 3; do pod t p$i; done\nfor n in 4 5 6 7 8 9 10 11 12; do o=$( (ulimit -n $n; exec podstore-migrate " + command +
				") 2>&1); e=$?; case $o in *'open files'*) echo \"with $n: exit $e, $(ls -d n.db s.db 2>/dev/null)\"; echo \"$o\";; esac; [ -e n.db -o -e e -o -e s.db ] && rm -rf n.db e s.db; done"
			text, _ := inShell(t, sandbox(t, false), script)
			told := false
			for _, part := range strings.Split(text, "with ")[1:] {
				if strings.Contains(part, "runtime") || strings.Contains(part, "goroutine") {
					continue // too few for Go itself
				}
				told = true
				if first, _, _ := strings.Cut(part, "\n"); !strings.HasSuffix(first, "exit 1, ") || !strings.Contains(part, "hint: allow more open files") {
					t.Errorf("with %s", part)
				}
				for _, never := range []string{"damaged", "refused t/", "unreadable", "remove it"} {
					if strings.Contains(strings.ReplaceAll(part, "0 damaged", ""), never) && !strings.Contains(part, "0 "+never) {
						t.Errorf("it says %q: with %s", never, part)
					}
				}
			}
			if !told {
				t.Errorf("nothing was said of too few descriptors:\n%s", text)
			}
		})
	}
}

// TestModesAndOwners: what is written can be used by whom it is for, whatever the umask
// and whoever runs the command.
func TestModesAndOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	if _, err := exec.LookPath("setpriv"); err != nil {
		t.Skip("needs setpriv")
	}
	const all = "nobody pm import o/sub/p.db t && nobody pm export o/sub/p.db o/tree && nobody pm copy o/sub/p.db dir:o/copy && nobody pm snapshot o/sub/p.db o/s.db && nobody pm compact o/sub/p.db o/c.db && stat -c '%a %n' o/sub o/sub/p.db o/tree o/tree/a o/tree/a/metadata.json o/copy/b o/copy/b/metadata.json o/s.db o/c.db"
	const modes = "700 o/sub\n600 o/sub/p.db\n700 o/tree\n700 o/tree/a\n600 o/tree/a/metadata.json\n700 o/copy/b\n600 o/copy/b/metadata.json\n600 o/s.db\n600 o/c.db\n"
	many := "i=0; while [ $i -lt 40 ]; do pod t p$i; i=$((i+1)); done; "
	for name, test := range map[string]struct{ script, ends string }{
		"umask 0177": {"chmod -R a+rX t; mkdir -m 777 o; umask 0177; " + all, modes},
		"umask 0777": {"chmod -R a+rX t; mkdir -m 777 o; umask 0777; " + all, modes},
		"umask 0777, editing": {"mkdir -m 777 o; cp p.db o; chown 65534 o/p.db; echo 'echo {\\\"x\\\":1,\\\"pod_name\\\":\\\"a\\\"} >$1' >ed.sh; chmod a+r ed.sh; umask 0777; export TMPDIR=$PWD/o; EDITOR='sed -i s/pod_name/pods/' nobody pm edit o/p.db a; EDITOR=\"sh $PWD/ed.sh\" nobody pm edit o/p.db a; cd o; stat -c '%U %a' podstore-edit-*/metadata.json podstore-edit-*",
			"edited pod a: x\nwarning: podstore does not know the field x; it is kept as it is\nnobody 600\nnobody 700\n"},
		"umask 0":              {"chmod -R a+rX t; mkdir -m 777 o; umask 0; " + all, modes},
		"umask 0777, and many": {many + "chmod -R a+rX t; mkdir -m 777 o; umask 0777; " + all, modes},
		"root for another user": {"chmod -R a+rX t; mkdir o; chown 65534:65533 o; pm import o/sub/p.db t && pm export o/sub/p.db o/tree && pm snapshot o/sub/p.db o/s.db && pm copy o/s.db dir:o/copy && stat -c '%u:%g %a %n' o/sub o/sub/p.db o/tree/a o/tree/a/metadata.json o/s.db o/copy o/copy/b/metadata.json && nobody pm verify o/sub/p.db o/tree",
			"65534:65533 700 o/sub\n65534:65533 600 o/sub/p.db\n65534:65533 700 o/tree/a\n65534:65533 600 o/tree/a/metadata.json\n65534:65533 600 o/s.db\n65534:65533 700 o/copy\n65534:65533 600 o/copy/b/metadata.json\n" +
				"verify: 2 same, 0 differs, 0 not-canonical, 0 missing-in-store, 0 missing-in-directory, 0 unreadable, 0 damaged\n"},
		"root for another user, and many": {many + "pm import --overwrite p.db t; mkdir o; chown 65534:65533 o; pm export p.db o/tree && stat -c '%u:%g %a %n' o/tree o/tree/p7 o/tree/p7/metadata.json",
			"65534:65533 700 o/tree\n65534:65533 700 o/tree/p7\n65534:65533 600 o/tree/p7/metadata.json\n"},
		"what is replaced": {`printf '{"pod_name":"a","x":1}' >t/a/metadata.json; chmod 640 t/a/metadata.json; rm -r t/b; chown -R 65534:65533 t; pm export p.db t && stat -c '%u:%g %a %n' t/a/metadata.json t/b t/b/metadata.json`,
			"65534:65533 640 t/a/metadata.json\n65534:65533 700 t/b\n65534:65533 600 t/b/metadata.json\n"},
		"what a user cannot give back": {`printf '{"pod_name":"a","x":1}' >t/a/metadata.json; chown 65534:65534 t t/a; chmod 777 t/a; chmod 644 p.db t/*/metadata.json; nobody pm export p.db t; stat -c '%u %a %n' t/a/metadata.json`,
			"refused t/a/metadata.json: it cannot be given to its owner, user 0: operation not permitted\nexport: 0 exported, 1 unchanged, 0 pruned, 1 refused, 0 damaged\n0 644 t/a/metadata.json\n"},
		"a group that may write": {"chmod 660 p.db; pm import p.db t; pm list p.db | cut -f 1", "warning: p.db: the group of the file may write it; mode 0660\nimport: 0 imported, 2 unchanged, 0 conflict, 0 refused\na\nb\n"},
		"others that may write":  {"chmod 606 p.db; pm list p.db", "podstore-migrate: open p.db: invalid: others may write it (mode 0606); run chmod o-w on it\n"},
	} {
		t.Run(name, func(t *testing.T) {
			few(t, 6)
			t.Parallel()
			if text, _ := inShell(t, sandbox(t, true), test.script); !strings.HasSuffix(text, test.ends) {
				t.Errorf("it prints\n%s\nand should end with\n%s", text, test.ends)
			}
		})
	}
}

// TestSharedFileSystems has strace change what the kernel says of the file system.
func TestSharedFileSystems(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("needs strace")
	}
	on := func(magic, when, command string) string {
		return fmt.Sprintf("strace -f --seccomp-bpf -qq -o tr -e trace=fstatfs -e inject=fstatfs:poke_exit=@arg2=%s00000000%s %s", magic, when, command)
	}
	const nfs = "69690000"
	text, _ := inShell(t, sandbox(t, false), on(nfs, "", "podstore-migrate import p.db t"))
	if !strings.Contains(text, "NFS") {
		t.Skipf("this strace cannot change what fstatfs says: %s", text)
	}
	for name, test := range map[string]struct {
		script string
		exit   int
		says   string
	}{
		"NFS":                       {on(nfs, "", "podstore-migrate import p.db t"), 1, "network file system \\(NFS\\)(.|\n)*hint: or permit it with --allow-network-fs"},
		"SMB2":                      {on("424d53fe", "", "podstore-migrate import p.db t"), 1, "\\(SMB2\\)"},
		"9p":                        {on("97190201", "", "podstore-migrate import p.db t"), 1, "\\(9p\\)"},
		"FUSE":                      {on("46557365", "", "podstore-migrate import p.db t"), 1, "\\(FUSE"},
		"CephFS":                    {on("0064c300", "", "podstore-migrate import p.db t"), 1, "\\(CephFS\\)"},
		"Lustre":                    {on("d00bd00b", "", "podstore-migrate import p.db t"), 1, "\\(Lustre\\)"},
		"vboxsf":                    {on("56426f78", "", "podstore-migrate import p.db t"), 1, "\\(vboxsf\\)"},
		"edit":                      {on(nfs, "", "podstore-migrate edit --set x=1 p.db a"), 1, "hint: or permit it with --allow-network-fs"},
		"remove, permitted":         {on(nfs, "", "podstore-migrate remove --allow-network-fs p.db a"), 0, "remove: 1 Pod"},
		"prune, only looking":       {on(nfs, "", "podstore-migrate prune --older-than 1d p.db"), 0, "dry run"},
		"one that is not known":     {on("01020304", "", "podstore-migrate import p.db t"), 0, "warning: p.db: .* locks cannot be relied on; file system type 0x4030201\nimport: 0 imported, 2 unchanged"},
		"permitted":                 {on(nfs, "", "podstore-migrate import --allow-network-fs p.db t"), 0, "warning: p.db: .*network file system"},
		"copy":                      {on(nfs, "", "podstore-migrate copy dir:t p.db"), 1, "--allow-network-fs"},
		"a new file":                {on(nfs, "", "podstore-migrate import new/n.db t; [ ! -e new ]"), 0, "\\(NFS\\)"},
		"a new file, strictly":      {on(nfs, "", "podstore-migrate import --strict n.db t; [ ! -e n.db ]"), 0, "\\(NFS\\)"},
		"a backup there is read":    {on(nfs, "", "podstore-migrate list p.db"), 0, "^a\t"},
		"and checked":               {on(nfs, "", "podstore-migrate check p.db"), 0, "no damage"},
		"and restored":              {on(nfs, ":when=1", "podstore-migrate snapshot p.db n.db"), 0, "2 Pods"},
		"a backup is written there": {on(nfs, ":when=2+", "podstore-migrate snapshot p.db n.db"), 0, "2 Pods"},
		"compact into it":           {on(nfs, ":when=2+", "podstore-migrate compact p.db n.db"), 0, "before"},
		"salvage into it":           {on(nfs, ":when=2+", "podstore-migrate salvage p.db n.db"), 0, "2 saved"},
		"export from it and to it":  {on(nfs, "", "podstore-migrate export p.db e"), 0, "2 exported"},
	} {
		t.Run(name, func(t *testing.T) {
			few(t, 8)
			t.Parallel()
			text, code := inShell(t, sandbox(t, false), test.script)
			if code != test.exit || !regexp.MustCompile(test.says).MatchString(text) {
				t.Errorf("exit code %d, want %d and %s\n%s", code, test.exit, test.says, text)
			}
		})
	}
}

// TestNoLockWhileOutputWaits: whoever opens the database does not wait for a pager.
func TestNoLockWhileOutputWaits(t *testing.T) {
	full := filepath.Join(t.TempDir(), "p.db")
	s, err := boltstore.Open(full, nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range 3000 { // more than a pipe holds
		names = append(names, fmt.Sprintf("pod-%s-%d", strings.Repeat("x", 100), i))
	}
	_, err = s.UpdatePods(t.Context(), names, func(pods []*store.Metadata) error {
		for i := range pods {
			pods[i] = new(store.Metadata)
		}
		return nil
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(full)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"list"}, {"list", "--json"}, {"list", "--sort", "-name"}, {"tree"}, {"tree", "--format", "dot"}, {"verify", "DIR"}, {"import", "--dry-run", "DIR"}, {"copy", "--dry-run", "dir:NEW"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			db := filepath.Join(dir, "p.db")
			if err := errors.Join(os.WriteFile(db, data, 0o600), os.Mkdir(filepath.Join(dir, "DIR"), 0o700)); err != nil {
				t.Fatal(err)
			}
			if args[0] == "import" {
				migrate(t, exitDone, "export", db, filepath.Join(dir, "DIR"))
			}
			cmd := exec.Command("podstore-migrate", append([]string{args[0], db}, args[1:]...)...)
			cmd.Dir = dir
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			pager := bufio.NewReader(out)
			if _, err := pager.ReadByte(); err != nil { // it shows its first page
				t.Error(err)
			}
			s, err := boltstore.Open(db, &boltstore.Options{LockTimeout: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if n, err := io.Copy(io.Discard, pager); err != nil || n < 3000*100 {
				t.Errorf("%d bytes, %v", n, err)
			}
			_ = cmd.Wait()
		})
	}
}

// TestIgnoredSignalsStayIgnored: nohup, and jobs in the background of a script, ignore
// signals before they run a program.
func TestIgnoredSignalsStayIgnored(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGHUP} {
		for _, ignored := range []bool{true, false} {
			t.Run(fmt.Sprint(signal, ignored), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				trap := ""
				if ignored {
					trap = fmt.Sprintf("trap '' %d; ", int(signal))
				}
				// It waits for the lock of the database meanwhile.
				s, err := boltstore.Open(filepath.Join(dir, "p.db"), nil)
				if err != nil {
					t.Fatal(err)
				}
				var text bytes.Buffer
				cmd := exec.Command("sh", "-c", trap+"exec podstore-migrate list p.db")
				cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &text, &text
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				waitsForLock(t, cmd.Process.Pid, filepath.Join(dir, "p.db"))
				if err := cmd.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				if ignored {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
				} else {
					defer s.Close()
				}
				_ = cmd.Wait()
				if code := cmd.ProcessState.ExitCode(); (code == exitDone) != ignored || (code == exitInterrupted) == ignored {
					t.Errorf("exit code %d\n%s", code, &text)
				}
			})
		}
	}
}

// waitsForLock waits until a process has opened a file.
func waitsForLock(t *testing.T, pid int, file string) {
	t.Helper()
	for range 1000 {
		links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, link := range links {
			if path, _ := os.Readlink(link); path == file {
				return
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("process %d did not open %s", pid, file)
}
