//! Defaults of a configuration, what it may not say, and what an update may not change.
//!
//! Codes, texts and their order were asked of nats-server 2.15.1.

use crate::jetstream::error::{ApiError, ErrorCode};
use crate::subject;

use super::config::{AckPolicy, ConsumerConfig, DeliverPolicy, PriorityPolicy};

/// Requests that a pull consumer keeps waiting.
pub const DEFAULT_MAX_WAITING: i64 = 512;
/// Messages delivered and not acknowledged.
pub const DEFAULT_MAX_ACK_PENDING: i64 = 1_000;
/// Nanoseconds until a message is delivered again.
pub const DEFAULT_ACK_WAIT: i64 = 30_000_000_000;
/// Nanoseconds without interest after which an ephemeral consumer goes.
pub const DEFAULT_INACTIVE_THRESHOLD: i64 = 5_000_000_000;
/// Nanoseconds without a pull after which a pinned client loses its pin.
pub const DEFAULT_PRIORITY_TIMEOUT: i64 = 120_000_000_000;
/// Heartbeat of a consumer acknowledged by flow control, in nanoseconds.
pub const DEFAULT_FLOW_CONTROL_HEARTBEAT: i64 = 1_000_000_000;
/// Shortest idle heartbeat of a push consumer, in nanoseconds.
pub const MIN_IDLE_HEARTBEAT: i64 = 100_000_000;
/// Shortest limit on the expiry of pull requests, in nanoseconds.
pub const MIN_MAX_EXPIRES: i64 = 1_000_000;
/// Bytes of a description.
pub const MAX_DESCRIPTION: usize = 4096;
/// Bytes of all keys and values of metadata.
pub const MAX_METADATA: usize = 128 * 1024;
/// Bytes of a name.
pub const MAX_NAME: usize = 255;
/// Bytes of a priority group's name.
pub const MAX_GROUP_NAME: usize = 16;
/// Prefix of the keys of metadata that belong to the server.
pub const SERVER_METADATA: &str = "_nats.";
/// Key of the lowest API level that knows what the configuration uses.
pub const REQUIRED_LEVEL: &str = "_nats.req.level";

/// What the stream, its account and the server allow.
#[derive(Clone, Debug, Default)]
pub struct Allowed<'a> {
    pub work_queue: bool,
    pub interest: bool,
    /// Subjects of the stream.
    pub subjects: &'a [String],
    /// Messages not acknowledged, the smallest of all limits; 0 or below: no limit.
    pub max_ack_pending: i64,
    /// Nanoseconds, limit and default of the stream; 0: none.
    pub inactive_threshold: i64,
    /// Limit of the server on the batch of a pull request; 0 or below: none.
    pub max_request_batch: i64,
    pub stream_replicas: i64,
}

/// Fills in what is not given and checks the rest.
///
/// # Errors
/// The first rule that is broken.
pub fn prepare(
    config: &mut ConsumerConfig,
    allowed: &Allowed<'_>,
    pedantic: bool,
) -> Result<(), ApiError> {
    check_name(config)?;
    fill_in(config, allowed, pedantic)?;
    check(config, allowed)
}

fn check_name(config: &ConsumerConfig) -> Result<(), ApiError> {
    let name = config.name.as_str();
    if name.contains(['/', '\\']) {
        return Err(ErrorCode::ConsumerNameContainsPathSeparators.into());
    }
    if name.contains(['.', '*', '>', ' ', '\t', '\r', '\n', '\x0c']) {
        let error = ErrorCode::StreamInvalidConfig
            .with("consumer name can not contain '.', '*', '>', '\\', '/'");
        return Err(error);
    }
    if config.durable_name.len() > MAX_NAME {
        return Err(ErrorCode::ConsumerNameTooLong.with(MAX_NAME));
    }
    // The name is that of a file.
    if name.len() > MAX_NAME {
        return Err(ErrorCode::ConsumerCreate.with("error creating store for consumer"));
    }
    Ok(())
}

/// A correction that pedantic requests forbid.
fn correct(
    value: &mut i64,
    wrong: bool,
    right: i64,
    pedantic: bool,
    text: &str,
) -> Result<(), ApiError> {
    if wrong {
        if pedantic {
            return Err(ErrorCode::Pedantic.with(text));
        }
        *value = right;
    }
    Ok(())
}

