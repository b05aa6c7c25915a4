package emulator

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// delay adds half of the round-trip time to each direction of a connection, without
// holding back what follows.
func delay(c net.Conn, rtt time.Duration) net.Conn {
	d := &delayed{Conn: c, half: rtt / 2, in: make(chan parcel, 256), out: make(chan parcel, 256), quit: make(chan struct{})}
	d.wg.Go(d.pump)
	d.wg.Go(d.drain)
	return d
}

type parcel struct {
	due  time.Time
	data []byte
	err  error
}

type delayed struct {
	net.Conn
	half    time.Duration
	in, out chan parcel
	quit    chan struct{}
	once    sync.Once
	wg      sync.WaitGroup
	rest    []byte

	mu       sync.Mutex
	deadline time.Time
}

func (d *delayed) pump() {
	buf := make([]byte, 32<<10)
	for {
		n, err := d.Conn.Read(buf)
		p := parcel{due: time.Now().Add(d.half), err: err}
		p.data = append(p.data, buf[:n]...)
		select {
		case d.in <- p:
		case <-d.quit:
			return
		}
		if err != nil {
			return
		}
	}
}

func (d *delayed) drain() {
	for {
		select {
		case p := <-d.out:
			if !d.wait(p.due) {
				return
			}
			if _, err := d.Conn.Write(p.data); err != nil {
				return
			}
		case <-d.quit:
			return
		}
	}
}

func (d *delayed) wait(due time.Time) bool {
	t := time.NewTimer(time.Until(due))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-d.quit:
		return false
	}
}

func (d *delayed) Read(b []byte) (int, error) {
	if len(d.rest) == 0 {
		d.mu.Lock()
		deadline := d.deadline
		d.mu.Unlock()
		var expire <-chan time.Time
		if !deadline.IsZero() {
			t := time.NewTimer(time.Until(deadline))
			defer t.Stop()
			expire = t.C
		}
		select {
		case p := <-d.in:
			if !d.wait(p.due) {
				return 0, net.ErrClosed
			}
			if p.err != nil && len(p.data) == 0 {
				return 0, io.EOF
			}
			d.rest = p.data
		case <-expire:
			return 0, os.ErrDeadlineExceeded
		case <-d.quit:
			return 0, net.ErrClosed
		}
	}
	n := copy(b, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

func (d *delayed) Write(b []byte) (int, error) {
	p := parcel{due: time.Now().Add(d.half), data: append([]byte(nil), b...)}
	select {
	case d.out <- p:
		return len(b), nil
	case <-d.quit:
		return 0, net.ErrClosed
	}
}

func (d *delayed) SetDeadline(t time.Time) error {
	d.mu.Lock()
	d.deadline = t
	d.mu.Unlock()
	return nil
}

// Close gives what was written time to leave, then closes.
func (d *delayed) Close() error {
	var err error
	d.once.Do(func() {
		for i := 0; i < 100 && len(d.out) > 0; i++ {
			time.Sleep(d.half / 20)
		}
		time.Sleep(d.half)
		close(d.quit)
		err = d.Conn.Close()
		d.wg.Wait()
	})
	return err
}
