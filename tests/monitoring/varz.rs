//! /varz.

use crate::common::{Client, Server};

#[test]
fn counters_are_exact() {
    let server = Server::builder().cores(2).monitor().start();
    let mut one = Client::ready(server.addr());
    let mut two = Client::ready(server.addr());
    one.send("SUB a 1\r\n");
    two.send("SUB a 1\r\n");
    one.flush();
    two.flush();
    for _ in 0..100 {
        one.publish("a", "12345");
    }
    for _ in 0..100 {
        one.msg();
        two.msg();
    }
    server.wait_number("/varz", "/in_msgs", 100);
    server.wait_number("/varz", "/in_bytes", 500);
    server.wait_number("/varz", "/out_msgs", 200);
    server.wait_number("/varz", "/out_bytes", 1000);
    server.wait_number("/varz", "/connections", 2);
    server.wait_number("/varz", "/total_connections", 2);
    server.wait_number("/varz", "/slow_consumers", 0);
    let with_system_ones = server.get_json("/varz")["subscriptions"].as_u64().unwrap();
    one.send("SUB b 2\r\nSUB c 3\r\n");
    one.flush();
    server.wait_number("/varz", "/subscriptions", with_system_ones + 2);
}

#[test]
fn headers_count_as_bytes() {
    let server = Server::builder().monitor().start();
    let mut client = Client::ready(server.addr());
    client.send("HPUB a 12 17\r\nNATS/1.0\r\n\r\nhello\r\n");
    client.flush();
    server.wait_number("/varz", "/in_bytes", 17);
}

#[test]
fn counters_stay_when_connections_close() {
    let server = Server::builder().monitor().start();
    for _ in 0..3 {
        let mut client = Client::ready(server.addr());
        client.publish("a", "xyz");
        client.flush();
    }
    server.wait_number("/varz", "/connections", 0);
    server.wait_number("/varz", "/total_connections", 3);
    server.wait_number("/varz", "/in_msgs", 3);
    server.wait_number("/varz", "/in_bytes", 9);
}

#[test]
fn the_fields_that_tools_read_are_there() {
    let server = Server::builder()
        .config("server_name: north\nmax_payload: 1000\nmax_connections: 77\n")
        .monitor()
        .start();
    let varz = server.get_json("/varz");
    let info = Client::connect(server.addr()).info;
    for same in [
        "server_id",
        "server_name",
        "version",
        "proto",
        "go",
        "host",
        "port",
    ] {
        assert_eq!(varz[same], info[same], "{same}");
    }
    assert_eq!(varz["max_payload"], 1000);
    assert_eq!(varz["max_connections"], 77);
    assert_eq!(varz["ping_max"], 2);
    assert_eq!(varz["ping_interval"], 120_000_000_000_u64);
    assert_eq!(varz["http_host"], "127.0.0.1");
    assert_eq!(varz["max_control_line"], 4096);
    assert_eq!(varz["max_pending"], 67_108_864);
    assert_eq!(varz["write_deadline"], 10_000_000_000_u64);
    for number in [
        "mem",
        "cpu",
        "cores",
        "connections",
        "routes",
        "leafnodes",
        "remotes",
    ] {
        assert!(varz[number].is_number(), "{number}");
    }
    for text in ["start", "now", "uptime", "config_load_time"] {
        assert!(varz[text].is_string(), "{text}");
    }
}

#[test]
fn requests_are_counted_by_path() {
    let server = Server::builder().monitor().start();
    server.get_json("/connz");
    server.get_json("/connz");
    server.get_json("/varz");
    let stats = &server.get_json("/varz")["http_req_stats"];
    assert_eq!(stats["/connz"], 2);
    assert_eq!(stats["/varz"], 2);
}