fn fill_in(
    config: &mut ConsumerConfig,
    allowed: &Allowed<'_>,
    pedantic: bool,
) -> Result<(), ApiError> {
    if config.max_deliver == 0 {
        config.max_deliver = -1;
    }
    let c = config;
    let wrong = c.max_deliver < -1;
    correct(
        &mut c.max_deliver,
        wrong,
        -1,
        pedantic,
        "max_deliver must be set to -1",
    )?;
    let wrong = c.max_ack_pending < -1;
    correct(
        &mut c.max_ack_pending,
        wrong,
        -1,
        pedantic,
        "max_ack_pending must be set to -1",
    )?;
    for (value, text) in [
        (&mut c.max_waiting, "max_waiting must not be negative"),
        (&mut c.max_batch, "max_batch must not be negative"),
        (&mut c.max_expires, "max_expires must not be negative"),
        (&mut c.max_bytes, "max_bytes must not be negative"),
        (&mut c.idle_heartbeat, "idle_heartbeat must not be negative"),
        (
            &mut c.inactive_threshold,
            "inactive_threshold must not be negative",
        ),
        (
            &mut c.priority_timeout,
            "priority_timeout must not be negative",
        ),
    ] {
        let wrong = *value < 0;
        correct(value, wrong, 0, pedantic, text)?;
    }
    if c.ack_wait == 0 && matches!(c.ack_policy, AckPolicy::Explicit | AckPolicy::All) {
        c.ack_wait = DEFAULT_ACK_WAIT;
        if let Some(&first) = c.backoff.first() {
            c.ack_wait = first;
        }
    }
    if let Some(&first) = c.backoff.first()
        && first >= 0
        && c.ack_wait >= 0
    {
        let wrong = c.ack_wait != first && (c.ack_wait != 0 || !pedantic);
        correct(
            &mut c.ack_wait,
            wrong,
            first,
            pedantic,
            "first backoff value has to equal batch AckWait",
        )?;
    }
    if c.ack_policy == AckPolicy::FlowControl && c.is_push() && !pedantic {
        c.flow_control = true;
        if c.idle_heartbeat == 0 {
            c.idle_heartbeat = DEFAULT_FLOW_CONTROL_HEARTBEAT;
        }
    }
    if c.max_ack_pending == 0 {
        if allowed.max_ack_pending > 0 {
            c.max_ack_pending = if c.ack_policy == AckPolicy::None {
                allowed.max_ack_pending
            } else {
                allowed.max_ack_pending.min(DEFAULT_MAX_ACK_PENDING)
            };
        } else if c.ack_policy != AckPolicy::None {
            c.max_ack_pending = DEFAULT_MAX_ACK_PENDING;
        }
    }
    if !c.is_push() && c.max_waiting == 0 {
        c.max_waiting = DEFAULT_MAX_WAITING;
    }
    if c.inactive_threshold == 0 {
        if allowed.inactive_threshold > 0 {
            c.inactive_threshold = allowed.inactive_threshold;
        } else if !c.is_durable() {
            c.inactive_threshold = DEFAULT_INACTIVE_THRESHOLD;
        }
    }
    if c.priority_policy == PriorityPolicy::PinnedClient && c.priority_timeout == 0 {
        c.priority_timeout = DEFAULT_PRIORITY_TIMEOUT;
    }
    Ok(())
}

fn check(config: &ConsumerConfig, allowed: &Allowed<'_>) -> Result<(), ApiError> {
    check_general(config, allowed)?;
    if config.is_push() {
        check_push(config, allowed)?;
    } else {
        check_pull(config, allowed)?;
    }
    check_direct(config)?;
    check_filters(config)?;
    check_start(config)?;
    parse_sample(&config.sample_freq)?;
    check_acknowledgement(config, allowed)?;
    check_priority(config)?;
    check_metadata(config)
}

