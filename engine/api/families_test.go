package api

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ribd/engine/api/apiv1"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

func TestFamiliesBesideUnicast(t *testing.T) {
	b, s := small(t)
	peer := b.peers["192.0.2.1|rrc00"]
	id, _ := b.r.Attrs().Intern(attrSpec{path: "65001 64999", next: "192.0.2.1", med: -1}.canonical())
	pre, _ := b.r.Attrs().Intern(attrSpec{path: "65001 64998", next: "192.0.2.1", med: -1}.canonical())
	labels, ok := b.r.InternLabels([]byte{0x00, 0x06, 0x40, 0x00, 0x0c, 0x81})
	if !ok {
		t.Fatal("no room for labels")
	}
	rd, err := wire.ParseRD("65001:7")
	if err != nil {
		t.Fatal(err)
	}
	vpn, _ := b.r.Table(wire.IPv4VPN, rd)
	other, _ := b.r.Table(wire.IPv4VPN, rd+1)
	k, n := trie.PrefixKey(netip.MustParsePrefix("10.9.0.0/16"))
	b.fan.Announce(vpn, k, n, &rib.Path{Peer: peer, Attrs: id, PreAttrs: pre, Labels: labels, Received: 1})
	b.fan.Announce(other, k, n, &rib.Path{Peer: peer, Attrs: id, Received: 1})
	b.fan.Announce(rib.TableIPv4Multicast, k, n, &rib.Path{Peer: peer, Attrs: id, Received: 1})
	evpn, _ := b.r.Table(wire.L2VPNEVPN, 0)
	nlri, _ := hex.DecodeString("0311" + "0000fde900000007" + "00000000" + "20" + "c0000201")
	rk, rn, ok := b.r.RawKey(nlri)
	if !ok {
		t.Fatal("no room for an NLRI")
	}
	b.fan.Announce(evpn, rk, rn, &rib.Path{Peer: peer, Attrs: id, Received: 1})
	b.sync()

	var l apiv1.Lookup
	s.get(t, 200, "/api/v1/lookup/10.9.1.1?family=ipv4-vpn&rd=65001:7", &l)
	if prefixOf(&l) != "10.9.0.0/16" || *l.Paths[0].RD != "65001:7" || l.Paths[0].Family != "ipv4-vpn" || len(l.Paths[0].Labels) != 2 || l.Paths[0].Labels[0] != 100 || l.Paths[0].Labels[1] != 200 {
		t.Errorf("VPN: %+v", l)
	}
	if l.Paths[0].ASPath != "65001 64999" {
		t.Errorf("after policy: %s", l.Paths[0].ASPath)
	}
	s.get(t, 200, "/api/v1/lookup/10.9.1.1?family=ipv4-vpn&rd=65001:7&policy=pre&origin_asn=64998", &l)
	if l.Paths[0].ASPath != "65001 64998" || l.Paths[0].AttrsID != uint32(pre) {
		t.Errorf("before policy: %+v", l.Paths[0].Attributes)
	}
	s.get(t, 200, "/api/v1/lookup/10.9.1.1?family=ipv4-multicast", &l)
	if prefixOf(&l) != "10.9.0.0/16" {
		t.Errorf("multicast: %s", prefixOf(&l))
	}
	for q, want := range map[string]int{
		"prefix=10.9.0.0/16": 3, "prefix=10.9.0.0/16&family=ipv4-vpn": 2, "prefix=10.9.0.0/16&rd=65001:8": 1, "rd=65001:7": 1,
		"family=ipv4-vpn": 2, "family=l2vpn-evpn": 1, "prefix=10.9.0.0/16&match=longest&family=ipv4-unicast": 2, "origin_asn=64999": 4,
	} {
		var r apiv1.Routes
		s.get(t, 200, "/api/v1/routes?"+q, &r)
		if len(r.Routes) != want {
			t.Errorf("%s: %d rows, want %d: %s", q, len(r.Routes), want, rowNames(r.Routes))
		}
		var n apiv1.Count
		s.get(t, 200, "/api/v1/routes/count?"+q, &n)
		if int(n.Paths) != want {
			t.Errorf("%s: count says %d, want %d", q, n.Paths, want)
		}
	}
	var r apiv1.Routes
	s.get(t, 200, "/api/v1/routes?family=l2vpn-evpn", &r)
	if row := r.Routes[0]; row.Prefix != nil || row.NLRI == nil || *row.NLRI != hex.EncodeToString(nlri) || row.NLRIText == nil || !strings.Contains(*row.NLRIText, "192.0.2.1") {
		t.Errorf("EVPN: %+v", row)
	}
	if got := nlriText(wire.L2VPNEVPN, []byte{3, 200, 1}); got != "" {
		t.Errorf("a broken NLRI reads %q", got)
	}
	// Pages go on from table to table.
	var all []apiv1.Route
	cursor := ""
	for {
		var p apiv1.Routes
		s.get(t, 200, "/api/v1/routes?limit=1"+cursor, &p)
		all = append(all, p.Routes...)
		if p.Next == nil {
			break
		}
		cursor = "&cursor=" + *p.Next
	}
	s.get(t, 200, "/api/v1/routes", &r)
	if rowNames(all) != rowNames(r.Routes) || len(all) != 12 {
		t.Errorf("pages of one: %s\nwhole: %s", rowNames(all), rowNames(r.Routes))
	}
}

