// Podstore-migrate-etcd is podstore-migrate with etcd as a place for Pods. It is a module
// of its own, so that other users need neither etcd's client nor gRPC:
//
//	cd cmd/podstore-migrate/etcd && go build -o podstore-migrate-etcd .
package main

import (
	"os"

	"podstore/cmd/podstore-migrate/internal/cli"
)

const help = `An address etcd://HOST:PORT[,HOST:PORT...]/PREFIX names the store whose keys begin
with /PREFIX/. Everything else that is needed to connect comes from the environment, in
the variables of etcdctl:
  ETCDCTL_CACERT     trust servers with a certificate from this file's authorities
  ETCDCTL_CERT       present the certificate in this file
  ETCDCTL_KEY        its key, in this file
  ETCDCTL_USER       connect as this user, NAME or NAME:PASSWORD
  ETCDCTL_PASSWORD   the user's password
  ETCDCTL_INSECURE_TRANSPORT=false
                     use TLS even if none of the files is given
Any of the three files makes the connection use TLS.`

func main() {
	os.Exit(cli.Main("podstore-migrate-etcd", cli.Scheme{Name: "etcd", Help: help, Open: open}))
}