fn check_general(config: &ConsumerConfig, allowed: &Allowed<'_>) -> Result<(), ApiError> {
    if config.num_replicas < 0 {
        return Err(ErrorCode::ReplicasCountNegative.into());
    }
    if config.num_replicas > 1 {
        return Err(ErrorCode::StreamReplicasNotSupported.into());
    }
    if allowed.interest
        && config.num_replicas != 0
        && config.num_replicas != allowed.stream_replicas
    {
        return Err(ErrorCode::ConsumerReplicasMustMatchStream.into());
    }
    if config.ack_wait < 0 {
        return Err(ErrorCode::ConsumerAckWaitNegative.into());
    }
    if config.backoff.iter().any(|&delay| delay < 0) {
        return Err(ErrorCode::ConsumerBackoffNegative.into());
    }
    let steps = i64::try_from(config.backoff.len()).unwrap_or(i64::MAX);
    if config.max_deliver != -1 && config.max_deliver < steps {
        return Err(ErrorCode::ConsumerMaxDeliverBackoff.into());
    }
    if config.description.len() > MAX_DESCRIPTION {
        return Err(ErrorCode::ConsumerDescriptionTooLong.with(MAX_DESCRIPTION));
    }
    Ok(())
}

fn check_push(config: &ConsumerConfig, allowed: &Allowed<'_>) -> Result<(), ApiError> {
    let to = config.deliver_subject.as_bytes();
    let has_blank = to.iter().any(|b| b" \t\r\n".contains(b));
    if has_blank || !subject::is_valid_subscription(to) {
        return Err(ErrorCode::ConsumerInvalidDeliverSubject.into());
    }
    if !subject::is_literal(to) {
        return Err(ErrorCode::ConsumerDeliverToWildcards.into());
    }
    if allowed
        .subjects
        .iter()
        .any(|own| subject::matches(own.as_bytes(), to))
    {
        return Err(ErrorCode::ConsumerDeliverCycle.into());
    }
    if config.max_waiting != 0 {
        return Err(ErrorCode::ConsumerPushMaxWaiting.into());
    }
    if config.idle_heartbeat > 0 && config.idle_heartbeat < MIN_IDLE_HEARTBEAT {
        return Err(ErrorCode::ConsumerSmallHeartbeat.into());
    }
    if config.ack_policy == AckPolicy::FlowControl && !config.flow_control {
        return Err(ErrorCode::ConsumerAckFlowControlRequiresFlowControl.into());
    }
    if config.flow_control && config.idle_heartbeat == 0 {
        return Err(ErrorCode::ConsumerFlowControlRequiresHeartbeats.into());
    }
    if config.priority_policy != PriorityPolicy::None || !config.priority_groups.is_empty() {
        return Err(ErrorCode::ConsumerPushWithPriorityGroup.into());
    }
    check_limits(config, allowed)
}

fn check_pull(config: &ConsumerConfig, allowed: &Allowed<'_>) -> Result<(), ApiError> {
    if config.ack_policy == AckPolicy::FlowControl {
        return Err(ErrorCode::ConsumerAckFlowControlRequiresPush.into());
    }
    if allowed.work_queue && !config.direct && config.ack_policy == AckPolicy::None {
        return Err(ErrorCode::ConsumerPullRequiresAck.into());
    }
    if config.rate_limit_bps > 0 {
        return Err(ErrorCode::ConsumerPullWithRateLimit.into());
    }
    if config.idle_heartbeat > 0 {
        return Err(ErrorCode::ConsumerHeartbeatRequiresPush.into());
    }
    if config.flow_control {
        return Err(ErrorCode::ConsumerFlowControlRequiresPush.into());
    }
    check_limits(config, allowed)
}

fn check_limits(config: &ConsumerConfig, allowed: &Allowed<'_>) -> Result<(), ApiError> {
    let limit = allowed.max_request_batch;
    if limit > 0 && config.max_batch > limit {
        return Err(ErrorCode::ConsumerMaxRequestBatchExceeded.with(limit));
    }
    if config.max_expires > 0 && config.max_expires < MIN_MAX_EXPIRES {
        return Err(ErrorCode::ConsumerMaxRequestExpiresTooSmall.into());
    }
    let limit = allowed.max_ack_pending;
    if limit > 0 && config.max_ack_pending > limit {
        return Err(ErrorCode::ConsumerMaxPendingAckExcess.with(limit));
    }
    let limit = allowed.inactive_threshold;
    if limit > 0 && config.inactive_threshold > limit {
        let text = super::text::duration(limit);
        return Err(ErrorCode::ConsumerInactiveThresholdExcess.with(text));
    }
    Ok(())
}

