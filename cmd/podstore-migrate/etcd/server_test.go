package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.etcd.io/etcd/server/v3/embed"
)

// serverEnv makes a process of this test binary an etcd.
const serverEnv = "PODSTORE_TEST_ETCD_SERVER"

// serverConfig is what such a process is told.
type serverConfig struct {
	Dir, Client, Peer string // Client and Peer are URLs
	CA, Cert, Key     string // "" means no TLS
}

// program is the command, built for these tests.
var program string

func TestMain(m *testing.M) {
	if config := os.Getenv(serverEnv); config != "" {
		if err := serve(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "podstore-migrate-etcd-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	program = filepath.Join(dir, "podstore-migrate-etcd")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		return 1, fmt.Errorf("%w\n%s", err, out)
	}
	return m.Run(), nil
}

// serve runs an etcd until standard input ends, as it does when the test dies.
func serve(config string) error {
	var sc serverConfig
	if err := json.Unmarshal([]byte(config), &sc); err != nil {
		return err
	}
	c := embed.NewConfig()
	c.Name, c.Dir = "m", sc.Dir
	c.LogLevel, c.LogOutputs = "error", []string{"stderr"}
	client, err := url.Parse(sc.Client)
	if err != nil {
		return err
	}
	peer, err := url.Parse(sc.Peer)
	if err != nil {
		return err
	}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	c.InitialCluster = "m=" + sc.Peer
	if sc.Cert != "" {
		c.ClientTLSInfo.CertFile, c.ClientTLSInfo.KeyFile = sc.Cert, sc.Key
		c.ClientTLSInfo.TrustedCAFile, c.ClientTLSInfo.ClientCertAuth = sc.CA, true
	}
	e, err := embed.StartEtcd(c)
	if err != nil {
		return err
	}
	defer e.Close()
	<-e.Server.ReadyNotify()
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// startServer starts an etcd of its own for a test and returns its HOST:PORT.
func startServer(t *testing.T, ca, cert, key string) string {
	t.Helper()
	hosts := freePorts(t)
	sc := serverConfig{Dir: t.TempDir(), Client: "http://" + hosts[0], Peer: "http://" + hosts[1], CA: ca, Cert: cert, Key: key}
	if cert != "" {
		sc.Client = "https://" + hosts[0]
	}
	config, err := json.Marshal(sc)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverEnv+"="+string(config))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = stdin.Close()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Fatalf("etcd says %q (%v)\n%s", line, err, &stderr)
	}
	return hosts[0]
}

// freePorts are two addresses on loopback that nobody listens at.
func freePorts(t *testing.T) (hosts []string) {
	t.Helper()
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // after both have been found, so that they differ
		hosts = append(hosts, l.Addr().String())
	}
	return hosts
}
