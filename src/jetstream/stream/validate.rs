//! Whether a configuration can be, what it defaults to, and what may be changed.
//!
//! The order of the checks and all texts are those of nats-server 2.15.1: clients compare them.

use super::config::{
    Discard, PersistMode, Retention, Storage, StreamConfig, StreamSource, SubjectTransform,
};
use crate::broker::accounts::JetStreamLimits;
use crate::jetstream::error::{ApiError, ErrorCode};
use crate::jetstream::settings::{DUPLICATE_WINDOW_NS, JetStreamSettings};
use crate::subject::{
    Transform, TransformError, is_literal, is_subset, is_valid_subscription, overlaps,
};

/// Longest name of a stream, in bytes.
pub const NAME_MAX: usize = 255;
/// Longest description, in bytes.
pub const DESCRIPTION_MAX: usize = 4096;
/// Names and values of all metadata together, in bytes.
pub const METADATA_MAX: usize = 128 * 1024;
/// Most replicas.
pub const REPLICAS_MAX: i64 = 5;
/// Shortest `max_age` and duplicate window, in nanoseconds.
pub const SHORTEST_NS: i64 = 100_000_000;
/// Shortest time to live of subject delete markers, in nanoseconds.
pub const MARKER_TTL_MIN_NS: i64 = 1_000_000_000;

/// Calls its argument with each subject.
pub type VisitSubjects<'a> = dyn Fn(&mut dyn FnMut(&str)) + 'a;

/// What a configuration is checked against.
pub struct Surroundings<'a> {
    pub settings: &'a JetStreamSettings,
    pub limits: &'a JetStreamLimits,
    /// Values that would be put right are errors.
    pub pedantic: bool,
    /// The configuration of another stream of the account.
    pub find: &'a dyn Fn(&str) -> Option<StreamConfig>,
    /// Subjects of all other streams of the account.
    pub other_subjects: &'a VisitSubjects<'a>,
}

fn invalid(text: impl std::fmt::Display) -> ApiError {
    ErrorCode::StreamInvalidConfig.with(text)
}

fn pedantic(text: impl std::fmt::Display) -> ApiError {
    ErrorCode::Pedantic.with(text)
}

/// Whether `name` can be the name of a stream or consumer.
pub fn is_valid_name(name: &str) -> bool {
    !name.is_empty()
        && !name
            .bytes()
            .any(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | 0x0c | b'.' | b'*' | b'>'))
}

/// Whether `subject` can be subscribed to: [`is_valid_subscription`], and no blanks in it.
pub fn is_valid_subject(subject: &str) -> bool {
    is_valid_subscription(subject.as_bytes())
        && !subject
            .bytes()
            .any(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | 0x0c))
}

fn is_valid_literal(subject: &str) -> bool {
    is_valid_subject(subject) && is_literal(subject.as_bytes())
}

/// Completes and checks the configuration of a new stream.
///
/// # Errors
/// What nats-server answers.
pub fn check_create(
    config: StreamConfig,
    around: &Surroundings<'_>,
) -> Result<StreamConfig, ApiError> {
    if config.sealed {
        return Err(invalid("stream configuration for create can not be sealed"));
    }
    check(config, around)
}

fn check(mut config: StreamConfig, around: &Surroundings<'_>) -> Result<StreamConfig, ApiError> {
    check_texts(&config)?;
    complete_limits(&mut config, around)?;
    complete_times(&mut config, around)?;
    check_policies(&mut config, around)?;
    check_features(&mut config, around)?;
    check_account(&config, around.limits)?;
    if config.mirror.is_some() {
        check_mirror(&mut config, around)?;
    } else {
        check_sources(&config, around)?;
    }
    check_transforms(&config)?;
    check_subjects(&mut config, around)?;
    if (config.placement.as_ref()).is_some_and(|placement| !placement.preferred.is_empty()) {
        return Err(invalid("preferred server not permitted in placement"));
    }
    if config.num_replicas > 1 {
        return Err(ErrorCode::StreamReplicasNotSupported.into());
    }
    check_follow_filters(&config)?;
    config.set_stored_metadata();
    Ok(config)
}

