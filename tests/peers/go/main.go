// Answers one JSON request a line: a member of a libp2p gossipsub topic, as Teranode's message bus is made of
// (go-libp2p and go-libp2p-pubsub), with a DataHub that serves headers over HTTP.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/sec"
	bhost "github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
)

// floods is how many messages wait to be sent or checked; by default gossip drops what is more than 32.
const floods = 10000

type request struct {
	Op       string
	Topic    string
	Listen   string // multiaddress; empty for a free port of loopback
	Peer     string // multiaddress that ends in /p2p/<id>
	Messages []string
	Headers  string // hex, 80 bytes each, from the first block on
}

type member struct {
	host  host.Host
	topic *pubsub.Topic

	lock   sync.Mutex
	chain  []string       // hex
	places map[string]int // by hash, display order
	asked  []string
	heard  []string
}

// newHost is what libp2p.New makes by default, with TCP, Noise and yamux alone: the other transports double the build.
func newHost(listen string) (host.Host, error) {
	key, public, err := crypto.GenerateEd25519Key(nil)
	if err != nil {
		return nil, err
	}
	id, err := peer.IDFromPublicKey(public)
	if err != nil {
		return nil, err
	}
	known, err := pstoremem.NewPeerstore()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(known.AddPrivKey(id, key), known.AddPubKey(id, public)); err != nil {
		return nil, err
	}
	bus := eventbus.NewBus()
	network, err := swarm.NewSwarm(id, known, bus)
	if err != nil {
		return nil, err
	}
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: yamux.DefaultTransport}}
	security, err := noise.New(noise.ID, key, muxers)
	if err != nil {
		return nil, err
	}
	up, err := upgrader.New([]sec.SecureTransport{security}, muxers, nil, nil, nil)
	if err != nil {
		return nil, err
	}
	transport, err := tcp.NewTCPTransport(up, nil, nil)
	if err != nil {
		return nil, err
	}
	if err := network.AddTransport(transport); err != nil {
		return nil, err
	}
	address, err := multiaddr.NewMultiaddr(listen)
	if err != nil {
		return nil, err
	}
	if err := network.Listen(address); err != nil {
		return nil, err
	}
	made, err := bhost.NewHost(network, &bhost.HostOpts{EventBus: bus})
	if err != nil {
		return nil, err
	}
	made.Start()
	return made, nil
}

func (m *member) start(r request) (any, error) {
	if r.Listen == "" {
		r.Listen = "/ip4/127.0.0.1/tcp/0"
	}
	made, err := newHost(r.Listen)
	if err != nil {
		return nil, err
	}
	m.host = made
	gossip, err := pubsub.NewGossipSub(context.Background(), made,
		pubsub.WithFloodPublish(true), // to whoever is on the topic, also before its mesh is made
		pubsub.WithPeerOutboundQueueSize(floods), pubsub.WithValidateQueueSize(floods))
	if err != nil {
		return nil, err
	}
	if m.topic, err = gossip.Join(r.Topic); err != nil {
		return nil, err
	}
	subscription, err := m.topic.Subscribe()
	if err != nil {
		return nil, err
	}
	go m.listen(subscription)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go http.Serve(listener, m)
	return map[string]string{
		"peer": fmt.Sprintf("%s/p2p/%s", made.Addrs()[0], made.ID()),
		"id":   made.ID().String(),
		"hub":  fmt.Sprintf("http://%s/api/v1", listener.Addr()),
	}, nil
}

func (m *member) listen(subscription *pubsub.Subscription) {
	for {
		message, err := subscription.Next(context.Background())
		if err != nil {
			return
		}
		m.lock.Lock()
		m.heard = append(m.heard, string(message.Data))
		m.lock.Unlock()
	}
}

// ServeHTTP is the DataHub: /headers/<hash>?n=<count>, newest first, and /bestblockheader.
func (m *member) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.asked = append(m.asked, r.URL.String())
	path := strings.TrimPrefix(r.URL.Path, "/api/v1")
	first, count := -1, 1
	if hash, found := strings.CutPrefix(path, "/headers/"); found {
		if place, known := m.places[hash]; known {
			first = place
		}
		count, _ = strconv.Atoi(r.URL.Query().Get("n"))
	} else if path == "/bestblockheader" {
		first = len(m.chain) - 1
	}
	if first < 0 {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	for at := first; at >= 0 && at > first-count; at-- {
		raw, _ := hex.DecodeString(m.chain[at])
		w.Write(raw)
	}
}

func (m *member) setChain(r request) (any, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.chain, m.places = nil, map[string]int{}
	for at := 0; at+160 <= len(r.Headers); at += 160 {
		m.chain = append(m.chain, r.Headers[at:at+160])
		hash, err := displayHash(r.Headers[at : at+160])
		if err != nil {
			return nil, err
		}
		m.places[hash] = at / 160
	}
	return len(m.chain), nil
}

func (m *member) publish(r request) (any, error) {
	for _, each := range r.Messages {
		if err := m.topic.Publish(context.Background(), []byte(each)); err != nil {
			return nil, err
		}
	}
	return len(r.Messages), nil
}

func (m *member) connect(r request) (any, error) {
	info, err := peer.AddrInfoFromString(r.Peer)
	if err != nil {
		return nil, err
	}
	m.host.Peerstore().AddAddrs(info.ID, info.Addrs, peerstore.PermanentAddrTTL)
	within, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return nil, m.host.Connect(within, *info)
}

// raw writes the given bytes (hex) to each member on streams of the topic's protocol.
func (m *member) raw(r request) (any, error) {
	for _, each := range m.topic.ListPeers() {
		stream, err := m.host.NewStream(context.Background(), each, pubsub.GossipSubID_v11)
		if err != nil {
			return nil, err
		}
		for _, message := range r.Messages {
			data, err := hex.DecodeString(message)
			if err != nil {
				return nil, err
			}
			if _, err := stream.Write(data); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

func (m *member) hangUp() error {
	var faults []error
	for _, each := range m.topic.ListPeers() {
		faults = append(faults, m.host.Network().ClosePeer(each))
	}
	return errors.Join(faults...)
}

func (m *member) state() (any, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	members := []string{}
	for _, each := range m.topic.ListPeers() {
		members = append(members, each.String())
	}
	return map[string]any{"members": members, "asked": m.asked, "heard": m.heard}, nil
}

func (m *member) handle(r request) (any, error) {
	switch r.Op {
	case "start":
		return m.start(r)
	case "chain":
		return m.setChain(r)
	case "publish":
		return m.publish(r)
	case "connect":
		return m.connect(r)
	case "raw":
		return m.raw(r)
	case "hang up":
		return nil, m.hangUp()
	case "state":
		return m.state()
	}
	return nil, fmt.Errorf("unknown op %q", r.Op)
}

func main() {
	m := &member{}
	lines := bufio.NewReader(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var r request
		err = json.Unmarshal(line, &r)
		var result any
		if err == nil {
			result, err = m.handle(r)
		}
		if err != nil {
			answers.Encode(map[string]any{"error": err.Error()})
		} else {
			answers.Encode(map[string]any{"result": result})
		}
	}
}
