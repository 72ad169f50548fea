//! INFO: its shape, and when it is sent again.

use crate::common::{Client, Frame, Server};

#[test]
fn info_is_one_line_of_json_with_a_blank_before_its_end() {
    let server = Server::start();
    let mut client = Client::open(server.addr());
    let line = client.line();
    assert!(line.starts_with("INFO {"), "{line}");
    assert!(line.ends_with("} "), "{line:?}");
}

#[test]
fn info_has_the_fields_that_clients_read() {
    let server = Server::start();
    let client = Client::connect(server.addr());
    let info = &client.info;
    let id = info["server_id"].as_str().unwrap();
    assert_eq!((id.len(), &id[..1]), (56, "N"));
    assert_eq!(info["server_name"], id, "unnamed: the name is the id");
    assert_eq!(info["proto"], 1);
    assert_eq!(info["host"], "127.0.0.1");
    assert_eq!(info["port"], server.addr().port());
    assert_eq!(info["headers"], true);
    assert_eq!(info["max_payload"], 1_048_576);
    assert_eq!(info["client_ip"], "127.0.0.1");
    assert!(info["go"].is_string(), "clients decode it as a string");
    assert!(info["xkey"].as_str().unwrap().starts_with('X'));
}

#[test]
fn info_version_is_one_that_clients_find_all_features_in() {
    let server = Server::start();
    let client = Client::connect(server.addr());
    let version = client.info["version"].as_str().unwrap();
    let mut parts = version.split('.').map(|p| p.parse::<u32>().unwrap());
    let (major, minor) = (parts.next().unwrap(), parts.next().unwrap());
    assert!((major, minor) >= (2, 12), "{version}");
}

#[test]
fn info_leaves_out_what_does_not_apply() {
    let server = Server::start();
    let client = Client::connect(server.addr());
    for absent in [
        "auth_required",
        "tls_required",
        "tls_available",
        "jetstream",
        "nonce",
        "cluster",
        "connect_urls",
        "ldm",
        "connect_info",
    ] {
        assert!(client.info.get(absent).is_none(), "{absent}");
    }
}

#[test]
fn server_name_is_the_configured_one() {
    let server = Server::with_config("server_name: north\n");
    assert_eq!(Client::connect(server.addr()).info["server_name"], "north");
}

#[test]
fn client_ids_grow() {
    let server = Server::builder().cores(2).start();
    let ids: Vec<u64> = (0..8)
        .map(|_| {
            Client::connect(server.addr()).info["client_id"]
                .as_u64()
                .unwrap()
        })
        .collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted, ids);
}

#[test]
fn a_second_info_follows_the_first_pong_for_protocol_1() {
    let server = Server::start();
    let mut client = Client::connect(server.addr());
    client.send("CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\nPING\r\n");
    assert_eq!(client.frame(), Frame::Pong);
    let Frame::Info(info) = client.frame() else {
        panic!("no INFO after the first PONG");
    };
    assert_eq!(info["connect_info"], true);
    assert_eq!(info["remote_account"], "$G");
    assert_eq!(info["client_id"], client.info["client_id"]);
    assert_eq!(client.frame(), Frame::Pong);
    client.flush();
}

#[test]
fn no_second_info_for_protocol_0() {
    let server = Server::start();
    let mut client = Client::connect(server.addr());
    client.send("CONNECT {\"verbose\":false,\"protocol\":0}\r\n");
    client.flush();
    client.flush();
}
