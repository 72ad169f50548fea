//! Tokens, users and passwords.

use crate::common::{Client, Server};

const VIOLATION: &str = "Authorization Violation";

/// The bcrypt hash of "porkchop", cost 4.
const PORKCHOP: &str = "$2a$04$KN9q4yDn9heFQMfwetG9Teoa6G1zj3G/HteHkols03FAvxWdUJ.qu";

#[track_caller]
fn refused(server: &Server, fields: &str) {
    let mut client = Client::connect(server.addr());
    client.login(fields);
    client.expect_err_and_close(VIOLATION);
}

#[track_caller]
fn accepted(server: &Server, fields: &str) -> Client {
    Client::ready_with(server.addr(), fields)
}

#[test]
fn token_of_the_command_line() {
    let server = Server::builder().args(["--auth", "s3cr3t"]).start();
    assert_eq!(Client::connect(server.addr()).info["auth_required"], true);
    accepted(&server, r#""auth_token":"s3cr3t""#);
    refused(&server, r#""auth_token":"S3cr3t""#);
    refused(&server, r#""user":"s3cr3t""#);
    refused(&server, "");
}

#[test]
fn token_of_the_configuration() {
    let server = Server::with_config("authorization { token: \"s3cr3t\" }\n");
    accepted(&server, r#""auth_token":"s3cr3t""#);
    refused(&server, r#""auth_token":"other""#);
}

#[test]
fn user_and_password_of_the_command_line() {
    let server = Server::builder()
        .args(["--user", "derek", "--pass", "porkchop"])
        .start();
    accepted(&server, r#""user":"derek","pass":"porkchop""#);
    refused(&server, r#""user":"derek","pass":"pork""#);
    refused(&server, r#""user":"derek""#);
    refused(&server, r#""user":"Derek","pass":"porkchop""#);
}

#[test]
fn several_users() {
    let server = Server::with_config(
        "authorization { users = [ {user: a, password: one}, {user: b, password: two} ] }\n",
    );
    accepted(&server, r#""user":"a","pass":"one""#);
    accepted(&server, r#""user":"b","pass":"two""#);
    refused(&server, r#""user":"a","pass":"two""#);
    refused(&server, r#""user":"c","pass":"one""#);
}

#[test]
fn bcrypt_passwords_take_the_plain_text() {
    let server = Server::with_config(&format!(
        "authorization {{ users = [ {{user: a, password: \"{PORKCHOP}\"}} ] }}\n"
    ));
    accepted(&server, r#""user":"a","pass":"porkchop""#);
    refused(&server, r#""user":"a","pass":"porkchops""#);
    refused(&server, &format!(r#""user":"a","pass":"{PORKCHOP}""#));
}

#[test]
fn bcrypt_tokens_take_the_plain_text() {
    let server = Server::with_config(&format!("authorization {{ token: \"{PORKCHOP}\" }}\n"));
    accepted(&server, r#""auth_token":"porkchop""#);
    refused(&server, r#""auth_token":"other""#);
}

#[test]
fn the_first_command_must_be_connect() {
    let server = Server::with_config("authorization { user: a, password: b }\n");
    for bytes in ["PING\r\n", "SUB a 1\r\n", "PUB a 0\r\n\r\n"] {
        let mut client = Client::connect(server.addr());
        client.send(bytes);
        client.expect_err_and_close(VIOLATION);
    }
}

#[test]
fn a_second_connect_authenticates_again() {
    let server = Server::with_config("authorization { user: a, password: b }\n");
    let mut client = accepted(&server, r#""user":"a","pass":"b""#);
    client.login(r#""user":"a","pass":"c""#);
    client.expect_err_and_close(VIOLATION);
}

const WITH_DEFAULT_USER: &str = r#"
authorization { users = [
    {user: a, password: b}
    {user: guest, password: g, permissions: { publish: "lobby.>" }}
] }
no_auth_user: guest
"#;

#[test]
fn no_auth_user_stands_in_for_missing_credentials() {
    let server = Server::with_config(WITH_DEFAULT_USER);
    let mut client = accepted(&server, "");
    client.publish("lobby.a", "");
    client.publish("vault", "");
    client.expect_err("Permissions Violation for Publish to \"vault\"");
    client.flush();
}

#[test]
fn no_auth_user_needs_no_connect() {
    let server = Server::with_config(WITH_DEFAULT_USER);
    let mut client = Client::connect(server.addr());
    client.publish("vault", "");
    client.expect_err("Permissions Violation for Publish to \"vault\"");
    client.flush();
}

#[test]
fn no_auth_user_hides_auth_required_in_the_first_info() {
    let server = Server::with_config(WITH_DEFAULT_USER);
    let client = Client::connect(server.addr());
    assert!(client.info.get("auth_required").is_none());
}

#[test]
fn no_auth_user_does_not_help_wrong_credentials() {
    let server = Server::with_config(WITH_DEFAULT_USER);
    refused(&server, r#""user":"a","pass":"wrong""#);
    let mut client = accepted(&server, r#""user":"a","pass":"b""#);
    client.publish("vault", "");
    client.flush();
}
