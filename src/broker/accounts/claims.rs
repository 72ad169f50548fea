//! Accounts of claims: the same rules as those of a configuration.

use std::time::Duration;

use super::rules::{
    Access, AccountLimits, AccountRules, JetStreamLimits, JetStreamRules, LatencyRule,
    MappingDestination, MappingRule, ResponseKind, Sampling, ServiceExport, ServiceImport,
    StreamExport, StreamImport,
};
use crate::broker::auth::{Trusted, TrustedAccount, account_name, permissions_of_account};
use crate::jwt::{self, ActivationData, Claims, ExportData, ExportKind, ImportData};
use crate::subject;

impl AccountRules {
    /// What an account's claims say. Imports of an account that `trusted` does not know are kept:
    /// it may come. `now` in seconds since 1970.
    pub fn of_claims(account: &TrustedAccount, trusted: &Trusted, now: i64) -> Self {
        let claims = &account.claims;
        let data = &claims.data;
        let mut rules = Self {
            name: claims.subject.clone(),
            name_tag: account_name(claims).to_owned(),
            limits: AccountLimits {
                max_connections: limit(data.limits.conn),
                max_leaf_nodes: limit(data.limits.leaf),
                max_subscriptions: limit(data.limits.subs),
                max_payload: limit(data.limits.payload),
            },
            default_permissions: permissions_of_account(&data.default_permissions),
            jetstream: jetstream(&data.limits.jetstream),
            ..Self::default()
        };
        for export in &data.exports {
            match export.kind {
                ExportKind::Stream => rules.stream_exports.push(StreamExport {
                    subject: export.subject.clone(),
                    access: access(export),
                    account_token_position: export.account_token_position as usize,
                }),
                ExportKind::Service => rules.service_exports.push(service_export(export)),
                ExportKind::Unknown => {}
            }
        }
        for import in &data.imports {
            let activated = is_activated(import, &claims.subject, trusted, now);
            match import.kind {
                ExportKind::Stream => rules.stream_imports.push(StreamImport {
                    account: import.account.clone(),
                    subject: import.subject.clone(),
                    to: import.local_subject.clone(),
                    prefix: import.to.clone(),
                    activated,
                    allow_trace: import.allow_trace,
                }),
                ExportKind::Service => rules
                    .service_imports
                    .push(service_import(import, activated)),
                ExportKind::Unknown => {}
            }
        }
        for (source, destinations) in &data.mappings {
            rules.mappings.push(MappingRule {
                source: source.clone(),
                destinations: destinations
                    .iter()
                    .map(|to| MappingDestination {
                        subject: to.subject.clone(),
                        weight: if to.weight == 0 { 100 } else { to.weight },
                        cluster: to.cluster.clone(),
                    })
                    .collect(),
            });
        }
        rules
    }
}

/// Negative for none.
fn limit(value: i64) -> Option<u64> {
    u64::try_from(value).ok()
}

fn jetstream(limits: &jwt::JetStreamLimits) -> JetStreamRules {
    if limits.memory == 0 && limits.disk == 0 {
        return JetStreamRules::Disabled;
    }
    // Beside a size, 0 is no limit.
    let or_none = |value: i64| if value == 0 { -1 } else { value };
    JetStreamRules::Enabled(JetStreamLimits {
        max_memory: limits.memory,
        max_storage: limits.disk,
        max_streams: or_none(limits.streams),
        max_consumers: or_none(limits.consumer),
        max_ack_pending: or_none(limits.max_ack_pending),
        memory_max_stream_bytes: or_none(limits.memory_max_stream_bytes),
        storage_max_stream_bytes: or_none(limits.disk_max_stream_bytes),
        max_bytes_required: limits.max_bytes_required,
    })
}

fn access(export: &ExportData) -> Access {
    if export.token_req {
        Access::Token
    } else {
        Access::Public
    }
}

fn service_export(export: &ExportData) -> ServiceExport {
    let threshold = u64::try_from(export.response_threshold).unwrap_or(0);
    ServiceExport {
        subject: export.subject.clone(),
        access: access(export),
        response: match export.response_type.as_str() {
            "Stream" => ResponseKind::Streamed,
            "Chunked" => ResponseKind::Chunked,
            _ => ResponseKind::Singleton,
        },
        threshold: (threshold > 0).then(|| Duration::from_nanos(threshold)),
        latency: export.service_latency.as_ref().map(|latency| LatencyRule {
            sampling: match u8::try_from(latency.sampling) {
                Ok(0) => Sampling::Headers,
                Ok(percent) => Sampling::Percent(percent.min(100)),
                Err(_) => Sampling::Percent(100),
            },
            subject: latency.results.clone(),
        }),
        account_token_position: export.account_token_position as usize,
        allow_trace: export.allow_trace,
    }
}

/// With `to`, of version 1, `subject` is ours and `to` the exporter's.
fn service_import(import: &ImportData, activated: bool) -> ServiceImport {
    let (subject, to) = if import.to.is_empty() {
        (import.subject.clone(), import.local_subject.clone())
    } else {
        (import.to.clone(), import.subject.clone())
    };
    ServiceImport {
        account: import.account.clone(),
        subject,
        to,
        share: import.share,
        activated,
    }
}

/// What the exporter calls it: `to` of a version 1 service import.
fn exported_subject(import: &ImportData) -> &str {
    match import.kind {
        ExportKind::Service if !import.to.is_empty() => &import.to,
        _ => &import.subject,
    }
}

/// Whether the import has an activation that is good now.
fn is_activated(import: &ImportData, importer: &str, trusted: &Trusted, now: i64) -> bool {
    let Ok(activation) = jwt::decode::<ActivationData>(&import.token) else {
        return false;
    };
    let Some(exporter) = trusted.account(&import.account) else {
        return false;
    };
    if activation.subject != importer || activation.time_issue(now).is_some() {
        return false;
    }
    if !exporter.claims.is_issuer(&activation.issuer, false) {
        return false;
    }
    let ours = exported_subject(import);
    if !subject::is_subset(ours.as_bytes(), activation.data.subject.as_bytes()) {
        return false;
    }
    let export = exporter.claims.data.exports.iter().find(|export| {
        export.kind == import.kind && subject::is_subset(ours.as_bytes(), export.subject.as_bytes())
    });
    export.is_some_and(|export| !is_revoked(export, &activation))
}

fn is_revoked(export: &ExportData, activation: &Claims<ActivationData>) -> bool {
    export.is_revoked(&activation.subject, activation.issued_at)
}