fn check_texts(config: &StreamConfig) -> Result<(), ApiError> {
    let name = &config.name;
    if name.contains(['/', '\\']) {
        return Err(ErrorCode::StreamNameContainsPathSeparators.into());
    }
    if !is_valid_name(name) {
        return Err(invalid(
            "stream name is required and can not contain '.', '*', '>', '\\', '/'",
        ));
    }
    if name.len() > NAME_MAX {
        return Err(invalid(format_args!(
            "stream name is too long, maximum allowed is {NAME_MAX}"
        )));
    }
    if config.description.len() > DESCRIPTION_MAX {
        return Err(invalid(format_args!(
            "stream description is too long, maximum allowed is {DESCRIPTION_MAX}"
        )));
    }
    let bytes: usize = config.metadata.iter().map(|(k, v)| k.len() + v.len()).sum();
    if bytes > METADATA_MAX {
        return Err(invalid(format_args!(
            "stream metadata exceeds maximum size of {METADATA_MAX} bytes"
        )));
    }
    Ok(())
}

/// Zero and what is below -1 become -1.
fn complete_limits(config: &mut StreamConfig, around: &Surroundings<'_>) -> Result<(), ApiError> {
    let mut size = i64::from(config.max_msg_size);
    for (name, limit) in [
        ("max_msgs", &mut config.max_msgs),
        ("max_msgs_per_subject", &mut config.max_msgs_per_subject),
        ("max_bytes", &mut config.max_bytes),
        ("max_msg_size", &mut size),
        ("max_consumers", &mut config.max_consumers),
    ] {
        if *limit < -1 && around.pedantic {
            return Err(pedantic(format_args!("{name} must be set to -1")));
        }
        if *limit <= 0 {
            *limit = -1;
        }
    }
    config.max_msg_size = i32::try_from(size).unwrap_or(i32::MAX);
    if config.num_replicas < 0 {
        return Err(ErrorCode::ReplicasCountNegative.into());
    }
    if config.num_replicas > REPLICAS_MAX {
        return Err(invalid(format_args!("maximum replicas is {REPLICAS_MAX}")));
    }
    config.num_replicas = config.num_replicas.max(1);
    Ok(())
}

fn complete_times(config: &mut StreamConfig, around: &Surroundings<'_>) -> Result<(), ApiError> {
    if config.max_age < 0 {
        return Err(invalid("max age can not be negative"));
    }
    if config.max_age > 0 && config.max_age < SHORTEST_NS {
        return Err(invalid("max age needs to be >= 100ms"));
    }
    if config.duplicate_window < 0 {
        return Err(invalid("duplicates window can not be negative"));
    }
    let follows = config.mirror.is_some() || !config.sources.is_empty();
    if config.duplicate_window == 0 && !follows {
        let server = around.settings.limits.duplicate_window_ns;
        let mut window = if server > 0 {
            server
        } else {
            DUPLICATE_WINDOW_NS
        };
        if config.max_age > 0 && config.max_age < window {
            if around.pedantic {
                return Err(pedantic("duplicate window cannot be bigger than max age"));
            }
            window = config.max_age;
        }
        config.duplicate_window = window;
    }
    if config.max_age > 0 && config.duplicate_window > config.max_age {
        return Err(invalid("duplicates window can not be larger then max age"));
    }
    if config.duplicate_window > 0 && config.duplicate_window < SHORTEST_NS {
        return Err(invalid("duplicates window needs to be >= 100ms"));
    }
    let server = around.settings.limits.duplicate_window_ns;
    if server > 0 && config.duplicate_window > server {
        return Err(invalid(format_args!(
            "duplicates window can not be larger then server limit of {}",
            duration_text(server)
        )));
    }
    Ok(())
}

fn duration_text(nanos: i64) -> String {
    let mut text = Vec::new();
    super::duration::push_duration(&mut text, nanos);
    String::from_utf8_lossy(&text).into_owned()
}

fn check_policies(config: &mut StreamConfig, around: &Surroundings<'_>) -> Result<(), ApiError> {
    if config.deny_purge && config.allow_rollup_hdrs {
        return Err(invalid("roll-ups require the purge permission"));
    }
    if config.allow_msg_counter {
        check_counter(config)?;
    }
    if config.discard_new_per_subject {
        if config.discard != Discard::New {
            return Err(invalid(
                "discard new per subject requires discard new policy to be set",
            ));
        }
        if config.max_msgs_per_subject <= 0 {
            return Err(invalid(
                "discard new per subject requires max msgs per subject > 0",
            ));
        }
    }
    if config.subject_delete_marker_ttl < 0 {
        return Err(invalid("subject delete marker TTL must not be negative"));
    }
    if config.subject_delete_marker_ttl > 0 {
        check_markers(config, around)?;
    }
    Ok(())
}

