// Podstore-migrate-ui is podstore-migrate with ui, a live tree of Pods in the
// terminal. It is a module of its own, so that no other program needs the libraries that
// draw it:
//
//	cd cmd/podstore-migrate/ui && go build -o podstore-migrate-ui .
package main

import (
	"os"

	"podstore/cmd/podstore-migrate/internal/cli"
)

func main() { os.Exit(cli.Main("podstore-migrate-ui", cli.Viewer{View: view})) }
