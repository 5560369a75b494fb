package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"weak"

	"ribd/engine/config"
	"ribd/shard/rib"
	"ribd/trie"
)

// The policies that are there without being defined.
const (
	AcceptAll = "accept-all"
	RejectAll = "reject-all"
)

// Set is the policies of one configuration. Any goroutine may use it.
type Set struct {
	file     string
	attrs    *rib.Attrs
	nlri     func(trie.Key) ([]byte, bool)
	policies map[string]*policy
	room     memoRoom
	report   atomic.Pointer[func(Failure)]

	mu    sync.Mutex
	cores map[string]weak.Pointer[core]
}

// Compile compiles the policies of a configuration. It returns all that is wrong
// with them, and a Set only where nothing is. attrs holds the attribute sets of
// the routes to be judged, and nlri returns the canonical octets of the key of a
// Flow Spec rule; both are nil where a configuration is only checked.
func Compile(cfg *config.Config, attrs *rib.Attrs, nlri func(trie.Key) ([]byte, bool)) (*Set, config.Problems) {
	c := newCompiler(cfg)
	s := &Set{file: cfg.File, attrs: attrs, nlri: nlri, policies: map[string]*policy{}, cores: map[string]weak.Pointer[core]{}}
	s.room.left.Store(memoTotal)
	for name, terms := range cfg.Policies {
		s.policies[name] = c.policy(name, terms, s.tell)
	}
	if len(c.problems) > 0 {
		return nil, sortProblems(c.problems)
	}
	return s, nil
}

func (c *compiler) policy(name string, terms config.Policy, tell func(policy string, t *term)) *policy {
	p := &policy{name: name}
	if len(terms) > maxTerms {
		c.problems = append(c.problems, config.Problem{File: c.cfg.File, Line: terms[maxTerms].Line, Col: 1,
			Text: fmt.Sprintf("policies.%s: there are %d terms: a policy has %d at most", name, len(terms), maxTerms)})
		return p
	}
	hash := sha256.New()
	for i := range terms {
		ct := &terms[i]
		t := &term{number: i + 1, line: ct.Line, verdict: ct.Verdict, actions: newActions(&ct.Then)}
		t.told = func(t *term) { tell(name, t) }
		if ct.If != "" {
			c.condition(fmt.Sprintf("policies.%s[%d].if: ", name, i), ct, t)
		}
		p.terms = append(p.terms, t)
		if t.cond != nil {
			p.deps |= t.cond.deps
			p.peer |= t.cond.peer
			p.from |= t.cond.from
			p.costly = p.costly || t.cond.costly()
		}
		p.usesFamily = p.usesFamily || t.family
		p.costly = p.costly || t.actions != nil
		fmt.Fprintf(hash, "%q %d %x;", ct.If, ct.Verdict, t.actions.appendDigest(nil))
		for _, name := range t.sets {
			fmt.Fprintf(hash, "%q %v;", name, c.cfg.PrefixSets[name])
		}
	}
	p.usesFamily = p.usesFamily || p.deps&depFamily != 0
	p.usesFrom = p.deps&depFrom != 0
	hash.Sum(p.digest[:0])
	return p
}

// Failure is a term whose condition or changes failed at run time: such routes
// are rejected.
type Failure struct {
	Policy string
	Term   int // from 1
	File   string
	Line   int
	Count  uint64 // judgements, not routes: one may stand for many
	Last   string // why, the last time
}

// Failures lists the terms that have failed, by policy and term.
func (s *Set) Failures() []Failure {
	var out []Failure
	for name, p := range s.policies {
		for _, t := range p.terms {
			if t.failures.Load() > 0 {
				out = append(out, s.failure(name, t))
			}
		}
	}
	slices.SortFunc(out, func(a, b Failure) int {
		if a.Policy != b.Policy {
			if a.Policy < b.Policy {
				return -1
			}
			return 1
		}
		return a.Term - b.Term
	})
	return out
}

func (s *Set) failure(policy string, t *term) Failure {
	return Failure{Policy: policy, Term: t.number, File: s.file, Line: t.line, Count: t.failures.Load(), Last: *t.last.Load()}
}

// Report has f called at failures 1, 10, 100 and so on of each term, so that a
// log tells of them and is not flooded. f is called by whoever judges: it is to
// be quick.
func (s *Set) Report(f func(Failure)) { s.report.Store(&f) }

func (s *Set) tell(policy string, t *term) {
	if f := s.report.Load(); f != nil {
		(*f)(s.failure(policy, t))
	}
}

// core returns the core of a policy for a peer, the one that there is for peers
// that are the same to it. from is nil for import. shared says that from is the
// same for all that may share.
func (s *Set) core(p *policy, peer *PeerFacts, from func(rib.PeerNum) *PeerFacts) (*core, string) {
	key := p.key(peer, from == nil)
	if from != nil {
		// Export cores are not shared by the memo's key alone: who knows whether
		// two functions give the same answers?
		return s.newCore(p, peer, from), key
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.cores[p.name+" "+key].Value(); c != nil {
		return c, key
	}
	for k, w := range s.cores {
		if w.Value() == nil {
			delete(s.cores, k)
		}
	}
	c := s.newCore(p, peer, from)
	s.cores[p.name+" "+key] = weak.Make(c)
	return c, key
}

func (s *Set) newCore(p *policy, peer *PeerFacts, from func(rib.PeerNum) *PeerFacts) *core {
	if s.attrs == nil {
		panic("BUG: policy: this set was compiled only to be checked")
	}
	c := &core{policy: p, attrs: s.attrs, nlri: s.nlri, peer: peer, from: from}
	if p.costly {
		c.far = newFar(&s.room)
		runtime.AddCleanup(c, s.room.giveBack, c.far.held)
	}
	return c
}

// key returns octets that are equal for peers that are the same to a policy:
// what its conditions come to where they look at the peer alone, and what else
// they look at.
func (p *policy) key(peer *PeerFacts, imports bool) string {
	hash := sha256.New()
	hash.Write(p.digest[:])
	fixed := depPeer
	if imports {
		fixed |= depFrom
	}
	r := getRoute(nil, peer, peer, 0)
	defer r.release()
	for _, t := range p.terms {
		if t.cond == nil {
			continue
		}
		t.cond.peerParts(fixed,
			func(n *node) { hash.Write([]byte{'=', byte(n.judge(r))}) },
			func(n *node) {
				hash.Write(peer.appendFields([]byte{'p'}, n.peer))
				if imports {
					hash.Write(peer.appendFields([]byte{'f'}, n.from))
				}
			})
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}