fn check_markers(config: &mut StreamConfig, around: &Surroundings<'_>) -> Result<(), ApiError> {
    if config.mirror.is_some() {
        return Err(invalid("subject delete markers forbidden on mirrors"));
    }
    if config.subject_delete_marker_ttl < MARKER_TTL_MIN_NS {
        return Err(invalid(
            "subject delete marker TTL must be at least 1 second",
        ));
    }
    if !config.allow_msg_ttl {
        if around.pedantic {
            return Err(invalid(
                "subject delete marker cannot be set if message TTLs are disabled",
            ));
        }
        config.allow_msg_ttl = true;
    }
    if !config.allow_rollup_hdrs {
        if around.pedantic {
            return Err(invalid(
                "subject delete marker cannot be set if roll-ups are disabled",
            ));
        }
        config.allow_rollup_hdrs = true;
    }
    config.deny_purge = false;
    Ok(())
}

fn check_features(config: &mut StreamConfig, around: &Surroundings<'_>) -> Result<(), ApiError> {
    if config.allow_msg_schedules {
        if config.mirror.is_some() {
            return Err(ErrorCode::MirrorWithMessageSchedules.into());
        }
        if !config.sources.is_empty() {
            return Err(ErrorCode::SourceWithMessageSchedules.into());
        }
        if config.discard == Discard::New {
            return Err(invalid("message scheduling cannot use discard new"));
        }
        if !config.allow_rollup_hdrs {
            if around.pedantic {
                return Err(invalid(
                    "message scheduling cannot be set if roll-ups are disabled",
                ));
            }
            config.allow_rollup_hdrs = true;
        }
        config.deny_purge = false;
    }
    if config.persist_mode == PersistMode::Async {
        if config.storage != Storage::File {
            return Err(invalid(
                "async persist mode is only supported on file storage",
            ));
        }
        if config.num_replicas > 1 {
            return Err(invalid(
                "async persist mode is not supported on replicated streams",
            ));
        }
        if config.allow_atomic {
            return Err(invalid(
                "async persist mode is not supported with atomic batch publish",
            ));
        }
    }
    Ok(())
}

fn check_counter(config: &StreamConfig) -> Result<(), ApiError> {
    if config.mirror.is_some() {
        return Err(ErrorCode::MirrorWithCounters.into());
    }
    if config.retention != Retention::Limits {
        return Err(invalid("counter stream can only use limits retention"));
    }
    if config.discard == Discard::New {
        return Err(invalid("counter stream cannot use discard new"));
    }
    if config.allow_msg_ttl && config.subject_delete_marker_ttl == 0 {
        return Err(invalid("counter stream cannot use message TTLs"));
    }
    if config.allow_msg_schedules {
        return Err(invalid("counter stream cannot use message schedules"));
    }
    Ok(())
}

fn check_account(config: &StreamConfig, limits: &JetStreamLimits) -> Result<(), ApiError> {
    if limits.max_bytes_required && config.max_bytes <= 0 {
        return Err(ErrorCode::StreamMaxBytesRequired.into());
    }
    let most = match config.storage {
        Storage::File => limits.storage_max_stream_bytes,
        Storage::Memory => limits.memory_max_stream_bytes,
    };
    if most > 0 && config.max_bytes > most {
        return Err(ErrorCode::StreamMaxStreamBytesExceeded.into());
    }
    if limits.max_consumers > 0 && config.max_consumers > limits.max_consumers {
        return Err(ErrorCode::MaximumConsumersLimit.into());
    }
    Ok(())
}

/// Subjects of the server itself, those among them that anybody may store, and what they are
/// called.
const RESERVED: [(&str, Option<&str>, &str); 4] = [
    ("$JS.>", Some("$JS.EVENT.>"), "jetstream"),
    ("$JSC.>", None, "jetstream"),
    ("$NRG.>", None, "jetstream"),
    ("$SYS.>", Some("$SYS.ACCOUNT.>"), "system"),
];

