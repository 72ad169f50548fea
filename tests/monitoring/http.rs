//! What is HTTP about it.

use crate::common::{Client, Server, get};

#[test]
fn documents_are_json_open_to_other_origins() {
    let server = Server::builder().monitor().start();
    for path in [
        "/varz",
        "/connz",
        "/subsz",
        "/healthz",
        "/routez",
        "/gatewayz",
        "/leafz",
        "/accountz",
        "/accstatz",
    ] {
        let response = get(server.monitor(), path);
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(
            response.header("Content-Type"),
            Some("application/json"),
            "{path}"
        );
        assert_eq!(
            response.header("Access-Control-Allow-Origin"),
            Some("*"),
            "{path}"
        );
        assert!(response.json().is_object(), "{path}");
    }
}

#[test]
fn the_root_is_a_page() {
    let server = Server::builder().monitor().start();
    let response = get(server.monitor(), "/");
    assert_eq!(response.status, 200);
    let kind = response.header("Content-Type").unwrap();
    assert!(kind.starts_with("text/html"), "{kind}");
    assert!(response.body.contains("varz"));
}

#[test]
fn other_paths_are_not_found() {
    let server = Server::builder().monitor().start();
    assert_eq!(get(server.monitor(), "/nosuch").status, 404);
}

#[test]
fn a_callback_parameter_changes_nothing() {
    let server = Server::builder().monitor().start();
    let response = get(server.monitor(), "/varz?callback=jsonp");
    assert_eq!(response.status, 200);
    assert!(response.json().is_object());
}

#[test]
fn healthz_is_ok() {
    let server = Server::builder().monitor().start();
    let health = server.get_json("/healthz");
    assert_eq!(health["status"], "ok");
}

#[test]
fn a_base_path_goes_before_all_others() {
    let server = Server::builder()
        .config("http_base_path: \"/nats\"\n")
        .monitor()
        .start();
    assert_eq!(get(server.monitor(), "/nats/varz").status, 200);
    assert_eq!(get(server.monitor(), "/varz").status, 404);
}

#[test]
fn noise_on_the_monitoring_port_harms_nobody() {
    let server = Server::builder().monitor().start();
    let mut client = Client::ready(server.addr());
    for bytes in [
        &b"\x00\xff\x16\x03"[..],
        b"GET /varz",
        b"POST /varz HTTP/1.1\r\n\r\n",
    ] {
        let mut noise = Client::open(server.monitor());
        noise.send(bytes);
        noise.shutdown_write();
        noise.rest();
    }
    client.flush();
    assert_eq!(get(server.monitor(), "/varz").status, 200);
}
