// The checks of tests/clients, with nats.go.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Bounds every wait; it measures nothing.
const deadline = 10 * time.Second

func main() {
	url := os.Args[1]
	back := make(chan struct{}, 2)
	connect := func() *nats.Conn {
		nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
			nats.ReconnectHandler(func(*nats.Conn) { back <- struct{}{} }))
		must(err)
		return nc
	}
	nc, other := connect(), connect()
	for _, check := range []struct {
		name string
		run  func(nc, other *nats.Conn)
	}{
		{"publish", publish},
		{"wildcards", wildcards},
		{"request", request},
		{"queue", queue},
		{"headers", headers},
		{"no responders", noResponders},
		{"drain", drain},
		{"reconnect", func(nc, other *nats.Conn) { reconnect(nc, other, back) }},
	} {
		check.run(nc, other)
		fmt.Println("ok", check.name)
	}
	other.Close()
	must(nc.Drain())
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func equal(got, want string) {
	if got != want {
		panic(fmt.Sprintf("got %q, want %q", got, want))
	}
}

func subscribe(nc *nats.Conn, subject string) *nats.Subscription {
	sub, err := nc.SubscribeSync(subject)
	must(err)
	must(nc.Flush())
	return sub
}

func next(sub *nats.Subscription) *nats.Msg {
	msg, err := sub.NextMsg(deadline)
	must(err)
	return msg
}

func publish(nc, other *nats.Conn) {
	sub := subscribe(other, "numbers")
	for i := range 1000 {
		must(nc.Publish("numbers", []byte(strconv.Itoa(i))))
	}
	for i := range 1000 {
		equal(string(next(sub).Data), strconv.Itoa(i))
	}
}

func wildcards(nc, other *nats.Conn) {
	one, many := subscribe(other, "w.*.x"), subscribe(other, "w.>")
	for _, subject := range []string{"w.a.x", "w.a.b.x", "w", "w.a", "w.end.x"} {
		must(nc.Publish(subject, nil))
	}
	subjects := func(sub *nats.Subscription) string {
		var all []string
		for {
			msg := next(sub)
			if msg.Subject == "w.end.x" {
				return strings.Join(all, " ")
			}
			all = append(all, msg.Subject)
		}
	}
	equal(subjects(one), "w.a.x")
	equal(subjects(many), "w.a.x w.a.b.x w.a")
}

func request(nc, other *nats.Conn) {
	_, err := other.Subscribe("double", func(msg *nats.Msg) {
		must(msg.Respond([]byte(string(msg.Data) + string(msg.Data))))
	})
	must(err)
	must(other.Flush())
	errs := make(chan error, 100)
	for i := range 100 {
		go func() {
			answer, err := nc.Request("double", fmt.Appendf(nil, "%d.", i), deadline)
			if err == nil && string(answer.Data) != fmt.Sprintf("%d.%d.", i, i) {
				err = fmt.Errorf("answer %q to %d", answer.Data, i)
			}
			errs <- err
		}()
	}
	for range 100 {
		must(<-errs)
	}
}

func queue(nc, other *nats.Conn) {
	got := make(chan string, 1000)
	for _, client := range []*nats.Conn{nc, other, other} {
		_, err := client.QueueSubscribe("jobs", "workers", func(msg *nats.Msg) { got <- string(msg.Data) })
		must(err)
		must(client.Flush())
	}
	var sent, received []string
	for i := range 300 {
		sent = append(sent, strconv.Itoa(i))
		must(nc.Publish("jobs", []byte(strconv.Itoa(i))))
	}
	for range 300 {
		select {
		case text := <-got:
			received = append(received, text)
		case <-time.After(deadline):
			panic("lost")
		}
	}
	must(nc.Flush())
	must(other.Flush())
	if len(got) > 0 {
		panic("doubled")
	}
	sort.Strings(sent)
	sort.Strings(received)
	equal(strings.Join(received, " "), strings.Join(sent, " "))
}

func headers(nc, other *nats.Conn) {
	sub := subscribe(other, "headed")
	msg := nats.NewMsg("headed")
	msg.Header.Add("Key", "Value")
	msg.Header.Add("Key", "Second")
	msg.Data = []byte("body")
	must(nc.PublishMsg(msg))
	got := next(sub)
	equal(string(got.Data), "body")
	equal(strings.Join(got.Header.Values("Key"), " "), "Value Second")
}

func noResponders(nc, _ *nats.Conn) {
	_, err := nc.Request("nobody", nil, deadline)
	if !errors.Is(err, nats.ErrNoResponders) {
		panic(fmt.Sprint("expected no responders, got ", err))
	}
}

func drain(nc, other *nats.Conn) {
	got := make(chan string, 1000)
	sub, err := other.Subscribe("drained", func(msg *nats.Msg) { got <- string(msg.Data) })
	must(err)
	must(other.Flush())
	for i := range 500 {
		must(nc.Publish("drained", []byte(strconv.Itoa(i))))
	}
	// A round trip through the other connection: what was sent before is on its way there.
	_, err = nc.Request("double", nil, deadline)
	must(err)
	must(sub.Drain())
	for i := range 500 {
		select {
		case text := <-got:
			equal(text, strconv.Itoa(i))
		case <-time.After(deadline):
			panic("lost")
		}
	}
}

func reconnect(nc, other *nats.Conn, back <-chan struct{}) {
	sub := subscribe(other, "after")
	fmt.Println("restart")
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	must(err)
	<-back
	<-back
	must(other.Flush())
	must(nc.Publish("after", []byte("back")))
	equal(string(next(sub).Data), "back")
}
