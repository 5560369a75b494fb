package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

const (
	peersFile = "peers.json"
	lockFile  = "lock"
	version   = 1
)

// Peer is a peer that came by the API: the id that it is known by, and the
// object that described it.
type Peer struct {
	ID   string          `json:"id"`
	Body json.RawMessage `json:"peer"`
}

// contents is the form of peersFile.
type contents struct {
	Version int    `json:"version"`
	Peers   []Peer `json:"peers"`
}

// Store is an open folder. Its methods are for any goroutine.
type Store struct {
	dir  string
	lock *os.File

	mu    sync.Mutex
	peers []Peer
}

// Open opens a folder, which it makes where it is missing, reads what is in it
// and keeps other processes out until Close.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("persist: %w", err)
	}
	if err := syncDir(filepath.Dir(dir)); err != nil { // the folder's own name
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("persist: %w", err)
	}
	if err := exclusive(lock); err != nil {
		lock.Close()
		return nil, fmt.Errorf("persist: %s is in use by another ribd", dir)
	}
	s := &Store{dir: dir, lock: lock}
	if err := s.read(); err != nil {
		lock.Close()
		return nil, err
	}
	return s, nil
}

// Close lets other processes in.
func (s *Store) Close() error { return s.lock.Close() }

func (s *Store) read() error {
	path := filepath.Join(s.dir, peersFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("persist: %w", err)
	}
	var c contents
	if err := json.Unmarshal(b, &c); err != nil {
		return fmt.Errorf("persist: %s is damaged (%w): mend it, or move it away to start without the peers that the API added", path, err)
	}
	if c.Version != version {
		return fmt.Errorf("persist: %s has version %d, and this ribd reads version %d", path, c.Version, version)
	}
	s.peers = c.Peers
	return nil
}

// Peers returns the peers, in the order in which they came.
func (s *Store) Peers() []Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.peers)
}

// PutPeer keeps a peer, in the place of the one with its id.
func (s *Store) PutPeer(p Peer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(s.peers), func(o Peer) bool { return o.ID == p.ID })
	return s.write(append(next, p))
}

// DeletePeer forgets a peer; ok is false where there is none with the id.
func (s *Store) DeletePeer(id string) (ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(s.peers), func(o Peer) bool { return o.ID == id })
	if len(next) == len(s.peers) {
		return false, nil
	}
	return true, s.write(next)
}

// write makes the peers what the file says: a new file, forced to the disk,
// takes the old one's place.
func (s *Store) write(peers []Peer) error {
	b, err := json.MarshalIndent(contents{version, peers}, "", "  ")
	if err != nil {
		return fmt.Errorf("persist: %w", err)
	}
	path := filepath.Join(s.dir, peersFile)
	f, err := os.CreateTemp(s.dir, strings.TrimSuffix(peersFile, ".json")+"-*.new")
	if err != nil {
		return fmt.Errorf("persist: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("persist: %w", err)
	}
	s.peers = peers
	return syncDir(s.dir)
}

// syncDir forces the names in a folder to the disk, where that can be asked.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrInvalid) {
		return fmt.Errorf("persist: %w", err)
	}
	return nil
}