func TestEveryAttributeIsShown(t *testing.T) {
	b, s := small(t)
	var a []byte
	add := func(flags byte, typ wire.AttrType, v string) {
		raw, err := hex.DecodeString(strings.ReplaceAll(v, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		a = wire.AppendAttr(a, flags, typ, raw)
	}
	add(0x40, wire.AttrOrigin, "02")
	add(0x40, wire.AttrASPath, "0302 0000fde9 0000fdea 0201 00000001 0102 00000002 00000003")
	add(0x40, wire.AttrNextHop, "20010db8000000000000000000000001 fe800000000000000000000000000001")
	add(0x80, wire.AttrMED, "ffffffff")
	add(0x40, wire.AttrLocalPref, "000000c8")
	add(0x40, wire.AttrAtomicAggregate, "")
	add(0xc0, wire.AttrAggregator, "0000fde9 c0000201")
	add(0xc0, wire.AttrCommunities, "fde90064")
	add(0x80, wire.AttrOriginatorID, "c0000202")
	add(0x80, wire.AttrClusterList, "c0000203 c0000204")
	add(0xc0, wire.AttrExtCommunities, "0002fde900000001 0102c00002010001 0202000101010001 4300000000000001")
	add(0x80, wire.AttrAIGP, "01000b0000000000000400")
	add(0xc0, wire.AttrLargeCommunities, "0000fde90000000100000002")
	add(0xc0, wire.AttrOTC, "0000fde9")
	add(0xe0, 99, "00ff")
	id, ok := b.r.Attrs().Intern(a)
	if !ok {
		t.Fatal("no room")
	}
	_, body, _ := s.do("GET", "/api/v1/attributes/"+itoa(uint32(id)), "")
	want := `{"origin":"incomplete","as_path":"(65001 65002) 1 {2,3}","origin_asn":null,"neighbor_asn":1,"next_hop":"2001:db8::1","next_hop_link_local":"fe80::1",` +
		`"med":4294967295,"local_pref":200,"communities":["65001:100"],"large_communities":["65001:1:2"],` +
		`"ext_communities":["rt:65001:1","rt:192.0.2.1:1","rt:65793L:1","0x4300000000000001"],"atomic_aggregate":true,"aggregator":"65001 192.0.2.1",` +
		`"originator_id":"192.0.2.2","cluster_list":["192.0.2.3","192.0.2.4"],"only_to_customer":65001,"aigp":1024,` +
		`"unknown_attributes":[{"type":99,"flags":224,"value":"00ff"}],"attrs_id":` + itoa(uint32(id)) + "}\n"
	if body != want {
		t.Errorf("got\n%s\nwant\n%s", body, want)
	}
	var decoded apiv1.Attributes
	strict(t, "attributes", body, &decoded)
}

func TestTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := small(t)
	s := b.serve(func(o *Options) {
		o.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
		o.Loads = &fakeLoads{}
	})
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, Timeout: patience}
	r, err := client.Get("https://" + s.addr + "/api/v1/lookup/10.1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != 200 {
		t.Errorf("got %d", r.StatusCode)
	}
	r, err = client.Post("https://"+s.addr+"/api/v1/load", "application/json", strings.NewReader(`{"file":"/x"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != 202 {
		t.Errorf("a change on loopback by TLS: %d", r.StatusCode)
	}
}
