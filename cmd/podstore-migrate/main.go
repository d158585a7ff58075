// Podstore-migrate moves Pod metadata between podstore databases and the JSON
// directory layout, and looks inside both.
package main

import (
	"os"

	"podstore/cmd/podstore-migrate/internal/cli"
)

func main() { os.Exit(cli.Main("podstore-migrate")) }
