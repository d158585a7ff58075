package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// certificates writes a certificate authority and one certificate that serves
// both sides, and returns the paths.
func certificates(t *testing.T) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	sign := func(template, parent *x509.Certificate, public *ecdsa.PublicKey, signer *ecdsa.PrivateKey) []byte {
		der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	now := time.Now()
	authorityKey, bothKey := newKey(), newKey()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"podstore test authority"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	both := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{Organization: []string{"podstore test"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	private, err := x509.MarshalPKCS8PrivateKey(bothKey)
	if err != nil {
		t.Fatal(err)
	}
	return write("ca", "CERTIFICATE", sign(authority, authority, &authorityKey.PublicKey, authorityKey)),
		write("cert", "CERTIFICATE", sign(both, authority, &bothKey.PublicKey, authorityKey)),
		write("key", "PRIVATE KEY", private)
}

// TestTLSAndUsers: the environment says how to connect, by etcdctl's names, and a
// user who may no more than use the prefix can do everything.
func TestTLSAndUsers(t *testing.T) {
	ca, cert, key := certificates(t)
	host := startServer(t, ca, cert, key)
	tls := []string{"ETCDCTL_CACERT=" + ca, "ETCDCTL_CERT=" + cert, "ETCDCTL_KEY=" + key}
	for _, variable := range tls {
		t.Setenv(variable[:strings.Index(variable, "=")], variable[strings.Index(variable, "=")+1:])
	}
	config, err := configure([]string{host})
	if err != nil {
		t.Fatal(err)
	}
	admin, err := clientv3.New(config)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	ctx := context.Background()
	for _, setup := range []func() error{
		func() error { _, err := admin.RoleAdd(ctx, "pods"); return err },
		func() error {
			_, err := admin.RoleGrantPermission(ctx, "pods", "/pods/", clientv3.GetPrefixRangeEnd("/pods/"), clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := admin.RoleAdd(ctx, "root"); return err },
		func() error { _, err := admin.UserAdd(ctx, "root", "r"); return err },
		func() error { _, err := admin.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := admin.UserAdd(ctx, "mover", "secret"); return err },
		func() error { _, err := admin.UserGrantRole(ctx, "mover", "pods"); return err },
		func() error { _, err := admin.AuthEnable(ctx); return err },
	} {
		if err := setup(); err != nil {
			t.Fatal(err)
		}
	}
	tree := writeTree(t, 20)
	etcd := "etcd://" + host + "/pods"
	mover := []string{"ETCDCTL_USER=mover", "ETCDCTL_PASSWORD=secret"}
	migrateWith(t, mover, 0, "copy", "dir:"+tree, etcd)
	migrateWith(t, []string{"ETCDCTL_USER=mover:secret"}, 0, "verify", etcd, tree)
	for _, test := range []struct {
		exit int
		text string
		env  []string
		args []string
	}{
		{1, "permission denied", mover, []string{"list", "etcd://" + host + "/other"}},
		{1, "permission denied", mover, []string{"copy", "dir:" + tree, "etcd://" + host + "/other"}},
		{1, "invalid user ID or password", []string{"ETCDCTL_USER=mover", "ETCDCTL_PASSWORD=wrong"}, []string{"list", etcd}},
		{1, "permission denied", nil, []string{"list", etcd}},
		{2, "ETCDCTL_USER is set and ETCDCTL_PASSWORD is not", []string{"ETCDCTL_USER=mover"}, []string{"list", etcd}},
		{2, "ETCDCTL_PASSWORD is set and ETCDCTL_USER is not", []string{"ETCDCTL_PASSWORD=secret"}, []string{"list", etcd}},
		{2, "ETCDCTL_CERT and ETCDCTL_KEY belong together", []string{"ETCDCTL_KEY="}, []string{"list", etcd}},
		{2, "ETCDCTL_CACERT: open /nowhere: no such file or directory", []string{"ETCDCTL_CACERT=/nowhere"}, []string{"list", etcd}},
		{2, "has no certificate in PEM", []string{"ETCDCTL_CACERT=" + key}, []string{"list", etcd}},
		{2, `ETCDCTL_INSECURE_TRANSPORT is "maybe"`, []string{"ETCDCTL_INSECURE_TRANSPORT=maybe"}, []string{"list", etcd}},
		// A server that nobody vouches for, and one that wants TLS.
		{1, "certificate signed by unknown authority", append(mover, "ETCDCTL_CACERT="), []string{"list", etcd}},
		{1, " gives no answer; if it expects TLS, set ETCDCTL_CACERT", append(mover, "ETCDCTL_CACERT=", "ETCDCTL_CERT=", "ETCDCTL_KEY="), []string{"list", etcd}},
	} {
		stdout, stderr := migrateWith(t, test.env, test.exit, test.args...)
		contains(t, stdout+stderr, test.text)
		if strings.Contains(stdout+stderr, "secret") {
			t.Errorf("%q: the password is in\n%s%s", test.args, stdout, stderr)
		}
	}

	// TLS with the system's certificates.
	for variable, wanted := range map[string]bool{"": false, "true": false, "false": true} {
		for _, other := range []string{envCA, envCert, envKey} {
			t.Setenv(other, "")
		}
		t.Setenv(envPlain, variable)
		if config, err := configure([]string{host}); err != nil || (config.TLS != nil) != wanted {
			t.Errorf("%s=%s: %v, %v", envPlain, variable, config.TLS, err)
		}
	}
}
