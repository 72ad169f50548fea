//! Answers about many streams: account info, names, lists.
//!
//! The meta core knows names and configurations; use and state are asked of the homes, and the
//! answer is put together when all have told.

use serde::Serialize;

use super::dispatch::{Handled, Outcome, OwnedRequest};
use super::request::{self, StreamsRequest};
use super::{LIST_PAGE, NAMES_PAGE, response};
use crate::broker::CoreId;
use crate::broker::accounts::JetStreamLimits;
use crate::jetstream::JetStream;
use crate::jetstream::bus::Bus;
use crate::jetstream::meta::page;
use crate::jetstream::peer::{Record, Usage};
use crate::jetstream::settings::API_LEVEL;

/// An answer that waits for other cores.
pub(in crate::jetstream) struct Gather {
    request: OwnedRequest,
    /// Cores that have yet to tell.
    missing: u64,
    what: What,
}

enum What {
    Usage(Usage),
    Infos {
        total: usize,
        offset: usize,
        /// Names of the page, with JSON as soon as it is known.
        infos: Vec<(String, Vec<u8>)>,
        /// For each core which of the page it was asked for, in order.
        asked: Vec<(CoreId, Vec<usize>)>,
    },
}

#[derive(Serialize)]
struct NamesPage<'a> {
    total: usize,
    offset: usize,
    limit: usize,
    streams: Option<&'a [&'a str]>,
}

#[derive(Serialize)]
struct AccountInfo<'a> {
    memory: u64,
    storage: u64,
    reserved_memory: u64,
    reserved_storage: u64,
    streams: u64,
    consumers: u64,
    limits: Limits,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
    api: ApiInfo,
}

#[derive(Serialize)]
struct Limits {
    max_memory: i64,
    max_storage: i64,
    max_streams: i64,
    max_consumers: i64,
    max_ack_pending: i64,
    memory_max_stream_bytes: i64,
    storage_max_stream_bytes: i64,
    max_bytes_required: bool,
}

#[derive(Serialize)]
struct ApiInfo {
    level: u32,
    total: u64,
    errors: u64,
}

impl From<&JetStreamLimits> for Limits {
    fn from(limits: &JetStreamLimits) -> Self {
        Self {
            max_memory: limits.max_memory,
            max_storage: limits.max_storage,
            max_streams: limits.max_streams,
            max_consumers: limits.max_consumers,
            max_ack_pending: limits.max_ack_pending,
            memory_max_stream_bytes: limits.memory_max_stream_bytes,
            storage_max_stream_bytes: limits.storage_max_stream_bytes,
            max_bytes_required: limits.max_bytes_required,
        }
    }
}

impl JetStream {
    fn all_cores(&self) -> impl Iterator<Item = CoreId> + use<> {
        (0..self.cores).map(|core| CoreId(core as u8))
    }

    fn begin_gather(&mut self, gather: Gather) -> u32 {
        let Some(meta) = &mut self.meta else {
            return 0;
        };
        let number = meta.next_gather;
        meta.next_gather = number.wrapping_add(1);
        meta.gathers.insert(number, gather);
        number
    }

    pub(in crate::jetstream) fn account_info(
        &mut self,
        bus: &mut dyn Bus,
        request: &OwnedRequest,
    ) -> Handled {
        let missing = self.all_cores().fold(0, |set, core| set | core.bit());
        let account = request.account;
        let gather = self.begin_gather(Gather {
            request: request.clone(),
            missing,
            what: What::Usage(Usage::default()),
        });
        let record = Record::AskUsage { gather, account }.to_vec();
        for core in self.all_cores() {
            bus.send(core, &record);
        }
        Ok(Outcome::Elsewhere)
    }

    /// A core has told what an account uses there.
    pub(in crate::jetstream) fn told_usage(
        &mut self,
        bus: &mut dyn Bus,
        from: CoreId,
        number: u32,
        usage: Usage,
    ) {
        let Some(meta) = &mut self.meta else {
            return;
        };
        let Some(gather) = meta.gathers.get_mut(&number) else {
            return;
        };
        if let What::Usage(total) = &mut gather.what {
            total.add(&usage);
        }
        gather.missing &= !from.bit();
        if gather.missing != 0 {
            return;
        }
        let Some(gather) = meta.gathers.remove(&number) else {
            return;
        };
        let What::Usage(total) = gather.what else {
            return;
        };
        let account = gather.request.account;
        let reserved = meta.catalogue.reserved(account, "");
        let streams = meta.catalogue.count(account) as u64;
        let Some(limits) = self.accounts.limits(account) else {
            return;
        };
        let info = AccountInfo {
            memory: total.memory,
            storage: total.storage,
            reserved_memory: reserved.memory,
            reserved_storage: reserved.storage,
            streams,
            consumers: total.consumers,
            limits: limits.into(),
            domain: self.settings.domain.as_deref(),
            api: ApiInfo {
                level: API_LEVEL,
                // Not this request itself.
                total: total.api_total.saturating_sub(1),
                errors: total.api_errors,
            },
        };
        let mut body = response::Body::new(gather.request.endpoint);
        body.fields(&info);
        self.respond(bus, &gather.request, &body.finish());
    }

