package fsm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ribd/wire"
)

// settings has times that tell from each other.
func settings() *Settings {
	return &Settings{
		OpenHoldTime: 4 * time.Minute, SendHoldTime: 8 * time.Minute,
		ConnectRetryMin: time.Second, ConnectRetry: 2 * time.Minute,
		IdleHoldMin: 2 * time.Second, IdleHoldMax: time.Minute, StableTime: 5 * time.Minute,
	}
}

// agreed is what an OPEN leads to, with a hold time of 90 s.
func agreed() *Negotiated {
	return &Negotiated{HoldTime: 90 * time.Second, Keepalive: 30 * time.Second}
}

// at returns a machine that has got to a state by the shortest way.
func at(t testing.TB, s State, set *Settings) Machine {
	t.Helper()
	m := New(set)
	way := []EventKind{EventManualStart, EventTCPAcked, EventOpen, EventKeepalive}
	steps := map[State]int{Idle: 0, Connect: 1, OpenSent: 2, OpenConfirm: 3, Established: 4}[s]
	if s == Active {
		m, _ = Step(m, Event{Kind: EventManualStartPassive}, nil)
	}
	for _, k := range way[:steps] {
		m, _ = Step(m, Event{Kind: k, Negotiated: agreed()}, nil)
	}
	if m.State() != s {
		t.Fatalf("got to %v on the way to %v", m.State(), s)
	}
	return m
}

// say renders actions in one line.
func say(acts []Action) string {
	s := make([]string, len(acts))
	for i, a := range acts {
		s[i] = a.String()
	}
	return strings.Join(s, ", ")
}

// The ends that most rows of the table below share.
const (
	quiet    = "" // stays, and does nothing
	release  = "stop connect-retry, drop, start idle-hold 2s"
	open     = "stop connect-retry, stop hold, stop keepalive, drop, start idle-hold 2s"
	session  = "stop connect-retry, stop hold, stop keepalive, stop send-hold, stop stable, down, drop, start idle-hold 2s"
	keepOn   = "send-keepalive, start keepalive 30s"
	sendOpen = "adopt, stop connect-retry, send-open, start hold 4m0s"
)

func fail(code string, rest string) string { return "send-notification " + code + ", " + rest }

