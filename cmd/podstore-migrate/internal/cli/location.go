package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"podstore/store"
)

// The prefixes of arguments that do not name a database file.
const (
	dirPrefix    = "dir:"
	socketPrefix = "unix:"
)

// Scheme is a kind of store that only some builds of the command have. Addresses
// begin with its name and "://".
type Scheme struct {
	Name string
	Help string // paragraphs for the help of the whole command
	// Open connects to the store at an address, which includes the scheme, and makes
	// sure that the store answers. The error matches store.ErrInvalid if the address or
	// the settings are wrong, and store.ErrNotFound if reading is set and there is no
	// store.
	Open func(ctx context.Context, address string, reading bool) (store.MetadataStore, io.Closer, error)
}

// locationKind is the kind of a place with Pods.
type locationKind int

const (
	kindFile locationKind = iota
	kindDirectory
	kindSocket
	kindServers
)

// String is what a message calls such a place.
func (k locationKind) String() string {
	return [...]string{"a database file", "a directory", "a socket", "kept by servers"}[k]
}

// location is one place with Pods, as the command line names it.
type location struct {
	arg    string
	kind   locationKind
	path   string // of the file, directory or socket
	scheme *Scheme
}

var schemePattern = regexp.MustCompile(`^([a-z][a-z0-9+.-]*)://`)

// parseLocation parses an argument that names a place.
func (c *console) parseLocation(arg string) (location, error) {
	for prefix, kind := range map[string]locationKind{dirPrefix: kindDirectory, socketPrefix: kindSocket} {
		if path, ok := strings.CutPrefix(arg, prefix); ok {
			if path == "" {
				return location{}, c.misuse("%s lacks a path", arg)
			}
			longest := len(syscall.RawSockaddrUnix{}.Path) - 1
			if kind == kindSocket && len(path) > longest {
				return location{}, &store.Error{Op: "open", Path: arg, Kind: store.ErrInvalid,
					Err: fmt.Errorf("a socket's path may have %d bytes, and this one has %d; give a shorter one, such as that of a link, or a relative one", longest, len(path))}
			}
			return location{arg: arg, kind: kind, path: path}, nil
		}
	}
	m := schemePattern.FindStringSubmatch(arg)
	if m == nil {
		for _, scheme := range append([]Scheme{{Name: "etcd"}}, c.schemes...) {
			if strings.HasPrefix(arg, scheme.Name+":") {
				return location{}, c.misuse("%s lacks a slash: an address begins with %s://; a file of that name is written ./%s", place(nil, arg), scheme.Name, place(nil, arg))
			}
		}
		return location{arg: arg, kind: kindFile, path: arg}, nil
	}
	for i, s := range c.schemes {
		if s.Name == m[1] {
			return location{arg: arg, kind: kindServers, scheme: &c.schemes[i]}, nil
		}
	}
	if m[1] == "etcd" {
		return location{}, c.misuse("this build knows no %s; podstore-migrate-etcd does: make build-etcd", m[0])
	}
	return location{}, c.misuse("%s is not known here; a file of that name is written ./%s", m[0], arg)
}

// misuse is the error for a command line that is wrong.
func (c *console) misuse(format string, args ...any) error {
	return &usageError{c.program + " " + c.command, fmt.Errorf(format, args...)}
}

// fileLocation parses an argument that must name a database file, or a socket. Other places
// have no pages, and the commands that call this work on pages.
func (c *console) fileLocation(arg string) (location, error) {
	s, err := c.parseLocation(arg)
	if err == nil && (s.kind == kindDirectory || s.kind == kindServers) {
		err = c.misuse("%s works on a database file or unix:SOCKET, and %s is %v", c.command, arg, s.kind)
	}
	return s, err
}

// writable refuses an argument that does not name a database file, for commands that write
// one.
func (c *console) writable(arg string) error {
	s, err := c.parseLocation(arg)
	if err == nil && s.kind != kindFile {
		err = c.misuse("%s writes a database file, and %s is %v; see also copy", c.command, arg, s.kind)
	}
	return err
}

// directory is the path of an argument that must name a directory of Pods.
func (c *console) directory(arg string) (string, error) {
	s, err := c.parseLocation(arg)
	if err == nil && (s.kind == kindSocket || s.kind == kindServers) {
		err = c.misuse("%s takes a directory, and %s is %v; see also copy", c.command, arg, s.kind)
	}
	return s.path, err
}

// same reports whether two arguments name the same place, as far as that can be found out.
func (s location) same(other location) bool {
	if s.kind != other.kind {
		return false
	}
	if s.kind == kindServers {
		return strings.TrimRight(s.arg, "/") == strings.TrimRight(other.arg, "/")
	}
	a, errA := os.Stat(s.path)
	b, errB := os.Stat(other.path)
	if errA == nil && errB == nil {
		return os.SameFile(a, b)
	}
	absA, errA := filepath.Abs(s.path)
	absB, errB := filepath.Abs(other.path)
	return errA == nil && errB == nil && absA == absB
}

// within reports whether one of two directories is below the other, so that writing one
// would change the other.
func (s location) within(other location) bool {
	if s.kind != kindDirectory || other.kind != kindDirectory {
		return false
	}
	a, b := resolved(s.path), resolved(other.path)
	for _, r := range [][2]string{{a, b}, {b, a}} {
		rel, err := filepath.Rel(r[0], r[1])
		if err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return true
		}
	}
	return false
}

// resolved is an absolute path without links, as far as the path exists.
func resolved(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	rest := ""
	for p := abs; ; p = filepath.Dir(p) {
		if real, err := filepath.EvalSymlinks(p); err == nil {
			return filepath.Join(real, rest)
		}
		if p == filepath.Dir(p) {
			return abs
		}
		rest = filepath.Join(filepath.Base(p), rest)
	}
}

// isSocket reports whether a socket stands where a database file was meant.
func (s location) isSocket() bool {
	info, err := os.Stat(s.path)
	return s.kind == kindFile && err == nil && info.Mode().Type() == os.ModeSocket
}

// isDirectory reports whether a directory stands where a database file was meant.
func (s location) isDirectory() bool {
	info, err := os.Stat(s.path)
	return s.kind == kindFile && err == nil && info.IsDir()
}

// name is what a message calls the place: the argument, on one line.
func (s location) name() string { return place(nil, s.arg) }

// inMessage is what a message about one Pod calls the place.
func (s location) inMessage() string {
	if s.kind == kindFile || s.kind == kindSocket {
		return "the database"
	}
	return s.name()
}