    pub(in crate::jetstream) fn stream_names(&mut self, request: &OwnedRequest) -> Handled {
        let asked: StreamsRequest = request::parse(
            &request.payload,
            "JSApiStreamNamesRequest",
            self.settings.strict,
        )?;
        let Some(meta) = &self.meta else {
            return Ok(Outcome::Elsewhere);
        };
        let names = meta.catalogue.names(request.account, &asked.subject);
        let (offset, names_page) = page(&names, asked.offset, NAMES_PAGE);
        let mut body = response::Body::new(request.endpoint);
        body.fields(&NamesPage {
            total: names.len(),
            offset,
            limit: NAMES_PAGE,
            streams: (!names_page.is_empty()).then_some(names_page),
        });
        Ok(Outcome::Answer(body.finish()))
    }

    pub(in crate::jetstream) fn stream_list(
        &mut self,
        bus: &mut dyn Bus,
        request: &OwnedRequest,
    ) -> Handled {
        let asked: StreamsRequest = request::parse(
            &request.payload,
            "JSApiStreamListRequest",
            self.settings.strict,
        )?;
        let Some(meta) = &self.meta else {
            return Ok(Outcome::Elsewhere);
        };
        let names = meta.catalogue.names(request.account, &asked.subject);
        let total = names.len();
        let (offset, names_page) = page(&names, asked.offset, LIST_PAGE);
        let infos: Vec<_> = names_page
            .iter()
            .map(|name| ((*name).to_owned(), Vec::new()))
            .collect();
        if infos.is_empty() {
            return Ok(Outcome::Answer(list_body(request, total, offset, &infos)));
        }
        let mut asked: Vec<(CoreId, Vec<usize>)> = Vec::new();
        for (at, (name, _)) in infos.iter().enumerate() {
            let home = self.home(request.account, name);
            match asked.iter_mut().find(|(core, _)| *core == home) {
                Some((_, places)) => places.push(at),
                None => asked.push((home, vec![at])),
            }
        }
        let account = request.account;
        let questions: Vec<(CoreId, Vec<String>)> = asked
            .iter()
            .map(|(core, places)| {
                let names = places.iter().map(|&at| infos[at].0.clone()).collect();
                (*core, names)
            })
            .collect();
        let gather = self.begin_gather(Gather {
            request: request.clone(),
            missing: questions.iter().fold(0, |set, (core, _)| set | core.bit()),
            what: What::Infos {
                total,
                offset,
                infos,
                asked,
            },
        });
        for (core, names) in questions {
            let names = names.iter().map(String::as_str).collect();
            let record = Record::AskInfos {
                gather,
                account,
                names,
            };
            bus.send(core, &record.to_vec());
        }
        Ok(Outcome::Elsewhere)
    }

    /// Tells the meta core of some streams.
    pub(in crate::jetstream) fn tell_infos(
        &mut self,
        bus: &mut dyn Bus,
        to: CoreId,
        gather: u32,
        account: u16,
        names: &[&str],
    ) {
        let infos: Vec<Vec<u8>> = names
            .iter()
            .map(|name| self.listed_info(bus, account, name).unwrap_or_default())
            .collect();
        let infos = infos.iter().map(Vec::as_slice).collect();
        bus.send(to, &Record::TellInfos { gather, infos }.to_vec());
    }

    /// A core has told of its streams.
    pub(in crate::jetstream) fn told_infos(
        &mut self,
        bus: &mut dyn Bus,
        from: CoreId,
        number: u32,
        told: &[&[u8]],
    ) {
        let Some(meta) = &mut self.meta else {
            return;
        };
        let Some(gather) = meta.gathers.get_mut(&number) else {
            return;
        };
        if let What::Infos { infos, asked, .. } = &mut gather.what
            && let Some((_, places)) = asked.iter().find(|(core, _)| *core == from)
        {
            for (&at, &info) in places.iter().zip(told) {
                infos[at].1 = info.to_vec();
            }
        }
        gather.missing &= !from.bit();
        if gather.missing != 0 {
            return;
        }
        if let Some(gather) = meta.gathers.remove(&number)
            && let What::Infos {
                total,
                offset,
                infos,
                ..
            } = gather.what
        {
            let body = list_body(&gather.request, total, offset, &infos);
            self.respond(bus, &gather.request, &body);
        }
    }
}

fn list_body(
    request: &OwnedRequest,
    total: usize,
    offset: usize,
    infos: &[(String, Vec<u8>)],
) -> Vec<u8> {
    let mut body = response::Body::new(request.endpoint);
    body.field("total", &total)
        .field("offset", &offset)
        .field("limit", &LIST_PAGE);
    let mut streams = b"\"streams\":[".to_vec();
    let mut is_first = true;
    for (_, info) in infos.iter().filter(|(_, info)| !info.is_empty()) {
        if !is_first {
            streams.push(b',');
        }
        is_first = false;
        streams.extend_from_slice(info);
    }
    streams.push(b']');
    body.raw(&streams);
    body.finish()
}
