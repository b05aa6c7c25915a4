// Package postgrestest runs a PostgreSQL server of its own for tests that must hold on
// both stores. In comes nothing, out goes an address on loopback; only tests import it.
package postgrestest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Start runs a server until stop. dsn is postgres://vpnbot@127.0.0.1:PORT/, to which a
// database's name is added ("postgres" is there). An error says why there is none, for
// instance that PostgreSQL is not installed.
func Start() (dsn string, stop func(), err error) {
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(bins) == 0 {
		return "", nil, errors.New("no /usr/lib/postgresql/*/bin")
	}
	bin := bins[len(bins)-1]
	dir, err := os.MkdirTemp("", "vpnbot-pg")
	if err != nil {
		return "", nil, err
	}
	cred := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 { // the server refuses to run as root
		u, err := user.Lookup("nobody")
		if err != nil {
			return "", nil, err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			return "", nil, err
		}
		cred.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	clean := func() { os.RemoveAll(dir) }
	init := exec.Command(filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"), "-A", "trust", "-U", "vpnbot", "-E", "UTF8", "--no-locale", "-N")
	init.SysProcAttr, init.Dir = &syscall.SysProcAttr{Credential: cred.Credential}, dir
	if out, err := init.CombinedOutput(); err != nil {
		clean()
		return "", nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		clean()
		return "", nil, err
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	l.Close()
	srv := exec.Command(filepath.Join(bin, "postgres"), "-D", filepath.Join(dir, "data"), "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="+dir, "-c", "fsync=off", "-c", "max_connections=200")
	srv.SysProcAttr, srv.Dir = cred, dir
	if err := srv.Start(); err != nil {
		clean()
		return "", nil, err
	}
	stop = func() {
		srv.Process.Signal(syscall.SIGINT)
		srv.Wait()
		clean()
	}
	for range 100 {
		if exec.Command(filepath.Join(bin, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", port).Run() == nil {
			return "postgres://vpnbot@127.0.0.1:" + port + "/", stop, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	stop()
	return "", nil, errors.New("the server did not come up")
}
