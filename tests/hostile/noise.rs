//! Bytes that are no protocol, cut short, too long, or random.

use crate::Bystanders;
use crate::common::{Client, Server};

/// A small generator of pseudo-random bytes (xorshift64), so that a failure repeats.
fn random_bytes(seed: u64, n: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

#[test]
fn random_bytes_end_their_own_connection_only() {
    let server = Server::builder().cores(2).start();
    let mut bystanders = Bystanders::new(&server);
    for seed in 0..100 {
        let mut noise = Client::connect(server.addr());
        noise.send_anyway(random_bytes(seed, 2000));
        noise.send_anyway("\r\n");
        noise.shutdown_write_anyway();
        noise.rest();
    }
    bystanders.unharmed(&server);
}

#[test]
fn random_bytes_after_a_valid_start_end_their_own_connection_only() {
    let server = Server::builder().cores(2).start();
    let mut bystanders = Bystanders::new(&server);
    for (i, start) in [
        "PUB ",
        "SUB ",
        "CONNECT {",
        "HPUB a 3 ",
        "UNSUB ",
        "-ERR ",
        "PUB a 5\r\n",
    ]
    .iter()
    .cycle()
    .take(70)
    .enumerate()
    {
        let mut noise = Client::ready(server.addr());
        let bytes = random_bytes(i as u64, 500);
        noise.send_anyway([start.as_bytes(), &bytes, b"\r\n"].concat());
        noise.shutdown_write_anyway();
        noise.rest();
    }
    bystanders.unharmed(&server);
}

#[test]
fn commands_cut_at_every_byte_by_the_end_of_the_connection_do_no_harm() {
    let server = Server::builder().cores(2).start();
    let mut bystanders = Bystanders::new(&server);
    let session = "CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB a.* q 1\r\nPUB a.b r 5\r\n\
                   hello\r\nHPUB a.b 12 14\r\nNATS/1.0\r\n\r\nhi\r\nUNSUB 1 5\r\nPING\r\n";
    for cut in 0..session.len() {
        let mut client = Client::connect(server.addr());
        client.send(&session[..cut]);
        client.shutdown_write();
        client.rest();
    }
    bystanders.unharmed(&server);
}

#[test]
fn endless_lines_are_refused_long_before_they_end() {
    let server = Server::builder().cores(2).start();
    let mut bystanders = Bystanders::new(&server);
    for start in [
        "PUB ",
        "SUB ",
        "CONNECT {\"name\":\"",
        "HPUB ",
        "UNSUB ",
        "INFO ",
    ] {
        let mut client = Client::connect(server.addr());
        client.send_anyway([start.as_bytes(), &vec![b'a'; 1 << 20]].concat());
        let rest = String::from_utf8_lossy(&client.rest()).into_owned();
        assert_eq!(rest, "-ERR 'maximum control line exceeded'\r\n", "{start}");
    }
    bystanders.unharmed(&server);
}

#[test]
fn announced_sizes_take_no_memory_until_bytes_arrive() {
    let server = Server::builder().cores(2).monitor().start();
    let mut bystanders = Bystanders::new(&server);
    let before = server.get_json("/varz")["mem"].as_u64().unwrap();
    // 300 MB are announced and never sent.
    let clients: Vec<Client> = (0..300)
        .map(|_| {
            let mut client = Client::ready(server.addr());
            client.send("PUB a 1000000\r\nx");
            client
        })
        .collect();
    bystanders.unharmed(&server);
    let after = server.get_json("/varz")["mem"].as_u64().unwrap();
    assert!(
        after.saturating_sub(before) < 100_000_000,
        "from {before} to {after} bytes"
    );
    drop(clients);
    bystanders.unharmed(&server);
}

#[test]
fn nested_json_in_connect_is_no_stack_overflow() {
    let server = Server::builder()
        .config("max_control_line: 1MB\n")
        .cores(2)
        .start();
    let mut bystanders = Bystanders::new(&server);
    for nesting in ["[", "{\"a\":"] {
        let mut client = Client::connect(server.addr());
        client.send(format!("CONNECT {{\"x\":{}\r\n", nesting.repeat(100_000)));
        client.rest();
    }
    bystanders.unharmed(&server);
}