fn check_subjects(config: &mut StreamConfig, around: &Surroundings<'_>) -> Result<(), ApiError> {
    if config.subjects.is_empty() && config.mirror.is_none() && config.sources.is_empty() {
        config.subjects.push(config.name.clone());
    }
    for (number, subject) in config.subjects.iter().enumerate() {
        if !is_valid_subject(subject) {
            return Err(invalid("invalid subject"));
        }
        if subject == ">" && !config.no_ack {
            return Err(invalid("capturing all subjects requires no-ack to be true"));
        }
        for (reserved, allowed, whose) in RESERVED {
            let is_allowed =
                allowed.is_some_and(|allowed| is_subset(subject.as_bytes(), allowed.as_bytes()));
            if !config.no_ack && !is_allowed && overlaps(subject.as_bytes(), reserved.as_bytes()) {
                return Err(invalid(format_args!(
                    "subjects that overlap with {whose} api require no-ack to be true"
                )));
            }
        }
        for other in &config.subjects[..number] {
            if overlaps(subject.as_bytes(), other.as_bytes()) {
                return Err(invalid(format_args!(
                    "subject \"{other}\" overlaps with \"{subject}\""
                )));
            }
        }
    }
    check_republish(config)?;
    let mut is_taken = false;
    (around.other_subjects)(&mut |other| {
        is_taken |= (config.subjects.iter()).any(|s| overlaps(s.as_bytes(), other.as_bytes()));
    });
    if is_taken {
        return Err(ErrorCode::StreamSubjectOverlap.into());
    }
    Ok(())
}

fn check_republish(config: &StreamConfig) -> Result<(), ApiError> {
    let Some(republish) = &config.republish else {
        return Ok(());
    };
    if republish.dest.is_empty() {
        return Ok(());
    }
    let (source, destination) = (&republish.src, &republish.dest);
    let is_cycle = (config.subjects.iter())
        .any(|subject| overlaps(destination.as_bytes(), subject.as_bytes()));
    if is_cycle {
        return Err(invalid(
            "stream configuration for republish destination forms a cycle",
        ));
    }
    if Transform::new(source.as_bytes(), destination.as_bytes()).is_err() {
        return Err(invalid(format_args!(
            "stream configuration for republish with transform from '{source}' to '{destination}' not valid"
        )));
    }
    Ok(())
}

fn check_transforms(config: &StreamConfig) -> Result<(), ApiError> {
    let Some(transform) = &config.subject_transform else {
        return Ok(());
    };
    check_transform(
        transform,
        ErrorCode::StreamTransformInvalidSource,
        ErrorCode::StreamTransformInvalidDestination,
    )
}

/// A transform without a destination is only a filter.
fn check_transform(
    transform: &SubjectTransform,
    bad_source: ErrorCode,
    bad_destination: ErrorCode,
) -> Result<(), ApiError> {
    let source = &transform.src;
    if !source.is_empty() && !is_valid_subject(source) {
        return Err(bad_source.with(format_args!("invalid subject {source}")));
    }
    if transform.dest.is_empty() {
        return Ok(());
    }
    match Transform::new(source.as_bytes(), transform.dest.as_bytes()) {
        Ok(_) => Ok(()),
        Err(error @ TransformError::Source(_)) => Err(bad_source.with(error)),
        Err(error) => Err(bad_destination.with(error)),
    }
}

/// Errors that mirrors and sources share, by which of both it is.
struct FollowErrors {
    name: ErrorCode,
    consumer: ErrorCode,
    filter_and_transforms: ErrorCode,
    transform_source: ErrorCode,
    transform_destination: ErrorCode,
    overlap: ErrorCode,
}

const MIRROR_ERRORS: FollowErrors = FollowErrors {
    name: ErrorCode::MirrorInvalidStreamName,
    consumer: ErrorCode::MirrorConsumerConfigInvalid,
    filter_and_transforms: ErrorCode::MirrorMultipleFiltersNotAllowed,
    transform_source: ErrorCode::MirrorInvalidSubjectFilter,
    transform_destination: ErrorCode::MirrorInvalidTransformDestination,
    overlap: ErrorCode::MirrorOverlappingFilters,
};

const SOURCE_ERRORS: FollowErrors = FollowErrors {
    name: ErrorCode::SourceInvalidStreamName,
    consumer: ErrorCode::SourceConsumerConfigInvalid,
    filter_and_transforms: ErrorCode::SourceMultipleFiltersNotAllowed,
    transform_source: ErrorCode::SourceInvalidSubjectFilter,
    transform_destination: ErrorCode::SourceInvalidTransformDestination,
    overlap: ErrorCode::SourceOverlappingFilters,
};

