//! What a stream tells beside its answers; the API makes advisories of it.

/// Why an atomic batch was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbandonReason {
    /// No message for too long.
    Timeout,
    /// Too many messages.
    Large,
    /// A message is missing.
    Incomplete,
}

impl AbandonReason {
    /// As the advisory spells it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Large => "large",
            Self::Incomplete => "incomplete",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// `$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.<stream>`.
    BatchAbandoned {
        batch: String,
        reason: AbandonReason,
    },
}
