#!/bin/sh
# Moves the example tree into podstore, looks at it, lets a small supervisor
# change it, and moves it back. `make demo` runs it in the repository's root.
set -eu
exec 2>&1 # one stream: messages stand where they belong

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
PATH=$PWD/bin:$tmp:$PATH

# run shows a command and runs it.
run() {
	echo "\$ $*"
	"$@"
}

# step says what the next commands are for.
step() { printf '\n# %s\n' "$1"; }

run ${GO:-go} build -o "$tmp" ./examples/supervisor
run cp -R testdata/example/pods "$tmp"
run cd "$tmp"

step 'A tree of JSON directories goes into one database file.'
run podstore-migrate import pods.db pods
run podstore-migrate verify pods.db pods
step 'Name, session, segment, children, reclaimed, peers, bytes of the manifest, changed:'
run podstore-migrate list pods.db
run podstore-migrate show pods.db scout
echo # show prints the very bytes of metadata.json, which end without a newline
run podstore-migrate tree pods.db

step 'A supervisor restores its Pods by name, spawns two, links them, reclaims one.'
run supervisor pods.db
run podstore-migrate tree pods.db

step 'And back to JSON directories, byte for byte.'
run podstore-migrate export pods.db exported
run podstore-migrate verify pods.db exported
step 'Every page, checksum and record of the file is checked.'
run podstore-migrate check pods.db