fn check_followed(
    config: &StreamConfig,
    source: &StreamSource,
    errors: &FollowErrors,
) -> Result<(), ApiError> {
    if !is_valid_name(&source.name) {
        return Err(errors.name.into());
    }
    if let Some(consumer) = &source.consumer {
        let is_startable = source.opt_start_seq == 0 && source.opt_start_time.is_none();
        if !is_valid_name(&consumer.name)
            || !is_valid_literal(&consumer.deliver_subject)
            || !is_startable
        {
            return Err(errors.consumer.into());
        }
    }
    if !source.filter_subject.is_empty() && !source.subject_transforms.is_empty() {
        return Err(errors.filter_and_transforms.into());
    }
    for (number, transform) in source.subject_transforms.iter().enumerate() {
        check_transform(
            transform,
            errors.transform_source,
            errors.transform_destination,
        )?;
        let others = &source.subject_transforms[..number];
        if others
            .iter()
            .any(|other| overlaps(other.src.as_bytes(), transform.src.as_bytes()))
        {
            return Err(errors.overlap.into());
        }
    }
    check_external(config, source)
}

fn check_external(config: &StreamConfig, source: &StreamSource) -> Result<(), ApiError> {
    let Some(external) = &source.external else {
        return Ok(());
    };
    let (api, deliver) = (&external.api, &external.deliver);
    if !deliver.is_empty() {
        if !is_literal(deliver.as_bytes()) {
            return Err(ErrorCode::StreamExternalDeliverWildcards.with(deliver));
        }
        for subject in &config.subjects {
            if is_subset(subject.as_bytes(), deliver.as_bytes())
                && overlaps(subject.as_bytes(), format!("{deliver}.>").as_bytes())
            {
                return Err(ErrorCode::StreamExternalDeliverOverlap.with_parts(&[deliver, subject]));
            }
        }
    }
    if api.is_empty() {
        return Ok(());
    }
    if !is_valid_literal(api) {
        return Err(invalid(format_args!(
            "stream external api prefix \"{api}\" must be a valid subject without wildcards"
        )));
    }
    if api == "$JS.API" {
        return Err(ErrorCode::StreamExternalApiOverlap.with_parts(&[api, &"$JS.API"]));
    }
    Ok(())
}

fn check_mirror(config: &mut StreamConfig, around: &Surroundings<'_>) -> Result<(), ApiError> {
    if config.first_seq > 0 {
        return Err(ErrorCode::MirrorWithFirstSequence.into());
    }
    if !config.subjects.is_empty() {
        return Err(ErrorCode::MirrorWithSubjects.into());
    }
    if !config.sources.is_empty() {
        return Err(ErrorCode::MirrorWithSources.into());
    }
    if config.allow_atomic {
        return Err(ErrorCode::MirrorWithAtomicPublish.into());
    }
    if config.allow_batched {
        return Err(ErrorCode::MirrorWithBatchPublish.into());
    }
    let Some(mirror) = &config.mirror else {
        return Ok(());
    };
    check_followed(config, mirror, &MIRROR_ERRORS)?;
    if mirror.external.as_ref().is_some_and(|e| !e.api.is_empty()) {
        return Ok(());
    }
    if mirror.name == config.name {
        return Err(invalid("detected cycle"));
    }
    let origin = (around.find)(&mirror.name);
    if origin
        .as_ref()
        .is_some_and(|origin| is_smaller(config.max_msg_size, origin.max_msg_size))
    {
        return Err(ErrorCode::MirrorMaxMessageSizeTooBig.into());
    }
    if let Some(origin) = origin {
        config.mirror_direct = origin.allow_direct;
    }
    Ok(())
}

/// Whether a largest size is below another; no limit is the largest.
fn is_smaller(size: i32, other: i32) -> bool {
    size > 0 && other > 0 && size < other
}

fn check_sources(config: &StreamConfig, around: &Surroundings<'_>) -> Result<(), ApiError> {
    if config.mirror_direct {
        return Err(invalid("stream has no mirror but does have mirror direct"));
    }
    for (number, source) in config.sources.iter().enumerate() {
        check_followed(config, source, &SOURCE_ERRORS)?;
        if config.sources[..number]
            .iter()
            .any(|other| is_same_source(other, source))
        {
            return Err(ErrorCode::SourceDuplicate.into());
        }
        if source.external.as_ref().is_some_and(|e| !e.api.is_empty()) {
            continue;
        }
        if let Some(origin) = (around.find)(&source.name)
            && is_smaller(config.max_msg_size, origin.max_msg_size)
        {
            return Err(ErrorCode::SourceMaxMessageSizeTooBig.into());
        }
    }
    check_cycle(config, around)
}

