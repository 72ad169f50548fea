//! Connections that do not read.

use std::io::Write;
use std::net::TcpStream;

use crate::Bystanders;
use crate::common::{Client, Server};

/// A publisher whose PONGs, errors or own messages nobody takes: the server's buffer for it is
/// bounded, and nobody else waits for it.
#[test]
fn a_publisher_that_never_reads_harms_nobody() {
    let server = Server::builder()
        .config("max_pending: 1MB\nmax_payload: 512KB\n")
        .cores(2)
        .monitor()
        .start();
    let mut bystanders = Bystanders::new(&server);
    let mut socket = TcpStream::connect(server.addr()).unwrap();
    // The server stops reading or closes at some point; then this side must not wait for ever.
    socket
        .set_write_timeout(Some(std::time::Duration::from_millis(200)))
        .unwrap();
    socket
        .write_all(b"CONNECT {\"verbose\":true}\r\nSUB mine 1\r\n")
        .unwrap();
    let line = [&b"PUB mine 1000\r\n"[..], &[b'x'; 1000], b"\r\nPING\r\n"].concat();
    let burst = line.repeat(64);
    for _ in 0..400 {
        if socket.write_all(&burst).is_err() {
            break;
        }
    }
    bystanders.unharmed(&server);
    drop(socket);
    server.wait_number("/varz", "/connections", 2);
    bystanders.unharmed(&server);
}

#[test]
fn a_connection_that_floods_pings_and_never_reads_harms_nobody() {
    let server = Server::builder()
        .config("max_pending: 1MB\nmax_payload: 512KB\n")
        .cores(2)
        .monitor()
        .start();
    let mut bystanders = Bystanders::new(&server);
    let mut socket = TcpStream::connect(server.addr()).unwrap();
    socket
        .set_write_timeout(Some(std::time::Duration::from_millis(200)))
        .unwrap();
    let burst = b"PING\r\n".repeat(10_000);
    for _ in 0..300 {
        if socket.write_all(&burst).is_err() {
            break;
        }
    }
    bystanders.unharmed(&server);
    drop(socket);
    server.wait_number("/varz", "/connections", 2);
    bystanders.unharmed(&server);
}

#[test]
fn a_subscriber_that_left_without_reading_harms_nobody() {
    let server = Server::builder().cores(2).monitor().start();
    let mut bystanders = Bystanders::new(&server);
    for i in 0..20 {
        let mut client = Client::ready(server.addr());
        client.send(format!("SUB big.{i} 1\r\n"));
        client.flush();
        let payload = vec![b'x'; 500_000];
        bystanders.publisher.publish(&format!("big.{i}"), payload);
        // Closed with the message in its receive buffer: the server sees a reset.
        drop(client);
    }
    bystanders.unharmed(&server);
    server.wait_number("/varz", "/connections", 2);
}
