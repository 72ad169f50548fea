//! The subjects of the API.

use crate::subject::tokens;

/// What all subjects of the API start with.
pub const PREFIX: &[u8] = b"$JS.API.";
/// What the types of responses start with.
pub const TYPE_PREFIX: &str = "io.nats.jetstream.api.v1.";

macro_rules! endpoints {
    ($($name:ident $pattern:literal $response:literal,)*) => {
        /// A kind of request. Its number is the detail of the subscription's token.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Endpoint {
            $(
                #[doc = concat!("`$JS.API.", $pattern, "`")]
                $name,
            )*
        }

        impl Endpoint {
            /// All of them; one is at the index that is its number.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The subjects of the endpoint, behind [`PREFIX`].
            pub fn pattern(self) -> &'static str {
                match self {
                    $(Self::$name => $pattern,)*
                }
            }

            /// The type of the response, behind [`TYPE_PREFIX`].
            pub fn response_type(self) -> &'static str {
                match self {
                    $(Self::$name => $response,)*
                }
            }
        }
    };
}

endpoints! {
    AccountInfo "INFO" "account_info_response",
    StreamCreate "STREAM.CREATE.*" "stream_create_response",
    StreamUpdate "STREAM.UPDATE.*" "stream_update_response",
    StreamNames "STREAM.NAMES" "stream_names_response",
    StreamList "STREAM.LIST" "stream_list_response",
    StreamInfo "STREAM.INFO.*" "stream_info_response",
    StreamDelete "STREAM.DELETE.*" "stream_delete_response",
    StreamPurge "STREAM.PURGE.*" "stream_purge_response",
    StreamSnapshot "STREAM.SNAPSHOT.*" "stream_snapshot_response",
    StreamRestore "STREAM.RESTORE.*" "stream_restore_response",
    StreamPeerRemove "STREAM.PEER.REMOVE.*" "stream_remove_peer_response",
    StreamPeerEvacuate "STREAM.PEER.EVACUATE.*" "stream_evacuate_peer_response",
    StreamLeaderStepdown "STREAM.LEADER.STEPDOWN.*" "stream_leader_stepdown_response",
    StreamCancelMove "STREAM.CANCEL_MOVE.*" "stream_cancel_move_response",
    MessageGet "STREAM.MSG.GET.*" "stream_msg_get_response",
    MessageDelete "STREAM.MSG.DELETE.*" "stream_msg_delete_response",
    ConsumerCreate "CONSUMER.CREATE.*" "consumer_create_response",
    ConsumerCreateNamed "CONSUMER.CREATE.*.>" "consumer_create_response",
    ConsumerCreateDurable "CONSUMER.DURABLE.CREATE.*.*" "consumer_create_response",
    ConsumerNames "CONSUMER.NAMES.*" "consumer_names_response",
    ConsumerList "CONSUMER.LIST.*" "consumer_list_response",
    ConsumerInfo "CONSUMER.INFO.*.*" "consumer_info_response",
    ConsumerDelete "CONSUMER.DELETE.*.*" "consumer_delete_response",
    ConsumerPause "CONSUMER.PAUSE.*.*" "consumer_pause_response",
    ConsumerReset "CONSUMER.RESET.*.*" "consumer_reset_response",
    ConsumerUnpin "CONSUMER.UNPIN.*.*" "consumer_unpin_response",
    ConsumerPeerRemove "CONSUMER.PEER.REMOVE.*.*" "consumer_remove_peer_response",
    ConsumerPeerEvacuate "CONSUMER.PEER.EVACUATE.*.*" "consumer_evacuate_peer_response",
    ConsumerLeaderStepdown "CONSUMER.LEADER.STEPDOWN.*.*" "consumer_leader_stepdown_response",
}

impl Endpoint {
    /// The endpoint of this number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }

    /// Whether only a cluster can answer (10010 otherwise).
    pub fn needs_cluster(self) -> bool {
        matches!(
            self,
            Self::StreamPeerRemove
                | Self::StreamPeerEvacuate
                | Self::StreamLeaderStepdown
                | Self::StreamCancelMove
                | Self::ConsumerPeerRemove
                | Self::ConsumerPeerEvacuate
                | Self::ConsumerLeaderStepdown
        )
    }

    /// What `subject` names: the tokens that stand for `*` or `>` in the pattern.
    pub fn names(self, subject: &[u8]) -> Names<'_> {
        let literal = self
            .pattern()
            .split('.')
            .take_while(|token| !matches!(*token, "*" | ">"))
            .count();
        let mut parts = tokens(subject.strip_prefix(PREFIX).unwrap_or_default());
        for _ in 0..literal {
            parts.next();
        }
        let mut name = || text(parts.next().unwrap_or_default());
        let (stream, consumer) = (name(), name());
        Names {
            stream,
            consumer,
            filter: text(parts.rest().unwrap_or_default()),
        }
    }
}

/// Names in subjects are compared with names in bodies, which are text; what is no UTF-8 names
/// nothing that exists.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("\u{fffd}")
}

/// What the subject of a request names; empty where it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names<'a> {
    pub stream: &'a str,
    pub consumer: &'a str,
    /// Of [`Endpoint::ConsumerCreateNamed`].
    pub filter: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::matches;

    #[test]
    fn a_number_names_its_endpoint() {
        for (number, &endpoint) in Endpoint::ALL.iter().enumerate() {
            assert_eq!(endpoint as usize, number);
            assert_eq!(Endpoint::from_number(number as u32), Some(endpoint));
        }
        assert_eq!(Endpoint::from_number(1000), None);
    }

    #[test]
    fn names_are_what_stands_for_wildcards() {
        let names = |endpoint: Endpoint, subject: &'static str| {
            let pattern = [PREFIX, endpoint.pattern().as_bytes()].concat();
            assert!(matches(&pattern, subject.as_bytes()), "{subject}");
            let Names {
                stream,
                consumer,
                filter,
            } = endpoint.names(subject.as_bytes());
            (stream, consumer, filter)
        };
        assert_eq!(
            names(
                Endpoint::StreamLeaderStepdown,
                "$JS.API.STREAM.LEADER.STEPDOWN.S"
            ),
            ("S", "", "")
        );
        assert_eq!(
            names(Endpoint::ConsumerCreateNamed, "$JS.API.CONSUMER.CREATE.S.c"),
            ("S", "c", "")
        );
        assert_eq!(
            names(
                Endpoint::ConsumerCreateNamed,
                "$JS.API.CONSUMER.CREATE.S.c.a.*.>"
            ),
            ("S", "c", "a.*.>")
        );
        assert_eq!(names(Endpoint::AccountInfo, "$JS.API.INFO"), ("", "", ""));
    }
}