fn is_same_source(a: &StreamSource, b: &StreamSource) -> bool {
    (
        &a.name,
        &a.filter_subject,
        &a.subject_transforms,
        &a.external,
    ) == (
        &b.name,
        &b.filter_subject,
        &b.subject_transforms,
        &b.external,
    )
}

/// Streams that source each other would pass messages on for ever.
fn check_cycle(config: &StreamConfig, around: &Surroundings<'_>) -> Result<(), ApiError> {
    let mut visited: Vec<String> = Vec::new();
    let mut open: Vec<StreamConfig> = vec![config.clone()];
    while let Some(stream) = open.pop() {
        for source in &stream.sources {
            if source.external.as_ref().is_some_and(|e| !e.api.is_empty()) {
                continue;
            }
            if source.name == config.name {
                return Err(invalid("detected cycle"));
            }
            if !visited.contains(&source.name) {
                visited.push(source.name.clone());
                open.extend((around.find)(&source.name));
            }
        }
    }
    Ok(())
}

/// Filters of mirrors and sources are found wrong only when the consumer is to be made.
fn check_follow_filters(config: &StreamConfig) -> Result<(), ApiError> {
    let bad = |source: &StreamSource| {
        let filter = &source.filter_subject;
        !filter.is_empty() && !is_valid_subject(filter)
    };
    if let Some(mirror) = config.mirror.as_ref().filter(|mirror| bad(mirror)) {
        return Err(ErrorCode::StreamCreate.with(format_args!(
            "subject filter '{}' for the mirror invalid subject",
            mirror.filter_subject
        )));
    }
    if let Some(source) = config.sources.iter().find(|source| bad(source)) {
        return Err(ErrorCode::StreamCreate.with(format_args!(
            "subject filter '{}' for the source: invalid subject",
            source.filter_subject
        )));
    }
    Ok(())
}

/// Completes and checks a configuration that is to replace `old`.
///
/// # Errors
/// What nats-server answers.
pub fn check_update(
    old: &StreamConfig,
    new: StreamConfig,
    around: &Surroundings<'_>,
) -> Result<StreamConfig, ApiError> {
    let mut new = new;
    // A sealed stream keeps what sealing implies.
    if new.sealed && !old.sealed {
        new.max_age = 0;
        new.discard = Discard::New;
        new.deny_delete = true;
        new.deny_purge = true;
        new.allow_rollup_hdrs = false;
    }
    let promotes = old.mirror.is_some() && new.mirror.is_none();
    let new = check(new, around)?;
    let changed = |text: &'static str| Err(invalid(text));
    if new.name != old.name {
        return changed("stream configuration name must match original");
    }
    if new.storage != old.storage {
        return changed("stream configuration update can not change storage type");
    }
    if new.retention != old.retention
        && (new.retention == Retention::WorkQueue || old.retention == Retention::WorkQueue)
    {
        return changed(
            "stream configuration update can not change retention policy to/from workqueue",
        );
    }
    if old.sealed && !new.sealed {
        return changed("stream configuration update can not unseal a sealed stream");
    }
    if old.deny_delete && !new.deny_delete {
        return changed("stream configuration update can not cancel deny message deletes");
    }
    if old.deny_purge && !new.deny_purge {
        return changed("stream configuration update can not cancel deny purge");
    }
    if old.allow_msg_counter != new.allow_msg_counter {
        return changed("stream configuration update can not change message counter setting");
    }
    if old.allow_msg_schedules && !new.allow_msg_schedules {
        return changed("message schedules can not be disabled");
    }
    if old.persist_mode != new.persist_mode {
        return changed("stream configuration update can not change persist mode");
    }
    if old.allow_msg_ttl && !new.allow_msg_ttl {
        return changed("message TTL status can not be disabled");
    }
    if !promotes && new.mirror != old.mirror {
        return Err(ErrorCode::StreamMirrorNotUpdatable.into());
    }
    Ok(new)
}

#[cfg(test)]
mod tests;
