package api

import (
	"context"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"ribd/engine/flow"
	"ribd/engine/origin"
	"ribd/shard/rib"
	"ribd/wire/flowspec"
)

// announceRules is POST flowspec: what differs from POST paths.
var announceRules = announceKind{
	takes:   takesAnnounce,
	prepare: func(r *pathReader) { r.rule = new(ruleReader) },
	answer:  (*call).ruleAnswer,
	shown:   (*call).rulesShown,
}

// shownTime is how long an answer waits for the list of rules to have what was
// changed, but in tests.
const shownTime = time.Second

// flowAnnounce is POST flowspec.
func (c *call) flowAnnounce() *problem {
	if c.s.opts.Flow == nil {
		return later("", "Flow Spec")
	}
	return c.announce(&announceRules)
}

// rulesShown waits until rules that were changed before are in the list.
func (c *call) rulesShown() {
	ctx, stop := context.WithTimeout(context.Background(), c.s.shownTime)
	defer stop()
	_ = c.s.opts.Flow.Wait(ctx, c.s.rib.Mark(nil)) // the list comes later, then
}

// ruleAnswer appends what became of a rule.
func (c *call) ruleAnswer(dst []byte, in *pathInput, res *origin.Result, peers []PeerAnswer) []byte {
	w := flowRow{family: in.family, rd: flowspec.RD(in.family, in.nlri), nlri: in.nlri}
	w.parsed, _ = flowspec.Parse(in.family, in.nlri)
	a := flowspec.ActionsOf(in.attrs)
	dst = append(dst, `{"id":`...)
	dst = appendRuleID(dst, res.ID)
	dst = w.head(dst, &a)
	dst = append(dst, `,"path_id":`...)
	dst = appendMaybe(dst, in.pathID, in.hasPathID)
	return appendOutcome(dst, in, res, peers)
}

// ruleID reads the id of a rule.
func (c *call) ruleID() (uint64, *problem) {
	if len(c.arg) != 16 {
		return 0, bad("id", "%q is no id of a rule: 16 hex digits, as GET /api/v1/flowspec gives it", shown(c.arg))
	}
	id, err := strconv.ParseUint(string(c.arg), 16, 64)
	if err != nil {
		return 0, bad("id", "%q is no id of a rule: 16 hex digits, as GET /api/v1/flowspec gives it", shown(c.arg))
	}
	return id, nil
}

func noRule(arg []byte) *problem {
	return fail(fasthttp.StatusNotFound, "id", "there is no rule %s (any more); GET /api/v1/flowspec lists them", shown(arg))
}

// flowOne is GET flowspec/{id}.
func (c *call) flowOne() *problem {
	if c.s.opts.Flow == nil {
		return later("", "Flow Spec")
	}
	if _, p := c.accept(typeJSON); p != nil {
		return p
	}
	id, p := c.ruleID()
	if p != nil {
		return p
	}
	rule, ok := c.s.opts.Flow.Rule(id)
	if !ok {
		if o := c.s.opts.Origin; o != nil {
			if r, ok := o.Rule(id); ok && r.Held != nil {
				return fail(fasthttp.StatusNotFound, "id", "the rule %s is held: %s; GET /api/v1/paths lists it", shown(c.arg), r.Held.Detail)
			}
		}
		return noRule(c.arg)
	}
	b, ok := c.appendRule(c.buf[:0], &rule)
	if !ok {
		return noRule(c.arg)
	}
	c.buf = append(b, '\n')
	c.answer(typeJSON, c.buf)
	return nil
}

// appendRule appends one path of a rule; ok is false where the rule has just
// gone.
func (c *call) appendRule(dst []byte, r *flow.Rule) (_ []byte, ok bool) {
	all := c.s.opts.Flow.Rules(r.Family, r.RD)
	if all == nil {
		return dst, false
	}
	_, order, ok := all.Get(r.NLRI)
	if !ok {
		return dst, false
	}
	var w flowRow
	w.init(c)
	w.rule(r.Family, r.RD, r.NLRI, order, all.ShadowedBy(r.NLRI, nil))
	return w.append(dst, &r.Path), true
}

// flowDrop is DELETE flowspec/{id}.
func (c *call) flowDrop() *problem {
	o := c.s.opts.Origin
	if c.s.opts.Flow == nil || o == nil {
		return later("", "Flow Spec")
	}
	id, p := c.ruleID()
	if p != nil {
		return p
	}
	r, ok := o.Rule(id)
	if !ok {
		if of, ok := c.s.opts.Flow.Rule(id); ok {
			return c.foreignRule(of.Path.Peer)
		}
		return noRule(c.arg)
	}
	found, err := o.Withdraw([]origin.Key{r.Key})
	if err != nil {
		return refusedRoute(err, false)
	}
	if !found[0] {
		return noRule(c.arg)
	}
	c.s.metrics.Announced[1].Add(1)
	c.told(nil, nil, nil)
	c.rulesShown()
	c.ctx.SetStatusCode(fasthttp.StatusNoContent)
	return nil
}

// foreignRule says that a rule of a peer can't be withdrawn here.
func (c *call) foreignRule(n rib.PeerNum) *problem {
	from := "a peer"
	if info, ok := c.s.rib.Peer(n); ok {
		from = "the peer " + info.Addr.String()
	}
	return fail(fasthttp.StatusConflict, "id", "the rule %s came from %s: only rules that are originated here can be withdrawn (source=local)", shown(c.arg), from)
}