fn check_direct(config: &ConsumerConfig) -> Result<(), ApiError> {
    if config.direct {
        if !config.is_push() {
            return Err(ErrorCode::ConsumerDirectRequiresPush.into());
        }
        if config.is_durable() {
            return Err(ErrorCode::ConsumerDirectRequiresEphemeral.into());
        }
    }
    Ok(())
}

fn check_filters(config: &ConsumerConfig) -> Result<(), ApiError> {
    let many = &config.filter_subjects;
    if !config.filter_subject.is_empty() && !many.is_empty() {
        return Err(ErrorCode::ConsumerDuplicateFilterSubjects.into());
    }
    if many.iter().any(String::is_empty) {
        return Err(ErrorCode::ConsumerEmptyFilter.into());
    }
    for filter in config.filters() {
        let has_blank = filter.bytes().any(|b| b" \t\r\n".contains(&b));
        if has_blank || !subject::is_valid_subscription(filter.as_bytes()) {
            return Err(ErrorCode::StreamInvalidConfig.with("invalid subject"));
        }
    }
    for (at, one) in many.iter().enumerate() {
        if many[at + 1..]
            .iter()
            .any(|other| subject::overlaps(one.as_bytes(), other.as_bytes()))
        {
            return Err(ErrorCode::ConsumerOverlappingFilters.into());
        }
    }
    Ok(())
}

fn check_start(config: &ConsumerConfig) -> Result<(), ApiError> {
    let (policy, needs_sequence, needs_time) = match config.deliver_policy {
        DeliverPolicy::All => ("all", false, false),
        DeliverPolicy::Last => ("last", false, false),
        DeliverPolicy::New => ("new", false, false),
        DeliverPolicy::LastPerSubject => ("last per subject", false, false),
        DeliverPolicy::ByStartSequence => ("by start sequence", true, false),
        DeliverPolicy::ByStartTime => ("by start time", false, true),
    };
    let sequence = config.opt_start_seq > 0;
    let time = config.opt_start_time.is_some();
    let problem = if needs_sequence && !sequence {
        "optional start sequence is not set"
    } else if needs_time && !time {
        "optional start time is not set"
    } else if !needs_sequence && sequence {
        // The doubled word is nats-server's.
        match needs_time {
            true => "optional start start sequence is also set",
            false => "optional start sequence is also set",
        }
    } else if !needs_time && time {
        "optional start time is also set"
    } else if config.deliver_policy == DeliverPolicy::LastPerSubject
        && config.filters().next().is_none()
    {
        let text = "consumer delivery policy is deliver last per subject, but optional filter subject is not set";
        return Err(ErrorCode::ConsumerInvalidPolicy.with(text));
    } else {
        return Ok(());
    };
    let text = format!("consumer delivery policy is deliver {policy}, but {problem}");
    Err(ErrorCode::ConsumerInvalidPolicy.with(text))
}

/// Percentage of acknowledgements that are reported; 0 for none.
///
/// # Errors
/// What is no number, with or without a percent sign.
pub fn parse_sample(text: &str) -> Result<u8, ApiError> {
    if text.is_empty() {
        return Ok(0);
    }
    let digits = text.strip_suffix('%').unwrap_or(text);
    let invalid = |problem: &str| {
        let text = format!(
            "strconv.Atoi: parsing {}: {problem}",
            super::text::quoted(digits)
        );
        Err(ErrorCode::ConsumerInvalidSampling.with(text))
    };
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return invalid("invalid syntax");
    }
    match digits.parse::<i64>() {
        Ok(percent) if percent < 0 => Err(ErrorCode::ConsumerInvalidSampling.with("<nil>")),
        Ok(percent) => Ok(percent.min(100) as u8),
        Err(_) => invalid("value out of range"),
    }
}

