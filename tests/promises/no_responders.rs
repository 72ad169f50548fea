//! Promise 4: no responders is answered only when no core has interest.

use crate::common::{Client, Server};
use crate::{crowd, on_cores};

on_cores!(
    a_request_finds_the_responder_on_any_core,
    a_request_that_nobody_hears_is_answered_once,
    a_responder_that_left_is_no_responder,
);

fn is_503(client: &mut Client) -> bool {
    let headers = client.msg().headers.unwrap_or_default();
    headers.starts_with(b"NATS/1.0 503\r\n")
}

fn a_request_finds_the_responder_on_any_core(cores: usize) {
    let server = Server::builder().cores(cores).start();
    let mut clients = crowd(&server, 8);
    for (i, client) in clients.iter_mut().enumerate() {
        client.send(format!("SUB service.{i} 1\r\nSUB inbox.{i} 2\r\n"));
        client.flush();
    }
    for from in 0..8 {
        for to in 0..8 {
            clients[from].send(format!("PUB service.{to} inbox.{from} 0\r\n\r\n"));
            let request = clients[to].msg();
            assert_eq!(request.sid, "1");
            clients[to].publish(&request.reply.unwrap(), "answer");
            let answer = clients[from].msg();
            assert_eq!((answer.text().as_str(), answer.headers), ("answer", None));
        }
    }
    for client in &mut clients {
        client.flush();
    }
}

fn a_request_that_nobody_hears_is_answered_once(cores: usize) {
    let server = Server::builder().cores(cores).start();
    let mut clients = crowd(&server, 8);
    for (i, client) in clients.iter_mut().enumerate() {
        client.send(format!("SUB inbox.{i}.* 2\r\n"));
        for n in 0..20 {
            client.send(format!("PUB nobody.{n} inbox.{i}.{n} 0\r\n\r\n"));
            assert!(is_503(client));
        }
        client.flush();
    }
}

fn a_responder_that_left_is_no_responder(cores: usize) {
    let server = Server::builder().cores(cores).start();
    let mut requester = Client::ready(server.addr());
    requester.send("SUB inbox 1\r\n");
    let mut responders = crowd(&server, 4);
    for round in 0..50 {
        let responder = &mut responders[round % 4];
        responder.send("SUB service 1\r\n");
        responder.flush();
        requester.send("PUB service inbox 0\r\n\r\n");
        responder.msg();
        responder.send("UNSUB 1\r\n");
        responder.flush();
        requester.send("PUB service inbox 0\r\n\r\n");
        assert!(is_503(&mut requester));
    }
    requester.flush();
}
