//! Records that JetStream on one core sends JetStream on another.
//!
//! Integers are little-endian; texts carry their length. The peers are threads of one process,
//! so a record that does not decode is a bug; decoding still never reads out of bounds.

use super::error::ApiError;

/// A request that another core is to answer, or a message for the home of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    pub account: u16,
    /// Number of the endpoint.
    pub endpoint: u8,
    pub origin: u64,
    pub subject: &'a [u8],
    pub reply: &'a [u8],
    pub header: &'a [u8],
    pub payload: &'a [u8],
}

/// What an account uses on one core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of messages in memory.
    pub memory: u64,
    /// Bytes of messages on disk.
    pub storage: u64,
    pub streams: u64,
    pub consumers: u64,
    /// Requests that were answered with an error.
    pub api_errors: u64,
    /// Requests that were answered here without the meta core.
    pub api_total: u64,
}

impl Usage {
    /// Adds what another core uses.
    pub fn add(&mut self, other: &Self) {
        self.memory += other.memory;
        self.storage += other.storage;
        self.streams += other.streams;
        self.consumers += other.consumers;
        self.api_errors += other.api_errors;
        self.api_total += other.api_total;
    }
}

/// A record, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// To a home: answer this request.
    Forward(Request<'a>),
    /// To a home: create the stream and answer the request. `config` is JSON, checked.
    Create {
        request: Request<'a>,
        config: &'a [u8],
    },
    /// To a home: change the stream and answer the request.
    Update {
        request: Request<'a>,
        config: &'a [u8],
    },
    /// To the meta core: the stream is there with this configuration (at the start, and when a
    /// home changed it by itself).
    Present {
        account: u16,
        name: &'a str,
        created_ns: i64,
        config: &'a [u8],
    },
    /// To the meta core: the stream is not there (it could not be created, or it is gone).
    Absent { account: u16, name: &'a str },
    /// To the meta core: all streams of this core have been reported.
    Reported,
    /// To all: what accounts use here, when it has changed enough.
    Usage { account: u16, usage: Usage },
    /// To a home: say what an account uses.
    AskUsage { gather: u32, account: u16 },
    /// The answer.
    TellUsage { gather: u32, usage: Usage },
    /// To a home: infos of these streams.
    AskInfos {
        gather: u32,
        account: u16,
        names: Vec<&'a str>,
    },
    /// The answer: JSON for each name in the order asked, empty if it is gone.
    TellInfos { gather: u32, infos: Vec<&'a [u8]> },
}

const FORWARD: u8 = 1;
const CREATE: u8 = 2;
const UPDATE: u8 = 3;
const PRESENT: u8 = 4;
const ABSENT: u8 = 5;
const REPORTED: u8 = 6;
const USAGE: u8 = 7;
const ASK_USAGE: u8 = 8;
const TELL_USAGE: u8 = 9;
const ASK_INFOS: u8 = 10;
const TELL_INFOS: u8 = 11;

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_request(out: &mut Vec<u8>, request: &Request<'_>) {
    out.extend_from_slice(&request.account.to_le_bytes());
    out.push(request.endpoint);
    out.extend_from_slice(&request.origin.to_le_bytes());
    put_bytes(out, request.subject);
    put_bytes(out, request.reply);
    put_bytes(out, request.header);
    put_bytes(out, request.payload);
}

fn put_usage(out: &mut Vec<u8>, usage: &Usage) {
    for number in [
        usage.memory,
        usage.storage,
        usage.streams,
        usage.consumers,
        usage.api_errors,
        usage.api_total,
    ] {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

impl<'a> Record<'a> {
    /// Appends the record.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Forward(request) => {
                out.push(FORWARD);
                put_request(out, request);
            }
            Self::Create { request, config } => {
                out.push(CREATE);
                put_request(out, request);
                put_bytes(out, config);
            }
            Self::Update { request, config } => {
                out.push(UPDATE);
                put_request(out, request);
                put_bytes(out, config);
            }
            Self::Present {
                account,
                name,
                created_ns,
                config,
            } => {
                out.push(PRESENT);
                out.extend_from_slice(&account.to_le_bytes());
                put_bytes(out, name.as_bytes());
                out.extend_from_slice(&created_ns.to_le_bytes());
                put_bytes(out, config);
            }
            Self::Absent { account, name } => {
                out.push(ABSENT);
                out.extend_from_slice(&account.to_le_bytes());
                put_bytes(out, name.as_bytes());
            }
            Self::Reported => out.push(REPORTED),
            Self::Usage { account, usage } => {
                out.push(USAGE);
                out.extend_from_slice(&account.to_le_bytes());
                put_usage(out, usage);
            }
            Self::AskUsage { gather, account } => {
                out.push(ASK_USAGE);
                out.extend_from_slice(&gather.to_le_bytes());
                out.extend_from_slice(&account.to_le_bytes());
            }
            Self::TellUsage { gather, usage } => {
                out.push(TELL_USAGE);
                out.extend_from_slice(&gather.to_le_bytes());
                put_usage(out, usage);
            }
            Self::AskInfos {
                gather,
                account,
                names,
            } => {
                out.push(ASK_INFOS);
                out.extend_from_slice(&gather.to_le_bytes());
                out.extend_from_slice(&account.to_le_bytes());
                for name in names {
                    put_bytes(out, name.as_bytes());
                }
            }
            Self::TellInfos { gather, infos } => {
                out.push(TELL_INFOS);
                out.extend_from_slice(&gather.to_le_bytes());
                for info in infos {
                    put_bytes(out, info);
                }
            }
        }
    }

    /// The record as bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        self.put(&mut out);
        out
    }

    /// Decodes a whole record.
    pub fn decode(record: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(record);
        let decoded = match reader.u8()? {
            FORWARD => Self::Forward(reader.request()?),
            CREATE => Self::Create {
                request: reader.request()?,
                config: reader.bytes()?,
            },
            UPDATE => Self::Update {
                request: reader.request()?,
                config: reader.bytes()?,
            },
            PRESENT => Self::Present {
                account: reader.u16()?,
                name: reader.text()?,
                created_ns: reader.u64()? as i64,
                config: reader.bytes()?,
            },
            ABSENT => Self::Absent {
                account: reader.u16()?,
                name: reader.text()?,
            },
            REPORTED => Self::Reported,
            USAGE => Self::Usage {
                account: reader.u16()?,
                usage: reader.usage()?,
            },
            ASK_USAGE => Self::AskUsage {
                gather: reader.u32()?,
                account: reader.u16()?,
            },
            TELL_USAGE => Self::TellUsage {
                gather: reader.u32()?,
                usage: reader.usage()?,
            },
            ASK_INFOS => Self::AskInfos {
                gather: reader.u32()?,
                account: reader.u16()?,
                names: reader.all(Reader::text)?,
            },
            TELL_INFOS => Self::TellInfos {
                gather: reader.u32()?,
                infos: reader.all(Reader::bytes)?,
            },
            _ => return None,
        };
        reader.0.is_empty().then_some(decoded)
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()? as usize;
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn all<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut all = Vec::new();
        while !self.0.is_empty() {
            all.push(read(self)?);
        }
        Some(all)
    }

    fn request(&mut self) -> Option<Request<'a>> {
        Some(Request {
            account: self.u16()?,
            endpoint: self.u8()?,
            origin: self.u64()?,
            subject: self.bytes()?,
            reply: self.bytes()?,
            header: self.bytes()?,
            payload: self.bytes()?,
        })
    }

    fn usage(&mut self) -> Option<Usage> {
        Some(Usage {
            memory: self.u64()?,
            storage: self.u64()?,
            streams: self.u64()?,
            consumers: self.u64()?,
            api_errors: self.u64()?,
            api_total: self.u64()?,
        })
    }
}

