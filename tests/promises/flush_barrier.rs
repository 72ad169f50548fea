//! Promise 1: after the PONG, every SUB and UNSUB read before the PING is in force on every core.

use crate::common::{Client, Server};
use crate::{crowd, on_cores};

on_cores!(
    a_flushed_sub_gets_the_next_publish_of_any_connection,
    a_flushed_unsub_gets_nothing_more,
    a_flushed_queue_sub_makes_a_responder,
);

fn a_flushed_sub_gets_the_next_publish_of_any_connection(cores: usize) {
    let server = Server::builder().cores(cores).start();
    let mut clients = crowd(&server, 8);
    for round in 0..100 {
        let subscriber = round % clients.len();
        let subject = format!("round.{round}");
        clients[subscriber].send(format!("SUB {subject} {round}\r\n"));
        clients[subscriber].flush();
        for client in &mut clients {
            client.publish(&subject, "x");
        }
        for _ in 0..clients.len() {
            assert_eq!(clients[subscriber].msg().subject, subject);
        }
    }
}

fn a_flushed_unsub_gets_nothing_more(cores: usize) {
    let server = Server::builder().cores(cores).start();
    let mut clients = crowd(&server, 8);
    for round in 0..100 {
        let subscriber = round % clients.len();
        let subject = format!("round.{round}");
        clients[subscriber].send(format!("SUB {subject} {round}\r\n"));
        clients[subscriber].flush();
        clients[subscriber].send(format!("UNSUB {round}\r\n"));
        clients[subscriber].flush();
        for client in &mut clients {
            client.publish(&subject, "x");
            client.flush();
        }
    }
}

fn a_flushed_queue_sub_makes_a_responder(cores: usize) {
    let server = Server::builder().cores(cores).start();
    let mut requesters = crowd(&server, 6);
    for requester in &mut requesters {
        requester.send("SUB inbox 1\r\n");
    }
    for round in 0..50 {
        let mut responder = Client::ready(server.addr());
        responder.send(format!("SUB service.{round} workers 1\r\n"));
        responder.flush();
        let requester = &mut requesters[round % 6];
        requester.send(format!("PUB service.{round} inbox 0\r\n\r\n"));
        assert_eq!(responder.msg().reply.as_deref(), Some("inbox"));
        // No 503 on the way.
        requester.flush();
    }
}