fn check_acknowledgement(config: &ConsumerConfig, allowed: &Allowed<'_>) -> Result<(), ApiError> {
    if config.ack_policy == AckPolicy::FlowControl {
        if config.max_ack_pending <= 0 {
            return Err(ErrorCode::ConsumerAckFlowControlRequiresMaxAckPending.into());
        }
        if config.ack_wait != 0 {
            return Err(ErrorCode::ConsumerAckFlowControlRequiresNoAckWait.into());
        }
        if config.max_deliver != -1 {
            return Err(ErrorCode::ConsumerAckFlowControlRequiresNoMaxDeliver.into());
        }
    }
    if allowed.work_queue && !config.direct {
        if config.ack_policy != AckPolicy::Explicit {
            return Err(ErrorCode::ConsumerWorkQueueRequiresExplicitAck.into());
        }
        if config.deliver_policy != DeliverPolicy::All {
            return Err(ErrorCode::ConsumerWorkQueueNotDeliverAll.into());
        }
    }
    Ok(())
}

fn check_priority(config: &ConsumerConfig) -> Result<(), ApiError> {
    if config.priority_policy == PriorityPolicy::None {
        if !config.priority_groups.is_empty() {
            return Err(ErrorCode::ConsumerPriorityGroupWithPolicyNone.into());
        }
        if config.priority_timeout != 0 {
            return Err(ErrorCode::ConsumerPinnedTtlWithPolicyNone.into());
        }
        return Ok(());
    }
    if config.priority_groups.is_empty() {
        return Err(ErrorCode::ConsumerPriorityPolicyWithoutGroup.into());
    }
    for group in &config.priority_groups {
        if group.is_empty() {
            return Err(ErrorCode::ConsumerEmptyGroupName.into());
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/_=-".contains(&b);
        if group.len() > MAX_GROUP_NAME || !group.bytes().all(allowed) {
            return Err(ErrorCode::ConsumerInvalidGroupName.into());
        }
    }
    Ok(())
}

fn check_metadata(config: &ConsumerConfig) -> Result<(), ApiError> {
    let size: usize = config
        .metadata
        .iter()
        .filter(|(key, _)| !key.starts_with(SERVER_METADATA))
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if size > MAX_METADATA {
        return Err(ErrorCode::ConsumerMetadataTooLong.with("128KB"));
    }
    Ok(())
}

/// Checks that `new` may replace `old`. Both are prepared.
///
/// # Errors
/// 10012 with what can not be updated.
pub fn check_update(old: &ConsumerConfig, new: &ConsumerConfig) -> Result<(), ApiError> {
    let problem = if old.deliver_policy != new.deliver_policy {
        "deliver policy can not be updated"
    } else if old.opt_start_seq != new.opt_start_seq {
        "start sequence can not be updated"
    } else if old.opt_start_time != new.opt_start_time {
        "start time can not be updated"
    } else if old.ack_policy != new.ack_policy {
        "ack policy can not be updated"
    } else if old.replay_policy != new.replay_policy {
        "replay policy can not be updated"
    } else if old.idle_heartbeat != new.idle_heartbeat {
        "heart beats can not be updated"
    } else if old.flow_control != new.flow_control {
        "flow control can not be updated"
    } else if old.is_push() && !new.is_push() {
        "can not update push consumer to pull based"
    } else if !old.is_push() && new.is_push() {
        "can not update pull consumer to push based"
    } else if old.max_waiting != new.max_waiting {
        "max waiting can not be updated"
    } else if old.mem_storage != new.mem_storage {
        "storage type can not be updated"
    } else if old.sourcing != new.sourcing {
        "sourcing can not be updated"
    } else {
        return Ok(());
    };
    Err(ErrorCode::ConsumerCreate.with(problem))
}

/// Whether two configurations ask for the same, whatever the server added.
pub fn is_same(a: &ConsumerConfig, b: &ConsumerConfig) -> bool {
    let own = |c: &ConsumerConfig| {
        let mut c = c.clone();
        c.metadata
            .retain(|key, _| !key.starts_with(SERVER_METADATA));
        // It is changed by pause requests only.
        c.pause_until = None;
        c
    };
    own(a) == own(b)
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
