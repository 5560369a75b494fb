package benchkit

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// Conn is the client's side of one connection: it sends requests that are ready as
// octets and reads answers with a Content-Length, with as little work as can be, so
// that the server is what is measured.
type Conn struct {
	c net.Conn
	r *bufio.Reader
	// Body is that of the last answer. It is overwritten by the next.
	Body []byte
}

// Dial connects to a server.
func Dial(addr string) (*Conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Conn{c: c, r: bufio.NewReaderSize(c, 32<<10)}, nil
}

// Close ends the connection.
func (c *Conn) Close() error { return c.c.Close() }

var contentLength = []byte("content-length:")

// StatusError is an answer whose status is not 200. Its body is not read.
type StatusError struct{ Status int }

func (e *StatusError) Error() string { return "answer " + strconv.Itoa(e.Status) }

// Ask sends one request and reads the answer; where its status is not 200, the
// error is a *StatusError and the connection is of no more use.
func (c *Conn) Ask(request []byte) error {
	if _, err := c.c.Write(request); err != nil {
		return err
	}
	size := -1
	for first := true; ; first = false {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && (len(line) < 12 || string(line[9:12]) != "200") {
			if status, err := strconv.Atoi(string(line[min(len(line), 9):min(len(line), 12)])); err == nil {
				return &StatusError{status}
			}
			return fmt.Errorf("answer %q", line)
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		if len(line) > len(contentLength) && bytes.EqualFold(line[:len(contentLength)], contentLength) {
			if size, err = strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):]))); err != nil {
				return err
			}
		}
		if size < 0 && bytes.EqualFold(line, []byte("transfer-encoding: chunked")) {
			return c.chunked()
		}
	}
	if size < 0 {
		return fmt.Errorf("an answer without Content-Length")
	}
	if cap(c.Body) < size {
		c.Body = make([]byte, size)
	}
	c.Body = c.Body[:size]
	_, err := io.ReadFull(c.r, c.Body)
	return err
}

// chunked reads a body of chunks, to the end of the header first.
func (c *Conn) chunked() error {
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			break
		}
	}
	c.Body = c.Body[:0]
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(string(bytes.TrimRight(line, "\r\n")), 16, 31)
		if err != nil {
			return err
		}
		at := len(c.Body)
		if need := at + int(n) + 2; cap(c.Body) < need {
			c.Body = append(make([]byte, 0, 2*need), c.Body...)
		}
		c.Body = c.Body[:at+int(n)+2] // with the line's end after the chunk
		if _, err := io.ReadFull(c.r, c.Body[at:]); err != nil {
			return err
		}
		c.Body = c.Body[:at+int(n)]
		if n == 0 {
			return nil
		}
	}
}

// Rate asks over many connections for a while and returns answers a second. Each
// connection takes its turn through the requests from a place of its own.
func Rate(addr string, connections int, span time.Duration, requests [][]byte) (float64, error) {
	var wg sync.WaitGroup
	counts, errs := make([]int, connections), make([]error, connections)
	conns := make([]*Conn, connections)
	for i := range conns {
		c, err := Dial(addr)
		if err != nil {
			return 0, err
		}
		defer c.c.Close()
		conns[i] = c
	}
	start := time.Now()
	end := start.Add(span)
	for i, c := range conns {
		wg.Go(func() {
			for at := i * len(requests) / connections; ; at++ {
				if errs[i] = c.Ask(requests[at%len(requests)]); errs[i] != nil {
					return
				}
				if counts[i]++; counts[i]&31 == 0 && time.Now().After(end) {
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	sum := 0
	for i := range counts {
		if errs[i] != nil {
			return 0, errs[i]
		}
		sum += counts[i]
	}
	return float64(sum) / took.Seconds(), nil
}
