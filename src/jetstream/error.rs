//! The errors of the JetStream API: number, status and text, as nats-server 2.15.1 sends them.
//!
//! Clients branch on the number (`err_code`) and show the text, so both are reproduced to the
//! character. A text may have parts that are filled in, written `{name}` in the table.

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};

use serde::Serialize;
use serde::ser::SerializeStruct;

macro_rules! error_table {
    ($($name:ident $number:literal $status:literal $text:literal,)*) => {
        /// What went wrong. The number of a variant is the `err_code` on the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum ErrorCode {
            $(
                #[doc = concat!("`", $text, "`")]
                $name = $number,
            )*
        }

        impl ErrorCode {
            /// All errors, by number.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The status, after HTTP: 4xx for the request's fault, 5xx for the server's.
            pub fn status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)*
                }
            }

            /// The text with `{name}` where a part is filled in.
            pub fn template(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

error_table! {
    AccountResourcesExceeded 10002 400 "resource limits exceeded for account",
    BadRequest 10003 400 "bad request",
    ClusterIncomplete 10004 503 "incomplete results",
    ClusterNoPeers 10005 400 "{err}",
    NotClustered 10006 500 "JetStream not in clustered mode",
    ClusterNotAssigned 10007 500 "JetStream cluster not assigned to this server",
    ClusterUnavailable 10008 503 "JetStream system temporarily unavailable",
    ClusterCannotHandle 10009 500 "JetStream cluster can not handle request",
    ClusterRequired 10010 503 "JetStream clustering support required",
    ClusterTags 10011 400 "tags placement not supported for operation",
    ConsumerCreate 10012 500 "{err}",
    ConsumerNameExists 10013 400 "consumer name already in use",
    ConsumerNotFound 10014 404 "consumer not found",
    SnapshotDeliverSubjectInvalid 10015 400 "deliver subject not valid",
    ConsumerDurableNameNotInSubject 10016 400 "consumer expected to be durable but no durable name set in subject",
    ConsumerDurableNameNotMatchSubject 10017 400 "consumer name in subject does not match durable name in request",
    ConsumerDurableNameNotSet 10018 400 "consumer expected to be durable but a durable name was not set",
    ConsumerEphemeralWithDurableInSubject 10019 400 "consumer expected to be ephemeral but detected a durable name set in subject",
    ConsumerEphemeralWithDurableName 10020 400 "consumer expected to be ephemeral but a durable name was set in request",
    StreamExternalApiOverlap 10021 400 "stream external api prefix {prefix} must not overlap with {subject}",
    StreamExternalDeliverOverlap 10022 400 "stream external delivery prefix {prefix} overlaps with stream subject {subject}",
    InsufficientResources 10023 503 "insufficient resources",
    StreamExternalDeliverWildcards 10024 400 "stream external delivery prefix {prefix} must not contain wildcards",
    InvalidJson 10025 400 "invalid JSON: {err}",
    MaximumConsumersLimit 10026 400 "maximum consumers limit reached",
    MaximumStreamsLimit 10027 400 "maximum number of streams reached",
    MemoryResourcesExceeded 10028 500 "insufficient memory resources available",
    MirrorConsumerSetup 10029 500 "{err}",
    MirrorMaxMessageSizeTooBig 10030 400 "stream mirror must have max message size >= source",
    MirrorWithSources 10031 400 "stream mirrors can not also contain other sources",
    MirrorWithStartSequenceAndTime 10032 400 "stream mirrors can not have both start seq and start time configured",
    MirrorWithSubjectFilters 10033 400 "stream mirrors can not contain filtered subjects",
    MirrorWithSubjects 10034 400 "stream mirrors can not contain subjects",
    NoAccount 10035 503 "account not found",
    ClusterUnsupported 10036 503 "not currently supported in clustered mode",
    NoMessageFound 10037 404 "no message found",
    NotEmptyRequest 10038 400 "expected an empty request payload",
    NotEnabledForAccount 10039 503 "JetStream not enabled for account",
    ClusterPeerNotMember 10040 400 "peer not a member",
    RaftGeneral 10041 500 "{err}",
    RestoreSubscribe 10042 500 "JetStream unable to subscribe to restore snapshot {subject}: {err}",
    SequenceNotFound 10043 400 "sequence {seq} not found",
    ClusterServerNotMember 10044 400 "server is not a member of the cluster",
    SourceConsumerSetup 10045 500 "{err}",
    SourceMaxMessageSizeTooBig 10046 400 "stream source must have max message size >= target",
    StorageResourcesExceeded 10047 500 "insufficient storage resources available",
    StreamAssignment 10048 500 "{err}",
    StreamCreate 10049 500 "{err}",
    StreamDelete 10050 500 "{err}",
    StreamGeneral 10051 500 "{err}",
    StreamInvalidConfig 10052 500 "{err}",
    StreamLimits 10053 500 "{err}",
    StreamMessageExceedsMaximum 10054 400 "message size exceeds maximum allowed",
    StreamMirrorNotUpdatable 10055 400 "stream mirror configuration can not be updated",
    StreamMismatch 10056 400 "stream name in subject does not match request",
    StreamMessageDelete 10057 500 "{err}",
    StreamNameExists 10058 400 "stream name already in use with a different configuration",
    StreamNotFound 10059 404 "stream not found",
    StreamNotMatch 10060 400 "expected stream does not match",
    StreamReplicasNotUpdatable 10061 400 "Replicas configuration can not be updated",
    StreamRestore 10062 500 "restore failed: {err}",
    StreamSequenceNotMatch 10063 503 "expected stream sequence does not match",
    StreamSnapshot 10064 500 "snapshot failed: {err}",
    StreamSubjectOverlap 10065 400 "subjects overlap with an existing stream",
    StreamTemplateCreate 10066 500 "{err}",
    StreamTemplateDelete 10067 500 "{err}",
    StreamTemplateNotFound 10068 404 "template not found",
    StreamUpdate 10069 500 "{err}",
    StreamWrongLastMessageId 10070 400 "wrong last msg ID: {id}",
    StreamWrongLastSequence 10071 400 "wrong last sequence: {seq}",
    TempStorage 10072 500 "JetStream unable to open temp storage for restore",
    TemplateNameNotMatchSubject 10073 400 "template name in subject does not match request",
    StreamReplicasNotSupported 10074 500 "replicas > 1 not supported in non-clustered mode",
    PeerRemap 10075 503 "peer remap failed",
    NotEnabled 10076 503 "JetStream not enabled",
    StreamStore 10077 503 "{err}",
    ConsumerConfigRequired 10078 400 "consumer config required",
    ConsumerDeliverToWildcards 10079 400 "consumer deliver subject has wildcards",
    ConsumerPushMaxWaiting 10080 400 "consumer in push mode can not set max waiting",
    ConsumerDeliverCycle 10081 400 "consumer deliver subject forms a cycle",
    ConsumerMaxPendingAckPolicyRequired 10082 400 "consumer requires ack policy for max ack pending",
    ConsumerSmallHeartbeat 10083 400 "consumer idle heartbeat needs to be >= 100ms",
    ConsumerPullRequiresAck 10084 400 "consumer in pull mode requires explicit ack policy on workqueue stream",
    ConsumerPullNotDurable 10085 400 "consumer in pull mode requires a durable name",
    ConsumerPullWithRateLimit 10086 400 "consumer in pull mode can not have rate limit set",
    ConsumerMaxWaitingNegative 10087 400 "consumer max waiting needs to be positive",
    ConsumerHeartbeatRequiresPush 10088 400 "consumer idle heartbeat requires a push based consumer",
    ConsumerFlowControlRequiresPush 10089 400 "consumer flow control requires a push based consumer",
    ConsumerDirectRequiresPush 10090 400 "consumer direct requires a push based consumer",
    ConsumerDirectRequiresEphemeral 10091 400 "consumer direct requires an ephemeral consumer",
    ConsumerOnMapped 10092 400 "consumer direct on a mapped consumer",
    ConsumerFilterNotSubset 10093 400 "consumer filter subject is not a valid subset of the interest subjects",
    ConsumerInvalidPolicy 10094 400 "{err}",
    ConsumerInvalidSampling 10095 400 "failed to parse consumer sampling configuration: {err}",
    StreamInvalid 10096 500 "stream not valid",
    StreamHeaderExceedsMaximum 10097 400 "header size exceeds maximum allowed of 64k",
    ConsumerWorkQueueRequiresExplicitAck 10098 400 "workqueue stream requires explicit ack",
    ConsumerWorkQueueMultipleUnfiltered 10099 400 "multiple non-filtered consumers not allowed on workqueue stream",
    ConsumerWorkQueueNotUnique 10100 400 "filtered consumer not unique on workqueue stream",
    ConsumerWorkQueueNotDeliverAll 10101 400 "consumer must be deliver all on workqueue stream",
    ConsumerNameTooLong 10102 400 "consumer name is too long, maximum allowed is {max}",
    ConsumerBadDurableName 10103 400 "durable name can not contain '.', '*', '>'",
    ConsumerStore 10104 500 "error creating store for consumer: {err}",
    ConsumerExistingActive 10105 400 "consumer already exists and is still active",
    ConsumerReplacementDiffers 10106 400 "consumer replacement durable config not the same",
    ConsumerDescriptionTooLong 10107 400 "consumer description is too long, maximum allowed is {max}",
    ConsumerFlowControlRequiresHeartbeats 10108 400 "consumer with flow control also needs heartbeats",
    StreamSealed 10109 400 "invalid operation on sealed stream",
    StreamPurge 10110 500 "{err}",
    StreamRollup 10111 500 "{err}",
    ConsumerInvalidDeliverSubject 10112 400 "invalid push consumer deliver subject",
    StreamMaxBytesRequired 10113 400 "account requires a stream config to have max bytes set",
    ConsumerMaxRequestBatchNegative 10114 400 "consumer max request batch needs to be > 0",
    ConsumerMaxRequestExpiresTooSmall 10115 400 "consumer max request expires needs to be >= 1ms",
    ConsumerMaxDeliverBackoff 10116 400 "max deliver is required to be > length of backoff values",
    StreamInfoMaximumSubjects 10117 500 "subject details would exceed maximum allowed",
    StreamOffline 10118 500 "stream is offline",
    ConsumerOffline 10119 500 "consumer is offline",
    NoLimits 10120 400 "no JetStream default or applicable tiered limit present",
    ConsumerMaxPendingAckExcess 10121 400 "consumer max ack pending exceeds system limit of {limit}",
    StreamMaxStreamBytesExceeded 10122 400 "stream max bytes exceeds account limit max stream bytes",
    StreamMoveAndScale 10123 400 "can not move and scale a stream in a single update",
    StreamMoveInProgress 10124 400 "stream move already in progress",
    ConsumerMaxRequestBatchExceeded 10125 400 "consumer max request batch exceeds server limit of {limit}",
    ConsumerReplicasExceedStream 10126 400 "consumer config replica count exceeds parent stream",
    ConsumerNameContainsPathSeparators 10127 400 "Consumer name can not contain path separators",
    StreamNameContainsPathSeparators 10128 400 "Stream name can not contain path separators",
    StreamMoveNotInProgress 10129 400 "stream reconfiguration not in progress",
    StreamNameExistsRestore 10130 400 "stream name already in use, cannot restore",
    ConsumerCreateFilterSubjectMismatch 10131 400 "Consumer create request did not match filtered subject from create subject",
    ConsumerCreateDurableAndNameMismatch 10132 400 "Consumer Durable and Name have to be equal if both are provided",
    ReplicasCountNegative 10133 400 "replicas count cannot be negative",
    ConsumerReplicasMustMatchStream 10134 400 "consumer config replicas must match interest retention stream's replicas",
    ConsumerMetadataTooLong 10135 400 "consumer metadata exceeds maximum size of {limit}",
    ConsumerDuplicateFilterSubjects 10136 400 "consumer cannot have both FilterSubject and FilterSubjects specified",
    ConsumerMultipleFiltersNotAllowed 10137 400 "consumer with multiple subject filters cannot use subject based API",
    ConsumerOverlappingFilters 10138 400 "consumer subject filters cannot overlap",
    ConsumerEmptyFilter 10139 400 "consumer filter in FilterSubjects cannot be empty",
    SourceDuplicate 10140 400 "duplicate source configuration detected",
    SourceInvalidStreamName 10141 400 "sourced stream name is invalid",
    MirrorInvalidStreamName 10142 400 "mirrored stream name is invalid",
    MirrorWithFirstSequence 10143 400 "stream mirrors can not have first sequence configured",
    SourceMultipleFiltersNotAllowed 10144 400 "source with multiple subject transforms cannot also have a single subject filter",
    SourceInvalidSubjectFilter 10145 400 "source transform source: {err}",
    SourceInvalidTransformDestination 10146 400 "source transform: {err}",
    SourceOverlappingFilters 10147 400 "source filters can not overlap",
    ConsumerAlreadyExists 10148 400 "consumer already exists",
    ConsumerDoesNotExist 10149 400 "consumer does not exist",
    MirrorMultipleFiltersNotAllowed 10150 400 "mirror with multiple subject transforms cannot also have a single subject filter",
    MirrorInvalidSubjectFilter 10151 400 "mirror transform source: {err}",
    MirrorOverlappingFilters 10152 400 "mirror subject filters can not overlap",
    ConsumerInactiveThresholdExcess 10153 400 "consumer inactive threshold exceeds system limit of {limit}",
    MirrorInvalidTransformDestination 10154 400 "mirror transform: {err}",
    StreamTransformInvalidSource 10155 400 "stream transform source: {err}",
    StreamTransformInvalidDestination 10156 400 "stream transform: {err}",
    Pedantic 10157 400 "pedantic mode: {err}",
    StreamDuplicateMessageConflict 10158 409 "duplicate message id is in process",
    ConsumerPriorityPolicyWithoutGroup 10159 400 "Setting PriorityPolicy requires at least one PriorityGroup to be set",
    ConsumerInvalidPriorityGroup 10160 400 "Provided priority group does not exist for this consumer",
    ConsumerEmptyGroupName 10161 400 "Group name cannot be an empty string",
    ConsumerInvalidGroupName 10162 400 "Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may not exceed 16 characters",
    StreamExpectedLastSequencePerSubjectNotReady 10163 503 "expected last sequence per subject temporarily unavailable",
    StreamWrongLastSequenceConstant 10164 400 "wrong last sequence",
    MessageTtlInvalid 10165 400 "invalid per-message TTL",
    MessageTtlDisabled 10166 400 "per-message TTL is disabled",
    StreamTooManyRequests 10167 429 "too many requests",
    MessageIncrementDisabled 10168 400 "message counters is disabled",
    MessageIncrementMissing 10169 400 "message counter increment is missing",
    MessageIncrementPayload 10170 400 "message counter has payload",
    MessageIncrementInvalid 10171 400 "message counter increment is invalid",
    MessageCounterBroken 10172 400 "message counter is broken",
    MirrorWithCounters 10173 400 "stream mirrors can not also calculate counters",
    AtomicPublishDisabled 10174 400 "atomic publish is disabled",
    AtomicPublishMissingSequence 10175 400 "atomic publish sequence is missing",
    AtomicPublishIncomplete 10176 400 "atomic publish batch is incomplete",
    AtomicPublishUnsupportedHeader 10177 400 "atomic publish unsupported header used: {header}",
    ConsumerPushWithPriorityGroup 10178 400 "priority groups can not be used with push consumers",
    AtomicPublishInvalidBatchId 10179 400 "atomic publish batch ID is invalid",
    StreamMinLastSequence 10180 412 "min last sequence",
    ConsumerAckPolicyInvalid 10181 400 "consumer ack policy invalid",
    ConsumerReplayPolicyInvalid 10182 400 "consumer replay policy invalid",
    ConsumerAckWaitNegative 10183 400 "consumer ack wait needs to be positive",
    ConsumerBackoffNegative 10184 400 "consumer backoff needs to be positive",
    RequiredApiLevel 10185 412 "JetStream minimum api level required",
    MirrorWithMessageSchedules 10186 400 "stream mirrors can not also schedule messages",
    SourceWithMessageSchedules 10187 400 "stream source can not also schedule messages",
    MessageSchedulesDisabled 10188 400 "message schedules is disabled",
    MessageSchedulesPatternInvalid 10189 400 "message schedules pattern is invalid",
    MessageSchedulesTargetInvalid 10190 400 "message schedules target is invalid",
    MessageSchedulesTtlInvalid 10191 400 "message schedules invalid per-message TTL",
    MessageSchedulesRollupInvalid 10192 400 "message schedules invalid rollup",
    StreamExpectedLastSequencePerSubjectInvalid 10193 400 "missing sequence for expected last sequence per subject",
    StreamOfflineReason 10194 500 "stream is offline: {err}",
    ConsumerOfflineReason 10195 500 "consumer is offline: {err}",
    ConsumerPriorityGroupWithPolicyNone 10196 400 "consumer can not have priority groups when policy is none",
    ConsumerPinnedTtlWithPolicyNone 10197 400 "PinnedTTL cannot be set when PriorityPolicy is none",
    MirrorWithAtomicPublish 10198 400 "stream mirrors can not also use atomic publishing",
    AtomicPublishTooLargeBatch 10199 400 "atomic publish batch is too large: {size}",
    AtomicPublishInvalidBatchCommit 10200 400 "atomic publish batch commit is invalid",
    AtomicPublishContainsDuplicateMessage 10201 400 "atomic publish batch contains duplicate message id",
    ClusterServerMemberChangeInflight 10202 400 "cluster member change is in progress",
    MessageSchedulesSourceInvalid 10203 400 "message schedules source is invalid",
    ConsumerInvalidReset 10204 400 "invalid reset: {err}",
    BatchPublishDisabled 10205 400 "batch publish is disabled",
    BatchPublishInvalidPattern 10206 400 "batch publish pattern is invalid",
    BatchPublishInvalidBatchId 10207 400 "batch publish ID is invalid",
    BatchPublishUnknownBatchId 10208 400 "batch publish ID unknown",
    MirrorWithBatchPublish 10209 400 "stream mirrors can not also use batch publishing",
    AtomicPublishTooManyInflight 10210 429 "atomic publish too many inflight",
    BatchPublishTooManyInflight 10211 429 "batch publish too many inflight",
    MessageSchedulesSchedulerInvalid 10212 400 "message schedules invalid scheduler",
    MirrorConsumerConfigInvalid 10213 400 "stream mirror consumer config is invalid",
    MirrorConsumerRequiresAckFlowControl 10214 400 "stream mirror consumer requires flow control ack policy",
    SourceConsumerConfigInvalid 10215 400 "stream source consumer config is invalid",
    SourceDuplicateConsumer 10216 400 "duplicate stream source consumer detected",
    SourceConsumerRequiresAckFlowControl 10217 400 "stream source consumer requires flow control ack policy",
    ConsumerAckFlowControlRequiresPush 10218 400 "flow control ack policy requires a push based consumer",
    ConsumerAckFlowControlRequiresFlowControl 10219 400 "flow control ack policy requires flow control",
    ConsumerAckFlowControlRequiresMaxAckPending 10220 400 "flow control ack policy requires max ack pending",
    ConsumerAckFlowControlRequiresNoAckWait 10221 400 "flow control ack policy requires unset ack wait",
    ConsumerAckFlowControlRequiresNoMaxDeliver 10222 400 "flow control ack policy requires unset max deliver",
    MessageSchedulesTimeZoneInvalid 10223 400 "message schedules time zone is invalid",
    RescueNotApplied 10224 400 "JetStream system rescue not applied: {err}",
    StreamIdentityMismatch 10225 400 "consumer's stream identity does not match: {msg}",
    StreamMoveAlreadyInProgress 10226 400 "stream reconfiguration already in progress",
    MessageStreamSourceInvalid 10227 400 "message stream source header is not allowed",
}

impl ErrorCode {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        self as u16
    }

    /// The error of this number.
    pub fn from_number(number: u16) -> Option<Self> {
        let at = Self::ALL
            .binary_search_by_key(&number, |code| code.number())
            .ok()?;
        Self::ALL.get(at).copied()
    }

    /// The error whose text has one part, filled with `part`.
    pub fn with(self, part: impl Display) -> ApiError {
        self.with_parts(&[&part])
    }

    /// The error with the parts of its text, in their order there. Parts that are missing stay
    /// as they are written in the table.
    pub fn with_parts(self, parts: &[&dyn Display]) -> ApiError {
        let mut parts = parts.iter();
        let mut text = String::new();
        let mut rest = self.template();
        while let Some((before, after)) = rest.split_once('{') {
            let Some((_, behind)) = after.split_once('}') else {
                break;
            };
            let Some(part) = parts.next() else {
                break;
            };
            text.push_str(before);
            // Writing to a string fails only if the part's own `Display` does.
            let _ = write!(text, "{part}");
            rest = behind;
        }
        text.push_str(rest);
        ApiError {
            code: self,
            status: self.status(),
            description: text.into(),
        }
    }
}