/// What a checked request came to.
pub type Answer<T> = Result<T, ApiError>;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn examples<'a>(text: &'a str, bytes: &'a [u8], number: u64) -> Vec<Record<'a>> {
        let request = Request {
            account: number as u16,
            endpoint: (number >> 3) as u8,
            origin: number,
            subject: bytes,
            reply: text.as_bytes(),
            header: b"",
            payload: bytes,
        };
        let usage = Usage {
            memory: number,
            storage: !number,
            streams: 1,
            consumers: 2,
            api_errors: 3,
            api_total: 4,
        };
        let (account, gather) = (number as u16, number as u32);
        vec![
            Record::Forward(request),
            Record::Create {
                request,
                config: bytes,
            },
            Record::Update {
                request,
                config: bytes,
            },
            Record::Present {
                account,
                name: text,
                created_ns: number as i64,
                config: bytes,
            },
            Record::Absent {
                account,
                name: text,
            },
            Record::Reported,
            Record::Usage { account, usage },
            Record::AskUsage { gather, account },
            Record::TellUsage { gather, usage },
            Record::AskInfos {
                gather,
                account,
                names: vec![text, "", text],
            },
            Record::TellInfos {
                gather,
                infos: vec![bytes, b""],
            },
        ]
    }

    proptest! {
        #[test]
        fn records_survive_the_ring(
            text in ".{0,20}",
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            number: u64,
        ) {
            for record in examples(&text, &bytes, number) {
                let encoded = record.to_vec();
                prop_assert_eq!(Record::decode(&encoded), Some(record.clone()));
                for end in 0..encoded.len() {
                    let cut = Record::decode(&encoded[..end]);
                    // A list that is cut between two elements is a shorter list.
                    let is_list =
                        matches!(cut, Some(Record::AskInfos { .. } | Record::TellInfos { .. }));
                    prop_assert!(cut.is_none() || is_list);
                }
            }
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Record::decode(&bytes);
        }
    }
}