// steps is RFC 4271 section 8.2.2: for each state and event the state after it
// and what is to be done, without DelayOpen.
var steps = map[State]map[EventKind]struct {
	to   State
	acts string
}{
	Idle: {
		EventManualStart:                 {Connect, "stop idle-hold, start connect-retry 2m0s, connect"},
		EventManualStop:                  {Idle, "stop idle-hold"},
		EventAutomaticStart:              {Connect, "stop idle-hold, start connect-retry 2m0s, connect"},
		EventManualStartPassive:          {Active, "stop idle-hold, start connect-retry 1s"},
		EventAutomaticStartPassive:       {Active, "stop idle-hold, start connect-retry 1s"},
		EventAutomaticStartDamped:        {Connect, "stop idle-hold, start connect-retry 2m0s, connect"},
		EventAutomaticStartDampedPassive: {Active, "stop idle-hold, start connect-retry 1s"},
		EventAutomaticStop:               {Idle, quiet},
		EventConnectRetryExpires:         {Idle, quiet},
		EventHoldExpires:                 {Idle, quiet},
		EventKeepaliveExpires:            {Idle, quiet},
		EventDelayOpenExpires:            {Idle, quiet},
		EventIdleHoldExpires:             {Connect, "stop idle-hold, start connect-retry 2m0s, connect"},
		EventTCPValid:                    {Idle, quiet},
		EventTCPInvalid:                  {Idle, "refuse"},
		EventTCPAcked:                    {Idle, "refuse"},
		EventTCPConfirmed:                {Idle, "refuse"},
		EventTCPFails:                    {Idle, quiet},
		EventOpen:                        {Idle, quiet},
		EventOpenDelayed:                 {Idle, quiet},
		EventHeaderError:                 {Idle, quiet},
		EventOpenError:                   {Idle, quiet},
		EventCollisionDump:               {Idle, quiet},
		EventNotificationVersion:         {Idle, quiet},
		EventNotification:                {Idle, quiet},
		EventKeepalive:                   {Idle, quiet},
		EventUpdate:                      {Idle, quiet},
		EventUpdateError:                 {Idle, quiet},
		EventSendHoldExpires:             {Idle, quiet},
		EventRouteRefresh:                {Idle, quiet},
		EventRouteRefreshError:           {Idle, quiet},
		EventStableExpires:               {Idle, quiet},
	},
	Connect: {
		EventManualStart:                 {Connect, quiet},
		EventManualStop:                  {Idle, "stop connect-retry, drop"},
		EventAutomaticStart:              {Connect, quiet},
		EventManualStartPassive:          {Connect, quiet},
		EventAutomaticStartPassive:       {Connect, quiet},
		EventAutomaticStartDamped:        {Connect, quiet},
		EventAutomaticStartDampedPassive: {Connect, quiet},
		EventAutomaticStop:               {Idle, release},
		EventConnectRetryExpires:         {Connect, "drop, start connect-retry 2m0s, connect"},
		EventHoldExpires:                 {Idle, release},
		EventKeepaliveExpires:            {Idle, release},
		EventDelayOpenExpires:            {Idle, release},
		EventIdleHoldExpires:             {Idle, release},
		EventTCPValid:                    {Connect, quiet},
		EventTCPInvalid:                  {Connect, "refuse"},
		EventTCPAcked:                    {OpenSent, sendOpen},
		EventTCPConfirmed:                {OpenSent, sendOpen},
		EventTCPFails:                    {Active, "drop, start connect-retry 1s"},
		EventOpen:                        {Idle, release},
		EventOpenDelayed:                 {Idle, release},
		EventHeaderError:                 {Idle, release},
		EventOpenError:                   {Idle, release},
		EventCollisionDump:               {Idle, release},
		EventNotificationVersion:         {Idle, release},
		EventNotification:                {Idle, release},
		EventKeepalive:                   {Idle, release},
		EventUpdate:                      {Idle, release},
		EventUpdateError:                 {Idle, release},
		EventSendHoldExpires:             {Idle, release},
		EventRouteRefresh:                {Idle, release},
		EventRouteRefreshError:           {Idle, release},
		EventStableExpires:               {Connect, quiet},
	},
	Active: {
		EventManualStart:                 {Active, quiet},
		EventManualStop:                  {Idle, "stop connect-retry, drop"},
		EventAutomaticStart:              {Active, quiet},
		EventManualStartPassive:          {Active, quiet},
		EventAutomaticStartPassive:       {Active, quiet},
		EventAutomaticStartDamped:        {Active, quiet},
		EventAutomaticStartDampedPassive: {Active, quiet},
		EventAutomaticStop:               {Idle, release},
		EventConnectRetryExpires:         {Connect, "start connect-retry 2m0s, connect"},
		EventHoldExpires:                 {Idle, release},
		EventKeepaliveExpires:            {Idle, release},
		EventDelayOpenExpires:            {Idle, release},
		EventIdleHoldExpires:             {Idle, release},
		EventTCPValid:                    {Active, quiet},
		EventTCPInvalid:                  {Active, "refuse"},
		EventTCPAcked:                    {OpenSent, sendOpen},
		EventTCPConfirmed:                {OpenSent, sendOpen},
		EventTCPFails:                    {Idle, release},
		EventOpen:                        {Idle, release},
		EventOpenDelayed:                 {Idle, release},
		EventHeaderError:                 {Idle, release},
		EventOpenError:                   {Idle, release},
		EventCollisionDump:               {Idle, release},
		EventNotificationVersion:         {Idle, release},
		EventNotification:                {Idle, release},
		EventKeepalive:                   {Idle, release},
		EventUpdate:                      {Idle, release},
		EventUpdateError:                 {Idle, release},
		EventSendHoldExpires:             {Idle, release},
		EventRouteRefresh:                {Idle, release},
		EventRouteRefreshError:           {Idle, release},
		EventStableExpires:               {Active, quiet},
	},
	OpenSent: {
		EventManualStart:                 {OpenSent, quiet},
		EventManualStop:                  {Idle, fail("6/2", strings.TrimSuffix(open, ", start idle-hold 2s"))},
		EventAutomaticStart:              {OpenSent, quiet},
		EventManualStartPassive:          {OpenSent, quiet},
		EventAutomaticStartPassive:       {OpenSent, quiet},
		EventAutomaticStartDamped:        {OpenSent, quiet},
		EventAutomaticStartDampedPassive: {OpenSent, quiet},
		EventAutomaticStop:               {Idle, fail("6/4", open)},
		EventConnectRetryExpires:         {Idle, fail("5/0", open)},
		EventHoldExpires:                 {Idle, fail("4/0", open)},
		EventKeepaliveExpires:            {Idle, fail("5/0", open)},
		EventDelayOpenExpires:            {Idle, fail("5/0", open)},
		EventIdleHoldExpires:             {Idle, fail("5/0", open)},
		EventTCPValid:                    {OpenSent, quiet},
		EventTCPInvalid:                  {OpenSent, "refuse"},
		EventTCPAcked:                    {OpenSent, "track"},
		EventTCPConfirmed:                {OpenSent, "track"},
		EventTCPFails:                    {Active, "stop hold, drop, start connect-retry 1s"},
		EventOpen:                        {OpenConfirm, "stop connect-retry, send-keepalive, start keepalive 30s, start hold 1m30s"},
		EventOpenDelayed:                 {Idle, fail("5/0", open)},
		EventHeaderError:                 {Idle, fail("1/0", open)},
		EventOpenError:                   {Idle, fail("2/0", open)},
		EventCollisionDump:               {Idle, fail("6/7", open)},
		EventNotificationVersion:         {Idle, open},
		EventNotification:                {Idle, open},
		EventKeepalive:                   {Idle, fail("5/1", open)},
		EventUpdate:                      {Idle, fail("5/1", open)},
		EventUpdateError:                 {Idle, fail("5/1", open)},
		EventSendHoldExpires:             {Idle, fail("5/0", open)},
		EventRouteRefresh:                {Idle, fail("5/1", open)},
		EventRouteRefreshError:           {Idle, fail("5/1", open)},
		EventStableExpires:               {OpenSent, quiet},
	},
	OpenConfirm: {
		EventManualStart:                 {OpenConfirm, quiet},
		EventManualStop:                  {Idle, fail("6/2", strings.TrimSuffix(open, ", start idle-hold 2s"))},
		EventAutomaticStart:              {OpenConfirm, quiet},
		EventManualStartPassive:          {OpenConfirm, quiet},
		EventAutomaticStartPassive:       {OpenConfirm, quiet},
		EventAutomaticStartDamped:        {OpenConfirm, quiet},
		EventAutomaticStartDampedPassive: {OpenConfirm, quiet},
		EventAutomaticStop:               {Idle, fail("6/4", open)},
		EventConnectRetryExpires:         {Idle, fail("5/0", open)},
		EventHoldExpires:                 {Idle, fail("4/0", open)},
		EventKeepaliveExpires:            {OpenConfirm, keepOn},
		EventDelayOpenExpires:            {Idle, fail("5/0", open)},
		EventIdleHoldExpires:             {Idle, fail("5/0", open)},
		EventTCPValid:                    {OpenConfirm, quiet},
		EventTCPInvalid:                  {OpenConfirm, "refuse"},
		EventTCPAcked:                    {OpenConfirm, "track"},
		EventTCPConfirmed:                {OpenConfirm, "track"},
		EventTCPFails:                    {Idle, open},
		EventOpen:                        {Idle, fail("5/2", open)},
		EventOpenDelayed:                 {Idle, fail("5/2", open)},
		EventHeaderError:                 {Idle, fail("1/0", open)},
		EventOpenError:                   {Idle, fail("2/0", open)},
		EventCollisionDump:               {Idle, fail("6/7", open)},
		EventNotificationVersion:         {Idle, open},
		EventNotification:                {Idle, open},
		EventKeepalive:                   {Established, "start hold 1m30s, start send-hold 8m0s, up"},
		EventUpdate:                      {Idle, fail("5/2", open)},
		EventUpdateError:                 {Idle, fail("5/2", open)},
		EventSendHoldExpires:             {Idle, fail("5/0", open)},
		EventRouteRefresh:                {Idle, fail("5/2", open)},
		EventRouteRefreshError:           {Idle, fail("5/2", open)},
		EventStableExpires:               {OpenConfirm, quiet},
	},
	Established: {
		EventManualStart:                 {Established, quiet},
		EventManualStop:                  {Idle, fail("6/2", strings.TrimSuffix(session, ", start idle-hold 2s"))},
		EventAutomaticStart:              {Established, quiet},
		EventManualStartPassive:          {Established, quiet},
		EventAutomaticStartPassive:       {Established, quiet},
		EventAutomaticStartDamped:        {Established, quiet},
		EventAutomaticStartDampedPassive: {Established, quiet},
		EventAutomaticStop:               {Idle, fail("6/4", session)},
		EventConnectRetryExpires:         {Idle, fail("5/0", session)},
		EventHoldExpires:                 {Idle, fail("4/0", session)},
		EventKeepaliveExpires:            {Established, keepOn},
		EventDelayOpenExpires:            {Idle, fail("5/0", session)},
		EventIdleHoldExpires:             {Idle, fail("5/0", session)},
		EventTCPValid:                    {Established, quiet},
		EventTCPInvalid:                  {Established, "refuse"},
		EventTCPAcked:                    {Established, "track"},
		EventTCPConfirmed:                {Established, "track"},
		EventTCPFails:                    {Idle, session},
		EventOpen:                        {Idle, fail("5/3", session)},
		EventOpenDelayed:                 {Idle, fail("5/3", session)},
		EventHeaderError:                 {Idle, fail("1/0", session)},
		EventOpenError:                   {Idle, fail("5/3", session)},
		EventCollisionDump:               {Idle, fail("6/7", session)},
		EventNotificationVersion:         {Idle, session},
		EventNotification:                {Idle, session},
		EventKeepalive:                   {Established, "start hold 1m30s"},
		EventUpdate:                      {Established, "start hold 1m30s, deliver"},
		EventUpdateError:                 {Idle, fail("3/0", session)},
		EventSendHoldExpires:             {Idle, fail("8/0", session)},
		EventRouteRefresh:                {Established, "start hold 1m30s, deliver"},
		EventRouteRefreshError:           {Idle, fail("7/1", session)},
		EventStableExpires:               {Established, quiet},
	},
}

