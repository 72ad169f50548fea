//! The kinds of connection that a user may be bound to.

use crate::broker::Kind;

/// One kind of connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum ConnectionType {
    /// A client over TCP or TLS.
    #[default]
    Standard = 1,
    /// A client over WebSocket.
    WebSocket = 1 << 1,
    LeafNode = 1 << 2,
    LeafNodeWebSocket = 1 << 3,
    Mqtt = 1 << 4,
    MqttWebSocket = 1 << 5,
    InProcess = 1 << 6,
}

impl ConnectionType {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Standard,
        Self::WebSocket,
        Self::LeafNode,
        Self::LeafNodeWebSocket,
        Self::Mqtt,
        Self::MqttWebSocket,
        Self::InProcess,
    ];

    /// As configurations and claims write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::WebSocket => "WEBSOCKET",
            Self::LeafNode => "LEAFNODE",
            Self::LeafNodeWebSocket => "LEAFNODE_WS",
            Self::Mqtt => "MQTT",
            Self::MqttWebSocket => "MQTT_WS",
            Self::InProcess => "IN_PROCESS",
        }
    }

    /// The kind of this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}

impl From<Kind> for ConnectionType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Client => Self::Standard,
            Kind::WebSocket => Self::WebSocket,
        }
    }
}

/// The kinds that a user may use. The default is all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionTypes(u8);

impl Default for ConnectionTypes {
    fn default() -> Self {
        Self(u8::MAX)
    }
}

impl ConnectionTypes {
    /// From a list of names, where an empty list means all kinds; `None` if no name is known: no
    /// kind may be used. Unknown names beside known ones are left out, as nats-server does.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut names = names.into_iter().peekable();
        if names.peek().is_none() {
            return Some(Self::default());
        }
        let bits = names
            .filter_map(ConnectionType::from_name)
            .fold(0, |bits, kind| bits | kind as u8);
        (bits != 0).then_some(Self(bits))
    }

    /// Whether a connection of this kind is let in.
    pub fn allows(self, kind: ConnectionType) -> bool {
        self.0 & kind as u8 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_select_kinds() {
        let only = ConnectionTypes::from_names(["websocket", "MQTT"]).unwrap();
        assert!(only.allows(ConnectionType::WebSocket) && only.allows(ConnectionType::Mqtt));
        assert!(!only.allows(ConnectionType::Standard));
        let all = ConnectionTypes::from_names([]).unwrap();
        assert!(ConnectionType::ALL.into_iter().all(|kind| all.allows(kind)));
        assert_eq!(ConnectionTypes::from_names(["pigeon"]), None);
    }
}
