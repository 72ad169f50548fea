//! Bad input and bad manners: the connection that misbehaves gets its answer, all others go on.

#[path = "../common/mod.rs"]
mod common;

mod crowds;
mod noise;
mod stalls;

use common::{Client, Server};

/// Two connections that must not notice anything.
struct Bystanders {
    publisher: Client,
    subscriber: Client,
    sent: usize,
}

impl Bystanders {
    fn new(server: &Server) -> Bystanders {
        let mut subscriber = Client::ready(server.addr());
        subscriber.send("SUB bystander 1\r\n");
        subscriber.flush();
        Bystanders {
            publisher: Client::ready(server.addr()),
            subscriber,
            sent: 0,
        }
    }

    /// A message still goes from one to the other, nothing else came, and strangers may connect.
    #[track_caller]
    fn unharmed(&mut self, server: &Server) {
        self.publisher.publish("bystander", self.sent.to_string());
        assert_eq!(self.subscriber.msg().text(), self.sent.to_string());
        self.sent += 1;
        self.publisher.flush();
        self.subscriber.flush();
        Client::ready(server.addr()).flush();
    }
}
