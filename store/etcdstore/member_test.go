package etcdstore_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"podstore/store"
	"podstore/store/etcdstore"
)

// memberEnv makes a process of this test binary a member of an etcd cluster.
const memberEnv = "PODSTORE_TEST_ETCD_MEMBER"

// memberConfig is the configuration of such a process.
type memberConfig struct {
	Name, Dir, Client, Peer, Cluster string // Client and Peer are URLs
	Advertised                       string // the URL at which the other members find it; "" means Peer
	MaxTxnOps, MaxRequestBytes       uint
	Cert, Key, CA                    string // of the client's side; "" means no TLS
	Quota                            int64
}

func (mc *memberConfig) peerURL() string {
	if mc.Advertised != "" {
		return mc.Advertised
	}
	return mc.Peer
}

func TestMain(m *testing.M) {
	if config := os.Getenv(memberEnv); config != "" {
		if err := serve(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if dir := os.Getenv(supervisorEnv); dir != "" {
		if err := supervise(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	shared.stop()
	os.Exit(code)
}

// serve runs a member until standard input ends, as it does when the test dies.
func serve(config string) error {
	var mc memberConfig
	if err := json.Unmarshal([]byte(config), &mc); err != nil {
		return err
	}
	c := embed.NewConfig()
	c.Name, c.Dir = mc.Name, mc.Dir
	c.LogLevel, c.LogOutputs = "error", []string{"stderr"}
	client, err := url.Parse(mc.Client)
	if err != nil {
		return err
	}
	peer, err := url.Parse(mc.Peer)
	if err != nil {
		return err
	}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	advertised, err := url.Parse(mc.peerURL())
	if err != nil {
		return err
	}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*advertised}
	c.InitialCluster = mc.Cluster
	if mc.MaxTxnOps > 0 {
		c.MaxTxnOps = mc.MaxTxnOps
	}
	if mc.MaxRequestBytes > 0 {
		c.MaxRequestBytes = mc.MaxRequestBytes
	}
	if mc.Quota > 0 {
		c.QuotaBackendBytes = mc.Quota
	}
	if mc.Cert != "" {
		c.ClientTLSInfo.CertFile, c.ClientTLSInfo.KeyFile = mc.Cert, mc.Key
		c.ClientTLSInfo.TrustedCAFile, c.ClientTLSInfo.ClientCertAuth = mc.CA, true
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

// member is a process that serves.
type member struct {
	config memberConfig
	cmd    *exec.Cmd
	stdin  io.Closer
	ready  chan error // closed when it serves, or an error
	stderr *bytes.Buffer
	done   chan struct{}
}

func startMember(mc memberConfig) (*member, error) {
	config, err := json.Marshal(mc)
	if err != nil {
		return nil, err
	}
	m := &member{config: mc, cmd: exec.Command(os.Args[0]), ready: make(chan error, 1), stderr: &bytes.Buffer{}, done: make(chan struct{})}
	m.cmd.Env = append(os.Environ(), memberEnv+"="+string(config), "GOMAXPROCS=2")
	m.cmd.Stderr = m.stderr
	if m.stdin, err = m.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := m.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(m.done)
		line, err := bufio.NewReader(stdout).ReadString('\n')
		if strings.TrimSpace(line) == "ready" {
			err = nil
		}
		if err != nil {
			_ = m.cmd.Wait()
			m.ready <- fmt.Errorf("member %s did not start: %w\n%s", mc.Name, err, m.stderr)
			return
		}
		close(m.ready)
		_ = m.cmd.Wait() // it is killed, or told to end
	}()
	return m, nil
}

// kill ends the process as a power cut would, and waits for its end.
func (m *member) kill() {
	_ = m.cmd.Process.Kill()
	<-m.done
}

// freePorts finds ports on loopback that nobody listens at.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // after all have been found, so that they differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// cluster is a number of members.
type cluster struct {
	dir       string
	members   []*member
	endpoints []string
}

// startCluster starts n members. tune changes their configuration, and started gets
// each process.
func startCluster(n int, tune func(*memberConfig), started ...func(*member)) (_ *cluster, err error) {
	c := &cluster{}
	defer func() {
		if err != nil {
			c.stop()
		}
	}()
	if c.dir, err = os.MkdirTemp("", "podstore-etcd-"); err != nil {
		return nil, err
	}
	ports, err := freePorts(2 * n)
	if err != nil {
		return nil, err
	}
	configs := make([]memberConfig, n)
	var initial []string
	for i := range configs {
		mc := memberConfig{Name: fmt.Sprint("m", i), Client: fmt.Sprintf("http://127.0.0.1:%d", ports[2*i]), Peer: fmt.Sprintf("http://127.0.0.1:%d", ports[2*i+1])}
		mc.Dir = filepath.Join(c.dir, mc.Name)
		if tune != nil {
			tune(&mc)
		}
		initial = append(initial, mc.Name+"="+mc.peerURL())
		configs[i] = mc
	}
	for _, mc := range configs {
		mc.Cluster = strings.Join(initial, ",")
		m, err := startMember(mc)
		if err != nil {
			return nil, err
		}
		c.members = append(c.members, m)
		for _, f := range started {
			f(m)
		}
		c.endpoints = append(c.endpoints, mc.Client)
	}
	for _, m := range c.members {
		select {
		case err := <-m.ready:
			if err != nil {
				return nil, err
			}
		case <-time.After(time.Minute):
			return nil, fmt.Errorf("member %s is not ready", m.config.Name)
		}
	}
	return c, nil
}

func (c *cluster) stop() {
	if c == nil {
		return
	}
	for _, m := range c.members {
		m.kill()
	}
	_ = os.RemoveAll(c.dir)
}

// restart starts a killed member again on its data.
func (c *cluster) restart(t *testing.T, i int) {
	t.Helper()
	m, err := startMember(c.members[i].config)
	if err != nil {
		t.Fatal(err)
	}
	c.members[i] = m
	select {
	case err := <-m.ready:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("a member that was restarted is not ready")
	}
}

func newCluster(t testing.TB, n int, tune func(*memberConfig), started ...func(*member)) *cluster {
	t.Helper()
	c, err := startCluster(n, tune, started...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.stop)
	return c
}

// shared returns a server of one member with the default limits, for all tests that
// leave it as it is. The first of them starts it.
var shared *cluster

func sharedServer(t testing.TB) *cluster {
	t.Helper()
	if shared == nil {
		c, err := startCluster(1, nil)
		if err != nil {
			t.Fatal(err)
		}
		shared = c
	}
	return shared
}

// newClient returns a client that is closed when the test ends.
func newClient(t testing.TB, tune func(*clientv3.Config), endpoints ...string) *clientv3.Client {
	t.Helper()
	config := clientv3.Config{
		Endpoints: endpoints, Logger: zap.NewNop(), DialTimeout: 10 * time.Second,
		DialKeepAliveTime: time.Second, DialKeepAliveTimeout: 2 * time.Second,
	}
	if tune != nil {
		tune(&config)
	}
	client, err := clientv3.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// newStore returns a store below a prefix of its own.
func newStore(t testing.TB, client *clientv3.Client, opts *etcdstore.Options) *etcdstore.Store {
	t.Helper()
	s, err := etcdstore.New(client, fmt.Sprintf("/test/%s/%d", strings.ReplaceAll(t.Name(), " ", "_"), time.Now().UnixNano()), opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// check fails the test unless everything below the prefix is sound.
func check(t testing.TB, s *etcdstore.Store) {
	t.Helper()
	if _, err := s.Check(context.Background(), func(err error) { t.Errorf("check finds: %v", err) }); err != nil {
		t.Errorf("check: %v", err)
	}
}

// keys is everything below the prefix.
func keys(t testing.TB, client *clientv3.Client, prefix string) *clientv3.GetResponse {
	t.Helper()
	resp, err := client.Get(context.Background(), prefix, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// put writes Pods.
func put(t testing.TB, s store.MetadataStore, pods ...*store.Metadata) {
	t.Helper()
	for _, m := range pods {
		if err := store.Write(context.Background(), s, m); err != nil {
			t.Fatal(err)
		}
	}
}