/// An error as an API response carries it: `{"code","err_code","description"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    pub code: ErrorCode,
    /// `code` on the wire.
    status: u16,
    pub description: Cow<'static, str>,
}

impl ApiError {
    /// The status on the wire, e.g. 404.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// An error that was sent from another core, from its parts.
    pub fn from_wire(number: u16, description: String) -> Option<Self> {
        let code = ErrorCode::from_number(number)?;
        Some(Self {
            code,
            status: code.status(),
            description: description.into(),
        })
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self {
            code,
            status: code.status(),
            description: code.template().into(),
        }
    }
}

impl Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.description, self.code.number())
    }
}

impl std::error::Error for ApiError {}

impl Serialize for ApiError {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("ApiError", 3)?;
        fields.serialize_field("code", &self.status)?;
        fields.serialize_field("err_code", &self.code.number())?;
        fields.serialize_field("description", &self.description)?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_found_by_their_number() {
        assert!(ErrorCode::ALL.is_sorted());
        for &code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(code.number()), Some(code));
        }
        assert_eq!(ErrorCode::from_number(10_001), None);
        assert_eq!(ErrorCode::StreamNotFound.number(), 10_059);
    }

    #[test]
    fn parts_are_filled_in_by_position() {
        let error = ErrorCode::StreamWrongLastSequence.with(8);
        assert_eq!(error.description, "wrong last sequence: 8");
        let error = ErrorCode::StreamExternalApiOverlap.with_parts(&[&"$JS.a", &"b.>"]);
        assert_eq!(
            error.description,
            "stream external api prefix $JS.a must not overlap with b.>"
        );
        // What is filled in is not looked at again.
        let error = ErrorCode::StreamCreate.with("a {err} b");
        assert_eq!(error.description, "a {err} b");
        let error = ErrorCode::StreamCreate.with_parts(&[]);
        assert_eq!(error.description, "{err}");
    }

    #[test]
    fn json_has_the_order_of_nats_server() {
        let json = serde_json::to_string(&ApiError::from(ErrorCode::StreamNotFound)).unwrap();
        assert_eq!(
            json,
            r#"{"code":404,"err_code":10059,"description":"stream not found"}"#
        );
    }
}
