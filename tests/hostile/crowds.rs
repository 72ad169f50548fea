//! Many connections: idle, half-open, coming and going, flooding.

use std::net::TcpStream;
use std::thread;

use crate::Bystanders;
use crate::common::{Client, Server};

#[test]
fn many_idle_connections_are_carried() {
    let server = Server::builder().cores(2).monitor().start();
    let mut bystanders = Bystanders::new(&server);
    // Some have said nothing yet, some a part of a line, some are subscribed.
    let idle: Vec<Client> = (0..600)
        .map(|i| {
            let mut client = Client::connect(server.addr());
            match i % 3 {
                0 => {}
                1 => client.send("CONN"),
                _ => client.send("SUB idle.> 1\r\n"),
            }
            client
        })
        .collect();
    bystanders.unharmed(&server);
    server.wait_number("/varz", "/connections", idle.len() as u64 + 2);
    drop(idle);
    server.wait_number("/varz", "/connections", 2);
    bystanders.unharmed(&server);
}

#[test]
fn sockets_closed_without_a_byte_leave_nothing_behind() {
    let server = Server::builder().cores(2).monitor().start();
    let mut bystanders = Bystanders::new(&server);
    for _ in 0..300 {
        drop(TcpStream::connect(server.addr()).unwrap());
    }
    server.wait_number("/varz", "/connections", 2);
    bystanders.unharmed(&server);
}

#[test]
fn half_open_connections_are_answered_and_closed() {
    let server = Server::builder().cores(2).monitor().start();
    let mut bystanders = Bystanders::new(&server);
    for _ in 0..50 {
        let mut client = Client::ready(server.addr());
        client.send("SUB a 1\r\nPUB a 2\r\nhi\r\n");
        assert_eq!(client.msg().text(), "hi");
        client.shutdown_write();
        client.rest();
    }
    server.wait_number("/varz", "/connections", 2);
    bystanders.unharmed(&server);
}

#[test]
fn clients_that_come_publish_and_go_harm_nobody() {
    let server = Server::builder().cores(2).monitor().start();
    let mut bystanders = Bystanders::new(&server);
    let addr = server.addr();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                for i in 0..50 {
                    let mut client = Client::ready(addr);
                    client.send("SUB bystander.not q 1\r\nSUB > 2\r\n");
                    client.publish("elsewhere", i.to_string());
                    // Left with its messages unread.
                }
            });
        }
        for _ in 0..50 {
            bystanders.unharmed(&server);
        }
    });
    server.wait_number("/varz", "/connections", 2);
    bystanders.unharmed(&server);
}

#[test]
fn a_flood_of_subscriptions_is_carried_and_goes_with_its_connection() {
    let server = Server::builder().cores(2).monitor().start();
    let mut bystanders = Bystanders::new(&server);
    let before = server.get_json("/subsz")["num_subscriptions"]
        .as_u64()
        .unwrap();
    let mut client = Client::ready(server.addr());
    for batch in 0..20 {
        let lines: Vec<String> = (0..1000)
            .map(|i| format!("SUB flood.{batch}.{i}.*.> {batch}x{i}\r\n"))
            .collect();
        client.send(lines.concat());
    }
    client.flush();
    server.wait_number("/subsz", "/num_subscriptions", before + 20_000);
    bystanders.unharmed(&server);
    drop(client);
    server.wait_number("/subsz", "/num_subscriptions", before);
    bystanders.unharmed(&server);
}
