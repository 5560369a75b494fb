package store

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ids(s *Store) (ids []string) {
	for _, p := range s.Peers() {
		ids = append(ids, p.ID)
	}
	return ids
}

func TestPeersAreThereAgainAfterARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "state")
	s := open(t, dir)
	for _, id := range []string{"a", "b", "c"} {
		if err := s.PutPeer(Peer{id, json.RawMessage(`{"address":"192.0.2.1"}`)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutPeer(Peer{"a", json.RawMessage(`{"address":"192.0.2.9"}`)}); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.DeletePeer("b"); !ok || err != nil {
		t.Fatalf("delete: %v %v", ok, err)
	}
	if ok, err := s.DeletePeer("b"); ok || err != nil {
		t.Fatalf("delete again: %v %v", ok, err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "another ribd") {
		t.Errorf("a second process gets in: %v", err)
	}
	s.Close()
	s = open(t, dir)
	defer s.Close()
	if got, want := ids(s), []string{"c", "a"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	var body struct{ Address string }
	if err := json.Unmarshal(s.Peers()[1].Body, &body); err != nil || body.Address != "192.0.2.9" {
		t.Errorf("got %+v, %v", body, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.new"))
	if err != nil || len(left) > 0 {
		t.Errorf("files are left: %v %v", left, err)
	}
}

func TestADamagedFileIsNamedAndKept(t *testing.T) {
	for body, want := range map[string]string{`{"version":1,"pe`: "is damaged", `{"version":2}`: "version 2"} {
		dir := t.TempDir()
		path := filepath.Join(dir, peersFile)
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v", body, err)
		}
		if b, _ := os.ReadFile(path); string(b) != body {
			t.Errorf("the file has changed: %q", b)
		}
	}
}

func TestAChangeThatCannotBeKeptIsAnError(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	if err := os.Mkdir(filepath.Join(dir, peersFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.PutPeer(Peer{"a", json.RawMessage(`{}`)}); err == nil {
		t.Error("no error")
	}
	if len(ids(s)) != 0 {
		t.Error("the peer is there though it is not kept")
	}
}