// TestEveryStateAnswersEveryEvent holds Step to the table, which has a row for
// each state and event.
func TestEveryStateAnswersEveryEvent(t *testing.T) {
	for s := range State(NumStates) {
		for k := EventKind(1); k < NumEvents; k++ {
			t.Run(fmt.Sprintf("%v/%d %v", s, k, k), func(t *testing.T) {
				want, ok := steps[s][k]
				if !ok {
					t.Fatal("the table has no row")
				}
				m := at(t, s, settings())
				got, acts := Step(m, Event{Kind: k, Negotiated: agreed()}, nil)
				if got.State() != want.to || say(acts) != want.acts {
					t.Errorf("got  %v: %s\nwant %v: %s", got.State(), say(acts), want.to, want.acts)
				}
				if m != at(t, s, settings()) && m.set == got.set && m.State() != s {
					t.Error("Step changed what it was given")
				}
			})
		}
	}
}

// TestStepsKeepTheirPromises walks at random, with every setting, and holds
// each step to what the package says of all of them.
func TestStepsKeepTheirPromises(t *testing.T) {
	forEachWalk(t, func(t *testing.T, m Machine, e Event, next Machine, acts []Action) {
		count := map[ActionKind]int{}
		for _, a := range acts {
			count[a.Kind]++
		}
		fate := count[ActAdopt] + count[ActTrack] + count[ActRefuse]
		comes := e.Kind == EventTCPAcked || e.Kind == EventTCPConfirmed || e.Kind == EventTCPInvalid
		if comes && fate != 1 || !comes && fate != 0 {
			t.Errorf("%d fates of a connection", fate)
		}
		if up := m.State() != Established && next.State() == Established; up != (count[ActUp] == 1) {
			t.Error("ActUp without Established, or the other way round")
		}
		left := m.State() == Established && next.State() != Established
		if left != (count[ActDown] == 1) {
			t.Error("ActDown without the end of Established, or the other way round")
		}
		if next.State() == Idle && m.State() != Idle && count[ActDrop] != 1 {
			t.Error("Idle, and the connection is not dropped")
		}
		if next.State() == Idle && next.Connected() {
			t.Error("Idle with a connection")
		}
		if count[ActSendNotification] > 0 && (e.Kind == EventNotification || e.Kind == EventNotificationVersion) {
			t.Error("a NOTIFICATION answers a NOTIFICATION")
		}
		if count[ActSendNotification] > 0 && m.State() < OpenSent {
			t.Error("a NOTIFICATION before OPEN")
		}
		if count[ActConnect] > 0 && (m.set.Passive || m.Second()) {
			t.Error("a connection is made where none may be")
		}
		if m.set.Active && e.Kind == EventTCPConfirmed && count[ActRefuse] != 1 {
			t.Error("a connection is taken where none may be")
		}
		ordered(t, acts)
	})
}

// ordered: what is sent is sent before the drop, and the session is over before
// its connection is.
func ordered(t *testing.T, acts []Action) {
	t.Helper()
	drop := slices.IndexFunc(acts, func(a Action) bool { return a.Kind == ActDrop })
	for i, a := range acts {
		if drop < 0 {
			return
		}
		if a.Kind == ActSendNotification && i > drop || a.Kind == ActDown && i > drop || a.Kind == ActAdopt && i < drop {
			t.Errorf("out of order: %s", say(acts))
		}
	}
}

func TestStepKeepsWhatWasInActions(t *testing.T) {
	had := []Action{{Kind: ActSendNotification, Notification: wire.Notification{Code: 9}}}
	m := at(t, Established, settings())
	m.retained = true
	_, acts := Step(m, Event{Kind: EventManualStop, Graceful: true}, had)
	if acts[0].Notification.Code != 9 || len(acts) < 2 {
		t.Errorf("got %s", say(acts))
	}
}

func TestStepAllocatesNothing(t *testing.T) {
	m := at(t, Established, settings())
	acts := make([]Action, 0, 16)
	e := Event{Kind: EventKeepalive}
	if n := testing.AllocsPerRun(100, func() { m, acts = Step(m, e, acts[:0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
